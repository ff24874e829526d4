"""What the page tells of contracts: how many are renewed, how that was foretold, what the running ones are worth."""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from crm_spark.core.sections import Bars, Chapter, Lines, Rows, Section, newest
from crm_spark.value.renewals import UNKNOWN

NONE = "There is no contract."
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


def worth(contract_values: DataFrame) -> Section:
    """Tell what the running contracts of each plan are worth. One pass."""
    plan = F.coalesce("plan", F.lit(UNKNOWN))
    has_value = F.col("lifetime_value").isNotNull()
    return Section(
        title="What the running contracts are worth, by plan",
        chapter=Chapter.VALUE,
        rows=newest(contract_values, contract_values)
        .groupBy(plan.alias("plan"))
        .agg(
            F.count("*").alias("contracts"),
            F.count("ends_on").alias("ending"),
            (F.avg("probability_renewal") * 100).alias("probability_renewal"),
            F.sum("expected_renewals").alias("expected_renewals"),
            F.sum("expected_revenue").alias("expected_revenue"),
            F.sum("lifetime_value").alias("lifetime_value"),
            F.avg("lifetime_value").alias("lifetime_value_mean"),
            F.count_if(~has_value).alias("untold"),
            F.max("horizon").alias("horizon"),
        ),
        sentence=_worth_told,
        picture=Bars("plan", "lifetime_value", horizontal=True),
        labels={
            "plan": "Plan",
            "contracts": "Running contracts",
            "ending": "Of them with notice given",
            "probability_renewal": "Renewed at the next renewal [%]",
            "expected_renewals": "Renewals to expect",
            "expected_revenue": "They bring [money]",
            "lifetime_value": "All to come is worth [money]",
            "lifetime_value_mean": "Of one contract [money]",
            "untold": "Contracts without a value",
            "horizon": "Days ahead",
        },
        order_by=["-lifetime_value", "plan"],
        note=(
            "Renewals and what they bring are those of the days ahead. What all to come is worth is discounted; the "
            "period that runs is paid already."
        ),
        empty=NONE,
    )


def _worth_told(plans: Rows) -> str:
    contracts, untold = (sum(plan[name] for plan in plans) for name in ("contracts", "untold"))
    told = [plan for plan in plans if plan["lifetime_value"] is not None]
    if not told:
        return f"{contracts:,} contracts run; how long customers stay cannot be told yet."
    revenue = sum(plan["expected_revenue"] for plan in told)
    value = sum(plan["lifetime_value"] for plan in told)
    without = f" Of {untold:,} of them it cannot be told." if untold else ""
    return (
        f"{contracts:,} contracts run. In the next {plans[0]['horizon']:,} days they are expected to bring "
        f"{revenue:,.0f} ¤; all that they will bring is worth {value:,.0f} ¤ today.{without}"
    )


SECTIONS = (worth, renewed, foretold)
