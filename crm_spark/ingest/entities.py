"""Customers and products: every attribute as last known by event time, whatever the order of arrival."""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from crm_spark.core.contracts import Table
from crm_spark.ingest.tables import CONFORMED, HISTORIES, MADE_NAMES, ORIGIN_NAMES

NAMES_ONE = {"customers": "customer_id", "products": "product_id"}


def observed(rows: DataFrame, entity: str, zone: str) -> DataFrame:
    """Gather what each file said of each customer or product, once for each set of attributes and business day.

    Parameters
    ----------
    rows : DataFrame
        `file`, the id, `known_at` and any of the attributes.
    zone : str
        Of the business clock.

    Returns
    -------
    DataFrame
        `file`, the columns of the history but those of origin, and `row_hash`, a hash of the attributes: of a
        day the latest time stands. So the newest statement up to any day is told, however the statements lay
        in files. One shuffle, after a partial aggregate.
    """
    table, given = HISTORIES[entity], rows.columns
    told = [name for name in table.names if name in given and name not in (*MADE_NAMES, "known_at")]
    day = F.from_utc_timestamp("known_at", zone).cast("date").alias("known_on")  # the session's zone is UTC here
    # Of who is only named nothing can hold on one day and not on the next.
    days = [day] if len(told) > 1 else []
    gathered = rows.groupBy("file", *told, *days).agg(F.max("known_at").alias("known_at")).withColumn("known_on", day)
    hashed = gathered.withColumn("row_hash", F.substring(F.sha2(F.to_json(F.struct(*told)), 256), 1, 32))
    made = (*hashed.columns, *ORIGIN_NAMES)
    absent = [column for column in table.columns if column.name not in made]
    return hashed.select("*", *[F.lit(None).cast(column.type).alias(column.name) for column in absent])


def mentioned(rows: DataFrame, fact: Table, entity: str) -> DataFrame:
    """Customers or products that rows of another table name, with the time at which they do."""
    instants = [name for name in fact.names if name.endswith("_at") and name != "loaded_at"]
    known_at = F.col(instants[0]) if instants else F.lit(None).cast("timestamp")
    return rows.select(
        "file", NAMES_ONE[entity], F.coalesce(known_at, F.timestamp_seconds(F.lit(0))).alias("known_at")
    ).where(F.col(NAMES_ONE[entity]).isNotNull())


def latest(history: DataFrame, entity: str) -> DataFrame:
    """Fold a history into one row for each customer or product.

    Returns
    -------
    DataFrame of CUSTOMERS or PRODUCTS
        Each attribute as in its newest statement that has one; at one time the larger hash speaks.
    """
    table = CONFORMED[entity]
    order = F.struct("known_at", "row_hash")
    attributes = [name for name in table.names if name not in table.key]
    newest = [F.max_by(name, F.when(F.col(name).isNotNull(), order)).alias(name) for name in attributes]
    return history.groupBy(*table.key).agg(*newest)
