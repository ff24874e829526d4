"""What the page tells of choices: the trees, and how well they tell customers apart."""

from collections.abc import Mapping
from functools import partial

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from crm_spark.core.sections import Chapter, Rows, Section, Tree, newest
from crm_spark.models.choices import LEAVES, STAYS
from crm_spark.models.labels import ENDS, RENEWS

WORDS = {
    "stays": {LEAVES: "stayed away", STAYS: "bought again"},
    "renews": {ENDS: "ended a contract", RENEWS: "kept theirs"},
}
NOTE = (
    "A tree, learned from four fifths of the customers and judged by the others. A field is as wide as it has "
    "customers, and the darker, the more of them are alike. Associations: who differs, not what would come of change."
)
LABELS = {
    "node": "Field",
    "parent": "Below field",
    "label": "What leads there",
    "decision": "Most of them",
    "rows": "Customers",
    "share": "Share of them",
    "rule": "All conditions",
    "right": "Right of held-out customers",
    "right_by_commonest": "Right by saying the commonest of all",
    "learned_from": "Learned from [customers]",
    "reason": "Why there is no tree",
}


def stays(choice_trees: DataFrame, choice_models: DataFrame) -> Section:
    """Tell by what those who stay away differ from those who buy again."""
    return _section(choice_trees, choice_models, "stays", "Who buys again, and who stays away")


def rfm(choice_trees: DataFrame, choice_models: DataFrame) -> Section:
    """Tell what makes a customer belong to a named segment."""
    return _section(choice_trees, choice_models, "rfm", "What makes a customer belong to a named segment")


def kmeans(choice_trees: DataFrame, choice_models: DataFrame) -> Section:
    """Tell what makes a customer belong to a group of alike ones."""
    return _section(choice_trees, choice_models, "kmeans", "What makes a customer belong to a group of alike ones")


def renews(choice_trees: DataFrame, choice_models: DataFrame) -> Section:
    """Tell by what those whose contract ends differ from those who renew it."""
    return _section(choice_trees, choice_models, "renews", "Who renews a contract, and whose ends")


SECTIONS = [stays, rfm, kmeans, renews]


def _section(choice_trees: DataFrame, choice_models: DataFrame, question: str, title: str) -> Section:
    is_asked = F.col("question") == question
    models = newest(choice_models, choice_models).where(is_asked)
    nodes = newest(choice_trees, choice_models).where(is_asked & (F.col("rows") > 0))
    in_words = {name: F.replace(name, F.lit("_"), F.lit(" ")) for name in ("condition", "rule")}
    label = F.concat_ws(": ", F.coalesce(in_words["condition"], F.lit("all")), "decision")
    told = models.select("question", "right", "right_by_commonest", "learned_from", "reason").join(
        nodes.withColumns({"label": label, "rule": in_words["rule"]}), "question", "left"
    )
    return Section(
        title=title,
        chapter=Chapter.CUSTOMERS,
        rows=told.select(*LABELS),
        sentence=partial(_apart_told, words=WORDS[question]) if question in WORDS else _belongs_told,
        picture=Tree("node", "parent", "label", "rows", "share"),
        labels=LABELS,
        order_by=["node"],
        note=NOTE,
        empty=None,  # it was not asked
    )


def _apart_told(rows: Rows, words: Mapping[str, str]) -> str:
    if rows[0]["reason"] or len(rows) == 1:
        return _nothing(rows)
    leaves = _leaves(rows)
    said = [
        f"{100 * row['share']:.0f} % of {row['rows']:,.0f} {word} where {row['rule']}"
        for decision, word in words.items()
        for row in sorted(
            [leaf for leaf in leaves if leaf["decision"] == decision], key=lambda row: -row["share"] * row["rows"]
        )[:1]
    ]
    return f"{'; '.join(said)}. {_judged(rows)}"


def _belongs_told(rows: Rows) -> str:
    if rows[0]["reason"] or len(rows) == 1:
        return _nothing(rows)
    most = max(_leaves(rows), key=lambda row: row["rows"])
    alike = f"{100 * most['share']:.0f} % of {most['rows']:,.0f} customers are {most['decision']} where {most['rule']}"
    return f"{alike}. {_judged(rows)}"


def _judged(rows: Rows) -> str:
    right, plain = rows[0]["right"], rows[0]["right_by_commonest"]
    if right is None:
        return "No customer was held out to judge the tree by."
    right, plain = round(100 * right), round(100 * plain)
    return f"Of customers held out the tree is right of {right} %; to say the commonest of all, of {plain} %."


def _leaves(rows: Rows) -> Rows:
    above = {row["parent"] for row in rows}
    return [row for row in rows if row["node"] not in above]


def _nothing(rows: Rows) -> str:
    if rows[0]["reason"]:
        return f"By what customers differ cannot be told: {rows[0]['reason']}."
    alike = f"{100 * rows[0]['share']:.0f} % {rows[0]['decision']}"
    return f"Nothing that was known tells them apart better than chance: of {rows[0]['rows']:,.0f}, {alike}."
