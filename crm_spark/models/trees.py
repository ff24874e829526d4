"""Decision trees as tables: a row for each node, told as rules in words, as SQL and as a picture.

Whatever learned a tree, the table is the same. A row goes down the branches that it fits; where its value is missing,
or of no level that the tree knows, it goes down each in part, by the share of rows in training, and what the leaves say
is averaged so. Where a branch had no rows in training, the node above it speaks.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from math import isnan, nan
from typing import Any

import numpy as np
import pyarrow as pa
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import ArrayType, DoubleType, NumericType, StringType, StructField, StructType

from crm_spark.core.contracts import Field
from crm_spark.core.errors import absent
from crm_spark.kernels import trees
from crm_spark.kernels.lists import lists, matrix
from crm_spark.kernels.trees import ROUNDING, Node, Path

NODES = [
    Field("node", "int", "the node; 0 is the root, and a node comes before those below it"),
    Field("parent", "int", "the node above it", nullable=True),
    Field("depth", "int", "splits above it"),
    Field("attribute", "string", "by which it splits; a leaf splits no more", nullable=True),
    Field("threshold", "double", "up to which a number goes into the first branch", nullable=True),
    Field("levels", "array<string>", "of the attribute, where it has any", nullable=True),
    Field("condition", "string", "how one comes here from the node above", nullable=True),
    Field("rule", "string", "all conditions from the root on"),
    Field("decision", "string", "the commonest class of the rows that came here in training"),
    Field("rows", "double", "how many came here; rows with a missing value count in part in each branch"),
    Field("share", "double", "of them of that class"),
    Field("classes", "array<string>", "all classes"),
    Field("counts", "array<double>", "rows of each class"),
    Field("branches", "array<int>", "of each level, from 0; missing where each has its own", nullable=True),
]


@dataclass(frozen=True)
class Attribute:
    """What a tree may split by.

    Parameters
    ----------
    name : str
        The column.
    levels : tuple of str, optional
        All that it may be, each a branch. Without them it is a number, split at a threshold.
    """

    name: str
    levels: tuple[str, ...] | None = None

    @property
    def is_number(self) -> bool:
        """Whether it is split at a threshold."""
        return self.levels is None


def check_columns(rows: DataFrame, attributes: Sequence[Attribute], others: Sequence[str]) -> None:
    """Refuse rows that lack attributes or other columns, or where one is not what the attribute says: all at once."""
    types = {field.name: field.dataType for field in rows.schema.fields}
    wrong = absent([*[one.name for one in attributes], *others], types)
    for one in attributes:
        kind, told = (NumericType, "number") if one.is_number else (StringType, "text")
        if one.name in types and not isinstance(types[one.name], kind):
            wrong.append(f"'{one.name}' is no {told} but {types[one.name].simpleString()}")
    if wrong:
        raise ValueError("; ".join(wrong))


DDL = ", ".join(f"{field.name} {field.type}" for field in NODES)


def codes(attributes: Sequence[Attribute]) -> Column:
    """One array of doubles: numbers as they are, the place of levels; NaN of what is missing."""
    return F.array(*[F.coalesce(_code(one), F.lit(float("nan"))) for one in attributes])


def _code(one: Attribute) -> Column:
    if one.levels is None:
        return F.col(one.name).cast("double")
    place = F.array_position(F.array(*[F.lit(level) for level in one.levels]), F.col(one.name))
    return F.when(place > 0, (place - 1).cast("double"))


def nodes(spark: SparkSession, root: Node, attributes: Sequence[Attribute], classes: Sequence[str]) -> DataFrame:
    """Write a tree down, a row for each node: columns NODES."""
    numbers = {path: number for number, (path, _) in enumerate(trees.walk(root))}
    rows = []
    for path, node in trees.walk(root):
        above = trees.at(root, path[:-1])
        conditions = _conditions(root, path, attributes)
        attribute = attributes[node.attribute] if node.sons else None
        of_class, total = node.of_class, float(node.of_class.sum())
        # An empty branch says what the node above says.
        telling = of_class if total > ROUNDING else above.of_class
        best = int(np.argmax(telling > telling.max() - ROUNDING))
        rows.append(
            (
                numbers[path],
                numbers[path[:-1]] if path else None,
                len(path),
                attribute.name if attribute else None,
                None if isnan(node.threshold) else node.threshold,
                list(attribute.levels) if attribute and attribute.levels is not None else None,
                conditions[above.attribute, path[-1]] if path else None,
                " and ".join(dict.fromkeys(conditions.values())) or "all",
                classes[best],
                total,
                float(telling[best] / telling.sum()),
                list(classes),
                of_class.tolist(),
                list(node.branches) or None,
            )
        )
    return spark.createDataFrame(rows, DDL)


def _conditions(root: Node, path: Path, attributes: Sequence[Attribute]) -> dict[tuple[int, int], str]:
    """Tell what leads to a node, by attribute and branch: of several conditions of one kind the narrowest."""
    told: dict[tuple[int, int], str] = {}
    left = {at: list(one.levels or ()) for at, one in enumerate(attributes)}
    for depth, branch in enumerate(path):
        node = trees.at(root, path[:depth])
        at, name, levels = node.attribute, attributes[node.attribute].name, attributes[node.attribute].levels
        if levels is None:
            told[at, branch] = f"{name} {'>' if branch else '<='} {node.threshold:.6g}"
            continue
        into = _levels(levels, node.branches, branch)
        left[at] = [level for level in left[at] if level in into]
        others = [level for level in levels if level not in left[at]]
        is_short = not node.branches or len(left[at]) <= len(others)
        condition = f"{name} is {' or '.join(left[at])}" if is_short else f"{name} is not {' or '.join(others)}"
        told |= {key: condition for key in [(at, branch), *told] if key[0] == at}
    return told


def _levels(levels: Sequence[str], branches: Sequence[int] | None, branch: int) -> list[str]:
    """Give those that go into a branch."""
    return [level for level, to in zip(levels, branches or range(len(levels)), strict=True) if to == branch]


def rebuilt(told: Sequence[Mapping[str, Any]], attributes: Sequence[Attribute]) -> Node:
    """Make a tree of the rows of its nodes, in order."""
    places = {one.name: at for at, one in enumerate(attributes)}
    made: dict[int, Node] = {}
    for row in told:
        node = Node(np.array([row["counts"]], dtype=np.float64))
        made[row["node"]] = node
        if row["parent"] is not None:
            made[row["parent"]].sons.append(node)
        if row["attribute"] is not None:
            node.attribute = places[row["attribute"]]
            node.threshold = nan if row["threshold"] is None else row["threshold"]
            node.branches = tuple(row["branches"] or ())
    for node in made.values():
        if node.sons:
            node.counts = np.stack([son.of_class for son in node.sons])
    return made[0]


def predict(rows: DataFrame, tree: DataFrame, attributes: Sequence[Attribute], keep: Sequence[str]) -> DataFrame:
    """Say of each row what the tree decides.

    Parameters
    ----------
    rows : DataFrame
    tree : DataFrame of NODES
        Of one tree.
    attributes : sequence of Attribute
        Those that it was learned from.
    keep : sequence of str
        Columns of the rows to keep.

    Returns
    -------
    DataFrame
        The kept columns, `decision`, `probabilities` (an array in the order of `classes`) and `classes`. One pass.

    Raises
    ------
    ValueError
        A column is not there, or the tree splits by an attribute that is not given.
    """
    check_columns(rows, attributes, keep)
    names = [one.name for one in attributes]
    strange = tree.where(F.col("attribute").isNotNull() & ~F.col("attribute").isin(names)).select("attribute").head()
    if strange:
        raise ValueError(f"the tree splits by '{strange[0]}': give all attributes that it was learned from")
    columns = ("node", "parent", "attribute", "threshold", "counts", "classes", "branches")
    told = tree.agg(F.sort_array(F.collect_list(F.struct(*columns))).alias("nodes")).select(
        F.to_json("nodes", {"ignoreNullFields": "false"}).alias("tree"), F.col("nodes")[0]["classes"].alias("classes")
    )
    asked = hand_out(rows.select(*keep, codes(attributes).alias("values")), told, "tree")
    types = StructType(
        [
            *asked.select(*keep, "classes").schema,
            StructField("decision", StringType()),
            StructField("probabilities", ArrayType(DoubleType())),
        ]
    )
    return asked.mapInArrow(partial(_decided, attributes=tuple(attributes), keep=(*keep, "classes")), types)


def hand_out(rows: DataFrame, told: DataFrame, name: str) -> DataFrame:
    """Add the columns of the one row of `told`; a long one stands in the first row of each partition alone."""
    is_first = F.monotonically_increasing_id().bitwiseAND((1 << 33) - 1) == 0
    return rows.crossJoin(F.broadcast(told)).withColumn(name, F.when(is_first, F.col(name)))


def sql(told: Sequence[Mapping[str, Any]]) -> str:
    """Give an expression of Spark's SQL for the decision: that of `predict`, missing values and all.

    Parameters
    ----------
    told : sequence of rows of NODES
        One tree, ordered by `node`.
    """
    below = _sons(told)
    weights: dict[int, str] = {0: ""}
    says: list[list[str]] = [[] for _ in told[0]["classes"]]
    for row in told:
        if not below[row["node"]]:
            continue
        for branch, son in enumerate(below[row["node"]]):
            own = _weight_in_sql(row, branch, told[son]["rows"] / sum(told[one]["rows"] for one in below[row["node"]]))
            weights[son] = " * ".join(filter(None, [weights[row["node"]], own]))
    for row in told:
        if below[row["node"]]:
            continue
        counts = row["counts"] if row["rows"] > ROUNDING else told[row["parent"]]["counts"]
        for place, count in enumerate(counts):
            if count > 0:
                says[place].append(" * ".join(filter(None, [f"{count / sum(counts)!r}D", weights[row["node"]]])))
    sums = [" + ".join(of_class) or "0.0D" for of_class in says]
    names = ", ".join(_quoted(one) for one in told[0]["classes"])
    is_likeliest = f"transform(p, x -> x > array_max(p) - {ROUNDING}D)"
    first = f"array({names})[CAST(array_position({is_likeliest}, true) AS INT) - 1]"
    return f"transform(array(array({', '.join(sums)})), p -> {first})[0]"


def _weight_in_sql(row: Mapping[str, Any], branch: int, share: float) -> str:
    """How much of a row goes down a branch."""
    name = "`" + row["attribute"].replace("`", "``") + "`"
    if row["levels"]:
        levels = ", ".join(_quoted(level) for level in row["levels"])
        is_missing = f"{name} IS NULL OR {name} NOT IN ({levels})"
        is_here = f"{name} IN ({', '.join(map(_quoted, _levels(row['levels'], row['branches'], branch)))})"
    else:
        number = f"CAST({name} AS DOUBLE)"
        is_missing = f"{name} IS NULL OR isnan({number})"
        is_here = f"{number} {'>=' if branch else '<'} {row['threshold'] + ROUNDING!r}D"
    return f"CASE WHEN {is_missing} THEN {share!r}D WHEN {is_here} THEN 1.0D ELSE 0.0D END"


def _quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def rules(told: Sequence[Mapping[str, Any]]) -> list[str]:
    """Give a sentence for each leaf that has rows, that of the most rows first.

    Parameters
    ----------
    told : sequence of rows of NODES
        One tree, ordered by `node`.
    """
    below = _sons(told)
    leaves = [row for row in told if not below[row["node"]] and row["rows"] > ROUNDING]
    leaves.sort(key=lambda row: (-row["rows"], row["node"]))
    return [f"{row['rule']}: {row['decision']} ({row['rows']:,.0f}, {100 * row['share']:.0f} %)" for row in leaves]


def _sons(told: Sequence[Mapping[str, Any]]) -> dict[int, list[int]]:
    below: dict[int, list[int]] = {row["node"]: [] for row in told}
    for row in told:
        if row["parent"] is not None:
            below[row["parent"]].append(row["node"])
    return below


# -- lifted: Arrow in, Arrow out


def _decided(
    batches: Iterator[pa.RecordBatch], attributes: Sequence[Attribute], keep: Sequence[str]
) -> Iterator[pa.RecordBatch]:
    root: Node | None = None
    for batch in batches:
        if not batch.num_rows:
            continue
        root = root or rebuilt(json.loads(batch.column("tree")[0].as_py()), attributes)
        told = trees.probabilities(root, matrix(batch.column("values"), len(attributes)))
        names = batch.column("classes")[0].as_py()
        decided = pa.array(names).take(pa.array(trees.decide(told)))
        yield pa.RecordBatch.from_arrays(
            [*[batch.column(name) for name in keep], decided, lists(told)], [*keep, "decision", "probabilities"]
        )
