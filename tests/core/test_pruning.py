"""Fewer files are opened, and the rows stay the same."""

from datetime import date, timedelta
from random import Random

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from crm_spark.core import pruning
from crm_spark.core.pruning import among, spans

DAYS = 40


@pytest.fixture(scope="module")
def orders(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> DataFrame:
    """A file for each day: one order number rises with the days, the other is random."""
    numbers = Random(1).sample(range(10**9), 4 * DAYS)
    rows = [(date(2024, 1, 1) + timedelta(at // 4), f"{9_900 + at}", f"{numbers[at]}") for at in range(4 * DAYS)]
    table = spark.createDataFrame(rows, "day date, order_id string, random_id string")
    location = str(tmp_path_factory.mktemp("orders"))
    table.repartitionByRange(DAYS, "day").write.format("delta").mode("overwrite").save(location)
    return spark.read.format("delta").load(location)


@pytest.mark.parametrize("by", ["day", "order_id"])
def test_files_that_cannot_hold_what_is_wanted_are_not_opened(orders: DataFrame, by: str) -> None:
    wanted = orders.where(F.col("order_id").isin("9900", "9998", "10002", "10059")).select(by)
    kept = among(orders, wanted.distinct(), by)
    assert len(kept.inputFiles()) == 4
    assert kept.count() == (16 if by == "day" else 4)


def test_random_values_skip_nothing_and_give_the_same_rows(orders: DataFrame) -> None:
    wanted = orders.where("day in (date'2024-01-03', date'2024-02-05')").select("day", "random_id")
    assert sorted(among(orders, wanted, "random_id").select("day", "random_id").collect()) == sorted(wanted.collect())


def test_nothing_wanted_opens_nothing(orders: DataFrame) -> None:
    kept = among(orders, orders.where(F.lit(False)).select("day"), "day")
    assert kept.inputFiles() == []
    assert kept.isEmpty()


def test_too_many_values_are_covered_by_a_few_spans(spark: SparkSession, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pruning, "MOST_SPANS", 3)
    values = ["101", "102", "103", "4711", "4712", "88", "89"]
    wanted = spark.createDataFrame([(value,) for value in values], "order_id string")
    assert spans(wanted, "order_id") == [("101", "103"), ("4711", "4712"), ("88", "89")]


def test_more_blocks_than_may_be_collected_make_coarser_ones_and_then_none(
    spark: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pruning, "MOST_BLOCKS", 2)
    ids = spark.range(1_000, 3_000, 100).select(F.col("id").cast("string").alias("order_id"))
    assert spans(ids, "order_id") == [("1000", "1900"), ("2000", "2900")]
    assert spans(ids.select(F.sha2("order_id", 256).alias("order_id")), "order_id") is None
