"""What the page tells of what comes next, and of how well it is foretold."""

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from crm_spark.core.sections import Bars, Chapter, Lines, Rows, Section, newest
from crm_spark.forecasting.sections import day_told, periods_of
from crm_spark.forecasting.series import ALL
from crm_spark.kernels.forecasts import MODEL_OF

SHOWN = 52  # periods before the forecast


def to_come(behaviour_series: DataFrame, behaviour_forecasts: DataFrame) -> Section:
    """Show what all customers will spend in the periods to come."""
    before = periods_of(behaviour_series, ALL).where("measure = 'spend'").orderBy(F.desc("day")).limit(SHOWN)
    told = newest(behaviour_forecasts, behaviour_forecasts)
    after = told.where((F.col("grouping") == ALL) & (F.col("measure") == "spend"))
    columns = ("day", "value", "expected", "low_80", "high_80", "low_95", "high_95", "method")
    rows = before.select("day", "value").unionByName(after.select("day", *columns[2:]), allowMissingColumns=True)
    return Section(
        title="What will be spent in the periods to come",
        chapter=Chapter.BEHAVIOUR,
        rows=rows.select(*columns),
        sentence=_to_come_told,
        picture=Lines("day", ["value", "expected", "low_80", "high_80"]),
        labels={
            "day": "Period from",
            "value": "Spent [money]",
            "expected": "Expected [money]",
            "low_80": "At least, 9 times of 10 [money]",
            "high_80": "At most, 9 times of 10 [money]",
            "low_95": "At least, 39 times of 40 [money]",
            "high_95": "At most, 39 times of 40 [money]",
            "method": "By",
        },
        order_by=["day"],
        note="Between the two limits lie 80 of 100 periods. Limits of single periods cannot be added up.",
        empty=None,
    )


def _to_come_told(rows: Rows) -> str:
    ahead = [row for row in rows if row["expected"] is not None]
    past = [row["value"] for row in rows if row["value"] is not None][-len(ahead) :]
    if not ahead:
        return "There is no forecast of what all spend yet."
    total = sum(row["expected"] for row in ahead)
    told = f"In the {len(ahead)} periods from {day_told(ahead[0]['day'])} on {total:,.0f} ¤ are to be expected"
    if len(past) < len(ahead) or not sum(past):
        return f"{told}."
    off = total / sum(past) - 1
    return f"{told}, {abs(off) * 100:,.0f} % {'more' if off >= 0 else 'less'} than in the {len(past)} before."


def by_category(behaviour_series: DataFrame, behaviour_forecasts: DataFrame) -> Section:
    """Show what each category will bring against what it brought."""
    told = newest(behaviour_forecasts, behaviour_forecasts).where("grouping = 'category' AND measure = 'spend'")
    expected = told.groupBy("key").agg(F.sum("expected").alias("expected"), F.max("ahead").alias("periods"))
    spent = periods_of(behaviour_series, "category").where("measure = 'spend'")
    last = F.row_number().over(Window.partitionBy("key").orderBy(F.desc("day")))
    before = spent.withColumn("back", last).join(expected, "key").where(F.col("back") <= F.col("periods"))
    sums = before.groupBy("key", "expected", "periods").agg(F.sum("value").alias("spent"))
    return Section(
        title="What each category will bring, against what it brought",
        chapter=Chapter.BEHAVIOUR,
        rows=sums.select(F.col("key").alias("category"), "spent", "expected", "periods"),
        sentence=_by_category_told,
        picture=Bars("category", "spent", beside="expected", horizontal=True),
        labels={
            "category": "Category",
            "spent": "In as many periods before [money]",
            "expected": "Expected [money]",
            "periods": "Periods",
        },
        order_by=["-expected", "category"],
        note="Each category is foretold by itself: together they need not be what is expected of all.",
        empty=None,
    )


def _by_category_told(rows: Rows) -> str:
    best = rows[0]
    total = sum(row["expected"] for row in rows)
    share = f", {best['expected'] / total * 100:,.0f} % of all" if total else ""
    told = f"In the {best['periods']} periods to come most is expected of {best['category']}"
    return f"{told}: {best['expected']:,.0f} ¤{share}."


def agreed(behaviour_forecasts: DataFrame) -> Section:
    """Show what all, segments and customers say of spending, and what they agree on."""
    told = newest(behaviour_forecasts, behaviour_forecasts).where("measure = 'spend' AND reconciled IS NOT NULL")
    rows = told.groupBy("grouping").agg(
        F.countDistinct("key").alias("series"),
        F.sum("expected").alias("expected"),
        F.sum("reconciled").alias("reconciled"),
        F.max("ahead").alias("periods"),
        F.first("reconciled_by").alias("reconciled_by"),
    )
    return Section(
        title="What all, segments and customers say, and what they agree on",
        chapter=Chapter.BEHAVIOUR,
        rows=rows,
        sentence=_agreed_told,
        picture=Bars("grouping", "expected", beside="reconciled", horizontal=True),
        labels={
            "grouping": "Whose forecasts",
            "series": "Series",
            "expected": "Each by itself, added up [money]",
            "reconciled": "Agreed on, added up [money]",
            "periods": "Periods",
            "reconciled_by": "How",
        },
        order_by=["-reconciled", "grouping"],
        note="What is agreed on adds up: customers and the others, who come first or are not known by name, to all; "
        "customers to their segments. The numbers say by which method.",
        empty=None,
    )


def _agreed_told(rows: Rows) -> str:
    of = {row["grouping"]: row for row in rows}
    if not {ALL, "customer"} <= of.keys():
        return "There are no forecasts of all and of customers that could agree."
    everyone, customers = of[ALL], of["customer"]
    others = of["others"]["reconciled"] if "others" in of else 0.0
    return (
        f"In the {everyone['periods']} periods to come all by themselves say {everyone['expected']:,.0f} ¤, customers "
        f"{customers['expected']:,.0f} ¤; they agree on {everyone['reconciled']:,.0f} ¤, of which {others:,.0f} ¤ "
        "come from others."
    )


def how_told(behaviour_models: DataFrame) -> Section:
    """Show by which methods series are foretold, and how well these told the past."""
    told = newest(behaviour_models, behaviour_models)
    rows = told.groupBy("route", F.coalesce("method", F.lit("(nothing)")).alias("method")).agg(
        F.count("*").alias("series"),
        F.count_if(F.col("judged_ahead") > 0).alias("judged"),
        F.avg("mase").alias("mase"),
        F.avg("mase_seasonal_naive").alias("mase_seasonal_naive"),
        (F.avg("coverage_80") * 100).alias("coverage_80"),
        (F.avg("coverage_95") * 100).alias("coverage_95"),
    )
    return Section(
        title="By which methods series are foretold",
        chapter=Chapter.BEHAVIOUR,
        rows=rows,
        sentence=_how_told,
        picture=Bars("method", "series", stack="route", horizontal=True),
        labels={
            "route": "Kind of series",
            "method": "Method",
            "series": "Series",
            "judged": "Judged on their own past",
            "mase": "Mean error (MASE)",
            "mase_seasonal_naive": "Mean error of the seasonal naive forecast",
            "coverage_80": "Came within the 80 % limits [%]",
            "coverage_95": "Came within the 95 % limits [%]",
        },
        order_by=["-series", "method", "route"],
        note="Each series goes by the method that told its own past best. An error of 1 is that of saying what was a "
        "cycle before.",
        empty=None,
    )


def _how_told(rows: Rows) -> str:
    series, judged = (sum(row[name] for row in rows) for name in ("series", "judged"))
    arima = sum(row["series"] for row in rows if row["method"] in MODEL_OF)
    nothing = sum(row["series"] for row in rows if row["method"] == "(nothing)")
    told = f"Of {series:,} series {judged:,} are long enough to be judged on their own past; ARIMA tells {arima:,} best"
    return f"{told}, and of {nothing:,} nothing can be told." if nothing else f"{told}."


SECTIONS = (to_come, by_category, agreed, how_told)
