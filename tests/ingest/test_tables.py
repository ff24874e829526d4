"""The contracts of the conformed tables, and the rules that are shipped with them."""

from datetime import date, datetime
from decimal import Decimal

from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from crm_spark.core.config import Place
from crm_spark.ingest.accounts import LOOKUPS
from crm_spark.ingest.load import rules
from crm_spark.ingest.tables import CONTRACTS, CUSTOMERS


def test_what_tells_something_of_one_person_is_marked() -> None:
    assert [column.name for column in CUSTOMERS.columns if not column.personal] == [
        "region",
        "country",
        "registered_on",
    ]
    assert LOOKUPS["row_key"].personal, "the key of a look-up may be a customer's"


def test_the_rules_of_contracts_find_what_cannot_be(spark: SparkSession) -> None:
    today = date(2026, 1, 31)
    good = {"started_on": today, "period": 1, "period_unit": "month", "price": Decimal(5), "ended_on": None}
    cases = {
        "good": {},
        "withdrawn at once": {"ended_on": today},
        "ends next year": {"ended_on": date(2027, 1, 31), "cancelled_on": today},
        "known_period": {"period": 0},
        "known_period again": {"period_unit": "fortnight"},
        "negative_price": {"price": Decimal(-1)},
        "ends_after_start": {"ended_on": date(2026, 1, 30)},
        "future_date": {"cancelled_on": date(2026, 2, 3)},
        "free_of_charge": {"price": Decimal(0)},
        "begins_later": {"started_on": date(2026, 2, 3)},
    }
    told = [tuple((good | case).get(name) for name in CONTRACTS.names) for case in cases.values()]
    rows = spark.createDataFrame(told, CONTRACTS.nullable_ddl).select(F.struct("*").alias("contracts"))
    shipped = rules(Place())["contracts"]
    names = [F.when(~F.expr(rule.check), F.lit(rule.name)) for rule in shipped]
    broken = rows.withColumn("_now", F.lit(datetime(2026, 1, 31, 12))).select(F.array_compact(F.array(*names)))
    expected = [[case.removesuffix(" again")] if "_" in case else [] for case in cases]
    assert [row[0] for row in broken.collect()] == expected
    assert {rule.name for rule in shipped if rule.severity == "warn"} == {"free_of_charge", "begins_later"}
