"""Rules: who has these items in the basket (antecedent) has those too (consequent), and what that is worth.

Every frequent set is split in two in each way; its own count and those of both sides, which are frequent too, tell all
measures (`kernels.rules`). Nothing is counted anew, nothing collected: the counts meet by joins.

A rule is kept where it is sure enough, tells enough, is no chance and says something new. Chance is told by Fisher's
exact test: of all rules of the sets, so many are tested at once that some look good by chance alone; `q_value` is the
share of such rules among those with this q or less (Benjamini and Hochberg). New is a rule whose confidence exceeds
that of each with the same consequent and less of the antecedent, the empty one included (`improvement`).

References
----------
Benjamini, Y., Hochberg, Y. (1995). Controlling the False Discovery Rate. J. R. Stat. Soc. B 57(1), 289-300.
Bayardo, R. J., Agrawal, R., Gunopulos, D. (2000). Constraint-Based Rule Mining in Large, Dense Databases. Data Mining
and Knowledge Discovery 4, 217-240.
Others: `kernels.rules`.
"""

from collections.abc import Iterator, Sequence
from functools import partial, reduce
from operator import or_

import pyarrow as pa
from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from crm_spark.baskets.purchases import OF
from crm_spark.core.contracts import Field, Table
from crm_spark.kernels import rules as kernel

RULES = Table(
    "basket_rules",
    "Which items go along with which others in baskets, and how surely, as of a day.",
    owns="as_of",
    key=["as_of", "level", "antecedent", "consequent"],
    columns=[
        Field("as_of", "date", "the last day of the baskets"),
        Field("level", "string", "what an item is: product, subcategory, category, brand; or some, joined by +"),
        Field("antecedent", "array<string>", "who has these items, in order"),
        Field("consequent", "array<string>", "has these too, in order"),
        Field("antecedent_title", "string", "what the items of the antecedent are called"),
        Field("consequent_title", "string", "what those of the consequent are called"),
        Field("count", "bigint", "baskets with both", unit="basket"),
        Field("antecedent_count", "bigint", "baskets with the antecedent", unit="basket"),
        Field("consequent_count", "bigint", "baskets with the consequent", unit="basket"),
        Field("baskets", "bigint", "baskets in all", unit="basket"),
        Field("support", "double", "share of the baskets with both"),
        Field("confidence", "double", "share of the baskets with the antecedent that have the consequent"),
        Field("lift", "double", "how many times that is the consequent's share of all baskets"),
        Field("leverage", "double", "support less what it would be by chance"),
        Field("conviction", "double", "how many times more often the rule would fail by chance; may be infinite"),
        Field("zhang", "double", "Zhang's measure, -1 (never together) to 1 (always)"),
        Field("jaccard", "double", "baskets with both by baskets with either"),
        Field("kulczynski", "double", "mean of the confidence and that of the rule turned round"),
        Field("certainty", "double", "how much of the doubt about the consequent the antecedent removes"),
        Field("cosine", "double", "support by the root of the product of both sides' supports"),
        Field("information_gain", "double", "what knowing of the antecedent tells of the consequent", unit="bit"),
        Field("p_value", "double", "how likely chance puts as many baskets together, or more (Fisher's exact test)"),
        Field("q_value", "double", "share of chance among rules with this q or less (Benjamini and Hochberg)"),
        Field("improvement", "double", "confidence above that of the best rule with less of the antecedent"),
        Field("consequent_revenue", "double", "what the consequent brings in a basket", unit="money", nullable=True),
        Field("consequent_margin", "double", "what of it stays, where costs are known", unit="money", nullable=True),
        Field("added_revenue", "double", "revenue of it in a basket above that of chance", unit="money", nullable=True),
        Field("added_margin", "double", "margin of it in a basket above that of chance", unit="money", nullable=True),
    ],
)  # fmt: skip

SIDES = "antecedent array<string>, consequent array<string>"
COUNTS = ["baskets", "antecedent_count", "consequent_count", "count"]
MEASURED = ", ".join([SIDES, *[f"{name} bigint" for name in COUNTS], *[f"{name} double" for name in kernel.NAMES]])


def derive(itemsets: DataFrame, max_consequent: int = 1) -> DataFrame:
    """Make all rules of frequent sets, with what each is worth.

    Parameters
    ----------
    itemsets : DataFrame
        As `itemsets.mine` gives them, all of them: `items`, `count`, `baskets`. Read several times: best computed
        once.
    max_consequent : int, default 1
        Items of a consequent at most.

    Returns
    -------
    DataFrame
        One row per rule: the columns of RULES from `antecedent` to `improvement`. The sets are shuffled by either
        side, rules by their consequent, and into one part for `q_value`.
    """
    if max_consequent < 1:
        raise ValueError(f"max_consequent must be 1 or more, got {max_consequent}")
    sets = itemsets.select("items", "count", "baskets")
    sides = split(sets, max_consequent)
    for side in ("antecedent", "consequent"):
        counts = sets.select(F.col("items").alias(side), F.col("count").alias(f"{side}_count"))
        sides = sides.join(counts, side)
    counted = sides.select("antecedent", "consequent", *COUNTS)
    measured = counted.repartition("consequent").mapInArrow(_measured, f"{MEASURED}, improvement double")
    return with_q_values(measured)


def split(sets: DataFrame, max_consequent: int) -> DataFrame:
    """Split each set in two: `antecedent`, `consequent`, both in order."""
    sides = sets.where(F.size("items") > 1).select(
        F.col("items").alias("antecedent"), F.array().cast("array<string>").alias("consequent"), "count", "baskets"
    )
    parts = []
    for _ in range(max_consequent):
        sides = sides.where(F.size("antecedent") > 1).select(F.inline(_moved()), "count", "baskets")
        parts.append(sides)
    return reduce(DataFrame.unionByName, parts)


def _moved() -> Column:
    """Each way to move one item from the antecedent to the consequent, behind those that are there."""
    last = F.try_element_at("consequent", F.lit(-1))
    behind = F.filter("antecedent", lambda item: last.isNull() | (item > last))
    return F.transform(
        behind,
        lambda item: F.struct(
            F.array_except("antecedent", F.array(item)).alias("antecedent"),
            F.concat("consequent", F.array(item)).alias("consequent"),
        ),
    )


def keep(
    rules: DataFrame,
    min_confidence: float = 0.0,
    min_gain: float = 0.0,
    max_q: float = 1.0,
    is_pruned: bool = False,
) -> DataFrame:
    """Keep the rules that are sure enough, tell enough, are no chance and, if so asked, say something new.

    Parameters
    ----------
    rules : DataFrame
        As `derive` gives them.
    min_confidence, min_gain : float
        The least confidence, and information gain in bits.
    max_q : float
        The greatest `q_value`.
    is_pruned : bool, default False
        Whether rules go that no more general rule falls short of.
    """
    is_kept = (
        (F.col("confidence") >= min_confidence) & (F.col("information_gain") >= min_gain) & (F.col("q_value") <= max_q)
    )
    return rules.where(is_kept & (F.col("improvement") > 0) if is_pruned else is_kept)


def restrict(
    rules: DataFrame, antecedents: Sequence[str] | None = None, consequents: Sequence[str] | None = None
) -> DataFrame:
    """Keep the rules whose sides are of given items alone; a side without any may be of all.

    `category:` names all items of that level, where several levels stand in one basket.
    """
    for side, items in (("antecedent", antecedents), ("consequent", consequents)):
        if items is not None:
            rules = rules.where(F.forall(side, partial(_is_among, items)))
    return rules


def _is_among(items: Sequence[str], item: Column) -> Column:
    of_levels = [item.startswith(level) for level in items if level.endswith(OF)]
    return reduce(or_, of_levels, item.isin(*items))


def gains(rules: DataFrame) -> DataFrame:
    """Give the most that the rest of each set tells of one of its items: `items`, `information_gain`. One shuffle."""
    items = F.array_sort(F.concat("antecedent", "consequent")).alias("items")
    one = rules.where(F.size("consequent") == 1)
    return one.groupBy(items).agg(F.max("information_gain").alias("information_gain"))


def tell(rules: DataFrame, items: DataFrame) -> DataFrame:
    """Add what the items are called, what consequents bring in a basket, and how much more they do so than by chance.

    Parameters
    ----------
    rules : DataFrame
        As `derive` gives them. Read three times: best computed once.
    items : DataFrame
        As `purchases.describe` gives them. Where one of a consequent has no margin, the rule has none.

    Returns
    -------
    DataFrame
        With the other columns of RULES but `as_of` and `level`. Two shuffles by the rule for each side.
    """
    key = ["antecedent", "consequent"]
    for side in key:
        places = rules.select(*key, F.posexplode(side).alias("place", "item")).join(items, "item", "left")
        called = F.sort_array(F.collect_list(F.struct("place", F.coalesce("title", "item").alias("title"))))
        told = [F.array_join(called["title"], " + ").alias(f"{side}_title")]
        if side == "consequent":
            told += [
                F.when(F.count(name) == F.count("*"), F.sum(name)).alias(f"consequent_{name}")
                for name in ("revenue", "margin")
            ]
        rules = rules.join(places.groupBy(*key).agg(*told), key)
    above = F.col("confidence") - F.col("consequent_count") / F.col("baskets")
    return rules.withColumns({f"added_{of}": above * F.col(f"consequent_{of}") for of in ("revenue", "margin")})


def with_q_values(rules: DataFrame) -> DataFrame:
    """Add the least of p * rules / place among rules with this p or a greater one; equal ones share the last place."""
    all_ = Window.partitionBy(F.lit(0))
    place = F.count("*").over(all_.orderBy("p_value"))
    placed = rules.withColumn("q_value", F.col("p_value") * F.count("*").over(all_) / place)
    return placed.withColumn("q_value", F.min("q_value").over(all_.orderBy(F.desc("p_value"))))


# -- lifted: Arrow in, Arrow out


def _measured(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    held = [batch for batch in batches if batch.num_rows]
    if not held:
        return
    rules = pa.Table.from_batches(held)
    n, a, c, both = (rules[name].to_numpy() for name in COUNTS)
    told = kernel.measures(n, a, c, both)
    sides = [[tuple(items) for items in rules[name].to_pylist()] for name in ("antecedent", "consequent")]
    told["improvement"] = kernel.improvements(sides[0], sides[1], told["confidence"], c / n)
    for name, column in told.items():
        rules = rules.append_column(name, pa.array(column, pa.float64()))
    yield from rules.to_batches()
