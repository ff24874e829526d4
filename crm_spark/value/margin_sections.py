"""What the page tells of margins: where the money goes on its way from full prices to what stays."""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from crm_spark.core.sections import Bars, Chapter, Rows, Section, newest

MONEY = "decimal(28,4)"
FULL, MARGIN = "At full prices", "What stays: the margin"
TAKEN = {
    "discounts": "Discounts",
    "returns": "Returns",
    "product_cost": "What the products cost",
    "contact_cost": "Contacts",
    "service_cost": "Service",
}


def waterfall(customer_margins: DataFrame) -> Section:
    """Tell how much of the money at full prices each step takes, down to the margin. One pass."""
    customers = newest(customer_margins, customer_margins)
    has_bought = F.col("revenue") > 0
    sums = customers.agg(
        *[F.sum(name).cast(MONEY).alias(name) for name in ("revenue", *TAKEN, "margin")],
        F.sum("below_cost").alias("below_cost"),
        F.sum(F.col("known_share") * F.col("revenue")).alias("known"),
        F.count_if(has_bought & (F.col("margin") < 0)).alias("losing"),
        F.count_if(has_bought).alias("customers"),
        F.count("*").alias("told"),
    ).where(F.col("told") > 0)
    full = (F.col("revenue") + F.col("discounts")).cast(MONEY)
    none = F.lit(None)
    steps = [(FULL, full, none, none, F.col("customers"))]
    for name, step in TAKEN.items():
        is_cost = name == "product_cost"
        known = F.when(F.col("revenue") > 0, F.col("known") * 100 / F.col("revenue").cast("double"))
        told = (known, F.col("below_cost")) if is_cost else (none, none)
        steps.append((step, (-F.col(name)).cast(MONEY), *told, none))
    steps.append((MARGIN, F.col("margin"), none, none, F.col("losing")))
    rows = [
        F.struct(
            F.lit(place).alias("place"),
            F.lit(step).alias("step"),
            money.cast(MONEY).alias("money"),
            F.when(full > 0, (money * 100 / full).cast("double")).alias("share"),
            known.cast("double").alias("known"),
            lines.cast("bigint").alias("below_cost"),
            people.cast("bigint").alias("customers"),
        )
        for place, (step, money, known, lines, people) in enumerate(steps)
    ]
    return Section(
        title="What stays of the money: from full prices down to the margin",
        chapter=Chapter.VALUE,
        rows=sums.select(F.inline(F.array(*rows))).where(F.col("money").isNotNull()),
        sentence=_told,
        picture=Bars("step", "share", horizontal=True),
        labels={
            "place": "Place",
            "step": "Step",
            "money": "Money [money]",
            "share": "Of the money at full prices [%]",
            "known": "Revenue from products whose cost is known [%]",
            "below_cost": "Lines sold below cost",
            "customers": "Customers who brought money; below, those who cost more than they brought",
        },
        order_by=["place"],
        note=(
            "A product costs what was known of it on the day of the sale. Of products whose cost is not known the "
            "mean share of the others is taken. Buyers without a name are left out."
        ),
    )


def _told(steps: Rows) -> str:
    of = {step["step"]: step for step in steps}
    full = of[FULL]["money"]
    if MARGIN not in of:
        return f"Of {full:,.0f} ¤ at full prices no margin can be told: no product that was sold has a known cost."
    margin, cost = of[MARGIN], of[TAKEN["product_cost"]]
    if full <= 0:
        return f"Customers brought nothing; contacts and service cost {-margin['money']:,.0f} ¤."
    taken = ", ".join(f"{step.lower()} {-of[step]['share']:,.1f} %" for step in TAKEN.values() if of[step]["money"])
    losing = [
        f"{lines:,} lines were sold below cost" if (lines := cost["below_cost"]) else "",
        f"{people:,} of {of[FULL]['customers']:,} customers cost more than they brought"
        if (people := margin["customers"])
        else "",
    ]
    lost = f" {' and '.join(part for part in losing if part)}." if any(losing) else ""
    partly = "" if cost["known"] >= 99.95 else f" The cost is known of {cost['known']:,.1f} % of the revenue."
    return (
        f"Of {full:,.0f} ¤ at full prices {margin['share']:,.1f} % stay, {margin['money']:,.0f} ¤; taken off are: "
        f"{taken or 'nothing'}.{lost}{partly}"
    )


SECTIONS = (waterfall,)
