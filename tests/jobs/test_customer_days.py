"""The job on a lake: what it reads after a load, and that it always equals the full recomputation."""

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
    return sorted(found.collect()) == sorted(recomputed.collect())


@pytest.mark.parametrize("loads", [2, pytest.param(60, marks=pytest.mark.slow)])
def test_after_every_load_the_days_equal_the_full_recomputation(lake: Lake, place: Place, loads: int) -> None:
    """Late, repeated, corrected and deleted lines of 20 seeds at once, days in random order."""
    randoms = {f"seed {seed}": Random(seed) for seed in range(20)}
    present: dict[str, tuple] = {}
    for number in range(loads):
        fresh = {line[0]: line for seed, random in randoms.items() for line in some_lines(seed, random)}
        repeated = Random(number).sample(sorted(present), len(present) // 10)
        load(lake, [*[present[line] for line in repeated if line not in fresh], *fresh.values()])
        present |= fresh
        if number % 2:
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


def test_nothing_new_is_nothing_to_do_and_what_repeats_changes_no_row(lake: Lake, place: Place) -> None:
    load(lake, [order_line("l1", "o1", "ann", 0, 5), order_line("l2", "o2", "bob", 1, 5)])
    assert run(lake, place).status == "done"
    version = lake.version(CUSTOMER_DAYS)

    again = run(lake, place)
    assert (again.status, again.reason) == ("skipped", "nothing new in order_lines")
    assert lake.version(CUSTOMER_DAYS) == version

    load(lake, [order_line("l3", "o3", None, 0, 5)])  # anonymous: a new version, but no customer's
    assert run(lake, place).rows == {"customer_days": 0}
    assert is_as_recomputed(lake)


def test_versions_no_longer_readable_mean_a_full_recomputation_said_in_a_line(
    lake: Lake, place: Place, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    load(lake, [order_line("l1", "o1", "ann", 0, 5)])
    run(lake, place)
    for amount in (6, 7):
        load(lake, [order_line("l1", "o1", "ann", 0, amount)])
    # One of the two files: rows can be read before the gap shows.
    min(
        (Path(lake.location) / "order_lines" / "_change_data").glob("*.parquet"), key=lambda file: file.stat().st_mtime
    ).unlink()

    monkeypatch.setattr(log, "propagate", True)
    caplog.set_level("INFO", logger=log.name)
    result = run(lake, place)

    told = "old versions of order_lines can no longer be read: everything is computed"
    assert (result.status, result.reason) == ("done", told)
    assert told in caplog.messages
    assert is_as_recomputed(lake)


@pytest.mark.slow
def test_rows_read_grow_with_the_touched_days_and_not_with_the_history(lake: Lake, place: Place) -> None:
    """Three looks at the lines of the touched days, and two at the one file of customer-days."""
    history, per_day = 40, 50
    lines = [some_day_line(day, number, 5) for day in range(history) for number in range(per_day)]
    by_day = lake.spark.createDataFrame(lines, ORDER_LINES.nullable_ddl).repartitionByRange(history, "ordered_on")
    lake.prepare(ORDER_LINES)
    lake.append(ORDER_LINES, by_day, "load", transaction=("load", 1))
    assert rows_read(lake, place) >= history * per_day

    load(lake, [some_day_line(20, 3, 6)])
    of_one_day = rows_read(lake, place)
    load(lake, [some_day_line(day, 3, 6) for day in (2, 19, 37)])
    of_three_days = rows_read(lake, place)

    assert is_as_recomputed(lake)
    assert of_one_day < of_three_days < 3 * of_one_day
    assert of_one_day < history * per_day / 3


def some_day_line(day: int, number: int, amount: int) -> tuple:
    """Order numbers rise with time; two customers share the orders of a day."""
    order = f"{10_000 + 50 * day + number}"
    return order_line(f"line of {order}", order, f"customer {day % 7}, {number % 2}", day, amount)


def rows_read(lake: Lake, place: Place) -> int:
    """Rows that the scans of a run handed on, by Spark's own count; its reading of Delta's log left out."""
    before = set(scanned(lake.spark))
    assert run(lake, place).status == "done"
    return sum(rows for stage, rows in scanned(lake.spark).items() if stage not in before)


def scanned(spark: SparkSession) -> dict[int, int]:
    context = spark.sparkContext._jsc.sc()
    context.listenerBus().waitUntilEmpty()
    no_quantiles = spark.sparkContext._gateway.new_array(spark.sparkContext._jvm.double, 0)
    stages = context.statusStore().stageList(None, False, False, no_quantiles, None)
    found = [stages.apply(at) for at in range(stages.size())]
    return {stage.stageId(): stage.inputRecords() for stage in found}
