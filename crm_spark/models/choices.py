"""What drives a choice: trees that tell apart who stays and who leaves, and who belongs to which segment.

Each question is a label for customers and what was known of them: a tree by C4.5 is learned from four fifths of them
and judged by the others, beside the plainest rule, which says of all what is commonest. These are associations: who
differs, not what would come of changing it.

References
----------
Quinlan, J. R. (1993). C4.5: Programs for Machine Learning. Morgan Kaufmann.
"""

from collections.abc import Sequence
from datetime import date
from typing import Any, Literal

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from crm_spark.core.contracts import Field, Table
from crm_spark.features.snapshot import FAMILIAR
from crm_spark.models import c45, cart, trees
from crm_spark.models.trees import NODES, Attribute

FEATURES = (*FAMILIAR, "spend")
Level = Literal["channel", "country", "region", "segment", "age_group", "income_group", "household"]
LEAST = 50  # customers to learn from
MOST_LEVELS = 30
HELD_OUT = 5  # one customer in so many
STAYS, LEAVES = "buys again", "stays away"

TREES = Table(
    "choice_trees",
    "By what customers differ who make different choices: trees, a row for each node, as of a day.",
    owns="as_of",
    version=2,
    key=["as_of", "question", "node"],
    columns=[
        Field("as_of", "date", "the day the trees speak for"),
        Field(
            "question",
            "string",
            f"what is told apart: stays ({STAYS} or {LEAVES}, by what was known before), rfm or kmeans (segments), "
            "renews (whose contract ends)",
        ),
        *NODES,
    ],
)

MODELS = Table(
    "choice_models",
    "How well each tree tells customers apart, as of a day.",
    owns="as_of",
    key=["as_of", "question"],
    columns=[
        Field("as_of", "date", "the day the trees speak for"),
        Field("question", "string", "what is told apart"),
        Field("known_on", "date", "until when what is known of customers is from"),
        Field("learned_from", "bigint", "customers that the tree was learned from", unit="customer"),
        Field("held_out", "bigint", "customers that it was judged by", unit="customer"),
        Field("right", "double", "share of them of whom the tree is right", nullable=True),
        Field("right_by_commonest", "double", "share of them of the commonest class in learning", nullable=True),
        Field("left_out", "array<string>", "attributes that told nothing, and why"),
        Field("sql", "string", "the tree as an expression of Spark's SQL over customer_features", nullable=True),
        Field("reason", "string", "why there is no tree", nullable=True),
    ],
)


def stays(features_then: DataFrame, customer_days: DataFrame, since: date, as_of: date) -> DataFrame:
    """Label customers by whether they bought since a day.

    Parameters
    ----------
    features_then : DataFrame of CUSTOMER_FEATURES
        As of `since`.
    customer_days : DataFrame of CUSTOMER_DAYS
    since, as_of : date
        What counts are orders after `since`, until `as_of`.

    Returns
    -------
    DataFrame
        The features with a column `told`. One join by customer.
    """
    later = customer_days.where(
        (F.col("day") > F.lit(since)) & (F.col("day") <= F.lit(as_of)) & (F.col("orders") > 0)
    ).select("customer_id", F.lit(STAYS).alias("told"))
    labelled = features_then.join(later.dropDuplicates(["customer_id"]), "customer_id", "left")
    return labelled.withColumn("told", F.coalesce("told", F.lit(LEAVES)))


def belongs(customer_features: DataFrame, segments: DataFrame, as_of: date) -> DataFrame:
    """Label customers by their segment.

    Parameters
    ----------
    customer_features : DataFrame of CUSTOMER_FEATURES
    segments : DataFrame
        `customer_id`, `as_of` and `segment`, null of who is in none. Of both, other days are ignored.

    Returns
    -------
    DataFrame
        The features of customers in a segment, with a column `told`. One join by customer.
    """
    of_day = F.col("as_of") == F.lit(as_of)
    told = segments.where(of_day & F.col("segment").isNotNull()).select("customer_id", F.col("segment").alias("told"))
    return customer_features.where(of_day).join(told, "customer_id")


def learn(  # noqa: PLR0913, PLR0917 - what is asked, and how
    customers: DataFrame,
    question: str,
    as_of: date,
    known_on: date,
    numbers: Sequence[str],
    names: Sequence[str],
    deepest: int = 4,
    least_share: float = 0.01,
    confidence: float = 0.25,
    method: str = "c45",
) -> tuple[DataFrame, DataFrame]:
    """Learn a tree and judge it.

    Counts decide what to count next: unlike most of this domain this runs Spark jobs before it returns.

    Parameters
    ----------
    customers : DataFrame
        As `stays` or `belongs` gives them: best persisted.
    question : str
    known_on : date
        Until when what is known of them is from.
    numbers, names : sequence of str
        Columns to split by: at a threshold, or by level, of which there are at most 30.
    deepest : int, default 4
        Splits from the root to a leaf: what a reader can follow.
    least_share : float, default 0.01
        Of the customers, whom two branches must have.
    confidence : float, default 0.25
        Of the limit of errors: the lower, the more is pruned.
    method : {"c45", "cart"}
        By C4.5, which has a branch for each level and prunes; or by CART, which splits in two and does not.

    Returns
    -------
    (DataFrame of TREES, DataFrame of MODELS)
        Of one question. Where nothing can be learned the tree has no rows and the model a reason.
    """
    is_held = F.pmod(F.xxhash64("customer_id"), F.lit(HELD_OUT)) == 0
    rows, apart = customers.where(~is_held), customers.where(is_held)
    seen, kept, left_out, reason = look(rows, numbers, names)
    told: list[dict[str, Any]] = []
    if reason is None:
        least = max(2.0, least_share * seen.rows)
        if method == "cart":
            learned = cart.fit(rows, "told", kept, least=least, deepest=deepest, seen=seen)
        else:
            learned = c45.fit(rows, "told", kept, least=least, confidence=confidence, deepest=deepest, seen=seen)
        told = [row.asDict() for row in learned.orderBy("node").collect()]
    tree = customers.sparkSession.createDataFrame([tuple(row.values()) for row in told], trees.DDL)
    decided = F.lit(None).cast("string")
    judged = trees.predict(apart, tree, kept, ["told"]) if told else apart.withColumn("decision", decided)
    keys = {"as_of": F.lit(as_of), "question": F.lit(question)}
    known = {
        "known_on": F.lit(known_on),
        "learned_from": F.lit(seen.rows).cast("bigint"),
        "left_out": F.array(*[F.lit(one) for one in left_out]).cast("array<string>"),
        "sql": F.lit(trees.sql(told) if told else None).cast("string"),
        "reason": F.lit(reason).cast("string"),
    }
    model = _judged(judged, told[0]["decision"] if told else None).withColumns({**keys, **known})
    return tree.withColumns(keys).select(*TREES.names), model.select(*MODELS.names)


def look(
    rows: DataFrame, numbers: Sequence[str], names: Sequence[str]
) -> tuple[c45.Examined, list[Attribute], list[str], str | None]:
    """Look at what there is to learn from.

    Parameters
    ----------
    rows : DataFrame
        With a column `told`.

    Returns
    -------
    (Examined, list of Attribute, list of str, str or None)
        What was seen, what of it tells something, what was left out and why, and why nothing can be learned. Two
        passes.
    """
    asked, left_out = _asked(rows, numbers, names)
    seen = c45.examine(rows, "told", asked)
    left_out += [f"{name} {why}" for name, why in seen.useless.items()]
    kept = [one for one in asked if one.name not in seen.useless]
    return seen, kept, left_out, _no_tree(seen, kept)


def _asked(rows: DataFrame, numbers: Sequence[str], names: Sequence[str]) -> tuple[list[Attribute], list[str]]:
    """What the tree may split by, the levels that there are; and what it may not, with the reason."""
    found: dict[str, list[str]] = {name: [] for name in names}
    if names:
        # Nobody holds all levels at once: it may be an identifier.
        each = F.explode(F.create_map(*[part for name in names for part in (F.lit(name), F.col(name))]))
        levels = rows.select(each.alias("name", "level")).where("level IS NOT NULL").distinct()
        place = F.row_number().over(Window.partitionBy("name").orderBy("level"))
        for row in levels.withColumn("place", place).where(F.col("place") <= MOST_LEVELS + 1).collect():
            found[row["name"]].append(row["level"])
    asked, left_out = [Attribute(name) for name in numbers], []
    for name, known in found.items():
        if not known:
            left_out.append(f"{name} is always missing")
        elif len(known) > MOST_LEVELS:
            left_out.append(f"{name} has more than {MOST_LEVELS} levels")
        else:
            asked.append(Attribute(name, tuple(sorted(known))))
    return asked, left_out


def _judged(apart: DataFrame, commonest: str | None) -> DataFrame:
    """One row: how often the tree is right, and who says of all what is commonest in learning."""
    is_right = {"right": F.col("decision"), "right_by_commonest": F.lit(commonest).cast("string")}
    shares = [F.avg((said == F.col("told")).cast("double")).alias(name) for name, said in is_right.items()]
    return apart.agg(F.count("*").alias("held_out"), *shares)


def _no_tree(seen: c45.Examined, kept: Sequence[Attribute]) -> str | None:
    if seen.rows < LEAST:
        return f"fewer than {LEAST} customers to learn from"
    if seen.mistakes:
        return "; ".join(mistake.replace("'told'", "the choice") for mistake in seen.mistakes)
    return None if kept else "nothing is known by which customers differ"
