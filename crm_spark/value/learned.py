"""What the models of lifetime value learned, on its way to those who tell with it.

It reaches workers as text in the first row of each partition: to tell it in each row would cost more than to ask, and
Spark measures a list in Arrow anew, from its begin, at each row that it adds.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from crm_spark.kernels import covariates as kernel
from crm_spark.kernels.predictive import Uncertain
from crm_spark.value.candidates import COVARIED, coded
from crm_spark.value.covariates import BETWEEN
from crm_spark.value.models import KERNELS, MONEY

Learned = Mapping[str, Any]  # a row of `gather`, as it reaches a worker


def gather(parameters: DataFrame) -> DataFrame:
    """Gather what was learned by the chosen model of buying and of money, or why nothing was.

    Parameters
    ----------
    parameters : DataFrame of PARAMETERS
        Of one day.

    Returns
    -------
    DataFrame
        One row, one struct `learned`: `model`, `unit_days`, `parameters`, their names, `buying`, `buying_covariances`,
        `money`, `money_covariances`, `no_buying`, `no_money`.
    """
    is_buying = F.col("is_chosen") & (F.col("model") != MONEY)

    def of(kind: Column, column: str) -> Column:
        rows = F.collect_list(F.when(kind & F.col("value").isNotNull(), F.struct("position", column)))
        return F.transform(F.sort_array(rows), lambda row: row[column])

    return parameters.agg(
        F.struct(
            F.max(F.when(is_buying, F.col("model"))).alias("model"),
            F.max(F.when(is_buying, F.col("unit_days"))).alias("unit_days"),
            of(is_buying, "parameter").alias("parameters"),
            of(is_buying, "value").alias("buying"),
            of(is_buying, "covariances").alias("buying_covariances"),
            of(F.col("model") == MONEY, "value").alias("money"),
            of(F.col("model") == MONEY, "covariances").alias("money_covariances"),
            F.min_by("reason", F.when((F.col("model") != MONEY) & F.col("reason").isNotNull(), F.col("model"))).alias(
                "no_buying"
            ),
            F.max(F.when(F.col("model") == MONEY, F.col("reason"))).alias("no_money"),
        ).alias("learned")
    )


def hand_out(rows: DataFrame, learned: DataFrame) -> DataFrame:
    """Add a column `learned`: in the first row of each partition what was learned, as text."""
    is_first = F.monotonically_increasing_id().bitwiseAND((1 << 33) - 1) == 0
    # Asked before the join: Spark drops the order of rows right below one.
    asked = rows.withColumn("is_first", is_first).crossJoin(learned)
    return asked.withColumn("learned", F.when(F.col("is_first"), F.to_json("learned"))).drop("is_first")


def read(rows: pa.Table | pa.RecordBatch) -> Learned:
    """Read what was learned from the first rows of a partition."""
    told: Learned = json.loads(rows.column("learned")[0].as_py())
    return told


def of(learned: Learned, kind: str, covariates: str = "") -> Uncertain | None:
    """Give what `buying` or `money` learned of customers with some covariates; None where it learned nothing."""
    values, covariances = learned.get(kind), learned.get(f"{kind}_covariances")
    if not values:
        return None
    found = Uncertain(np.array(values), np.array(covariances))
    if kind == "money" or not has_covariates(learned):
        return found
    model = KERNELS[learned["model"]]
    gammas = [name.split(":", 1) for name in learned["parameters"][len(model.NAMES) :]]
    columns = list(dict.fromkeys(column for _, column in gammas))
    return kernel.own(model, found, np.array(coded(columns, covariates.split(BETWEEN))))


def has_covariates(learned: Learned) -> bool:
    """Whether the chosen model of buying tells customers with different covariates apart."""
    return (learned.get("model") or "").endswith(COVARIED)


def by_covariates(customers: pa.Table, learned: Learned) -> Iterator[tuple[pa.Table, str]]:
    """Part customers by their covariates, where the model tells them apart; with the covariates of each part."""
    if not has_covariates(learned):
        yield customers, ""
        return
    texts = customers.column("covariates").combine_chunks().fill_null("").dictionary_encode()
    of = texts.indices.to_numpy()
    for code, text in enumerate(texts.dictionary.to_pylist()):
        yield customers.take(np.flatnonzero(of == code)), text
