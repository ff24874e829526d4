"""How rules differ: among groups of customers, and since the last time.

Rules are those of all baskets, so that they can be compared, and on request those that are found within a group alone
(`within`). The groups of a basket's customer stand in the basket as items of their own, and one pass counts the sides
of every rule in every group. Of two times
baskets since the last rules are compared with those that the last rules speak for: no basket is of both, which those
of all days would be.

Whether confidence differs is told by Fisher's exact test of the baskets with the antecedent: those of the group
against all others. `q_value` is the share of chance among differences with this q or less, over all rules and groups of
a grouping (Benjamini and Hochberg).

References
----------
Benjamini, Y., Hochberg, Y. (1995). Controlling the False Discovery Rate. J. R. Stat. Soc. B 57(1), 289-300.
Bay, S. D., Pazzani, M. J. (2001). Detecting Group Differences: Mining Contrast Sets. Data Mining and Knowledge
Discovery 5, 213-246.
Others: `kernels.rules`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from functools import partial
from itertools import groupby

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from scipy import stats

from crm_spark.baskets import itemsets, purchases, within
from crm_spark.baskets.purchases import Basket
from crm_spark.baskets.within import Wanted
from crm_spark.core.contracts import Field, Table
from crm_spark.kernels import itemsets as kernel
from crm_spark.kernels import rules as measures
from crm_spark.kernels.itemsets import Ints

SINCE, BEFORE = "since", "(before)"
UNKNOWN = "(unknown)"
MARK = "\x1e"  # the record separator, before a grouping and before its group, where they stand among items

DIFFERENCES = Table(
    "rule_differences",
    "Which rules hold more or less surely for a group of customers, or since the last time, as of a day.",
    owns="as_of",
    key=["as_of", "level", "antecedent", "consequent", "grouping", "group"],
    columns=[
        Field("as_of", "date", "the last day of the baskets"),
        Field("level", "string", "what an item is, as in basket_rules"),
        Field("antecedent", "array<string>", "who has these items, in order"),
        Field("consequent", "array<string>", "has these too, in order"),
        Field("antecedent_title", "string", "what the items of the antecedent are called"),
        Field("consequent_title", "string", "what those of the consequent are called"),
        Field(
            "grouping",
            "string",
            f"by what baskets are grouped: rfm, kmeans, an attribute of their customers; {SINCE}: by time",
        ),
        Field("group", "string", f"the group; {UNKNOWN} for who is in none; of {SINCE} the day of the last rules"),
        Field(
            "change",
            "string",
            f"of {SINCE}: new or gone, as a rule; else stronger or weaker, or same where that may be chance",
            nullable=True,
        ),
        Field("count", "bigint", "baskets of the group with both", unit="basket"),
        Field("antecedent_count", "bigint", "its baskets with the antecedent", unit="basket"),
        Field("consequent_count", "bigint", "its baskets with the consequent", unit="basket"),
        Field("baskets", "bigint", "its baskets in all", unit="basket"),
        Field("confidence", "double", "share of its baskets with the antecedent that have both", nullable=True),
        Field("lift", "double", "how many times that is the consequent's share of its baskets", nullable=True),
        Field(
            "other_count", "bigint", f"all other baskets with both; of {SINCE} those of the last rules", unit="basket"
        ),
        Field("other_antecedent_count", "bigint", "of them with the antecedent", unit="basket"),
        Field("other_consequent_count", "bigint", "of them with the consequent", unit="basket"),
        Field("other_baskets", "bigint", "of them in all", unit="basket"),
        Field("other_confidence", "double", "as confidence, of them", nullable=True),
        Field("other_lift", "double", "as lift, of them", nullable=True),
        Field("difference", "double", "confidence less other_confidence", nullable=True),
        Field(
            "p_value",
            "double",
            "how likely chance parts the baskets with the antecedent as unevenly (Fisher's exact test, both sides)",
            nullable=True,
        ),
        Field(
            "q_value",
            "double",
            "share of chance among differences of the grouping with this q or less (Benjamini and Hochberg)",
            nullable=True,
        ),
        Field("reason", "string", "why no difference is told", nullable=True),
        Field(
            "mined_in",
            "array<string>",
            "of what is no rule of all baskets the groups within which it is one, as `rfm: Best customers`",
            nullable=True,
        ),
    ],
)

COUNTS = ("count", "antecedent_count", "consequent_count", "baskets")
SIDES = ["antecedent", "consequent"]
TITLES = [f"{side}_title" for side in SIDES]
NAMED = ["level", *SIDES, *TITLES]
NONE_HERE = "no basket of the group has the antecedent"
NONE_THERE = "no other basket has the antecedent"
SAME_CUSTOMERS = "baskets are all that customers bought, who are the same at both times"
ARROW = {"string": pa.string(), "array<string>": pa.list_(pa.string()), "bigint": pa.int64(), "double": pa.float64()}
TOLD = pa.schema([(field.name, ARROW[field.type]) for field in DIFFERENCES.columns if field.name != "as_of"])


@dataclass(frozen=True)
class Span:
    """Which baskets rules are of."""

    as_of: date
    days: int = 365
    basket: Basket = "order"


def compare(
    order_lines: DataFrame,
    product_history: DataFrame,
    basket_rules: DataFrame,
    groups: DataFrame,
    span: Span,
    max_q: float = 0.05,
    wanted: Wanted | None = None,
) -> DataFrame:
    """Compare the rules of a day, and of the last day before it that has some, among groups and times.

    Rules and counts meet on the driver, where this runs Spark jobs at once.

    Parameters
    ----------
    order_lines, product_history : DataFrame
        As `purchases.gather` takes them.
    basket_rules : DataFrame of RULES
        Of each level that it has.
    groups : DataFrame
        One row per `customer_id`, with a column for each grouping.
    span : Span
        As the rules were made.
    max_q : float, default 0.05
        A rule with a greater `q_value` is the same as it was.
    wanted : Wanted, optional
        In the groups of which groupings rules are sought too, and what these must be like.

    Returns
    -------
    DataFrame of DIFFERENCES
        One row per rule and group, for each grouping that has two groups or more. For each level one pass over the
        lines, one shuffle by basket, one by customer, one of counts.
    """
    rules = known(basket_rules, span.as_of).toArrow()
    last = pc.min(rules["last"]).as_py()
    days = span.days + (0 if last is None else (span.as_of - last).days)
    told = [pa.Table.from_pylist([], TOLD)]
    for level in pc.unique(rules["level"]).to_pylist():
        of_level = rules.filter(pc.equal(rules["level"], level))
        bought = purchases.gather(order_lines, product_history, span.as_of, days, level)
        baskets = label(bought, groups, span, last)
        if wanted and wanted.groupings:
            baskets = baskets.localCheckpoint()
            own = within.find(_grouped(baskets, wanted), wanted, level)
            of_level = pa.concat_tables([of_level, _new(own, bought, of_level)])
        labels, counts = count(baskets, of_level)
        told.append(tell(of_level, labels, counts, max_q, span.basket))
    types = DIFFERENCES.types(TOLD.names)
    # Of a table whose first chunk is empty Spark would take no row.
    rows = order_lines.sparkSession.createDataFrame(pa.concat_tables(told).combine_chunks(), types)
    return rows.withColumn("as_of", F.lit(span.as_of)).select(*DIFFERENCES.names)


def known(basket_rules: DataFrame, as_of: date) -> DataFrame:
    """One row per rule of the day or of the last day before: its titles, whether it is new or gone, and that day."""
    last = basket_rules.where(F.col("as_of") < F.lit(as_of)).agg(F.max("as_of")).scalar()
    is_now, is_last = F.col("as_of") == F.lit(as_of), F.coalesce(F.col("as_of") == last, F.lit(False))
    change = F.when(~F.bool_or(is_now), "gone").when(~F.bool_or(is_last), "new")
    titles = [F.max_by(title, "as_of").alias(title) for title in TITLES]
    rules = basket_rules.where(is_now | is_last).groupBy("level", *SIDES).agg(*titles, change.alias("change"))
    return rules.withColumns({"last": last, "mined_in": F.lit(None).cast("array<string>")})


def label(bought: DataFrame, groups: DataFrame, span: Span, last: date | None) -> DataFrame:
    """Baskets of the last days with the groups of their customers, those since the last time, and those of it.

    `items`, and `labels` that are to stand among them. Each is a basket of its own: one that is of several of these
    stands several times.
    """
    ago = F.date_diff(F.lit(span.as_of), "day")
    times = {"now": ago < span.days}
    if last is not None:
        gap = (span.as_of - last).days
        # All that customers bought in fewer days would be less.
        since = gap if span.basket == "order" else span.days
        times |= {SINCE: ago < since, BEFORE: (ago >= gap) & (ago < gap + span.days)}
    of_times = F.array_compact(F.array(*[F.when(is_then, F.lit(time)) for time, is_then in times.items()]))
    baskets = purchases.baskets(bought.withColumn("time", F.explode(of_times)), span.basket, "time")
    known = [name for name in groups.columns if name != "customer_id"]
    own = F.array(*[F.concat(F.lit(f"{MARK}{name}{MARK}"), F.coalesce(name, F.lit(UNKNOWN))) for name in known])
    then = F.when(F.col("time") == BEFORE, BEFORE).otherwise(F.lit(str(last)))
    labels = F.when(F.col("time") == "now", own).otherwise(F.array(F.concat(F.lit(f"{MARK}{SINCE}{MARK}"), then)))
    return baskets.join(groups, "customer_id", "left").select("items", labels.alias("labels"))


def _grouped(baskets: DataFrame, wanted: Wanted) -> DataFrame:
    """A row for each basket and group in which rules are sought."""
    labels = baskets.select("items", F.explode("labels").alias("label"))
    parts = labels.select("items", F.split("label", MARK).alias("parts"))
    is_meant = F.get("parts", F.lit(1)).isin(*wanted.groupings) & (F.get("parts", F.lit(2)) != UNKNOWN)
    return parts.where(is_meant).select(F.concat_ws(": ", F.slice("parts", 2, 2)).alias("group"), "items")


def _new(found: DataFrame, bought: DataFrame, rules: pa.Table) -> pa.Table:
    """Rules of groups that are none of all baskets, as `known` gives those."""
    told = found.groupBy(*SIDES).agg(F.sort_array(F.collect_set("group")).alias("mined_in")).localCheckpoint()
    items = told.select(F.explode(F.concat(*SIDES)).alias("item")).distinct()
    titles = bought.join(F.broadcast(items), "item").groupBy("item").agg(F.max("title").alias("title")).toArrow()
    called = {row["item"]: row["title"] or row["item"] for row in titles.to_pylist()}
    there = {(tuple(row["antecedent"]), tuple(row["consequent"])) for row in rules.select(SIDES).to_pylist()}
    new = [row for row in told.toArrow().to_pylist() if (*map(tuple, (row[side] for side in SIDES)),) not in there]
    of_level = {name: rules[name][0].as_py() for name in ("level", "last")}
    named = [{f"{side}_title": " + ".join(called[item] for item in row[side]) for side in SIDES} for row in new]
    return pa.Table.from_pylist(
        [{**of_level, "change": None, **row, **title} for row, title in zip(new, named, strict=True)], rules.schema
    )


def count(baskets: DataFrame, rules: pa.Table) -> tuple[list[str], Ints]:
    """Count the baskets of each label that hold rules.

    Returns
    -------
    labels : list of str
        In order.
    counts : (COUNTS, rules, labels) array of int
    """
    sides = [[tuple(items) for items in rules[side].to_pylist()] for side in SIDES]
    parts = [(tuple(sorted((*one, *other))), one, other, ()) for one, other in zip(*sides, strict=True)]
    items = sorted({item for whole, *_ in parts for item in whole})
    place = {item: at for at, item in enumerate(items)}
    sets = sorted({part for rule in parts for part in rule}, key=lambda part: (len(part), part))
    number = {part: at for at, part in enumerate(sets)}
    coded = [
        np.array([[place[item] for item in part] for part in of_size], np.int64)
        for _, of_size in groupby(sets, key=len)
    ]
    counted = (
        baskets.select(F.concat("items", "labels").alias("items"))
        .mapInArrow(partial(_counted, names=items, sets=coded), "number int, label string, count bigint")
        .groupBy("number", "label")
        .agg(F.sum("count").alias("count"))
        .toArrow()
    )
    labels, at = np.unique(np.array(counted["label"].to_pylist(), str), return_inverse=True)
    counts = np.zeros((len(sets), labels.size), np.int64)
    counts[counted["number"].to_numpy(), at] = counted["count"].to_numpy()
    return labels.tolist(), counts[np.array([[number[part] for part in rule] for rule in parts]).T]


def tell(rules: pa.Table, labels: list[str], counts: Ints, max_q: float = 0.05, basket: Basket = "order") -> pa.Table:
    """Hold each group of a grouping against the others together: columns of DIFFERENCES but for `as_of`.

    Parameters
    ----------
    rules : pa.Table
        As `known` gives them.
    labels, counts
        As `count` gives them.
    """
    told = [pa.Table.from_pylist([], TOLD)]
    for grouping, of in groupby(range(len(labels)), key=lambda at: labels[at].split(MARK)[1]):
        columns = list(of)
        names = [labels[column].split(MARK)[2] for column in columns]
        shown = [at for at, name in enumerate(names) if len(names) > 1 and name != BEFORE]
        own = counts[:, :, columns]
        others = own.sum(axis=2, keepdims=True) - own
        here, there = (all_[:, :, shown].reshape(len(COUNTS), -1) for all_ in (own, others))
        rule, group = np.indices((rules.num_rows, len(shown))).reshape(2, -1)
        same = SAME_CUSTOMERS if grouping == SINCE and basket == "customer" else None
        reason = pc.coalesce(
            *[pc.if_else(side[1] == 0, why, None) for side, why in ((here, NONE_HERE), (there, NONE_THERE))],
            pa.scalar(same, pa.string()),
        )
        compared = _compared(here, there, reason.is_null().to_numpy(zero_copy_only=False))
        change = _changed(rules["change"].take(rule), compared, max_q)
        of_rules = rules.select(NAMED).take(rule)
        of_grouping = {
            **{name: of_rules[name] for name in NAMED},
            "grouping": pa.array([grouping] * rule.size, pa.string()),
            "group": pa.array([names[at] for at in shown], pa.string()).take(group),
            "change": change if grouping == SINCE else pa.nulls(rule.size, pa.string()),
            **_measured(here),
            **{f"other_{name}": column for name, column in _measured(there).items()},
            **compared,
            "reason": reason,
            "mined_in": rules["mined_in"].take(rule),
        }
        told.append(pa.table({name: of_grouping[name] for name in TOLD.names}, TOLD))
    return pa.concat_tables(told)


def _compared(here: Ints, there: Ints, is_told: NDArray[np.bool_]) -> dict[str, pa.Array]:
    """How far confidence differs, and whether that may be chance; of those that are told."""
    difference, p, q = np.zeros((3, is_told.size))
    (both, a), (other_both, other_a) = here[:2, is_told], there[:2, is_told]
    difference[is_told] = both / a - other_both / other_a
    p[is_told] = measures.difference_p_values(a, both, other_a, other_both)
    q[is_told] = stats.false_discovery_control(p[is_told])
    told = {"difference": difference, "p_value": p, "q_value": q}
    return {name: pa.array(column, mask=~is_told) for name, column in told.items()}


def _measured(counts: Ints) -> dict[str, pa.Array]:
    """Counts, with what they say of confidence and lift where they do."""
    both, a, c, n = counts
    confidence = pa.array(both / np.maximum(a, 1), mask=a == 0)
    lift = pa.array(both * n / np.maximum(a * c, 1), mask=(a == 0) | (c == 0))
    told = {name: pa.array(column) for name, column in zip(COUNTS, counts, strict=True)}
    return {**told, "confidence": confidence, "lift": lift}


def _changed(change: pa.Array, compared: dict[str, pa.Array], max_q: float) -> pa.Array:
    """Whether a rule is new or gone, or how it changed where that is known."""
    direction = pc.if_else(pc.greater(compared["difference"], 0), "stronger", "weaker")
    return pc.coalesce(change, pc.if_else(pc.less_equal(compared["q_value"], max_q), direction, "same"))


# -- lifted: Arrow in, Arrow out


def _counted(batches: Iterator[pa.RecordBatch], names: list[str], sets: list[Ints]) -> Iterator[pa.RecordBatch]:
    """Count sets among the baskets of each label, which stand in them as items."""
    blocks = list(itemsets.packed(batches))
    found = {name for block in blocks for name in block["names"].flatten().to_pylist() if (name or "").startswith(MARK)}
    labels = sorted(found)
    _, part = itemsets.read(blocks, pa.array([*names, *labels], pa.string()))
    codes = np.arange(len(names), len(names) + len(labels))
    first = 0
    for some in sets:
        of_labels = np.column_stack([np.tile(some, (codes.size, 1)), np.repeat(codes, len(some))])
        told = {
            "number": pa.array(np.tile(np.arange(first, first + len(some)), codes.size), pa.int32()),
            "label": pa.array(np.repeat(labels, len(some)).tolist(), pa.string()),
            "count": pa.array(kernel.count(part, of_labels), pa.int64()),
        }
        yield pa.RecordBatch.from_pydict(told)
        first += len(some)
