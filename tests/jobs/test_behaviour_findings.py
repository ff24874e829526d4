"""Findings on single days: what is odd for a Tuesday is found, and what is usual on a Saturday is not."""

import re
from datetime import date, timedelta
from decimal import Decimal
from random import Random

from pyspark.sql import DataFrame, SparkSession

from crm_spark.anomalies import finding_sections
from crm_spark.anomalies.findings import FINDINGS
from crm_spark.core.contracts import Table
from crm_spark.forecasting.forecasts import FORECASTS
from crm_spark.forecasting.series import SERIES
from crm_spark.ingest.tables import CUSTOMER_HISTORY, EVENTS, FEEDBACK, ORDER_LINES, PRODUCT_HISTORY, PRODUCTS, VERDICTS
from crm_spark.reports.page import gather
from crm_spark.segments.rfm import SCORES
from jobs import behaviour_findings, behaviour_series
from tests.baskets.test_purchases import Rows

TUESDAY = date(2026, 3, 3)
DAYS = 112
OF_WEEK = (20, 20, 20, 30, 60, 90, 10)  # what one spends on a Monday, a Tuesday, …
ITEMS = ("tea", "jam", "milk", "rice", "salt", "soap", "corn", "wine")
SEGMENTS = {
    "k0": "Best",
    "k1": "Best",
    "k2": "Good",
    "k3": "Good",
    "k4": "New",
    "k5": "New",
    "k6": "Lost",
    "k7": "Lost",
}


def sold() -> Rows:
    """Each buys one product a day, in turn; on the last Tuesday tea goes as on a Saturday, and little else to the new."""
    chance, lines = Random(4), []
    for ago in range(DAYS):
        day = TUESDAY - timedelta(days=ago)
        for at, who in enumerate(SEGMENTS):
            for turn in range(4):
                product = ITEMS[(at + ago + 2 * turn) % len(ITEMS)]
                amount = OF_WEEK[day.weekday()] * chance.gauss(1, 0.1)
                is_new = SEGMENTS[who] == "New"
                if day == TUESDAY and product == "tea":
                    amount *= 4.5
                elif day == TUESDAY and is_new:
                    continue
                amount *= 0.1 if is_new else 1
                lines.append({"customer_id": who, "order_id": f"{who} {ago} {turn}", "product_id": product, "ordered_on": day,
                              "amount": Decimal(round(amount, 2)), "kind": "sale"})  # fmt: skip
    return lines


def frame(spark: SparkSession, table: Table, rows: Rows = ()) -> DataFrame:  # type: ignore[assignment]
    told = [tuple(row.get(name) for name in table.names) for row in rows]
    return spark.createDataFrame(told, table.nullable_ddl)


def test_what_is_odd_for_its_day_of_the_week_is_told_of_products_and_segments(spark: SparkSession) -> None:
    segments = frame(
        spark, SCORES, [{"customer_id": who, "as_of": TUESDAY, "segment": of} for who, of in SEGMENTS.items()]
    )
    tables = [frame(spark, table) for table in (EVENTS, FEEDBACK, CUSTOMER_HISTORY, PRODUCT_HISTORY)]
    groupings = ["all", "segment", "product"]
    by_day = behaviour_series.Config(
        as_of=TUESDAY, period="day", groupings=groupings, measures=["spend"], decomposed=["all"]
    )
    series, _ = behaviour_series.behaviour_series(frame(spark, ORDER_LINES, sold()), *tables, segments, by_day)
    asked = behaviour_findings.Config(as_of=TUESDAY, newest=8, past=56, window=7, max_q=0.01)
    empty = [frame(spark, table) for table in (FORECASTS, VERDICTS, FINDINGS)]
    found, standings, _ = behaviour_findings.behaviour_findings(
        series.select(*SERIES.names).localCheckpoint(), empty[0], segments, *empty[1:], asked
    )
    found = found.localCheckpoint()
    rows = found.collect()
    assert {row["day"] for row in rows} == {TUESDAY}, "a Saturday brings more than four times as much, as it always did"
    told = {(row["grouping"], row["key"]): row["reason"] for row in rows}
    assert [key for grouping, key in told if grouping == "product"] == ["tea"]
    assert re.fullmatch(r"spent 4\.\d times the usual for a Tuesday; peers .*", told["product", "tea"])
    assert re.fullmatch(r"spent \d\d % less than is usual for a Tuesday; peers .*", told["segment", "New"])
    assert re.fullmatch(r"spent \d\d % more than is usual for a Tuesday", told["all", "all"])
    products = frame(spark, PRODUCTS, [{"product_id": "tea", "title": "Green tea"}])
    page = gather(finding_sections.told(found, standings, products))
    assert "in the period from 3 March 2026 on" in page.sentence
    assert "Product Green tea (tea), spend" in {row["who"] for row in page.rows}
