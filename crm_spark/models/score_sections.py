"""What the page tells of scores: how many of those meant are among the highest, and what the scores rest on."""

from collections.abc import Callable
from math import sqrt

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from crm_spark.core.sections import Bars, Chapter, Lines, Rows, Section, newest
from crm_spark.models.scores import COMMONEST, FOLDS, FOREST, LOGISTIC

NOTE = (
    "A random forest, judged on customers that it has not seen: five times one fifth is held out. AUC is the "
    "probability that of two customers, one of whom chose so, that one has the higher score; 0.5 is chance. "
)
ASSOCIATIONS = "Associations: who differs, not what would come of changing it."
CHANCE = 0.55  # AUC up to which scores are not worth acting on
GAINED = {
    "part": "Customers, highest scores first [%]",
    "by_forest": "Found by the forest [%]",
    "by_logistic": "Found by logistic regression [%]",
    "by_chance": "Found by chance [%]",
    "auc": "AUC of the forest",
    "auc_spread": "Its spread (±)",
    "auc_logistic": "AUC of logistic regression",
    "customers": "Learned from [customers]",
    "chose": "Of them chose so [customers]",
    "reason": "Why there are no scores",
}
COUNTED = {
    "attribute": "What was known",
    "importance": "AUC that is lost without it [%]",
    "spread": "Spread over the folds (±) [%]",
}


def stays(choice_quality: DataFrame) -> Section:
    """Tell how well it is known who will stay away."""
    return _gained(choice_quality, "stays", "who stays away", "who stayed away")


def stays_by(choice_quality: DataFrame, choice_importance: DataFrame) -> Section:
    """Tell what the scores of staying away rest on."""
    title = "What tells who stays away"
    return _counted(choice_quality, choice_importance, "stays", title, "who stays away")


def responds(choice_quality: DataFrame) -> Section:
    """Tell how well it is known who will answer a contact."""
    return _gained(choice_quality, "responds", "who answers a contact", "who answered")


def responds_by(choice_quality: DataFrame, choice_importance: DataFrame) -> Section:
    """Tell what the scores of answering rest on."""
    title = "What tells who answers a contact"
    return _counted(choice_quality, choice_importance, "responds", title, "who answers")


def renews(choice_quality: DataFrame) -> Section:
    """Tell how well it is known whose contract will end."""
    return _gained(choice_quality, "renews", "whose contract ends", "whose contract ended")


def renews_by(choice_quality: DataFrame, choice_importance: DataFrame) -> Section:
    """Tell what the scores of ending a contract rest on."""
    title = "What tells whose contract ends"
    return _counted(choice_quality, choice_importance, "renews", title, "whose contract ends")


SECTIONS: list[Callable[..., Section]] = [stays, stays_by, responds, responds_by, renews, renews_by]


def _gained(choice_quality: DataFrame, question: str, who: str, came_true: str) -> Section:
    models = newest(choice_quality, choice_quality).where(F.col("question") == question)
    # A list of a tenth of all customers, of two tenths, ...: and of nobody, where each line begins.
    parts = models.select("*", F.posexplode_outer(F.concat(F.array(F.lit(0.0)), "gains")).alias("tenth", "gain"))

    def of(model: str, name: str) -> Column:
        return F.max(F.when(F.col("model") == model, F.col(name)))

    told = parts.groupBy((F.col("tenth") * 10).alias("part")).agg(
        (of(FOREST, "gain") * 100).alias("by_forest"),
        (of(LOGISTIC, "gain") * 100).alias("by_logistic"),
        (of(COMMONEST, "gain") * 100).alias("by_chance"),
        of(FOREST, "auc").alias("auc"),
        of(FOREST, "auc_spread").alias("auc_spread"),
        of(LOGISTIC, "auc").alias("auc_logistic"),
        *[F.max(name).alias(name) for name in ("customers", "chose", "reason")],
    )
    return Section(
        title=f"How well it is foretold {who}",
        chapter=Chapter.CUSTOMERS,
        rows=told.select(*GAINED),
        sentence=_gain_told(who, came_true),
        picture=Lines("part", ["by_forest", "by_logistic", "by_chance"]),
        labels=GAINED,
        order_by=["part"],
        note=NOTE + ASSOCIATIONS,
        empty=None,
    )


def _gain_told(who: str, came_true: str) -> Callable[[Rows], str]:
    def sentence(rows: Rows) -> str:
        first = rows[min(1, len(rows) - 1)]
        if first["reason"]:
            return f"It cannot be foretold {who}: {first['reason']}."
        judged = f"AUC is {first['auc']:.2f} on customers held out, by logistic regression {first['auc_logistic']:.2f}"
        if first["auc"] <= CHANCE:
            return f"Nothing that was known tells {who} much better than chance: {judged}."
        times = first["by_forest"] / first["by_chance"]
        return (
            f"A list of the tenth of customers with the highest scores holds {first['by_forest']:.0f} % of those "
            f"{came_true}, {times:.1f} times as many as one by chance. {judged}."
        )

    return sentence


def _counted(choice_quality: DataFrame, choice_importance: DataFrame, question: str, title: str, whose: str) -> Section:
    told = newest(choice_importance, choice_quality).where(F.col("question") == question)
    named = F.replace("attribute", F.lit("_"), F.lit(" "))
    return Section(
        title=title,
        chapter=Chapter.CUSTOMERS,
        rows=told.select(
            named.alias("attribute"), *[(F.col(name) * 100).alias(name) for name in ("importance", "spread")]
        ),
        sentence=_counts_told(whose),
        picture=Bars("attribute", "importance", horizontal=True, spread="spread"),
        labels=COUNTED,
        order_by=["-importance", "attribute"],
        note=(
            "Held-out customers are given the attribute of others: the more AUC is lost, the more scores rest on it. "
            "The thin line is one standard deviation over five folds. Of attributes that tell the same, each counts "
            "little. " + ASSOCIATIONS
        ),
        empty=None,
    )


def _counts_told(whose: str) -> Callable[[Rows], str]:
    def sentence(rows: Rows) -> str:
        # Two standard errors of a mean of the folds.
        telling = [row["attribute"] for row in rows if row["importance"] > 2 * (row["spread"] or 0) / sqrt(FOLDS)]
        if not telling:
            return f"No attribute by itself tells {whose} beyond chance."
        most = f"It is mostly {telling[0]} that tells {whose}"
        others = f"; then {' and '.join(telling[1:3])}" if telling[1:] else ""
        return f"{most}{others}. {len(telling)} of {len(rows)} attributes count beyond chance."

    return sentence
