"""What the page tells of customers who lie close together and of those who lie apart, and by which distance."""

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from crm_spark.core.sections import Bars, Chapter, Lines, Rows, Section, newest

SHOWN = 12  # groups; the others are one bar
NONE = "There are no groups: no customer had bought by that day."


def groups(density_groups: DataFrame) -> Section:
    """Show dense groups, and who lies apart, by customers and money."""
    placed = newest(density_groups, density_groups)
    in_order = Window.partitionBy(F.lit(0)).orderBy(F.col("group_id") == 0, F.desc("customers"), "group_id")
    is_apart = F.col("group_id") == 0
    ranked = placed.withColumn("place", F.row_number().over(in_order))
    is_shown = is_apart | (F.col("place") <= SHOWN)
    label = F.when(is_apart, F.col("group_name")).otherwise(F.concat("group_id", F.lit(". "), "group_name"))
    shown = F.when(is_shown, label).otherwise(F.lit("All smaller groups"))
    place = F.when(is_apart, 1_000_000).when(is_shown, F.col("place")).otherwise(SHOWN + 1)
    sums = ranked.groupBy(shown.alias("group_name"), place.cast("int").alias("place")).agg(
        F.count("*").alias("groups"),
        *[F.sum(name).alias(name) for name in ("customers", "spend")],
        *[
            F.round(F.sum(F.coalesce(f"{name}_share", F.lit(0.0))) * 100, 1).alias(f"{name}_share")
            for name in ("customers", "spend")
        ],
        F.max(is_apart).alias("is_apart"),
    )
    return Section(
        title="Customers among many alike, and customers unlike any",
        chapter=Chapter.CUSTOMERS,
        rows=sums.select(
            "group_name", "customers", "customers_share", "spend", "spend_share", "groups", "is_apart", "place"
        ),
        sentence=_groups_told,
        picture=Bars("group_name", "spend_share", beside="customers_share", horizontal=True),
        labels={
            "group_name": "Group",
            "customers": "Customers",
            "customers_share": "Share of the customers [%]",
            "spend": "Spent [money]",
            "spend_share": "Share of the money [%]",
            "groups": "Groups",
            "is_apart": "Apart",
            "place": "Place",
        },
        order_by=["place"],
        note=(
            "Found by DBSCAN: where many customers lie close together there is a group, as many as there are, of any "
            "shape. Who lies near none is apart from all. A name tells what sets the group most apart from all "
            "customers. Those who lie apart are worth a look one by one, in `customer_density`: the best customers, "
            "resellers and frauds are unlike any others."
        ),
        empty=NONE,
    )


def _groups_told(rows: Rows) -> str:
    apart = next((row for row in rows if row["is_apart"]), None)
    others = [row for row in rows if not row["is_apart"]]
    customers, found = sum(row["customers"] for row in rows), sum(row["groups"] for row in others)
    if not others:
        return f"All {customers:,} customers lie apart: there is no group."
    told = (
        f"{customers:,} customers form {found:,} {'group' if found == 1 else 'groups'} of alike ones; the largest has "
        f"{others[0]['customers_share']:,.1f} % of them"
    )
    if apart is None:
        return f"{told}; nobody lies apart."
    return (
        f"{told}. {apart['customers']:,} lie apart from all: {apart['customers_share']:,.1f} % of the customers, who "
        f"brought {apart['spend_share']:,.1f} % of the money."
    )


def near(density_groups: DataFrame, density_model: DataFrame) -> Section:
    """Show the curve that tells how far is near."""
    model = newest(density_model, density_groups)
    known = [F.max(F.when(F.col("parameter") == name, F.col("value"))).alias(name) for name in ("eps", "min_samples")]
    told = model.agg(*known, F.max(F.when(F.col("parameter") == "eps", F.col("reason"))).alias("from"))
    curve = model.where(F.col("parameter") == "distance").select(
        F.col("number").alias("percent"), F.col("value").alias("distance")
    )
    return Section(
        title="How near customers must be to be alike",
        chapter=Chapter.CUSTOMERS,
        rows=curve.crossJoin(F.broadcast(told)).select(
            "percent", "distance", "eps", F.col("min_samples").cast("int").alias("min_samples"), "from"
        ),
        sentence=_near_told,
        picture=Lines("percent", ["distance", "eps"]),
        labels={
            "percent": "Customers, the nearest first [%]",
            "distance": "Distance to the last of so many neighbours [std. dev.]",
            "eps": "What counts as near [std. dev.]",
            "min_samples": "So many neighbours, oneself among them",
            "from": "Near is",
        },
        order_by=["percent"],
        note=(
            "Where the curve begins to rise fast there are customers who lie apart. `eps` in the configuration sets "
            "what is near, `min_samples` how many must be."
        ),
        empty="There is no curve: there are fewer customers than must be near one.",
    )


def _near_told(rows: Rows) -> str:
    eps, enough = rows[0]["eps"], rows[0]["min_samples"]
    reached = max((row["percent"] for row in rows if row["distance"] <= eps), default=0)
    return (
        f"Customers within {eps:.2f} standard deviations are near ({rows[0]['from']}): {reached} % of the customers "
        f"have {enough} near them, themselves among these."
    )


SECTIONS = (groups, near)
