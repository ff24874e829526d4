"""C4.5 and ID3 over rows that lie anywhere: only counts leave the workers.

Few rows go to one worker, who learns the whole tree; more are counted where they lie, level by level. A number has as
many thresholds to judge as it has values, so its counts are gathered and judged by workers, one node and attribute at
a time; what reaches the driver is the best split of each. The trees are equal, whichever way (`kernels.c45`).

References
----------
Quinlan, J. R. (1993). C4.5: Programs for Machine Learning. Morgan Kaufmann.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from crm_spark.kernels import c45, trees
from crm_spark.kernels.c45 import Known, Split
from crm_spark.kernels.likelihood import Floats
from crm_spark.kernels.lists import matrix
from crm_spark.kernels.series import LARGEST
from crm_spark.kernels.trees import Node, Path
from crm_spark.models.trees import Attribute, check_columns, codes, nodes

IN_ONE = 10_000_000  # values that one worker learns from
MOST_CLASSES = 50
LEAST_IDENTIFIED, SPARSE = 50, 3  # rows, and of how many numbers in a row one is taken, from which on it is no chance


def fit(  # noqa: PLR0913, PLR0917 - what is asked, and C4.5's own settings
    rows: DataFrame,
    target: str,
    attributes: Sequence[Attribute],
    by_ratio: bool = True,
    least: float = 2.0,
    confidence: float | None = 0.25,
    deepest: int | None = None,
    classes: Sequence[str] | None = None,
    in_one: int = IN_ONE,
    seen: "Examined | None" = None,
) -> DataFrame:
    """Learn a decision tree.

    Counts decide at once what to count next: unlike most of this domain this runs Spark jobs before it returns.

    Parameters
    ----------
    rows : DataFrame
        Read once where there are few and once to examine them, else several times for each level: best persisted.
    target : str
        The column of what is to be told apart, as text; of every row.
    attributes : sequence of Attribute
        A nominal one has a branch for each of its levels. What is of no level is as missing.
    by_ratio : bool, default True
        Whether C4.5 or ID3 chooses. ID3 knows neither numbers nor missing values, and is not pruned.
    least : float, default 2
        Rows that two branches of a split must have.
    confidence : float, optional
        Of the limit of errors, above 0 and up to 0.5: the lower, the more is pruned; without it nothing is.
    deepest : int, optional
        Splits from the root to a leaf.
    classes : sequence of str, optional
        What the target may be: of equally common ones the first decides. Without it those there are, by name.
    in_one : int
        Rows times attributes up to which one worker learns.
    seen : Examined, optional
        By whoever has examined these rows, and asks for attributes that tell something.

    Returns
    -------
    DataFrame of `trees.NODES`
        A row for each node.

    Raises
    ------
    ValueError
        Nothing can be learned, or a setting cannot be: all that is wrong at once.
    """
    check(least, deepest)
    if confidence is not None and not 0 < confidence <= 0.5:
        raise ValueError(f"confidence must be above 0 and 0.5 at most, got {confidence}")
    seen = seen or accepted(examine(rows, target, attributes), target, attributes, by_ratio, classes)
    names = list(classes or seen.classes)
    place = F.array_position(F.array(*[F.lit(one) for one in names]), F.col(target)) - 1
    coded = rows.select(codes(attributes).alias("values"), place.alias("class"))
    learn = partial(_learn, by_ratio=by_ratio, least=least, confidence=confidence, deepest=deepest)
    levels = np.array([len(one.levels or ()) for one in attributes])
    if seen.rows * len(attributes) <= in_one:
        learned = partial(_learned, learn=learn, levels=levels, classes=len(names))
        root = trees.read(coded.coalesce(1).mapInArrow(learned, "tree string").collect()[0]["tree"])
    else:
        root = learn(Spread(coded, levels, len(names), seen.rows))
    return nodes(rows.sparkSession, root, attributes, names)


def check(least: float, deepest: int | None) -> None:
    """Refuse what no tree can be grown by."""
    if not least > 0 or (deepest is not None and deepest < 1):
        raise ValueError(f"least must be above 0, deepest 1 or more, got {least} and {deepest}")


@dataclass(frozen=True)
class Examined:
    """What there is to learn from.

    Parameters
    ----------
    rows : int
    classes : list of str
        What is to be told apart.
    with_missing : list of str
        Attributes that are missing in some rows.
    useless : dict
        Attributes that tell nothing, and why.
    mistakes : list of str
        Why nothing can be learned.
    """

    rows: int
    classes: list[str]
    with_missing: list[str]
    useless: dict[str, str]
    mistakes: list[str]


def examine(rows: DataFrame, target: str, attributes: Sequence[Attribute]) -> Examined:
    """Look at the target and the attributes: one pass, one row to the driver; one more for what may be identifiers.

    Raises
    ------
    ValueError
        A column is not there, or is not what the attribute says: it names them all.
    """
    check_columns(rows, attributes, [target])
    known = {one.name: F.count_if(_is_known(one)) for one in attributes}
    told = rows.agg(
        F.count("*").alias("rows"),
        F.count_if(F.col(target).isNull()).alias("unlabelled"),
        F.slice(F.sort_array(F.collect_set(target)), 1, MOST_CLASSES + 1).alias("classes"),
        *[count.alias(f"known_{at}") for at, count in enumerate(known.values())],
        *[_is_constant(one).alias(f"constant_{at}") for at, one in enumerate(attributes)],
        *[F.count_if(_is_infinite(one)).alias(f"infinite_{at}") for at, one in enumerate(attributes)],
        *[_is_dense(one).alias(f"dense_{at}") for at, one in enumerate(attributes)],
    ).collect()[0]
    identifiers = _identifiers(rows, [one for at, one in enumerate(attributes) if told[f"dense_{at}"]], told["rows"])
    mistakes = []
    if told["unlabelled"]:
        mistakes.append(f"'{target}' is missing in {told['unlabelled']} rows: leave them out")
    if len(told["classes"]) == 1:
        others = "other rows" if told["unlabelled"] else "rows"
        mistakes.append(f"'{target}' is the same in all {others}: there is nothing to tell apart")
    if len(told["classes"]) > MOST_CLASSES:
        mistakes.append(f"'{target}' has more than {MOST_CLASSES} values: group them")
    useless, with_missing = {}, []
    for at, one in enumerate(attributes):
        if told[f"infinite_{at}"]:
            count = told[f"infinite_{at}"]
            mistakes.append(f"'{one.name}' is infinite or beyond {LARGEST:g} in {count} rows: make it missing there")
        if not told[f"known_{at}"]:
            useless[one.name] = "is always missing"
        elif told[f"constant_{at}"]:
            useless[one.name] = "is the same in all rows"
        elif len(one.levels or ()) >= told["rows"] > 1:
            useless[one.name] = "has a level for each row"
        elif one.name in identifiers:
            useless[one.name] = "has a whole number for each row, as identifiers have"
        if told[f"known_{at}"] < told["rows"]:
            with_missing.append(one.name)
    return Examined(told["rows"], list(told["classes"]), with_missing, useless, mistakes)


def accepted(
    seen: Examined,
    target: str,
    attributes: Sequence[Attribute],
    by_ratio: bool = True,
    classes: Sequence[str] | None = None,
) -> Examined:
    """Refuse what cannot be learned from."""
    if not seen.rows:
        raise ValueError("there are no rows to learn from")
    wrong = [*seen.mistakes, *[f"'{name}' {why}: leave it out" for name, why in seen.useless.items()]]
    if not attributes:
        wrong.append("there are no attributes: name some to split by")
    if strange := set(seen.classes) - set(classes or seen.classes):
        wrong.append(f"'{target}' has {len(strange)} values that are no class")
    if not by_ratio:
        wrong += [f"ID3 splits by levels alone: '{one.name}' is a number" for one in attributes if one.is_number]
        wrong += [f"ID3 knows no missing values: '{name}' has some" for name in seen.with_missing]
    if wrong:
        raise ValueError("; ".join(wrong))
    return seen


def _is_known(one: Attribute) -> Column:
    value = F.col(one.name)
    if one.levels is None:
        return value.isNotNull() & ~F.isnan(value.cast("double"))
    return value.isin(*one.levels)


def _is_constant(one: Attribute) -> Column:
    value = F.when(_is_known(one), F.col(one.name))
    return F.min(value) == F.max(value)


def _is_infinite(one: Attribute) -> Column:
    if not one.is_number:
        return F.lit(False)
    value = F.col(one.name).cast("double")
    return ~F.isnan(value) & (F.abs(value) > F.lit(LARGEST))


def _is_dense(one: Attribute) -> Column:
    """Whether rows have whole numbers that no two of them could share in so small a span but by being numbered."""
    if not one.is_number:
        return F.lit(False)
    value, rows = F.col(one.name).cast("double"), F.count("*")
    are_whole = F.count_if(value == F.rint(value)) == rows
    span = F.max(value) - F.min(value) + 1
    return are_whole & (rows >= LEAST_IDENTIFIED) & span.between(rows, SPARSE * rows)


def _identifiers(rows: DataFrame, among: Sequence[Attribute], size: int) -> set[str]:
    """Those of which no two rows have the same value."""
    if not among:
        return set()
    counts = rows.agg(*[F.count_distinct(one.name).alias(str(at)) for at, one in enumerate(among)]).collect()[0]
    return {one.name for one, count in zip(among, counts, strict=True) if count == size}


def _learn(counts: c45.Counts, by_ratio: bool, least: float, confidence: float | None, deepest: int | None) -> Node:
    root = c45.grow(counts, by_ratio, least, deepest)
    if by_ratio:
        c45.collapse(root)
        if confidence is not None:
            c45.prune(root, counts, confidence)
    return root


class Spread:
    """Rows over the workers, to be counted: see `kernels.c45.Counts`.

    Parameters
    ----------
    coded : DataFrame
        `values`, an array of doubles, and `class`, from 0.
    """

    def __init__(self, coded: DataFrame, levels: NDArray[np.int64], classes: int, rows: int) -> None:
        self.coded, self.levels, self.classes, self.rows = coded, levels, classes, rows

    def whole(self) -> Floats:
        """Weight of each class, (classes,)."""
        found = np.zeros(self.classes)
        for of_class, rows in self.coded.groupBy("class").count().collect():
            found[of_class] = rows
        return found

    def splits(self, root: Node, paths: Sequence[Path], least: float) -> list[list[Split | None]]:
        """Give for each node the best split by each attribute, None where there is none."""
        tell = partial(_tell, tree=trees.write(root), paths=paths, levels=self.levels, classes=self.classes)
        totals = [float(trees.at(root, path).counts.sum()) for path in paths]
        levels, classes = self.levels, self.classes

        def judge(told: pa.Table) -> pa.Table:  # a function, as Spark reads its types
            return _judge(told, totals, levels, classes, least)

        judged = (
            self.coded.mapInArrow(tell, "node int, attribute int, known binary")
            .groupBy("node", "attribute")
            .applyInArrow(judge, "node int, attribute int, gain double, ratio double, threshold double, counts binary")
        )
        found: list[list[Split | None]] = [[None] * len(self.levels) for _ in paths]
        for row in judged.collect():
            counts = np.frombuffer(row["counts"]).reshape(-1, self.classes)
            threshold = np.nan if row["threshold"] is None else row["threshold"]
            found[row["node"]][row["attribute"]] = Split(row["gain"], row["ratio"], counts, threshold)
        return found

    def at_most(self, attributes: Sequence[int], limits: Floats) -> Floats:
        """Give for each the largest value of the attribute, in all rows, that is not above the limit."""
        seek = partial(_largest, attributes=list(attributes), limits=limits, width=len(self.levels))
        largest = self.coded.mapInArrow(seek, "asked int, value double").groupBy("asked").agg(F.max("value"))
        values = dict(tuple(row) for row in largest.collect())
        return np.array([values[asked] for asked in range(len(attributes))])

    def cells(self, root: Node, given: Sequence[tuple[Path, Node]]) -> list[list[Floats]]:
        """Count the rows at the end of a path as they go down another tree, by that tree's shares."""
        asked = [(path, trees.write(tree)) for path, tree in given]
        recount = partial(_recount, tree=trees.write(root), asked=asked, levels=self.levels, classes=self.classes)
        counted = self.coded.mapInArrow(recount, "tree int, node int, cell int, weight double")
        found = [[np.zeros((len(node.counts) + 1, self.classes)) for _, node in trees.walk(tree)] for _, tree in given]
        for tree, node, cell, weight in counted.groupBy("tree", "node", "cell").agg(F.sum("weight")).collect():
            found[tree][node].flat[cell] = weight
        return found


# -- lifted: Arrow in, Arrow out


def _gathered(batches: Iterator[pa.RecordBatch], levels: NDArray[np.int64], classes: int) -> c45.Rows | None:
    held = [batch for batch in batches if batch.num_rows]
    if not held:
        return None
    values = np.concatenate([matrix(batch.column("values"), len(levels)) for batch in held])
    of_class = np.concatenate([batch.column("class").to_numpy(zero_copy_only=False) for batch in held])
    return c45.Rows(values, of_class.astype(np.int64), levels, classes)


def _learned(
    batches: Iterator[pa.RecordBatch], learn: Callable[[c45.Counts], Node], levels: NDArray[np.int64], classes: int
) -> Iterator[pa.RecordBatch]:
    rows = _gathered(batches, levels, classes)
    if rows is not None:
        yield pa.RecordBatch.from_pydict({"tree": [trees.write(learn(rows))]})


def _tell(
    batches: Iterator[pa.RecordBatch], tree: str, paths: Sequence[Path], levels: NDArray[np.int64], classes: int
) -> Iterator[pa.RecordBatch]:
    """Tell of each node and attribute the values, classes and weights there are, equal rows as one."""
    rows = _gathered(batches, levels, classes)
    if rows is None:
        return
    number = {path: at for at, path in enumerate(paths)}
    for path, part in trees.parts(trees.read(tree), rows.values, (np.arange(rows.rows), rows.weights), set(paths)):
        knowns = [_packed(rows.known(attribute, part, is_whole=False), classes) for attribute in range(len(levels))]
        columns = {
            "node": pa.array([number[path]] * len(levels), pa.int32()),
            "attribute": pa.array(range(len(levels)), pa.int32()),
            "known": knowns,
        }
        yield pa.RecordBatch.from_pydict(columns)


def _packed(known: Known, classes: int) -> bytes:
    """Values, classes, weights and numbers of rows, one after the other, of equal values and classes one each."""
    order = np.lexsort((known.of_class, known.values))
    values, of_class = known.values[order], known.of_class[order]
    weights = np.ones(order.size) if known.weights is None else known.weights[order]
    firsts = np.flatnonzero(np.append(True, (np.diff(values) != 0) | (np.diff(of_class) != 0))[: order.size])
    rows = np.diff(firsts, append=order.size)
    sums = np.add.reduceat(weights, firsts) if firsts.size else weights
    return np.concatenate([values[firsts], of_class[firsts], sums, rows]).astype(np.float64).tobytes()


def _judge(told: pa.Table, totals: Sequence[float], levels: NDArray[np.int64], classes: int, least: float) -> pa.Table:
    """Judge the best split of a node by an attribute."""
    node, attribute = told.column("node")[0].as_py(), told.column("attribute")[0].as_py()
    packed = [np.frombuffer(one.as_py()).reshape(4, -1) for one in told.column("known")]
    values, of_class, weights, rows = np.concatenate(packed, axis=1)
    known = Known(values, of_class.astype(np.int64), weights, rows)
    if levels[attribute]:
        found = c45.nominal(known, int(levels[attribute]), classes, totals[node], least)
    else:
        found = c45.numeric(known, classes, totals[node], least)
    splits = [] if found is None else [found]
    threshold = [None if np.isnan(one.threshold) else one.threshold for one in splits]
    return pa.table(
        {
            "node": pa.array([node] * len(splits), pa.int32()),
            "attribute": pa.array([attribute] * len(splits), pa.int32()),
            "gain": pa.array([one.gain for one in splits], pa.float64()),
            "ratio": pa.array([one.ratio for one in splits], pa.float64()),
            "threshold": pa.array(threshold, pa.float64()),
            "counts": pa.array([np.ascontiguousarray(one.counts).tobytes() for one in splits], pa.binary()),
        }
    )


def _largest(
    batches: Iterator[pa.RecordBatch], attributes: Sequence[int], limits: Floats, width: int
) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        values = matrix(batch.column("values"), width)
        columns = [values[:, attribute] for attribute in attributes]
        found = [
            float(column[column < limit + trees.ROUNDING].max(initial=-np.inf))
            for column, limit in zip(columns, limits, strict=True)
        ]
        yield pa.RecordBatch.from_pydict({"asked": pa.array(range(len(found)), pa.int32()), "value": found})


def _recount(
    batches: Iterator[pa.RecordBatch],
    tree: str,
    asked: Sequence[tuple[Path, str]],
    levels: NDArray[np.int64],
    classes: int,
) -> Iterator[pa.RecordBatch]:
    """Count, in each node of each tree, the rows of each branch and class, then those whose value is missing."""
    rows = _gathered(batches, levels, classes)
    if rows is None:
        return
    given = [(path, trees.read(text)) for path, text in asked]
    for number, of_tree in enumerate(rows.cells(trees.read(tree), given)):
        for place, cells in enumerate(of_tree):
            at = np.flatnonzero(cells)
            yield pa.RecordBatch.from_pydict(
                {
                    "tree": pa.array([number] * at.size, pa.int32()),
                    "node": pa.array([place] * at.size, pa.int32()),
                    "cell": pa.array(at, pa.int32()),
                    "weight": cells.ravel()[at],
                }
            )
