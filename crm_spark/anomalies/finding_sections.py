"""What the page tells of what is out of the ordinary: what to look at, why, and the series that the first is of."""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from crm_spark.anomalies.standings import PEERS, WORDS
from crm_spark.core.sections import Bars, Chapter, Lines, Rows, Section, newest
from crm_spark.forecasting.sections import day_told
from crm_spark.forecasting.series import ALL, OF_SERIES

SHOWN = 20
RARE = 0.01
OF_FOUND = {"found": "value", "who": "who", "reason": "reason"}
NAMES = {
    "z": "z",
    "robust_z": "robust z",
    "box_cox": "Box-Cox",
    "window": "t-test",
    "forecast": "forecast",
    "surprise": "surprise",
    "learned": "learned",
    "peers": "peers",
}  # how methods are called on the page


def told(behaviour_findings: DataFrame, behaviour_standings: DataFrame, products: DataFrame) -> Section:
    """Show what is told on the newest day, the strongest first."""
    alerts = newest(behaviour_findings, behaviour_standings).where("is_alert")
    first = alerts.orderBy("p", F.desc(F.abs("strength")), *OF_SERIES, "day").limit(SHOWN)
    names = F.create_map(*[F.lit(word) for pair in NAMES.items() for word in pair])
    return Section(
        title="What is out of the ordinary",
        chapter=Chapter.ODDITIES,
        rows=_named(first, products)
        .select(
            F.concat("who", F.lit(", "), "measure").alias("who"),
            "day",
            "reason",
            "strength",
            "observed",
            "expected",
            (F.col("q") * 100).alias("q"),
            F.array_join(F.transform("methods", lambda method: names[method]), ", ").alias("methods"),
        )
        .orderBy(F.desc(F.abs("strength")), "who"),
        sentence=_told_in_words,
        picture=Bars("who", "strength", horizontal=True),
        labels={
            "who": "Who, and of what",
            "day": "Period from",
            "reason": "Why",
            "strength": "How far off [standard deviations]",
            "observed": "Was",
            "expected": "Is usual",
            "q": "Chance among findings as strong [%]",
            "methods": "Methods that agree",
        },
        note="What went on from the last time is not told again. Everything is in the table behaviour_findings.",
        empty="Nothing new is out of the ordinary.",
    )


def _named(found: DataFrame, products: DataFrame) -> DataFrame:
    """Add `who`: of whom the series is, of a product what it is called too."""
    titles = products.select(F.lit("product").alias("grouping"), F.col("product_id").alias("key"), "title")
    called = F.when(F.col("title").isNotNull(), F.concat("title", F.lit(" ("), "key", F.lit(")")))
    who = F.concat(F.initcap("grouping"), F.lit(" "), F.coalesce(called, "key"))
    named = found.join(titles, ["grouping", "key"], "left")
    return named.withColumn("who", F.when(F.col("grouping") == ALL, F.lit("All together")).otherwise(who))


def _told_in_words(rows: Rows) -> str:
    first = max(rows, key=lambda row: abs(row["strength"]))
    many = "One finding is told" if len(rows) == 1 else f"{len(rows)} findings are told"
    who = first["who"].rpartition(", ")[0]
    return f"{many}. The strongest, in the period from {day_told(first['day'])} on: {who} {first['reason']}."


def strongest(behaviour_findings: DataFrame, behaviour_standings: DataFrame, products: DataFrame) -> Section:
    """Show the series that the strongest finding is of, with what was usual and its limits."""
    of_day = newest(behaviour_findings, behaviour_standings)
    first = of_day.orderBy(F.desc("is_alert"), "p", F.desc(F.abs("strength")), *OF_SERIES, "day").limit(1)
    each = _named(first, products).select(
        "who", "reason", "period", F.col("day").alias("found_on"), F.size("values").alias("size"),
        "usual", "low", "high", F.posexplode("values").alias("at", "value"),
    )  # fmt: skip
    back = F.col("size") - 1 - F.col("at")
    days = F.when(F.col("period") == "week", back * 7).otherwise(back)
    day = F.when(F.col("period") == "month", F.add_months("found_on", -back)).otherwise(F.date_sub("found_on", days))
    limits = [F.get(name, F.col("at")).alias(name) for name in ("usual", "low", "high")]
    return Section(
        title="The strongest finding, and what was before it",
        chapter=Chapter.ODDITIES,
        rows=each.select(
            day.alias("day"),
            "value",
            *limits,
            *[F.when(back == 0, F.col(name)).alias(alias) for alias, name in OF_FOUND.items()],
        ),
        sentence=lambda rows: f"{rows[-1]['who']} {rows[-1]['reason']}.",
        picture=Lines("day", ["value", "usual", "low", "high"], marked="found"),
        labels={
            "day": "Period from",
            "value": "Was",
            "usual": "Is usual",
            "low": "At least, 39 times of 40",
            "high": "At most, 39 times of 40",
            "found": "The finding",
            "who": "Who",
            "reason": "Why",
        },
        order_by=["day"],
        note="What is usual in a period is told by the periods before it alone.",
        empty=None,
    )


def by_method(behaviour_standings: DataFrame) -> Section:
    """Show how many periods each method finds unusual, against how many chance alone would."""
    judged = newest(behaviour_standings, behaviour_standings)
    share = [
        F.struct(
            F.lit(NAMES[name]).alias("method"),
            F.count(f"p_{name}").alias("judged"),
            F.count_if(F.col(f"p_{name}") <= RARE).alias("unusual"),
        )
        for name in WORDS
        if name != PEERS  # which can only make a p greater, and is not held against former periods
    ]
    each = judged.agg(F.array(*share).alias("methods")).select(F.explode("methods").alias("of")).select("of.*")
    return Section(
        title="How many findings chance alone would bring",
        chapter=Chapter.ODDITIES,
        rows=each.where("judged > 0").select(
            "method", "unusual", (F.col("judged") * RARE).alias("by_chance"), "judged"
        ),
        sentence=_by_method_told,
        picture=Bars("method", "unusual", beside="by_chance", horizontal=True),
        labels={
            "method": "Method",
            "unusual": "Unusual by it alone",
            "by_chance": "By chance alone",
            "judged": "Judged",
        },
        order_by=["-judged", "method"],
        note="Unusual is here what comes to one of a hundred periods by chance.",
        empty=None,
    )


def _by_method_told(rows: Rows) -> str:
    most = max(rows, key=lambda row: (row["unusual"] / row["judged"], row["method"]))
    judged = max(row["judged"] for row in rows)
    return (
        f"{judged:,} series are judged; by {most['method']} {most['unusual']:,} of them are as unusual as one in a "
        f"hundred is by chance, which would make it {most['by_chance']:,.0f}."
    )


SECTIONS = (told, strongest, by_method)
