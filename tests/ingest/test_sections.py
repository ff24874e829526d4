"""What the page tells of ingestion."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from pyspark.sql import functions as F

from crm_spark.ingest import oddities, sections
from crm_spark.ingest.accounts import ACCOUNTS, QUARANTINE
from crm_spark.ingest.tables import EVENTS, ORDER_LINES
from crm_spark.reports.page import EMPTY, gather

NOW = datetime(2026, 2, 1, tzinfo=UTC)


def table(spark, contract, rows):
    """Rows of a contract, of which each names what matters; the rest is missing."""
    full = [tuple(row.get(name) for name in contract.names) for row in rows]
    return spark.createDataFrame(full, contract.nullable_ddl)


def file(feed, status, records, loaded, quarantined=0, duplicates=0, **told):
    counts = {"records": records, "loaded": loaded, "quarantined": quarantined, "duplicates": duplicates}
    return {"source": "shop", "feed": feed, "status": status, "at": NOW, **counts, "warnings": {}, **told}


def line(day, amount, kind="sale", customer="c1"):
    return {"ordered_on": day, "amount": Decimal(amount), "kind": kind, "customer_id": customer}


def test_loads_add_up_for_every_feed_and_a_repeated_file_counts_once(spark):
    accounts = table(
        spark,
        ACCOUNTS,
        [
            file("orders", "loaded", 90, 80, quarantined=6, duplicates=4, warnings={"late": 2, "odd": 1}),
            file("orders", "refused", 10, 0, quarantined=10),
            file("orders", "repeated", 90, 80, quarantined=6, duplicates=4),
            file("orders", "started", 0, 0),
            file("products", "loaded", 100, 100),
        ],
    )
    told = gather(sections.loads(accounts))
    names = [
        "feed",
        "files",
        "files_refused",
        "files_repeated",
        *sections.COUNTS,
        "warnings",
        "refused_share",
    ]
    assert [tuple(row[name] for name in names) for row in told.rows] == [
        ("shop / orders", 4, 1, 1, 100, 80, 16, 4, 3, 16.0),
        ("shop / products", 1, 0, 0, 100, 100, 0, 0, 0, 0.0),
    ]
    assert told.sentence == (
        "Of 200 records in 5 files, 90.0 % loaded, 16 refused or waiting; the largest share in shop / orders, 16.0 %."
    )


def test_a_load_without_refusals_and_a_load_of_nothing_are_told(spark):
    clean = table(spark, ACCOUNTS, [file("orders", "loaded", 1, 1)])
    empty = table(spark, ACCOUNTS, [file("orders", "loaded", 0, 0)])
    assert gather(sections.loads(clean)).sentence == "Of 1 record in 1 file, 100.0 % loaded, none refused."
    assert gather(sections.loads(empty)).sentence == "1 file held no records."


def test_refusals_are_told_by_reason_and_never_by_what_stood_in_them(spark):
    told = [("late", False), ("late", False), ("late", False), ("no partner", True)]
    rows = [{"source": "shop", "reason": reason, "waits": waits, "raw": "Ada"} for reason, waits in told]
    part = gather(sections.refusals(table(spark, QUARANTINE, rows)))
    assert part.rows == [
        {"source": "shop", "reason": "late", "records": 3, "waiting": 0},
        {"source": "shop", "reason": "no partner", "records": 1, "waiting": 1},
    ]
    assert part.sentence == (
        "The most frequent reason, “late” in shop, holds for 3 of 4 records; "
        "1 of all wait for a partner and load by themselves."
    )


def test_revenue_tells_anonymous_buyers_apart_and_adjustments_from_revenue(spark):
    first, last = date(2026, 1, 1), date(2026, 1, 3)
    lines = [
        line(first, "100"),
        line(first, "50", customer=None),
        line(last, "-20", "return"),
        line(last, "-7", "adjustment", None),
    ]
    part = gather(sections.revenue(table(spark, ORDER_LINES, lines)))
    assert [tuple(row.values()) for row in part.rows] == [
        ("2026-01-01", 150, 100, 50, 150, 0, 0, 1, first, first),
        ("2026-01-02", 0, 0, 0, 0, 0, 0, 0, date(2026, 1, 2), date(2026, 1, 2)),
        ("2026-01-03", -20, -20, 0, 0, -20, -7, 1, last, last),
    ]
    assert part.sentence == (
        "From 2026-01-01 to 2026-01-03 the shop took 130 ¤, after returns of 20 ¤ (13.3 % of sales), "
        "38.5 % of it from anonymous buyers."
    )


@pytest.mark.parametrize(
    ("days", "periods", "begins"),
    [(119, 120, "2025-01-31"), (120, 18, "2025-01-27"), (731, 106, "2025-01-27"), (732, 26, "2025-01")],
)
def test_revenue_is_told_by_week_where_days_are_many_and_by_month_where_weeks_are(spark, days, periods, begins):
    first = date(2025, 1, 31)
    lines = table(spark, ORDER_LINES, [line(first, "1"), line(first + timedelta(days=days), "2")])
    part = gather(sections.revenue(lines))
    assert len(part.rows) == periods
    assert sum(row["revenue"] for row in part.rows) == 3
    assert (part.rows[0]["period"], part.rows[0]["first"]) == (begins, first)
    assert part.rows[-1]["last"] == first + timedelta(days=days)


def test_a_shop_with_one_order_and_a_shop_with_none_are_told(spark):
    one = table(spark, ORDER_LINES, [line(date(2026, 1, 1), "5")])
    assert gather(sections.revenue(one)).sentence == "On 2026-01-01 the shop took 5 ¤."
    for make, contract in (
        (sections.loads, ACCOUNTS),
        (sections.revenue, ORDER_LINES),
    ):
        assert gather(make(table(spark, contract, []))).notes == [EMPTY]
    assert gather(sections.refusals(table(spark, QUARANTINE, []))).sentence == "Nothing was refused so far."


def test_loads_of_several_sources_are_told_source_by_source(spark):
    files = [file("orders", "loaded", 10, 9, 1), file("orders", "loaded", 30, 30) | {"source": "till"}]
    part = gather(sections.loads(table(spark, ACCOUNTS, files)))
    assert [(row["source"], row["feed"]) for row in part.rows] == [("shop", "shop / orders"), ("till", "till / orders")]
    assert part.sentence.startswith("Of 40 records in 2 files, 97.5 % loaded (90.0 % from shop, 100.0 % from till), 1")


def test_odd_days_are_told_with_what_is_usual_and_a_shop_without_any_says_so(spark):
    days = [date(2026, 1, 5) + timedelta(days=number) for number in range(70)]
    even = [line(day, "1") | {"source": "shop"} for day in days for _ in range(6)]
    others = table(spark, EVENTS, []), table(spark, ACCOUNTS, [])
    part = gather(oddities.section(table(spark, ORDER_LINES, even[:-6]), *others))
    assert (part.rows, part.sentence) == ([], "No day of the last 90 is missing or unlike its weekday.")
    lines = [row for row in even if row["ordered_on"] != days[-4]]
    part = gather(oddities.section(table(spark, ORDER_LINES, lines), *others))
    (odd,) = part.rows
    assert (odd["which"], odd["records"], odd["usual"]) == ("Thu 2026-03-12, order lines of shop", 0, 6)
    assert part.sentence == (
        "In the last 90 days: 1 day without any records; the latest is Thu 2026-03-12, order lines of shop, "
        "with 0 where 6 are usual."
    )


def test_a_day_on_which_several_things_are_odd_is_counted_once(spark):
    days = [date(2026, 1, 5) + timedelta(days=number) for number in range(70) if number != 66]
    lines = table(spark, ORDER_LINES, [line(day, "1") | {"source": "shop"} for day in days for _ in range(6)])
    events = lines.select("source", F.col("ordered_on").alias("occurred_on"))
    part = gather(oddities.section(lines, events, table(spark, ACCOUNTS, [])))
    assert len(part.rows) == 2
    assert part.sentence.startswith("In the last 90 days: 1 day without any records; the latest is Thu 2026-03-12")


def test_revenue_reads_the_order_lines_once(spark, tmp_path, capsys):
    path = str(tmp_path / "lines")
    table(spark, ORDER_LINES, [line(date(2026, 1, 1), "5")]).write.parquet(path)
    sections.revenue(spark.read.parquet(path)).rows.explain()
    assert capsys.readouterr().out.count("FileScan") == 1
