"""What the page tells of choices: the trees, and how well they tell customers apart."""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from crm_spark.core.sections import Chapter, Rows, Section, Tree, newest
from crm_spark.models.choices import LEAVES, STAYS

NOTE = (
    "A tree by C4.5, learned from four fifths of the customers and judged by the others. A field is as wide as it has "
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


SECTIONS = [stays, rfm, kmeans]


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
        sentence=_stays_told if question == "stays" else _belongs_told,
        picture=Tree("node", "parent", "label", "rows", "share"),
        labels=LABELS,
        order_by=["node"],
        note=NOTE,
    )


def _stays_told(rows: Rows) -> str:
    if rows[0]["reason"] or len(rows) == 1:
        return _nothing(rows)
    leaves = _leaves(rows)
    away, again = ([row for row in leaves if row["decision"] == one] for one in (LEAVES, STAYS))
    said = [
        f"{row['share']:.0%} of {row['rows']:,.0f} {word} where {row['rule']}"
        for of_kind, word in ((away, "stayed away"), (again, "bought again"))
        for row in sorted(of_kind, key=lambda row: -row["share"] * row["rows"])[:1]
    ]
    return f"{'; '.join(said)}. {_judged(rows)}"


def _belongs_told(rows: Rows) -> str:
    if rows[0]["reason"] or len(rows) == 1:
        return _nothing(rows)
    most = max(_leaves(rows), key=lambda row: row["rows"])
    alike = f"{most['share']:.0%} of {most['rows']:,.0f} customers are {most['decision']} where {most['rule']}"
    return f"{alike}. {_judged(rows)}"


def _judged(rows: Rows) -> str:
    right, plain = rows[0]["right"], rows[0]["right_by_commonest"]
    if right is None:
        return "No customer was held out to judge the tree by."
    return f"Of customers held out the tree is right of {right:.0%}; to say the commonest of all, of {plain:.0%}."


def _leaves(rows: Rows) -> Rows:
    above = {row["parent"] for row in rows}
    return [row for row in rows if row["node"] not in above]


def _nothing(rows: Rows) -> str:
    if rows[0]["reason"]:
        return f"By what customers differ cannot be told: {rows[0]['reason']}."
    alike = f"{rows[0]['share']:.0%} {rows[0]['decision']}"
    return f"Nothing that was known tells them apart better than chance: of {rows[0]['rows']:,.0f}, {alike}."
