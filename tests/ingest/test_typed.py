"""Raw text as declared types: what is no day, no wall clock and no instant is null."""

from decimal import Decimal

import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from crm_spark.ingest import declared
from crm_spark.ingest.typed import typed

# text: is it a day, a time on a wall clock, an instant?
TEXTS = {
    "2025-01-31": (True, True, False),
    "2025-1-5": (True, True, False),
    "2025": (False, False, False),
    "2025-01": (False, False, False),
    "2025-02-30": (False, False, False),
    "2025-01-31 rubbish": (False, False, False),
    "2025-01-31 10:00": (False, True, False),
    "2025-01-31T10:00:00.123456": (False, True, False),
    "2025-01-31T10:00:00Z": (False, False, True),
    "2025-01-31 10:00:00+02": (False, False, True),
    "2025-01-31 10:00:00+02:00": (False, False, True),
    "2025-01-31 10:00:00 UTC": (False, False, True),
    "2025-01-31 10:00:00 Europe/Berlin": (False, False, True),
    "2025-01-31 10:00:00 Nowhere": (False, False, False),
    "10:00:00Z": (False, False, False),
}


def test_days_times_and_instants_are_told_apart(spark: SparkSession) -> None:
    rows = spark.createDataFrame([(text,) for text in TEXTS], "text string")
    read = [typed(F.col("text"), name).isNotNull() for name in ("date", "timestamp", "instant")]
    assert {row[0]: tuple(row[1:]) for row in rows.select("text", *read).collect()} == TEXTS


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("decimal(40,2)", "1 to 38 digits"),
        ("decimal(5,10)", "of its 5 digits no 10"),
        ("date YYYY-MM-dd", "cannot be read by Spark at 'YYYY'"),
        ("timestamp yyyy-MM-ddTHH:mm", "cannot be read by Spark at 'T'"),
        ("timestamp yyyy-MM-dd HH:mm:ssXXX", "declare it as an instant"),
        ("date yyyy-MM-dd]", "brackets"),
    ],
)
def test_types_that_cannot_be_are_refused_with_the_reason(text: str, said: str) -> None:
    assert said in (declared.fault(text) or "")


@pytest.mark.parametrize("text", ["decimal(38, 0)", "timestamp yyyy-MM-dd'T'HH:mm:ss[.SSS]", "instant yyyyMMddX"])
def test_types_that_can_be_are_not(text: str) -> None:
    assert declared.fault(text) is None


@pytest.mark.parametrize("text", ["1e-999999999", "1E-2147483648", "1e999999999", "1e99999999999", "e-5", "1e-5 x"])
def test_a_number_that_no_decimal_can_hold_is_none_and_fails_nothing(spark: SparkSession, text: str) -> None:
    told = spark.createDataFrame([(text,), ("25e-1",), ("2.5",)], "text string").select(
        typed(F.col("text"), "decimal(18,4)")
    )
    assert [row[0] for row in told.collect()] == [None, Decimal("2.5"), Decimal("2.5")]
