"""What customers did on each day, against literal tables and a slow plain recomputation."""

from collections import defaultdict
from collections.abc import Iterable
from datetime import date, datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Any, NamedTuple

import pytest
from pyspark.sql import DataFrame, SparkSession

from crm_spark.features import days
from crm_spark.features.days import CUSTOMER_DAYS

SEEDS = 20
LOADS = 60


class Line(NamedTuple):
    customer_id: str | None
    order_id: str
    kind: str
    ordered_at: datetime
    amount: Decimal
    ordered_on: date


LINES = "customer_id string, order_id string, kind string, ordered_at timestamp, amount decimal(18,4), ordered_on date"


def line(customer: str | None, order: str, at: str, amount: str, kind: str = "sale") -> Line:
    moment = datetime.fromisoformat(at)
    return Line(customer, order, kind, moment, Decimal(amount), moment.date())


def rows_of(table: DataFrame) -> set[tuple[Any, ...]]:
    return {tuple(row) for row in CUSTOMER_DAYS.conform(table).collect()}


def day_of(customer: str, day: str, orders: int, money: tuple[str, str], times: tuple[int, str, str]) -> tuple:
    first, last = (datetime.fromisoformat(f"{day} {clock}") for clock in times[1:])
    return (customer, first.date(), orders, Decimal(money[0]), Decimal(money[1]), times[0], first, last)


def test_an_order_over_midnight_counts_once_on_the_day_of_its_first_line(spark: SparkSession) -> None:
    expected = {
        day_of("ann", "2024-05-01", 1, ("10", "0"), (1, "23:59:00", "23:59:00")),
        day_of("ann", "2024-05-02", 1, ("7.5", "0"), (3, "00:01:00", "09:30:00")),
    }
    lines = [
        line("ann", "o1", "2024-05-02 00:01", "2.5"),
        line("ann", "o1", "2024-05-01 23:59", "10"),
        line("ann", "o2", "2024-05-02 09:00", "2"),
        line("ann", "o2", "2024-05-02 09:30", "3"),
    ]
    assert rows_of(days.count(spark.createDataFrame(lines, LINES))) == expected


def test_returns_and_adjustments_are_activity_but_no_order_and_no_sale(spark: SparkSession) -> None:
    expected = {
        day_of("ann", "2024-05-01", 1, ("0", "0"), (1, "08:00:00", "08:00:00")),
        day_of("ann", "2024-05-02", 0, ("5", "0"), (1, "08:00:00", "08:00:00")),
        day_of("ann", "2024-05-03", 0, ("0", "5"), (1, "08:00:00", "08:00:00")),
        day_of("bob", "2024-05-01", 0, ("0", "0"), (1, "08:00:00", "08:00:00")),
    }
    lines = [
        line("ann", "o1", "2024-05-01 08:00", "-1", "adjustment"),
        line("ann", "o1", "2024-05-02 08:00", "5"),
        line("ann", "c1", "2024-05-03 08:00", "-5", "return"),
        line("bob", "o9", "2024-05-01 08:00", "3", "adjustment"),
    ]
    assert rows_of(days.count(spark.createDataFrame(lines, LINES))) == expected


def test_anonymous_lines_make_no_row_and_one_order_number_is_an_order_of_each_buyer(spark: SparkSession) -> None:
    expected = {
        day_of("ann", "2024-05-01", 1, ("1", "0"), (1, "08:00:00", "08:00:00")),
        day_of("bob", "2024-05-02", 1, ("2", "0"), (1, "08:00:00", "08:00:00")),
    }
    lines = [
        line("ann", "o1", "2024-05-01 08:00", "1"),
        line("bob", "o1", "2024-05-02 08:00", "2"),
        line(None, "o1", "2024-04-01 08:00", "4"),
    ]
    assert rows_of(days.count(spark.createDataFrame(lines, LINES))) == expected


def test_no_line_at_all_makes_no_row(spark: SparkSession) -> None:
    nothing = spark.createDataFrame([], LINES)
    keys = days.touched(nothing, nothing)
    assert rows_of(days.count(nothing)) == set()
    assert rows_of(days.recount(nothing, keys)) == set()


@pytest.mark.parametrize(
    ("was", "now", "touched"),
    [
        pytest.param(
            line("ann", "o1", "2024-05-03 08:00", "1"),
            line("ann", "o1", "2024-05-01 08:00", "1"),
            {("ann", 1), ("ann", 2), ("ann", 3)},
            id="a line that moves to another day touches every day of its order",
        ),
        pytest.param(
            line("bob", "o1", "2024-05-02 08:00", "1"),
            line("ann", "o1", "2024-05-02 08:00", "1"),
            {("ann", 2), ("bob", 2)},
            id="a line that goes over to another customer touches both",
        ),
        pytest.param(
            line("bob", "o7", "2024-05-03 08:00", "1"),
            None,
            {("bob", 3)},
            id="a line that is deleted touches its day",
        ),
    ],
)
def test_what_changes_touches_customer_days(
    spark: SparkSession, was: Line, now: Line | None, touched: set[tuple[str, int]]
) -> None:
    beside = [line("ann", "o1", "2024-05-02 09:00", "1"), line("cid", "o1", "2024-05-02 09:00", "1")]
    present = spark.createDataFrame([*beside, *([now] if now else [])], LINES)
    changed = spark.createDataFrame([was, *([now] if now else [])], LINES)
    assert {(key.customer_id, key.day.day) for key in days.touched(present, changed).collect()} == touched


def test_counting_touched_days_anew_gives_the_full_recomputation(spark: SparkSession) -> None:
    """60 loads with late, repeated, corrected and deleted lines, 20 seeds, as cases of one Spark job."""
    present, changed, before, expected = [], [], {}, {}
    for seed in range(SEEDS):
        for load, (old, new) in enumerate(loads(Random(seed))):
            case = f"seed {seed}, load {load}"
            present += [of_case(case, one) for one in new.values()]
            moved = old.items() ^ new.items()
            changed += [of_case(case, one) for _, one in moved]
            before |= plainly(of_case(case, one) for one in old.values())
            expected |= plainly(of_case(case, one) for one in new.values())

    lines = spark.createDataFrame(present, LINES)
    keys = days.touched(lines, spark.createDataFrame(changed, LINES)).localCheckpoint()
    recounted = rows_of(days.recount(lines, keys))

    told = {(key.customer_id, key.day) for key in keys.collect()}
    kept = {(*key, *rest) for key, rest in before.items() if key not in told}
    assert kept | recounted == {(*key, *rest) for key, rest in expected.items()}
    assert len(kept) > 10 * len(recounted)


def loads(random: Random) -> Iterable[tuple[dict[int, Line], dict[int, Line]]]:
    """The lines before and after each load: a day's new lines, late ones, corrections and deletions."""
    lines: dict[int, Line] = {}
    for load in random.sample(range(LOADS), LOADS):
        old = dict(lines)
        for number in range(3 * load, 3 * load + random.randrange(4)):
            lines[number] = some_line(random, load)
        for number in random.sample(sorted(old), min(len(old), random.choice([0, 0, 1, 2]))):
            lines[number] = some_line(random, random.randrange(LOADS))
        if old and random.random() < 0.2:
            lines.pop(random.choice(sorted(old)))
        yield old, dict(lines)


def some_line(random: Random, load: int) -> Line:
    at = datetime(2024, 5, 1) + timedelta(days=load, hours=random.randrange(48))
    kind = random.choices(["sale", "return", "adjustment"], [6, 2, 1])[0]
    amount = Decimal(random.randrange(1, 10_000)) / 100 * (-1 if kind == "return" else 1)
    order = f"o{load + random.choice([0, 0, 0, 1, 9])}"
    return Line(random.choice(["ann", "bob", None]), order, kind, at, amount, at.date())


def of_case(case: str, one: Line) -> Line:
    return one._replace(customer_id=one.customer_id and f"{case}: {one.customer_id}")


def plainly(lines: Iterable[Line]) -> dict[tuple[str, date], tuple[Any, ...]]:
    """Recount everything by loops."""
    by_order, by_day = defaultdict(list), defaultdict(list)
    for one in lines:
        if one.customer_id is not None:
            by_order[one.customer_id, one.order_id].append(one)
            by_day[one.customer_id, one.ordered_on].append(one)
    orders: dict[tuple[str, date], int] = defaultdict(int)
    for (customer, _), of_order in by_order.items():
        if any(one.kind == "sale" for one in of_order):
            orders[customer, min(one.ordered_on for one in of_order)] += 1
    return {
        key: (
            orders[key],
            sum((one.amount for one in of_day if one.kind == "sale"), Decimal()),
            -sum((one.amount for one in of_day if one.kind == "return"), Decimal()),
            len(of_day),
            min(one.ordered_at for one in of_day),
            max(one.ordered_at for one in of_day),
        )
        for key, of_day in by_day.items()
    }
