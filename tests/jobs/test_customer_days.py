"""The job on a lake: what it reads after a load, and that it always equals the full recomputation."""

import shutil
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

import pytest
from pyspark.sql import SparkSession

from crm_spark.core import runner
from crm_spark.core.config import Place
from crm_spark.core.lake import Lake
from crm_spark.core.log import log
from crm_spark.core.runner import Result
from crm_spark.features import days
from crm_spark.features.days import CUSTOMER_DAYS
from crm_spark.ingest.tables import ORDER_LINES
from jobs.customer_days import customer_days

AS_OF = date(2024, 12, 31)
FIRST = datetime(2024, 5, 1, tzinfo=UTC)


def order_line(line: str, order: str, customer: str | None, day: int, amount: int, kind: str = "sale") -> tuple:
    told: dict[str, Any] = {
        "line_id": line,
        "order_id": order,
        "customer_id": customer,
        "kind": kind,
        "ordered_at": FIRST + timedelta(days=day),
        "ordered_on": (FIRST + timedelta(days=day)).date(),
        "quantity": Decimal(1),
        "amount": Decimal(amount),
        "source": "shop",
        "file_hash": "file",
        "row_hash": line,
        "run_id": "load",
        "loaded_at": FIRST,
    }
    return tuple(told.get(name) for name in ORDER_LINES.names)


def load(lake: Lake, lines: Sequence[tuple]) -> None:
    lake.prepare(ORDER_LINES)
    lake.merge(ORDER_LINES, lake.spark.createDataFrame(lines, ORDER_LINES.nullable_ddl), "load")


def delete(lake: Lake, lines: Sequence[str]) -> None:
    lake.delete(ORDER_LINES, lake.spark.createDataFrame([(line,) for line in lines], "line_id string"), "load")


def run(lake: Lake, place: Place) -> Result:
    return runner.run(customer_days, lake, place, AS_OF)


def is_as_recomputed(lake: Lake) -> bool:
    found = lake.read(CUSTOMER_DAYS, lake.version(CUSTOMER_DAYS))
    recomputed = CUSTOMER_DAYS.conform(days.count(lake.read(ORDER_LINES, lake.version(ORDER_LINES))))
    return found.exceptAll(recomputed).isEmpty() and recomputed.exceptAll(found).isEmpty()


@pytest.mark.parametrize("loads", [3, pytest.param(60, marks=pytest.mark.slow)])
def test_after_every_load_the_days_equal_the_full_recomputation(lake: Lake, place: Place, loads: int) -> None:
    """Late, repeated, corrected and deleted lines of 20 seeds at once, days in random order."""
    randoms = {f"seed {seed}": Random(seed) for seed in range(20)}
    present: dict[str, tuple] = {}
    for number in range(loads):
        fresh = {line[0]: line for seed, random in randoms.items() for line in some_lines(seed, random)}
        repeated = Random(number).sample(sorted(present), len(present) // 10)
        load(lake, [*[present[line] for line in repeated if line not in fresh], *fresh.values()])
        present |= fresh
        gone = Random(number).sample(sorted(present), 10)
        delete(lake, gone)
        present = {line: row for line, row in present.items() if line not in gone}

        assert run(lake, place).status == "done"
        assert is_as_recomputed(lake)


def some_lines(seed: str, random: Random) -> list[tuple]:
    """New lines, and new tellings of old ones: another day, order, customer or amount."""
    lines = []
    for number in random.sample(range(40), 6):
        day = random.randrange(60)
        order = f"{seed}, {day // 2 + random.choice([0, 0, 1]):03}"
        customer = random.choice([f"{seed}, ann", f"{seed}, bob", None])
        kind, amount = random.choice([("sale", 5), ("sale", 7), ("return", -3), ("adjustment", 1)])
        lines.append(order_line(f"{seed}, {number}", order, customer, day, amount, kind))
    return lines


def test_nothing_new_is_nothing_to_do(lake: Lake, place: Place) -> None:
    load(lake, [order_line("l1", "o1", "ann", 0, 5)])
    assert run(lake, place).status == "done"
    version = lake.version(CUSTOMER_DAYS)

    again = run(lake, place)
    assert (again.status, again.reason) == ("skipped", "nothing new in order_lines")
    assert lake.version(CUSTOMER_DAYS) == version


def test_a_repeated_load_changes_no_row(lake: Lake, place: Place) -> None:
    """Even where the table has a new version, as after files were gathered."""
    load(lake, [order_line("l1", "o1", "ann", 0, 5), order_line("l2", "o2", "bob", 1, 5)])
    run(lake, place)
    lake.compact(ORDER_LINES)
    load(lake, [order_line("l3", "o3", None, 0, 5)])

    assert run(lake, place).rows == {"customer_days": 0}
    assert is_as_recomputed(lake)


def test_versions_no_longer_readable_mean_a_full_recomputation_said_in_a_line(
    lake: Lake, place: Place, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    load(lake, [order_line("l1", "o1", "ann", 0, 5), order_line("l2", "o2", "bob", 1, 5)])
    run(lake, place)
    load(lake, [order_line("l1", "o1", "ann", 0, 6)])
    shutil.rmtree(Path(lake.location) / "order_lines" / "_change_data")

    monkeypatch.setattr(log, "propagate", True)
    caplog.set_level("INFO", logger=log.name)
    result = run(lake, place)

    told = "old versions of order_lines can no longer be read: everything is computed"
    assert (result.status, result.reason) == ("done", told)
    assert told in caplog.messages
    assert is_as_recomputed(lake)


def test_rows_read_grow_with_the_touched_days_and_not_with_the_history(lake: Lake, place: Place) -> None:
    history, per_day = 40, 50
    lines = [
        order_line(f"l{day} {number}", f"{10_000 + day * per_day + number}", f"customer {number % 7}", day, 5)
        for day in range(history)
        for number in range(per_day)
    ]
    lake.prepare(ORDER_LINES)
    written = lake.spark.createDataFrame(lines, ORDER_LINES.nullable_ddl)
    by_day = written.repartitionByRange(history, "ordered_on")
    lake.append(ORDER_LINES, by_day, "load", transaction=("load", 1))
    everything = rows_read(lake.spark, lambda: run(lake, place))

    load(lake, [order_line("l20 3", "11003", "customer 3", 20, 6)])
    one_day = rows_read(lake.spark, lambda: run(lake, place))
    load(lake, [order_line(f"l{day} 3", f"{10_003 + day * per_day}", "customer 3", day, 6) for day in (2, 19, 37)])
    three_days = rows_read(lake.spark, lambda: run(lake, place))

    assert is_as_recomputed(lake)
    assert everything >= history * per_day
    assert one_day < 8 * per_day
    assert three_days < 3 * 8 * per_day


def rows_read(spark: SparkSession, act: Any) -> int:
    """Rows that Spark's scans handed on while something ran, by its own count."""
    before = _read_by_stage(spark)
    act()
    after = _read_by_stage(spark)
    print({k: v for k, v in after.items() if k not in before and v})
    return sum(rows for stage, rows in after.items() if stage not in before)


def _read_by_stage(spark: SparkSession) -> dict[int, int]:
    context = spark.sparkContext._jsc.sc()
    context.listenerBus().waitUntilEmpty()
    stages = context.statusStore().stageList(
        None, False, False, spark.sparkContext._gateway.new_array(spark.sparkContext._jvm.double, 0), None
    )
    return {stages.apply(at).stageId(): stages.apply(at).inputRecords() for at in range(stages.size())}
