"""What drives a choice: trees that tell apart who stays and who leaves, and who belongs to which segment.

Each question is a label for customers and what was known of them: a tree by C4.5 is learned from four fifths of them
and judged by the others, beside the plainest rule, which says of all what is commonest. These are associations: who
differs, not what would come of changing it.

References
----------
Quinlan, J. R. (1993). C4.5: Programs for Machine Learning. Morgan Kaufmann.
"""

from collections.abc import Sequence
from datetime import date, timedelta

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from crm_spark.core.contracts import Field, Table
from crm_spark.models import c45, trees
from crm_spark.models.trees import NODES, Attribute

LEAST = 50  # customers to learn from
MOST_LEVELS = 30
HELD_OUT = 5  # one customer in so many
STAYS, LEAVES = "buys again", "stays away"

TREES = Table(
    "choice_trees",
    "By what customers differ who make different choices: trees, a row for each node, as of a day.",
    owns="as_of",
    key=["as_of", "question", "node"],
    columns=[
        Field("as_of", "date", "the day the trees speak for"),
        Field(
            "question",
            "string",
            f"what is told apart: stays ({STAYS} or {LEAVES}, by what was known before), rfm or kmeans (segments)",
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


def belongs(customer_features: DataFrame, segments: DataFrame, name: str, as_of: date) -> DataFrame:
    """Label customers by their segment.

    Parameters
    ----------
    customer_features : DataFrame of CUSTOMER_FEATURES
    segments : DataFrame
        `customer_id`, `as_of` and the column `name`. Of both, other days are ignored.

    Returns
    -------
    DataFrame
        The features of customers in a segment, with a column `told`. One join by customer.
    """
    of_day = F.col("as_of") == F.lit(as_of)
    told = segments.where(of_day & F.col(name).isNotNull()).select(
        "customer_id", F.col(name).cast("string").alias("told")
    )
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

    Returns
    -------
    (DataFrame of TREES, DataFrame of MODELS)
        Of one question. Where nothing can be learned the tree has no rows and the model a reason.
    """
    spark = customers.sparkSession
    is_held = F.pmod(F.xxhash64("customer_id"), F.lit(HELD_OUT)) == 0
    rows, apart = customers.where(~is_held), customers.where(is_held)
    levels = rows.agg(*[_levels(name) for name in names]).collect()[0].asDict() if names else {}
    left_out = [f"{name} has more than {MOST_LEVELS} levels" for name in names if len(levels[name]) > MOST_LEVELS]
    asked = [Attribute(name) for name in numbers]
    asked += [Attribute(name, tuple(levels[name])) for name in names if len(levels[name]) <= MOST_LEVELS]
    seen = c45.examine(rows, "told", [one for one in asked if one.is_number or one.levels])
    left_out += [f"{one.name} is always missing" for one in asked if not one.is_number and not one.levels]
    left_out += [f"{name} {why}" for name, why in seen.useless.items()]
    kept = [one for one in asked if (one.is_number or one.levels) and one.name not in seen.useless]
    reason = _no_tree(seen, kept)
    keys = [F.lit(as_of).alias("as_of"), F.lit(question).alias("question")]
    told: list[dict[str, object]] = []
    if reason is None:
        seen.useless = {}
        least = max(2.0, least_share * seen.rows)
        learned = c45.fit(rows, "told", kept, least=least, confidence=confidence, deepest=deepest, seen=seen)
        told = [row.asDict() for row in learned.orderBy("node").collect()]
    types = ", ".join(f"{field.name} {field.type}" for field in NODES)
    tree = spark.createDataFrame([tuple(row.values()) for row in told], types)
    judged = (
        trees.predict(apart, tree, kept, ["told"]) if told else apart.withColumn("decision", F.lit(None).cast("string"))
    )
    commonest = told[0]["decision"] if told else None
    model = judged.agg(
        F.count("*").alias("held_out"),
        F.avg((F.col("decision") == F.col("told")).cast("double")).alias("right"),
        F.avg((F.lit(commonest).cast("string") == F.col("told")).cast("double")).alias("right_by_commonest"),
    )
    values = {
        "known_on": F.lit(known_on),
        "learned_from": F.lit(seen.rows).cast("bigint"),
        "left_out": F.array(*[F.lit(one) for one in left_out]).cast("array<string>"),
        "sql": F.lit(trees.sql(told) if told else None).cast("string"),
        "reason": F.lit(reason).cast("string"),
    }
    model = model.select(*keys, "*").withColumns(values)
    return tree.select(*keys, *[field.name for field in NODES]), model.select(*MODELS.names)


def _levels(name: str) -> Column:
    return F.slice(F.sort_array(F.collect_set(name)), 1, MOST_LEVELS + 1).alias(name)


def _no_tree(seen: c45.Examined, kept: Sequence[Attribute]) -> str | None:
    if seen.rows < LEAST:
        return f"fewer than {LEAST} customers to learn from"
    if seen.mistakes:
        return "; ".join(mistake.replace("'told'", "the choice") for mistake in seen.mistakes)
    return None if kept else "nothing is known by which customers differ"


def before(as_of: date, days: int) -> date:
    """Give the day until which is known what may tell who stays."""
    return as_of - timedelta(days=days)
