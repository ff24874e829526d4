"""Exact ranks of many rows, without one worker that sees them all.

Rows are parted by ranges, sorted in each part, and counted by part: a row's rank is its place in its part and what
the parts before it hold.
"""

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

IN_PART = 33  # bits of the place within a part that `monotonically_increasing_id` gives


def order(amounts: DataFrame) -> DataFrame:
    """Lay out rows by measure, the greatest amount first, of equal amounts by key.

    Parameters
    ----------
    amounts : DataFrame
        `measure`, `customer_id`, `amount`; none null, few measures.

    Returns
    -------
    DataFrame
        The same rows. Where ranges begin is drawn by chance at each run: to be computed once, before `rank`. One pass
        for the sample, one shuffle.
    """
    by = [F.col("measure"), F.col("amount").desc(), F.col("customer_id")]
    return amounts.repartitionByRange(*by).sortWithinPartitions(*by)


def rank(ordered: DataFrame) -> DataFrame:
    """Add `rank`, from 0 for the greatest amount of a measure, and `among`, how many the measure has.

    Parameters
    ----------
    ordered : DataFrame
        As `order` gives it, computed.

    Returns
    -------
    DataFrame
        Laid out as before. One pass that counts.
    """
    at = F.monotonically_increasing_id()
    placed = ordered.withColumns({"part": F.shiftright(at, IN_PART), "place": at.bitwiseAND((1 << IN_PART) - 1)})
    counts = placed.groupBy("measure", "part").agg(F.count("*").alias("rows"), F.min("place").alias("first"))
    within = Window.partitionBy("measure")
    so_far = within.orderBy("part").rowsBetween(Window.unboundedPreceding, Window.currentRow)
    starts = counts.select(
        "measure",
        "part",
        (F.sum("rows").over(so_far) - F.col("rows") - F.col("first")).alias("start"),
        F.sum("rows").over(within).alias("among"),
    )
    ranked = placed.join(F.broadcast(starts), ["measure", "part"])
    return ranked.select("measure", "customer_id", "amount", (F.col("start") + F.col("place")).alias("rank"), "among")
