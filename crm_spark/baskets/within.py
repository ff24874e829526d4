"""Rules of one group of customers: what is bought together within it, though too seldom among all baskets to be found.

The baskets of each group are mined by themselves, a group in one worker, at the same support as all of them. An item
bears the name of its group on the way, so that sets and rules of all groups are made and judged at once: no set has
items of two groups.

References
----------
Bay, S. D., Pazzani, M. J. (2001). Detecting Group Differences: Mining Contrast Sets. Data Mining and Knowledge
Discovery 5, 213-246.
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from crm_spark.baskets import itemsets, rules
from crm_spark.core.errors import ConfigError
from crm_spark.kernels import itemsets as kernel
from crm_spark.kernels.itemsets import TooMany

BETWEEN = "\x1e"  # the record separator, between a group and an item of it
SETS = "items array<string>, count bigint, baskets bigint"
MOST = 100_000  # sets of a group
MOST_BASKETS = 2_000_000  # of a group, which are in one worker
SIDES = ["antecedent", "consequent"]


@dataclass(frozen=True)
class Wanted:
    """What rules of a group must be like; names are those of the settings of `basket_rules`, but for `groupings`."""

    groupings: tuple[str, ...] = ()
    min_support: float = 0.001
    min_baskets: int = 5
    max_items: int = 5
    min_confidence: float = 0.1
    max_q: float = 0.05


def find(baskets: DataFrame, wanted: Wanted, level: str) -> DataFrame:
    """Find the rules of each group by itself.

    The baskets are mined before this returns.

    Parameters
    ----------
    baskets : DataFrame
        A row for each basket and group of its customer: `group`, `items` (an array, no item twice). Read twice: best
        computed once.
    wanted : Wanted
    level : str
        What the items are, for the message that there are too many.

    Returns
    -------
    DataFrame
        `group`, `antecedent`, `consequent` (of one item) and the other columns of `rules.derive`. One shuffle of the
        baskets by group, those of `derive`.

    Raises
    ------
    ConfigError
        A group has more baskets, or sets, than one worker is given. It says how many.
    """
    most = baskets.groupBy("group").count().agg(F.max("count")).collect()[0][0] or 0
    if most > MOST_BASKETS:
        raise ConfigError(
            f"a group has {most:,} baskets, more than the {MOST_BASKETS:,} that are mined within one: fewer days, or "
            "another grouping, have fewer"
        )

    def mine(key: tuple[pa.Scalar, ...], of_group: pa.Table) -> pa.Table:
        return _mined(key[0].as_py(), of_group, wanted)

    mined = baskets.groupBy("group").applyInArrow(mine, SETS).localCheckpoint()
    too_many = mined.where(F.col("items").isNull()).agg(F.max("count")).collect()[0][0]
    if too_many:
        raise ConfigError(
            f"within one group there are {too_many:,} itemsets of {level} or more, which is more than the {MOST:,} "
            "that are allowed: raise min_support or min_baskets, or lower max_items"
        )
    found = rules.keep(rules.derive(mined), wanted.min_confidence, 0.0, wanted.max_q, is_pruned=True)
    group = F.substring_index(F.get("antecedent", F.lit(0)), BETWEEN, 1)
    return found.withColumns({"group": group, **{side: F.transform(side, _item) for side in SIDES}})


def _item(name: Column) -> Column:
    """The item without the name of its group."""
    return F.substring_index(name, BETWEEN, -1)


# -- lifted: Arrow in, Arrow out


def _mined(group: str, baskets: pa.Table, wanted: Wanted) -> pa.Table:
    """The frequent sets of a group, or how many there are at least."""
    blocks = list(itemsets.packed(baskets.select(["items"]).to_batches()))
    told = pa.concat_tables([_counts(block) for block in blocks]).group_by("name").aggregate([("count", "sum")])
    least = max(kernel.least(wanted.min_support, baskets.num_rows), wanted.min_baskets)
    frequent = told.filter(pc.greater_equal(told["count_sum"], least)).sort_by(
        [("count_sum", "ascending"), ("name", "ascending")]
    )
    names = frequent["name"].combine_chunks()
    _, part = itemsets.read(blocks, names)
    try:
        levels = kernel.mine(part, least, wanted.max_items, MOST)
    except TooMany as too_many:
        return pa.table({"items": pa.nulls(1, pa.list_(pa.string())), "count": [too_many.sets], "baskets": [0]})
    named = pc.binary_join_element_wise(group, names, BETWEEN)
    sets = pa.concat_tables([itemsets.as_table(level, named) for level in levels])
    return sets.append_column("baskets", pa.array(np.full(sets.num_rows, baskets.num_rows)))


def _counts(block: pa.RecordBatch) -> pa.Table:
    """How many baskets of a block hold each item; before the items there is the count of baskets."""
    names, counts = (block.column(name).flatten()[1:] for name in ("names", "counts"))
    return pa.table({"name": names, "count": counts})
