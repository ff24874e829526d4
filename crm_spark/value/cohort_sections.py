"""What the page tells of cohorts: how many customers come back, month by month."""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from crm_spark.core.sections import Chapter, Heat, Rows, Section, newest

LABELS = {
    "cohort": "Month of the first purchase",
    "months_since": "Months since",
    "customers": "Customers",
    "active": "Bought in this month",
    "retention": "Of them bought in this month [%]",
    "repeat_share": "Bought a second time until then [%]",
    "revenue": "Brought until then [money]",
    "revenue_mean": "Brought by one until then [money]",
    "expected_margin": "Expected margin until then [money]",
    "is_over": "Month is over",
}
SHOWN = 24  # cohorts, the newest
ENDS = {2: "nd", 3: "rd", 21: "st", 22: "nd", 23: "rd"}


def retention(cohorts: DataFrame) -> Section:
    """Show which share of the customers of each month buys in the months after it."""
    return Section(
        title="How many customers come back, by month of their first purchase",
        chapter=Chapter.CUSTOMERS,
        rows=_of_newest(cohorts).where("months_since > 0"),
        sentence=_retention_told,
        picture=Heat("months_since", "cohort", "retention"),
        labels=LABELS,
        order_by=["cohort", "months_since"],
        note="A month that is not over counts as far as it goes. Brought is summed up from the first purchase on.",
        empty=f"No customer first bought in the {SHOWN} months before and at least a month ago.",
    )


def _of_newest(cohorts: DataFrame) -> DataFrame:
    shown = [F.col(name) * 100 if name in ("retention", "repeat_share") else F.col(name) for name in LABELS]
    first = F.date_format(F.add_months(F.col("as_of"), -SHOWN), "yyyy-MM")
    rows = newest(cohorts, cohorts).where(F.col("cohort") > first)
    return rows.select(*[column.alias(name) for column, name in zip(shown, LABELS, strict=True)])


def _retention_told(rows: Rows) -> str:
    over = [row for row in rows if row["is_over"]] or rows
    told = [row for row in over if row["months_since"] == 1]
    customers = sum(row["customers"] for row in told)
    kept = f"{sum(row['active'] for row in told) / customers * 100:,.1f} %"
    oldest = max(over, key=lambda row: row["months_since"])
    last = oldest["months_since"]
    later = (
        ""
        if last == 1
        else f"; of those who came in {oldest['cohort']}, {oldest['retention']:,.1f} % in the {last}"
        f"{ENDS.get(last, 'th')} month"
    )
    return f"Of {customers:,} customers {kept} bought again in the month after that of their first purchase{later}."


def worth(cohorts: DataFrame) -> Section:
    """Show what one customer of each month brought so far."""
    return Section(
        title="What a customer has brought, by month of the first purchase",
        chapter=Chapter.VALUE,
        rows=_of_newest(cohorts),
        sentence=_worth_told,
        picture=Heat("months_since", "cohort", "revenue_mean"),
        labels=LABELS,
        order_by=["cohort", "months_since"],
        note="Each cell holds all that a customer of the row brought on average until the end of that month.",
    )


def _worth_told(rows: Rows) -> str:
    firsts = [row for row in rows if row["months_since"] == 0]
    first = sum(row["revenue"] for row in firsts) / sum(row["customers"] for row in firsts)
    oldest = max(rows, key=lambda row: row["months_since"])
    told = f"In the month of the first purchase a customer brings {first:,.0f} ¤ on average"
    if oldest["months_since"] == 0:
        return f"{told}."
    return (
        f"{told}; those who came in {oldest['cohort']} have brought {oldest['revenue_mean']:,.0f} ¤ each in "
        f"{oldest['months_since'] + 1} months."
    )


SECTIONS = (retention, worth)
