"""What each customer brought and cost until a day, from revenue down to margin."""

from crm_spark.core.contracts import Field, Table

MONEY = "decimal(18,4)"

MARGINS = Table(
    "customer_margins",
    "What each customer brought and cost until a day, from revenue down to margin.",
    owns="as_of",
    key=["customer_id", "as_of"],
    columns=[
        Field("customer_id", "string", "the customer", personal=True),
        Field("as_of", "date", "the last day that counts"),
        Field("revenue", MONEY, "what sale lines brought", unit="money"),
        Field("contact_cost", MONEY, "of contacts", unit="money"),
        Field("service_cost", MONEY, "of service", unit="money"),
        Field("margin", MONEY, "revenue less returns and costs", unit="money", nullable=True),
        Field("margin_share", "double", "share of the revenue that is expected to stay as margin", nullable=True),
    ],
)
