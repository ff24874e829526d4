"""What the page tells of features, against plain sums over the customers."""

from datetime import date
from decimal import Decimal
from typing import Any

from pyspark.sql import SparkSession

from crm_spark.core.sections import Rows, Section
from crm_spark.features import sections
from crm_spark.features.snapshot import CUSTOMER_FEATURES

BEFORE, NOW = date(2026, 1, 24), date(2026, 1, 31)
PAUSES = [(5, None), (10, 10.0), (11, 10.0), (20, 10.0), (21, 10.0), (40, 10.0), (41, 10.0), (90, 1.0)]


def customers(day: date = NOW) -> Rows:
    return [
        {
            "customer_id": f"c{n}",
            "as_of": day,
            "recency_days": recency,
            "rhythm_days": usual,
            "spend": Decimal(n),
            "spend_365d": Decimal(n),
            "orders": n,
            "channel": [None, "web", "store", "web"][n % 4],
            "channels": 1 + n % 2,
            "returned_share": 0.25,
        }
        for n, (recency, usual) in enumerate(PAUSES, 1)
    ]


def shown(spark: SparkSession, make: Any, given: Rows) -> tuple[Section, Rows]:
    rows = [tuple(row.get(name) for name in CUSTOMER_FEATURES.names) for row in given]
    section = make(spark.createDataFrame(rows, CUSTOMER_FEATURES.nullable_ddl))
    return section, [row.asDict() for row in section.rows.collect()]


def test_customers_are_late_by_their_own_gap_and_who_bought_once_is_not(spark: SparkSession) -> None:
    section, rows = shown(spark, sections.rhythm, customers(BEFORE) + customers())
    rows.sort(key=lambda row: -1 if row["beyond"] is None else row["beyond"])
    assert [(row["beyond"], row["customers"], row["spend_365d"]) for row in rows] == [
        (None, 1, 1),
        (0, 1, 2),
        (1, 2, 3 + 4),
        (2, 2, 5 + 6),
        (4, 2, 7 + 8),
    ]
    assert [row["customers_share"] for row in rows] == [12.5, 12.5, 25, 25, 25]
    assert section.sentence(rows) == (
        "Of 7 customers who bought on more than one day, 4 have not bought for more than twice their usual gap; "
        "in the last 365 days they brought 26 ¤."
    )
    alone = section.sentence(rows[:1])
    assert alone == "No customer has bought on more than one day yet: there is no rhythm to be late by."


def test_channels_are_told_by_those_who_mostly_buy_there(spark: SparkSession) -> None:
    section, rows = shown(spark, sections.channels, customers(BEFORE) + customers())
    found = {row["channel"]: (row["customers"], row["spend"], row["several"], row["returned"]) for row in rows}
    assert found == {"web": (4, 1 + 3 + 5 + 7, 4, 25), "store": (2, 2 + 6, 0, 25)}
    rows.sort(key=lambda row: -row["customers"])
    assert section.sentence(rows) == (
        "66.7 % of the customers buy mostly by web and brought 66.7 % of the money; 4 of 6 buy by more than one channel."
    )
