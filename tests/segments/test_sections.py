"""What the page tells of scores and segments."""

from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from crm_spark.core.lake import Lake
from crm_spark.reports.page import Part, gather
from crm_spark.segments import changes, rfm, sections, worth

BEFORE, NOW = date(2026, 1, 24), date(2026, 1, 31)
DAYS = {
    date(2026, 1, 17): [("x", 1, 9, 999, 5, 5, "Best")],  # older than both that are compared
    BEFORE: [
        ("ann", 3, 4, 100, 5, 5, "Best"),
        ("bob", 40, 1, 10, 1, 1, "Lost"),
        ("cy", 9, 2, 30, 3, 3, "New"),
        ("dee", 8, 2, 30, 3, 3, "New"),
        ("eve", 5, 2, 20, 3, 3, "New"),
    ],
    NOW: [
        ("ann", 10, 4, 100, 5, 5, "Best"),
        ("bob", 47, 1, 10, 1, 1, "Lost"),
        ("cy", 1, 4, 70, 5, 5, "Best"),
        ("dee", 15, 2, 30, 1, 3, "Lost"),
        ("fay", 0, 1, 15, 5, 1, "New"),
    ],
}
CUTS = {"recency": [12.5, 9.5, 4.5, 1.5], "frequency": [1.0, 1.0, 2.4, 4.0], "monetary": [1.0, 2.0, 3.0, 4.0]}


def tables(spark: SparkSession, *days: date) -> tuple[DataFrame, DataFrame]:
    """The scores and the cut points of some days."""
    scores = [
        (customer, day, recency, orders, Decimal(money), r, f, f, segment)
        for day in days
        for customer, recency, orders, money, r, f, segment in DAYS[day]
    ]
    cuts = [
        (day, measure, place + 2, cut)
        for day in days
        for measure, points in CUTS.items()
        for place, cut in enumerate(points)
    ]
    return spark.createDataFrame(scores, rfm.SCORES.nullable_ddl), spark.createDataFrame(cuts, rfm.CUTS.nullable_ddl)


def bought(spark: SparkSession) -> DataFrame:
    """What was bought on some days: at the ends of both spans of 30 days, and beyond them."""
    days = {
        date(2025, 12, 25): (9, 999), date(2025, 12, 26): (1, 60), date(2026, 1, 1): (2, 50),
        date(2026, 1, 2): (1, 25), BEFORE: (1, 35), NOW: (2, 55), date(2026, 2, 1): (9, 999),
    }  # fmt: skip
    rows = [("ann", day, orders, Decimal(sales)) for day, (orders, sales) in days.items()]
    return spark.createDataFrame(rows, "customer_id string, day date, orders int, sales decimal(18,4)")


def test_the_newest_day_is_held_against_the_one_before_it(spark: SparkSession) -> None:
    part = gather(changes.changes(*tables(spark, *DAYS), bought(spark)))
    assert [tuple(row.values()) for row in part.rows] == [
        ("Customers", 5, 5, 0, 0.0, BEFORE, NOW),
        ("Customers who bought in the last 30 days", 4, 4, 0, 0.0, BEFORE, NOW),
        ("Customers in “Best”, which brought most", 1, 2, 1, 100.0, BEFORE, NOW),
        ("Orders of the last 30 days", 5, 4, -1, pytest.approx(-20.0), BEFORE, NOW),
        ("Sales of the last 30 days, before returns", 170, 115, -55, pytest.approx(-5500 / 170), BEFORE, NOW),
    ]
    assert part.sentence == (
        "From 2026-01-24 to 2026-01-31 the number of customers stayed the same, that of those who bought in the last "
        "30 days stayed the same, and what these brought fell by 55 ¤ (-32.4 %)."
    )


def test_moves_are_counted_with_those_who_came_and_those_who_are_gone(spark: SparkSession) -> None:
    part = gather(changes.movement(*tables(spark, *DAYS)))
    assert [(row["move"], row["customers"], row["moved"]) for row in part.rows] == [
        ("(new) → New", 1, True),
        ("New → (gone)", 1, True),
        ("New → Best", 1, True),
        ("New → Lost", 1, True),
        ("Best (stayed)", 1, False),
        ("Lost (stayed)", 1, False),
    ]
    assert part.sentence == (
        "From 2026-01-24 to 2026-01-31, 2 of 4 customers changed segment; “Lost” won most (+1 net), "
        "“New” lost most (-2); 1 came new; 1 are gone."
    )


def test_nobody_who_moved_is_a_sentence_too(spark: SparkSession) -> None:
    scores, cuts = tables(spark, BEFORE)
    later = [rows.withColumn("as_of", F.date_add("as_of", 7)) for rows in (scores, cuts)]
    part = gather(changes.movement(scores.union(later[0].select(scores.columns)), cuts.union(later[1])))
    assert part.sentence == "From 2026-01-24 to 2026-01-31, 0 of 5 customers changed segment."
    assert not any(row["moved"] for row in part.rows)


@pytest.mark.parametrize("make", [changes.changes, changes.movement])
def test_one_day_alone_has_nothing_to_be_compared_with(spark: SparkSession, make) -> None:
    also = [bought(spark)] if make is changes.changes else []
    for days in ([NOW], []):
        section = make(*tables(spark, *days), *also)
        assert gather(section) == Part(section.title, section.chapter, sentence=changes.UNCOMPARED, notes=[])


def test_the_map_says_which_days_and_orders_have_a_score(spark: SparkSession) -> None:
    part = gather(sections.scores_map(*tables(spark, *DAYS)))
    assert [tuple(row.values()) for row in part.rows] == [
        (5, "5: 0–1", 1, "1: ≤ 1", 1, 15),
        (5, "5: 0–1", 5, "5: 5+", 2, 170),
        (1, "1: 13+", 1, "1: ≤ 1", 1, 10),
        (1, "1: 13+", 3, "3: 2", 1, 30),
    ]
    assert part.sentence == (
        "Of 5 customers, 2 have the highest scores found, 5 in recency and 5 in frequency; "
        "they brought 75.6 % of the money."
    )


def test_every_number_of_days_and_orders_is_in_the_range_of_its_score(spark: SparkSession) -> None:
    _, cuts = tables(spark, NOW)
    words = {(row["measure"], row["score"]): row["words"] for row in sections._ranges(cuts).collect()}
    assert [words["recency", score] for score in (5, 4, 3, 2, 1)] == [
        "5: 0–1",
        "4: 2–4",
        "3: 5–9",
        "2: 10–12",
        "1: 13+",
    ]
    assert [words["frequency", score] for score in (1, 3, 4, 5)] == ["1: ≤ 1", "3: 2", "4: 3–4", "5: 5+"]


def test_segments_are_told_by_size_and_by_money(spark: SparkSession) -> None:
    part = gather(sections.segments(*tables(spark, *DAYS)))
    assert [tuple(row.values()) for row in part.rows] == [
        ("Best", 2, 170, 40.0, pytest.approx(17000 / 225)),
        ("Lost", 2, 40, 40.0, pytest.approx(4000 / 225)),
        ("New", 1, 15, 20.0, pytest.approx(1500 / 225)),
    ]
    assert part.sentence == "“Best” brought most: 75.6 % of the money from 40.0 % of the customers."


def test_only_the_days_that_are_shown_are_read(lake: Lake, spark: SparkSession) -> None:
    """The files of an older day are broken: a section that opened one would fail."""
    for table, rows in zip((rfm.SCORES, rfm.CUTS), tables(spark, *DAYS), strict=True):
        lake.prepare(table)
        lake.append(table, rows, "run", ("test", 1))
    for file in Path(lake.location, "rfm_scores", "as_of=2026-01-17").glob("*.parquet"):
        file.write_bytes(b"broken")
    for make in (changes.movement, worth.foremost):
        assert gather(make(lake.current(rfm.SCORES), lake.current(rfm.CUTS))).rows
