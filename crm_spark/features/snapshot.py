"""A stand-in until the table is built: what customer_segments needs of its contract."""

from crm_spark.core.contracts import Field, Table

CUSTOMER_FEATURES = Table(
    "customer_features",
    "What is known of each customer who bought, as of a day: from what is dated on or before it.",
    owns="as_of",
    key=["customer_id", "as_of"],
    columns=[
        Field("customer_id", "string", "the customer", personal=True),
        Field("as_of", "date", "the day the features speak for"),
        Field("tenure_days", "int", "days since the first purchase", unit="day"),
        Field("recency_days", "int", "days since the last purchase", unit="day"),
        Field("purchase_days", "bigint", "business days on which an order began", unit="day"),
        Field("spend", "decimal(18,4)", "sales less returns, to date", unit="money"),
        Field("basket_value", "decimal(18,4)", "mean sales of an order", unit="money"),
        Field("returned_share", "double", "money returned of sales, 0 to 1"),
        Field("discounted_share", "double", "discount of what the sales would have cost without it, 0 to 1"),
        Field("rhythm_days", "double", "median gap between purchase days", unit="day", nullable=True),
    ],
)
