"""Series against a plain recomputation: what counts once, silence, what is missing, and the ends of periods."""

from collections import defaultdict
from datetime import date, timedelta
from decimal import Decimal
from itertools import pairwise
from random import Random
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyspark.sql import DataFrame, SparkSession

from crm_spark.forecasting import series
from crm_spark.ingest.tables import CUSTOMER_HISTORY, EVENTS, FEEDBACK, ORDER_LINES, PRODUCT_HISTORY

AS_OF = date(2026, 3, 12)  # a Thursday
Rows = list[dict[str, Any]]


def line(who: str | None, order: str, ago: int, amount: str = "3", **told: Any) -> dict[str, Any]:
    row = {"customer_id": who, "order_id": order, "product_id": "tea", "ordered_on": AS_OF - timedelta(days=ago)}
    return row | {"amount": Decimal(amount), "kind": "sale", "channel": "web"} | told


def visit(who: str | None, session: str | None, ago: int) -> dict[str, Any]:
    return {"customer_id": who, "session_id": session, "occurred_on": AS_OF - timedelta(days=ago), "channel": "web"}


def rated(who: str, rating: float | None, ago: int) -> dict[str, Any]:
    return {"customer_id": who, "rating": rating, "given_on": AS_OF - timedelta(days=ago), "product_id": "tea"}


def facts(spark: SparkSession, lines: Rows, visits: Rows = (), ratings: Rows = ()) -> DataFrame:  # type: ignore[assignment]
    tables = ((ORDER_LINES, lines), (EVENTS, visits), (FEEDBACK, ratings))
    made = [
        spark.createDataFrame([tuple(row.get(name) for name in table.names) for row in rows], table.nullable_ddl)
        for table, rows in tables
    ]
    return series.facts(*made, series.MEASURES)


def told(rows: DataFrame) -> dict[tuple[str, str, str], tuple[date | None, list[float | None]]]:
    return {(row["grouping"], row["key"], row["measure"]): (row["first"], row["values"]) for row in rows.collect()}


def some_facts(random: Random) -> tuple[Rows, Rows, Rows]:
    whos = [None, "ann", "bob", "eve"]
    lines = [
        line(random.choice(whos), str(random.randrange(25)), random.randrange(-9, 80), str(random.randrange(1, 99)),
             kind=random.choice(["sale", "sale", "return"]), channel=random.choice(["web", "store", None]))
        for _ in range(90)
    ]  # fmt: skip
    visits = [visit(random.choice(whos), random.choice(["s1", "s2", None]), random.randrange(60)) for _ in range(40)]
    ratings = [rated(random.choice(["ann", "bob"]), random.choice([1.0, 5.0, None]), random.randrange(60))
               for _ in range(15)]  # fmt: skip
    return lines, visits, ratings


def start_of(day: date, period: str) -> date:
    return {"day": day, "week": day - timedelta(days=day.weekday()), "month": day.replace(day=1)}[period]


def next_of(start: date, period: str) -> date:
    days = {"day": 1, "week": 7, "month": 32}[period]
    return start_of(start + timedelta(days=days), period)


def plainly(lines: Rows, visits: Rows, ratings: Rows, period: str, most: int) -> dict[Any, Any]:
    """Customers, channels and all, from loops over rows."""
    once: dict[Any, date] = {}
    sums: dict[Any, dict[date, list[float]]] = defaultdict(lambda: defaultdict(list))
    began: dict[Any, date] = {}

    def keys(row: dict[str, Any]) -> list[tuple[str, str | None]]:
        return [("customer", row.get("customer_id")), ("channel", row.get("channel")), ("all", "all")]

    def count(row: dict[str, Any], measure: str, unit: str, day: date) -> None:
        for grouping, key in keys(row):
            if key is not None and day <= AS_OF:
                of = (grouping, key, measure, row["customer_id"], unit)
                once[of] = min(once.get(of, day), day)

    def add(row: dict[str, Any], measure: str, value: float, day: date) -> None:
        for grouping, key in keys(row):
            if key is not None and day <= AS_OF:
                sums[grouping, key, measure][start_of(day, period)].append(value)
                began[grouping, key] = min(began.get((grouping, key), day), day)

    for row in lines:
        if row["kind"] == "sale":
            count(row, "purchases", row["order_id"], row["ordered_on"])
            add(row, "spend", float(row["amount"]), row["ordered_on"])
    for row in visits:
        count(row, "visits", row["session_id"] or str(row["occurred_on"]), row["occurred_on"])
    for row in ratings:
        if row["rating"] is not None:
            add(row, "ratings", row["rating"], row["given_on"])
    for (grouping, key, measure, *_), day in once.items():
        sums[grouping, key, measure][start_of(day, period)].append(1.0)
        began[grouping, key] = min(began.get((grouping, key), day), day)

    found = {}
    for (grouping, key, measure), by_period in sums.items():
        start = start_of(began[grouping, key], period)
        start = start if start == began[grouping, key] else next_of(start, period)
        starts = []
        while next_of(start, period) <= AS_OF + timedelta(days=1):
            starts.append(start)
            start = next_of(start, period)
        starts = starts[-most:]
        if measure == "ratings":
            values = [sum(by_period[s]) / len(by_period[s]) if by_period.get(s) else None for s in starts]
        else:
            values = [float(sum(by_period.get(s, []))) for s in starts]
        found[grouping, key, measure] = (starts[0] if starts else None, values)
    return found


def gathered(spark: SparkSession) -> DataFrame:
    rows = facts(spark, *some_facts(Random("day")))
    return series.gather(rows, ["customer", "channel", "all"], "day", AS_OF)


@pytest.mark.parametrize(("period", "most"), [("day", 30), ("week", 156), ("month", 156)])
def test_series_are_those_of_a_plain_count(spark: SparkSession, period: series.Period, most: int) -> None:
    rows = some_facts(Random(period))
    found = told(series.gather(facts(spark, *rows), ["customer", "channel", "all"], period, AS_OF, most))
    known = plainly(*rows, period, most)
    assert found.keys() == known.keys()
    for key, (first, values) in known.items():
        assert found[key] == (first, pytest.approx(values)), key
    assert {key for _, key, _ in known} == {"ann", "bob", "eve", "web", "store", "all"}


def test_parts_of_a_period_at_both_ends_are_left_out_and_silence_is_zero_but_no_rating(spark: SparkSession) -> None:
    # Weeks begin on 16 and 23 February, 2 and 9 March; the first sale is on a Wednesday, the last day a Thursday.
    lines = [line("ann", "1", 22), line("ann", "2", 16), line("ann", "3", 1), line("new", "4", 2)]
    rows = facts(spark, lines, ratings=[rated("ann", 4.0, 10), rated("ann", 2.0, 10)])
    found = told(series.gather(rows, ["customer"], "week", AS_OF))
    first = date(2026, 2, 23)
    assert found["customer", "ann", "purchases"] == (first, [1.0, 0.0])
    assert found["customer", "ann", "ratings"] == (first, [None, 3.0])
    assert found["customer", "new", "spend"] == (None, [])


def test_groups_are_told_by_the_tables_that_know_them(spark: SparkSession) -> None:
    lines = [line("ann", "1", 9), line("bob", "2", 9, "5", product_id="jam"), line("eve", "3", 9, channel=None)]
    history = [("ann", "north"), ("bob", "south")]
    people = spark.createDataFrame(
        [tuple({"customer_id": who, "region": region, "known_on": AS_OF, "row_hash": who}.get(name)
               for name in CUSTOMER_HISTORY.names) for who, region in history], CUSTOMER_HISTORY.nullable_ddl)  # fmt: skip
    products = spark.createDataFrame(
        [tuple({"product_id": "tea", "category": "Drinks", "known_on": AS_OF, "row_hash": "1"}.get(name)
               for name in PRODUCT_HISTORY.names)], PRODUCT_HISTORY.nullable_ddl)  # fmt: skip
    segments = spark.createDataFrame([("ann", "Best"), ("eve", "Others")], "customer_id string, segment string")
    asked = ["segment", "region+channel", "category"]
    known = series.tell_groups(facts(spark, lines), asked, segments, people, products, AS_OF)
    found = told(series.gather(known, asked, "day", AS_OF))
    assert {(grouping, key) for grouping, key, _ in found} == {
        ("segment", "Best"), ("segment", "Others"), ("region+channel", "north+web"), ("region+channel", "south+web"),
        ("category", "Drinks"),
    }  # fmt: skip
    assert found["category", "Drinks", "spend"] == (AS_OF - timedelta(days=9), [6.0] + [0.0] * 9)


def test_an_unknown_grouping_is_refused() -> None:
    with pytest.raises(ValueError, match="'shoe', 'all.customer': a grouping is one of all, customer"):
        series.check(["customer", "shoe", "all+customer"])


@settings(deadline=None)
@given(st.lists(st.lists(st.none() | st.integers(0, 5), max_size=6), max_size=4), st.integers(1, 8))
def test_series_are_put_together_up_to_so_many_values_and_none_is_lost(
    batches: list[list[int | None]], most: int
) -> None:
    told = [[None if size is None else [float(size)] * size for size in batch] for batch in batches]
    made = [
        pa.RecordBatch.from_pydict({"values": pa.array(batch, pa.list_(pa.float64())), "period": ["day"] * len(batch)})
        for batch in told
    ]
    portions = [portion.column("values").to_pylist() for portion, _ in series.alike(iter(made), "period", most)]
    assert [one for portion in portions for one in portion] == [one for batch in told for one in batch]
    sizes = [[len(one or ()) for one in portion] for portion in portions]
    assert all(sum(portion) <= most or len(portion) == 1 for portion in sizes)
    assert all(sum(one) + other[0] > most for one, other in pairwise(sizes)), "none is cut too early"


def test_groups_whose_values_have_a_plus_are_told_apart(spark: SparkSession) -> None:
    lines = [line("ann", "1", 2, channel="web+app"), line("bob", "2", 2, channel="web", product_id="app+tea")]
    known = facts(spark, lines)
    found = told(series.gather(known, ["channel+product", "channel"], "day", AS_OF))
    keys = {key for grouping, key, measure in found if measure == "spend" and grouping == "channel+product"}
    assert keys == {r"web\+app+tea", r"web+app\+tea"}
    assert ("channel", "web+app", "spend") in found
