"""What the page tells of lifetime value: what is to come, from whom, and how well the model describes the past."""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from crm_spark.core.sections import Bars, Chapter, Rows, Section, newest
from crm_spark.kernels import bgnbd
from crm_spark.value.clv import learned

BANDS = 10
FIRST = 20  # customers
LIKELY = "likely to be customers still"
MOST = 7  # purchases, and more


def to_come(clv: DataFrame, clv_parameters: DataFrame) -> Section:
    """Tell what customers are expected to bring, by how likely they are still customers. One pass."""
    band = F.least(F.floor(F.col("probability_alive") * BANDS), F.lit(BANDS - 1)).cast("int")
    known = newest(clv, clv_parameters).where(F.col("probability_alive").isNotNull())
    bands = known.groupBy(band.alias("at")).agg(
        F.count("*").alias("customers"),
        F.sum("expected_purchases").alias("expected_purchases"),
        F.sum("value").alias("value"),
        F.max("horizon").alias("horizon"),
    )
    percent = F.col("at") * (100 // BANDS)
    return Section(
        title="What the customers are worth in the days to come",
        chapter=Chapter.VALUE,
        rows=bands.select(
            F.concat(percent, F.lit("-"), percent + 100 // BANDS, F.lit(f" % {LIKELY}")).alias("band"),
            "customers",
            "expected_purchases",
            F.coalesce("value", F.lit(0.0)).alias("value"),
            "horizon",
        ),
        sentence=_to_come_told,
        picture=Bars("band", "value", horizontal=True),
        labels={
            "band": "How likely they are still customers",
            "customers": "Customers",
            "expected_purchases": "Days with an order to expect",
            "value": "They are expected to bring [money]",
            "horizon": "Days ahead",
        },
        order_by=["band"],
        note=(
            "BG/NBD tells how often customers buy who may leave without a word, Gamma-Gamma what their orders are "
            "worth. Money to come is discounted. Who bought once counts as a customer still: the model knows no more."
        ),
        empty="There is no estimate: too few customers bought again, or all are alike.",
    )


def _to_come_told(bands: Rows) -> str:
    customers, value = (sum(band[name] for band in bands) for name in ("customers", "value"))
    purchases = sum(band["expected_purchases"] for band in bands)
    likely = sum(band["value"] for band in bands if int(band["band"].split("-")[0]) >= 50)
    told = (
        f"In the next {bands[0]['horizon']:,} days {customers:,} customers are expected to order on {purchases:,.0f} "
        f"days"
    )
    if value <= 0:
        return f"{told}; what that is worth cannot be told."
    return (
        f"{told} and to bring {value:,.0f} ¤, {likely / value * 100:,.0f} % of it from those who are more likely "
        f"than not customers still."
    )


def worth_most(clv: DataFrame, clv_parameters: DataFrame) -> Section:
    """Tell the customers who are worth most, by key: it is what colleagues with access look them up by."""
    columns = ["customer_id", "value", "probability_alive", "expected_purchases", "expected_spend", "frequency", "age"]
    known = newest(clv, clv_parameters).where(F.col("value").isNotNull())
    return Section(
        title="The customers who are worth most",
        chapter=Chapter.VALUE,
        rows=known.orderBy(F.desc("value"), "customer_id").limit(FIRST).select(*columns),
        sentence=_most_told,
        picture=Bars("customer_id", "value", horizontal=True),
        labels={
            "customer_id": "Customer",
            "value": "Expected to bring [money]",
            "probability_alive": "Probability to be a customer still",
            "expected_purchases": "Days with an order to expect",
            "expected_spend": "Such a day brings [money]",
            "frequency": "Days with an order after the first",
            "age": "Days since the first order",
        },
        order_by=["-value", "customer_id"],
        note="Customers are told by key and by nothing else, so that who has access can look them up.",
        empty="There is no estimate: too few customers bought again, or all are alike.",
    )


def _most_told(customers: Rows) -> str:
    first = customers[0]
    return (
        f"{first['customer_id']} is worth most: {first['value']:,.0f} ¤ are expected, from "
        f"{first['expected_purchases']:,.1f} days with an order; the first {len(customers)} together are worth "
        f"{sum(row['value'] for row in customers):,.0f} ¤."
    )


def fit_check(clv: DataFrame, clv_parameters: DataFrame) -> Section:
    """Hold the number of customers with 0, 1, 2, … repeat purchases against what the model says. One pass."""
    scored = newest(clv, clv_parameters)
    counted = scored.groupBy("age", F.least("frequency", F.lit(MOST)).alias("purchases")).agg(
        F.count("*").alias("customers")
    )
    wide = (
        newest(clv_parameters, clv_parameters)
        .agg(
            *[learned("value", "bg_nbd", name).alias(name) for name in bgnbd.NAMES],
            F.max("unit_days").alias("unit_days"),
        )
        .where(F.col("r").isNotNull())
    )
    checked = counted.crossJoin(F.broadcast(wide)).repartition(1)
    return Section(
        title="How well the model describes what was bought",
        chapter=Chapter.VALUE,
        rows=checked.mapInArrow(_expected, "purchases string, customers bigint, expected double"),
        sentence=_fit_told,
        picture=Bars("purchases", "customers", beside="expected"),
        labels={
            "purchases": "Days with an order after the first",
            "customers": "Customers",
            "expected": "Customers by the model",
        },
        order_by=["purchases"],
        empty="There is no estimate: too few customers bought again, or all are alike.",
    )


def _expected(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    held = list(batches)
    table = pa.Table.from_batches(held) if held else None
    if not table:
        return
    age, purchases, customers = (table.column(name).to_numpy() for name in ("age", "purchases", "customers"))
    parameters = np.array([table.column(name)[0].as_py() for name in bgnbd.NAMES])
    ages, of = np.unique(age, return_inverse=True)
    shares = bgnbd.purchase_shares(parameters, ages / table.column("unit_days")[0].as_py(), MOST)
    expected = np.bincount(of, weights=customers) @ shares
    observed = np.bincount(purchases, weights=customers, minlength=MOST + 1).astype(int)
    names = [*[str(x) for x in range(MOST)], f"{MOST} or more"]
    yield pa.RecordBatch.from_pydict({"purchases": names, "customers": observed, "expected": expected})


def _fit_told(rows: Rows) -> str:
    customers = sum(row["customers"] for row in rows)
    apart = sum(abs(row["customers"] - row["expected"]) for row in rows) / 2
    return (
        f"{rows[0]['customers']:,} customers never bought again, {rows[0]['expected']:,.0f} by the model; "
        f"it puts {apart / customers * 100:,.1f} % of the customers into another bar than they are in."
    )


SECTIONS = (to_come, worth_most, fit_check)
