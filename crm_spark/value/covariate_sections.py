"""What the page tells of covariates: beside whom customers buy more often, and leave sooner."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from crm_spark.core.sections import Bars, Chapter, Rows, Section, newest
from crm_spark.kernels.likelihood import Floats
from crm_spark.value.candidates import COVARIED
from crm_spark.value.covariates import BETWEEN
from crm_spark.value.histories import bought
from crm_spark.value.sections import CALLED

Z = 1.96  # standard errors within which 95 % lie
SAID = {
    "first_sales": "whose first day brought {}",
    "registered_days": "who first bought {} days after registration",
}


def effects(clv: DataFrame, clv_parameters: DataFrame) -> Section:
    """Tell how much more often customers with each level of a covariate buy than those with the commonest.

    One pass over the newest day, from which it takes what the commonest are.
    """
    told = newest(clv_parameters, clv_parameters).where(F.col("model").endswith(COVARIED) & F.col("value").isNotNull())
    texts = newest(bought(clv), clv_parameters).where(F.col("covariates").isNotNull()).groupBy("covariates").count()
    both = told.unionByName(texts.drop("count"), allowMissingColumns=True)
    return Section(
        title="Who buys more often from the start",
        chapter=Chapter.VALUE,
        rows=both.repartition(1).mapInArrow(_effects, EFFECTS),
        sentence=_effects_told,
        picture=Bars("level", "buys", beside="leaves", horizontal=True),
        labels={
            "level": "Customers",
            "beside": "Beside those",
            "buys": "Buy as often, times",
            "buys_low": "Buy at least, with 97.5 %",
            "buys_high": "Buy at most, with 97.5 %",
            "leaves": "Leave as soon, times",
            "leaves_low": "Leave at least, with 97.5 %",
            "leaves_high": "Leave at most, with 97.5 %",
            "model": "Model",
            "is_chosen": "Used",
        },
        order_by=["-buys", "level"],
        note=(
            "What was known of customers on the day of their first order. Each level is held against the commonest of "
            "its kind, which would have 1. How soon they leave is by Pareto/NBD the rate, else the odds after "
            "a purchase. These are associations: who is moved from one level to another does not change."
        ),
        empty=None,
    )


EFFECTS = (
    "level string, beside string, buys double, buys_low double, buys_high double, leaves double, leaves_low double, "
    "leaves_high double, model string, is_chosen boolean"
)


def _effects(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Of the chosen model, or of the likeliest that has covariates."""
    told_of = [row for batch in batches for row in batch.to_pylist()]
    rows = [row for row in told_of if row["parameter"]]
    if not rows:
        return
    known = {level for row in told_of for level in (row["covariates"] or "").split(BETWEEN) if level}
    best = max(rows, key=lambda row: (bool(row["is_chosen"]), row["log_likelihood"], row["model"]))
    mine = sorted((row for row in rows if row["model"] == best["model"]), key=lambda row: row["position"])
    at, covariance = np.array([row["value"] for row in mine]), np.array([row["covariances"] for row in mine])
    place = {row["parameter"]: row["position"] for row in mine}
    levels = [name.removeprefix("alpha:") for name in place if name.startswith("alpha:")]
    commonest = {level.split("=")[0]: _said(level) for level in sorted(known - set(levels))}
    told: dict[str, Any] = {"level": [_said(level) for level in levels]}
    told["beside"] = [commonest.get(level.split("=")[0]) for level in levels]
    leaving = {"beta": 1.0} if "beta" in place else {"a": 1.0, "b": -1.0}
    for what, signs in (("buys", {"alpha": 1.0}), ("leaves", leaving)):
        weights = np.zeros((len(levels), at.size))
        for row, level in enumerate(levels):
            for name, sign in signs.items():
                weights[row, place[f"{name}:{level}"]] = sign
        for end, logs in zip(
            ("", "_low", "_high"), _around(weights @ at, weights @ covariance @ weights.T), strict=True
        ):
            told[f"{what}{end}"] = np.exp(logs)
    model = CALLED[best["model"]]
    told |= {"model": [model] * len(levels), "is_chosen": [bool(best["is_chosen"])] * len(levels)}
    yield pa.RecordBatch.from_pydict(told)


def _said(level: str) -> str:
    """A level in words that go on from "customers"."""
    covariate, value = level.split("=", 1)
    if covariate not in SAID:
        return f"of {covariate} {value}"
    return SAID[covariate].format(value.replace("above", "more than"))


def _around(logs: Floats, covariance: Floats) -> tuple[Floats, Floats, Floats]:
    """The estimates and the ends of their 95 % intervals."""
    errors = Z * np.sqrt(np.diag(covariance))
    return logs, logs - errors, logs + errors


def _effects_told(levels: Rows) -> str:
    clear = [row for row in levels if row["buys_low"] > 1 or row["buys_high"] < 1]
    used = (
        ""
        if levels[0]["is_chosen"]
        else f" {levels[0]['model']} says so, which is not used: another foretells as well."
    )
    if not clear:
        return f"By nothing that was known at the first order can it be told who buys more often.{used}"
    first = max(clear, key=lambda row: abs(np.log(row["buys"])))
    return (
        f"Customers {first['level']} buy {first['buys']:,.2f} times as often as those {first['beside']} "
        f"({first['buys_low']:,.2f} to {first['buys_high']:,.2f} with 95 %).{used}"
    )


SECTIONS = (effects,)
