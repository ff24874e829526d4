"""What the page tells of features: who is late by their own rhythm, and by which channel customers buy."""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from crm_spark.core.sections import Bars, Chapter, Rows, Section, newest, percent

ONCE = "Bought on one day only"  # so there is no gap to go by
BANDS = {
    0: "In their rhythm: within their usual gap",
    1: "Due: once to twice that gap",
    2: "Late: twice to four times",
    4: "Gone quiet: longer than that",
}
LATE = 2  # gaps


def rhythm(customer_features: DataFrame) -> Section:
    """Tell how many customers are late by their own rhythm, and what these brought in a year. One pass."""
    passed = F.col("recency_days") / F.col("rhythm_days")
    beyond = F.coalesce(*[F.when(passed > least, least) for least in sorted(BANDS, reverse=True)[:-1]], passed * 0)
    bands = newest(customer_features, customer_features).groupBy(beyond.cast("int").alias("beyond"))
    counted = bands.agg(
        F.count("*").alias("customers"),
        F.sum("spend_365d").cast("decimal(28,4)").alias("spend_365d"),
        F.avg("rhythm_days").alias("rhythm_days"),
        F.avg("recency_days").alias("recency_days"),
    )
    named = F.coalesce(*[F.when(F.col("beyond") == least, band) for least, band in BANDS.items()], F.lit(ONCE))
    return Section(
        title="Who is late, by their own rhythm",
        chapter=Chapter.CUSTOMERS,
        rows=counted.select(
            named.alias("band"),
            "customers",
            *[percent(name).alias(f"{name}_share") for name in ("customers", "spend_365d")],
            "spend_365d",
            "rhythm_days",
            "recency_days",
            "beyond",
        ),
        sentence=_rhythm_told,
        picture=Bars("band", "customers_share", beside="spend_365d_share", horizontal=True),
        labels={
            "band": "Days since the last purchase, by their usual gap",
            "customers": "Customers",
            "customers_share": "Share of the customers [%]",
            "spend_365d_share": "Share of the money of the last 365 days [%]",
            "spend_365d": "Brought in the last 365 days [money]",
            "rhythm_days": "Usual gap between purchases, mean [days]",
            "recency_days": "Since the last purchase, mean [days]",
            "beyond": "Usual gaps that passed, more than",
        },
        order_by=["beyond"],
        note=(
            "A customer's usual gap is the median of the days between purchases. Who has not bought for twice that "
            "long is late, however often others buy."
        ),
    )


def _rhythm_told(bands: Rows) -> str:
    regular, late = (
        [band for band in bands if band["beyond"] is not None and band["beyond"] >= least] for least in (0, LATE)
    )
    customers, of_late = (sum(band["customers"] for band in some) for some in (regular, late))
    if not customers:
        return "No customer has bought on more than one day yet: there is no rhythm to be late by."
    return (
        f"Of {customers:,} customers who bought on more than one day, {of_late:,} have not bought for more than twice "
        f"their usual gap; in the last 365 days they brought {sum(band['spend_365d'] for band in late):,.0f} ¤."
    )


def channels(customer_features: DataFrame) -> Section:
    """Tell by which channel customers mostly buy, and what differs between these. One pass."""
    by_channel = (
        newest(customer_features, customer_features)
        .where(F.col("channel").isNotNull())
        .groupBy("channel")
        .agg(
            F.count("*").alias("customers"),
            F.sum("spend").cast("decimal(28,4)").alias("spend"),
            F.sum("orders").alias("orders"),
            F.count_if(F.col("channels") > 1).alias("several"),
            (F.avg("returned_share") * 100).alias("returned"),
        )
    )
    return Section(
        title="By which channel the customers buy",
        chapter=Chapter.CUSTOMERS,
        rows=by_channel.select(
            "channel",
            "customers",
            *[percent(name).alias(f"{name}_share") for name in ("customers", "spend")],
            "spend",
            "orders",
            "several",
            "returned",
        ),
        sentence=_channels_told,
        picture=Bars("channel", "customers_share", beside="spend_share", horizontal=True),
        labels={
            "channel": "Channel of most of their orders",
            "customers": "Customers",
            "customers_share": "Share of the customers [%]",
            "spend_share": "Share of the money [%]",
            "spend": "Brought [money]",
            "orders": "Orders, by any channel",
            "several": "Customers who also buy by another",
            "returned": "Money returned, mean of the customers [%]",
        },
        order_by=["-customers", "channel"],
        empty="No order line says by which channel it came.",
    )


def _channels_told(rows: Rows) -> str:
    customers, several = (sum(row[name] for row in rows) for name in ("customers", "several"))
    first = rows[0]
    return (
        f"{first['customers_share']:,.1f} % of the customers buy mostly by {first['channel']} and brought "
        f"{first['spend_share']:,.1f} % of the money; {several:,} of {customers:,} buy by more than one channel."
    )


SECTIONS = (rhythm, channels)
