"""What the page tells of contracts: how many are renewed, how that was foretold, what the running ones are worth."""

from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from crm_spark.core.sections import Bars, Chapter, Lines, Rows, Section, newest
from crm_spark.value.contract_retention import ALL

TOGETHER = "Contracts of all plans are counted together; contract_retention has each group."
ENDS = {1: "st", 2: "nd", 3: "rd"}


def renewed(contract_retention: DataFrame) -> Section:
    """Hold the share of contracts that was renewed, renewal by renewal, against the model. One pass."""
    told = newest(contract_retention, contract_retention).where("due > 0")
    # A group that has no model counts for itself: what was seen of it.
    expected = F.sum(F.col("due") * F.coalesce("expected_retention", "retention"))
    has_model = F.count("expected_retention") > 0
    return Section(
        title="How many contracts are renewed, by how often they were",
        chapter=Chapter.VALUE,
        rows=told.groupBy("renewal").agg(
            F.sum("due").alias("due"),
            F.sum("renewed").alias("renewed"),
            (F.sum("renewed") * 100 / F.sum("due")).alias("retention"),
            F.when(has_model, expected * 100 / F.sum("due")).alias("expected_retention"),
        ),
        sentence=_renewed_told,
        picture=Lines("renewal", ["retention", "expected_retention"]),
        labels={
            "renewal": "Renewal",
            "due": "Contracts that came to it",
            "renewed": "Of them renewed",
            "retention": "Renewed [%]",
            "expected_retention": "Renewed by the model [%]",
        },
        order_by=["renewal"],
        note=f"Of few contracts the share goes up and down by chance. {TOGETHER}",
        empty="No contract has come to a renewal.",
    )


def _renewed_told(rows: Rows) -> str:
    first = rows[0]
    told = f"Of {first['due']:,} contracts that came to their first renewal {first['retention']:,.1f} % were renewed"
    # The last to which at least a tenth as many came: of fewer the share says little.
    later = [row for row in rows[1:] if row["due"] * 10 >= first["due"]]
    if not later:
        return f"{told}."
    last = later[-1]
    number = last["renewal"]
    end = "th" if number % 100 in (11, 12, 13) else ENDS.get(number % 10, "th")
    is_more = last["retention"] > first["retention"]
    return (
        f"{told}, of {last['due']:,} that came to their {number}{end} one {last['retention']:,.1f} %"
        f"{': who has stayed long more often stays on' if is_more else ''}."
    )


def foretold(contract_retention: DataFrame) -> Section:
    """Hold renewals of the held-out days against what the model, and one retention for all, had foretold. One pass."""
    judged = newest(contract_retention, contract_retention).where("expected IS NOT NULL")
    names = ["actual", "expected", "expected_constant"]
    return Section(
        title="Renewals that were foretold, and those that came",
        chapter=Chapter.VALUE,
        rows=judged.groupBy("renewal").agg(
            *[F.sum(name).alias(name) for name in names], F.max("held_out").alias("held_out")
        ),
        sentence=_foretold_told,
        picture=Lines("renewal", names),
        labels={
            "renewal": "Renewal",
            "actual": "Renewals that came",
            "expected": "Renewals by the model",
            "expected_constant": "Renewals if all stayed alike",
            "held_out": "Days held out",
        },
        order_by=["renewal"],
        note=(
            "The model learned from what was known before the held-out days. Counted are contracts that ran then. "
            f"Beside it stands the plainest rule: the same share is renewed, whoever and whenever. {TOGETHER}"
        ),
        empty="The model could not be judged: too few contracts came to a renewal before the days that are held out.",
    )


def _foretold_told(rows: Rows) -> str:
    came, model, plain = (sum(row[name] for row in rows) for name in ("actual", "expected", "expected_constant"))
    off, plainly = (sum(abs(row["actual"] - row[name]) for row in rows) for name in ("expected", "expected_constant"))
    told = (
        f"In the {rows[0]['held_out']:,} days that were held out {came:,.0f} contracts were renewed; the model had "
        f"foretold {model:,.0f}, one retention for all {plain:,.0f}"
    )
    if off < plainly:
        return f"{told}. Over the renewals the model was off by {off:,.0f}, the plain rule by {plainly:,.0f}."
    return (
        f"{told}. Over the renewals the model was off by {off:,.0f}, no less than the plain rule, which was off by "
        f"{plainly:,.0f}."
    )


def worth(contract_totals: DataFrame) -> Section:
    """Tell what the running contracts of each plan will bring, at least and at most."""
    names = ["contracts", "ending", "expected_revenue", "revenue_p05", "revenue_p95"]
    names += ["lifetime_value", "lifetime_value_p05", "lifetime_value_p95", "untold", "horizon"]
    totals = newest(contract_totals, contract_totals)
    return Section(
        title="What the running contracts are worth, by plan",
        chapter=Chapter.VALUE,
        rows=totals.select("plan", *names, (F.col("plan") != ALL).alias("is_plan")),
        sentence=_worth_told,
        picture=Bars("plan", "lifetime_value", horizontal=True, only="is_plan"),
        labels={
            "plan": "Plan",
            "contracts": "Running contracts",
            "ending": "Of them with notice given",
            "expected_revenue": "They bring in the days ahead [money]",
            "revenue_p05": "At least, with 95 % [money]",
            "revenue_p95": "At most, with 95 % [money]",
            "lifetime_value": "All to come is worth [money]",
            "lifetime_value_p05": "Worth at least, with 95 % [money]",
            "lifetime_value_p95": "Worth at most, with 95 % [money]",
            "untold": "Contracts without a value",
            "horizon": "Days ahead",
            "is_plan": "One plan",
        },
        order_by=["is_plan", "-lifetime_value", "plan"],
        note=(
            "What all to come is worth is discounted, and looks far beyond what was seen yet; the period that runs is "
            "paid already. At least and at most are of the plan as a whole."
        ),
        empty="There is no contract.",
    )


def _worth_told(plans: Rows) -> str:
    whole = next(plan for plan in plans if not plan["is_plan"])
    contracts, untold = whole["contracts"], whole["untold"]
    if whole["expected_revenue"] is None:
        return f"{contracts:,} contracts run; how long customers stay cannot be told yet."
    ahead = f"In the next {whole['horizon']:,} days they are expected to bring {_between(whole, 'expected_revenue')}"
    ever = whole["lifetime_value"]
    worth = "" if ever is None else f"; all that they will bring is worth {_between(whole, 'lifetime_value')} today"
    without = f" Of {untold:,} of them it cannot be told." if untold else ""
    return f"{contracts:,} contracts run. {ahead}{worth}.{without}"


def _between(whole: dict[str, Any], name: str) -> str:
    least, most = (whole[f"{name.removeprefix('expected_')}_{share}"] for share in ("p05", "p95"))
    band = "" if least is None else f" (with 90 % between {least:,.0f} and {most:,.0f} ¤)"
    return f"{whole[name]:,.0f} ¤{band}"


SECTIONS = (worth, renewed, foretold)
