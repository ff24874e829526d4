"""What the page tells of lifetime value: what is to come, from whom, and how well the model describes the past."""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from crm_spark.core.sections import Bars, Chapter, Lines, Rows, Section, newest
from crm_spark.kernels.holdout import MOST, WEEK
from crm_spark.value import learned
from crm_spark.value.candidates import COVARIED
from crm_spark.value.histories import bought
from crm_spark.value.models import KERNELS, WITH_COVARIATES

BANDS = 10
FIRST = 20  # customers
LIKELY = "likely to be customers still"
CALLED = {"bg_nbd": "BG/NBD", "mbg_nbd": "MBG/NBD", "pareto_nbd": "Pareto/NBD", "nbd": "NBD", "bg_bb": "BG/BB"}
CALLED |= {f"{name}{COVARIED}": f"{CALLED[name]} with covariates" for name in WITH_COVARIATES}
CALLED |= {"last_period": "As in as many days before", "status_quo": "At the customer's pace so far"}


def to_come(clv: DataFrame, clv_parameters: DataFrame) -> Section:
    """Tell what customers are worth in the days to come, by how likely they are still customers. One pass."""
    band = F.least(F.floor(F.col("probability_alive") * BANDS), F.lit(BANDS - 1)).cast("int")
    known = newest(bought(clv), clv_parameters).where(F.col("probability_alive").isNotNull())
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
            "value": "They are worth [money]",
            "horizon": "Days ahead",
        },
        order_by=["band"],
        note=(
            "A model tells how often customers buy who may leave without a word, Gamma-Gamma what their orders are "
            "worth. Money to come is discounted; where costs are known, it is the margin. Where BG/NBD is the model, "
            "who bought once counts as a customer still: it knows no more."
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
    if value == 0:
        return f"{told}; what that is worth cannot be told."
    if value < 0:
        return f"{told}; that costs {-value:,.0f} ¤ more than it brings."
    return (
        f"{told}, which is worth {value:,.0f} ¤, {likely / value * 100:,.0f} % of it from those who are more likely "
        f"than not customers still."
    )


def worth_most(clv: DataFrame, clv_parameters: DataFrame) -> Section:
    """Tell the customers who are worth most, by key: it is what colleagues with access look them up by."""
    columns = ["customer_id", "value", "revenue_p05", "revenue_p95", "probability_alive", "expected_purchases"]
    columns += ["expected_spend", "frequency", "age"]
    known = newest(bought(clv), clv_parameters).where(F.col("value").isNotNull())
    return Section(
        title="The customers who are worth most",
        chapter=Chapter.VALUE,
        rows=known.orderBy(F.desc("value"), "customer_id").limit(FIRST).select(*columns),
        sentence=_most_told,
        picture=Bars("customer_id", "value", horizontal=True),
        labels={
            "customer_id": "Customer",
            "value": "Worth [money]",
            "revenue_p05": "Will bring at least, with 95 % [money]",
            "revenue_p95": "Will bring at most, with 95 % [money]",
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
        f"{first['customer_id']} is worth most: {first['value']:,.0f} ¤, from {first['expected_purchases']:,.1f} "
        f"expected days with an order; the first {len(customers)} together are worth "
        f"{sum(row['value'] for row in customers):,.0f} ¤."
    )


def fit_check(clv: DataFrame, clv_parameters: DataFrame) -> Section:
    """Hold the number of customers with 0, 1, 2, … repeat purchases against what the model says. One pass."""
    scored = newest(bought(clv), clv_parameters)
    purchases = F.least("frequency", F.lit(MOST)).alias("purchases")
    counted = scored.groupBy("age", "covariates", purchases).agg(F.count("*").alias("customers"))
    told = F.broadcast(learned.gather(newest(clv_parameters, clv_parameters)))
    checked = learned.hand_out(counted.repartition(1), told)
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
    held = [batch for batch in batches if batch.num_rows]
    if not held:
        return
    table = pa.Table.from_batches(held)
    told = learned.read(table)
    expected, observed = np.zeros(MOST + 1), np.zeros(MOST + 1)
    for some, covariates in learned.by_covariates(table, told):
        buying = learned.of(told, "buying", covariates)
        if buying is None:
            return
        age, purchases, customers = (some.column(name).to_numpy() for name in ("age", "purchases", "customers"))
        ages, of = np.unique(age, return_inverse=True)
        shares = KERNELS[told["model"]].purchase_shares(buying.parameters, ages / told["unit_days"], MOST)
        expected += np.bincount(of, weights=customers) @ shares
        observed += np.bincount(purchases, weights=customers, minlength=MOST + 1)
    names = [*[str(x) for x in range(MOST)], f"{MOST} or more"]
    yield pa.RecordBatch.from_pydict({"purchases": names, "customers": observed.astype(int), "expected": expected})


def _fit_told(rows: Rows) -> str:
    customers = sum(row["customers"] for row in rows)
    apart = sum(abs(row["customers"] - row["expected"]) for row in rows) / 2
    return (
        f"{rows[0]['customers']:,} customers never bought again, {rows[0]['expected']:,.0f} by the model; "
        f"it puts {apart / customers * 100:,.1f} % of the customers into another bar than they are in."
    )


def foretold(clv_holdout: DataFrame, clv_models: DataFrame) -> Section:
    """Hold what the chosen model foretold for each week against what came."""
    chosen = newest(clv_models, clv_models).where("is_chosen").select("model", "held_out")
    told = newest(clv_holdout, clv_models).where("by = 'week'").join(F.broadcast(chosen), "model")
    # The day on which a week ends; the last one may be cut short.
    after = F.least(F.col("at") * WEEK, F.col("held_out")) - F.col("held_out")
    return Section(
        title="What was foretold, and what came",
        chapter=Chapter.VALUE,
        rows=told.select(
            F.date_add("as_of", after).alias("until"),
            "actual",
            "expected",
            (F.col("at") > 0).alias("is_held_out"),
            "model",
        ),
        sentence=_foretold_told,
        picture=Lines("until", ["actual", "expected"]),
        labels={
            "until": "Week until",
            "actual": "Days with an order that came",
            "expected": "Days with an order by the model",
            "is_held_out": "Held out",
            "model": "Model",
        },
        order_by=["until"],
        note=(
            "The model learned from the days before the held-out ones alone. Counted are orders of customers who came "
            "before those days, after their first one. Here the model knows when each of them first came; where models "
            "are compared, it knows what each had bought since, too, and expects another number."
        ),
        empty="No model could be judged: too few customers bought again before the days that are held out.",
    )


def _foretold_told(weeks: Rows) -> str:
    held = [week for week in weeks if week["is_held_out"]]
    came, expected = (sum(week[name] for week in held) for name in ("actual", "expected"))
    off = "" if not came else f", {abs(expected / came - 1) * 100:,.1f} % {'more' if expected > came else 'less'}"
    model = CALLED[weeks[0]["model"]]
    return (
        f"In the {len(held)} weeks that were held out customers ordered on {came:,.0f} days; {model} had foretold "
        f"{expected:,.0f}{off}."
    )


def choice(clv_models: DataFrame) -> Section:
    """Tell how far each model, and each plain rule, was from what came, and which one is used."""
    called = F.create_map(*[F.lit(word) for pair in CALLED.items() for word in pair])
    judged = newest(clv_models, clv_models).where("root_mean_squared_error IS NOT NULL").drop("as_of", "reason")
    return Section(
        title="Which model foretells best",
        chapter=Chapter.VALUE,
        rows=judged.withColumn("model", called[F.col("model")]),
        sentence=_choice_told,
        picture=Bars("model", "root_mean_squared_error", horizontal=True),
        labels={
            "model": "Model",
            "is_baseline": "Plain rule",
            "held_out": "Days held out",
            "customers": "Customers",
            "expected": "Days with an order expected",
            "actual": "Days with an order that came",
            "mean_absolute_error": "Mean absolute error of a customer [day]",
            "root_mean_squared_error": "Root mean squared error of a customer [day]",
            "log_likelihood": "Log-likelihood on all days",
            "aic": "Akaike's criterion (AIC), the less the better",
            "is_chosen": "Used",
        },
        order_by=["root_mean_squared_error", "model"],
        note=(
            "Models learned from the days before the held-out ones. Used is, of those within 1 % of the least error, "
            "the one with the least AIC. Two plain rules stand beside them. Errors are judged squared: where most "
            "customers do not order in so few days, the mean absolute error is least for who foretells nothing."
        ),
        empty="No model could be judged: too few customers bought again before the days that are held out.",
    )


def _choice_told(models: Rows) -> str:
    used = [row for row in models if row["is_chosen"]]
    rules = [row["root_mean_squared_error"] for row in models if row["is_baseline"]]
    if not used or not rules:
        return "No model could be judged against the plain rules."
    model, error, least = used[0]["model"], used[0]["root_mean_squared_error"], min(rules)
    if error >= least:
        return (
            f"No model foretold better than the better of the two plain rules, whose root mean squared error was "
            f"{least:,.2f} days with an order of a customer; that of {model} was {error:,.2f}."
        )
    return (
        f"{model} is used: in the {used[0]['held_out']} days held out its root mean squared error was {error:,.2f} "
        f"days with an order of a customer, {(1 - error / least) * 100:,.0f} % less than that of the better plain rule."
    )


SECTIONS = (to_come, worth_most, foretold, choice, fit_check)
