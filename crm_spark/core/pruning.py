"""Open only the files of a table that may hold what is wanted.

Files are skipped by their least and greatest values, where a filter compares these with literals. A list
(`isin`) counts by its two ends alone, so what is wanted becomes a few spans. A filter of spans keeps
all that is wanted and some rows beside it; the join after it keeps what is wanted alone.
"""

from collections.abc import Sequence
from functools import reduce
from itertools import pairwise
from os.path import commonprefix
from typing import Any

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import StringType

MOST_SPANS = 64  # each row that is read is held against all of them
MOST_BLOCKS = 20_000  # what is collected at most, to find them
TAILS = (1, 3, 5)  # texts that differ in these last characters alone are one block: as few as do
MOST_BROADCAST = 200_000  # wanted rows that every worker can hold

Span = tuple[Any, Any]
Block = tuple[Any, Any, int]


def among(rows: DataFrame, wanted: DataFrame, by: str) -> DataFrame:
    """Keep the rows that share all columns of `wanted`, opening only files that may hold one.

    Parameters
    ----------
    rows : DataFrame
        A table, best one laid out by a column that goes with `by`.
    wanted : DataFrame
        Distinct keys. They are computed here, once, and kept by the workers.
    by : str
        The column of `wanted`, text or date, by whose values files are skipped. Order numbers that
        rise with time serve as well as the day itself; random ones skip nothing, and stay right.
    """
    kept = wanted.localCheckpoint()
    blocks = _blocks(kept, by)
    if blocks is None:
        return rows.join(kept, wanted.columns, "left_semi")
    is_small = sum(block[2] for block in blocks) <= MOST_BROADCAST
    near = rows.where(within(F.col(by), _joined(blocks)))
    return near.join(F.broadcast(kept) if is_small else kept, wanted.columns, "left_semi")


def spans(wanted: DataFrame, by: str) -> list[Span] | None:
    """Cover the values of a column by a few spans (least, greatest); None where that is no use."""
    blocks = _blocks(wanted, by)
    return None if blocks is None else _joined(blocks)


def within(column: Column, spans: Sequence[Span]) -> Column:
    """Whether a value lies in one of the spans; in a form by which files are skipped."""
    return reduce(lambda found, span: found | column.between(*span), spans, F.lit(False))


def _blocks(wanted: DataFrame, by: str) -> list[Block] | None:
    """Least, greatest and number of the values of each block of neighbours; None where these are too many."""
    is_text = isinstance(wanted.schema[by].dataType, StringType)
    sizes = [F.left(by, F.length(by) - F.lit(tail)) for tail in TAILS] if is_text else [F.col(by)]
    for block in sizes:
        blocks = wanted.where(F.col(by).isNotNull()).groupBy(block).agg(F.min(by), F.max(by), F.count("*"))
        found = [(row[1], row[2], row[3]) for row in blocks.limit(MOST_BLOCKS + 1).collect()]
        if len(found) <= MOST_BLOCKS:
            return found
    return None


def _joined(blocks: Sequence[Block]) -> list[Span]:
    """Join the nearest blocks until few spans are left; texts are the nearer the longer they agree."""
    ordered = sorted(block[:2] for block in blocks)
    gaps = {at: _agreement(ordered[at - 1][1], ordered[at][0]) for at in range(1, len(ordered))}
    cuts = sorted(sorted(gaps, key=gaps.__getitem__)[: MOST_SPANS - 1])
    runs = [ordered[start:end] for start, end in pairwise([0, *cuts, len(ordered)])]
    return [(run[0][0], max(greatest for _, greatest in run)) for run in runs if run]


def _agreement(one: Any, other: Any) -> int:
    return len(commonprefix([str(one), str(other)]))  # noqa: RUF071 - of two keys, letter by letter
