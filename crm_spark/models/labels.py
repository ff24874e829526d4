"""How customers chose, as labels beside what was known of them before: who responded, whose contracts ended."""

from collections.abc import Sequence
from datetime import date, timedelta

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from crm_spark.features.snapshot import CUSTOMER_FEATURES

RESPONDS, IGNORES = "responds", "does not respond"
RENEWS, ENDS = "renews", "ends"
CONTRACT_NUMBERS, CONTRACT_NAMES = ("contract_days", "contract_price"), ("plan",)


def responds(
    features_then: DataFrame, contacts: DataFrame, responses: DataFrame, since: date, as_of: date, within: int
) -> DataFrame:
    """Label customers who were addressed by whether they answered.

    Parameters
    ----------
    features_then : DataFrame of CUSTOMER_FEATURES
        As of `since`.
    contacts : DataFrame of CONTACTS
        Without those of control groups.
    responses : DataFrame of RESPONSES
    since, as_of : date
        What counts is a customer's first contact after `since` of which the days to answer are over by `as_of`.
    within : int
        Days to answer, the day of the contact not counted.

    Returns
    -------
    DataFrame
        The features of who was addressed, with a column `told`. Two joins by customer.
    """
    day = F.col("contacted_on")
    asked = contacts.where((day > F.lit(since)) & (day <= F.lit(as_of - timedelta(days=within))))
    first = asked.groupBy("customer_id").agg(
        F.min_by(F.struct("campaign_id", "contacted_on"), F.struct("contacted_on", "contact_id")).alias("contact")
    )
    answered = responses.select("customer_id", F.col("campaign_id").alias("answered"), "responded_on")
    is_answer = (F.col("answered") == F.col("contact.campaign_id")) & F.date_diff(
        "responded_on", F.col("contact.contacted_on")
    ).between(0, within)
    told = (
        first.join(answered, "customer_id", "left")
        .groupBy("customer_id")
        .agg(F.when(F.bool_or(is_answer), RESPONDS).otherwise(IGNORES).alias("told"))
    )
    return features_then.join(told, "customer_id")


def running(contracts: DataFrame, day: date) -> DataFrame:
    """Tell the contracts that customers have on a day; those of which notice was given by then do not count.

    Parameters
    ----------
    contracts : DataFrame of CONTRACTS

    Returns
    -------
    DataFrame
        `customer_id`, `contract_days` since the first of them began, `contract_price` of a period of all together, and
        `plan`, that of the first. One shuffle by customer.
    """
    return (
        contracts.where(_runs(day))
        .groupBy("customer_id")
        .agg(
            F.date_diff(F.lit(day), F.min("started_on")).alias("contract_days"),
            F.sum("price").cast("double").alias("contract_price"),
            F.min_by("plan", F.struct("started_on", "contract_id")).alias("plan"),
        )
    )


def renews(running_then: DataFrame, contracts: DataFrame, since: date, as_of: date) -> DataFrame:
    """Label customers by whether a contract that they had ended.

    Parameters
    ----------
    running_then : DataFrame
        As `running` gives it, of `since`, and what else was known then.
    contracts : DataFrame of CONTRACTS
    since, as_of : date
        What counts are contracts that ran on `since`, and their ends until `as_of`.

    Returns
    -------
    DataFrame
        The same rows with a column `told`. One join by customer.
    """
    has_ended = F.coalesce(F.col("ended_on") <= F.lit(as_of), F.lit(False))
    told = contracts.where(_runs(since)).groupBy("customer_id").agg(F.bool_or(has_ended).alias("has_ended"))
    labelled = running_then.join(told, "customer_id")
    return labelled.withColumn("told", F.when(F.col("has_ended"), ENDS).otherwise(RENEWS)).drop("has_ended")


def _runs(day: date) -> Column:
    """Whether a contract runs on a day, and no notice is given yet."""
    is_open = F.col("ended_on").isNull() | (F.col("ended_on") > F.lit(day))
    is_kept = F.col("cancelled_on").isNull() | (F.col("cancelled_on") > F.lit(day))
    return (F.col("started_on") <= F.lit(day)) & is_open & is_kept


def free(attributes: list[str]) -> list[str]:
    """Give names of attributes, if none is that of a column which is there already.

    Raises
    ------
    ValueError
        Some are: it names them.
    """
    taken = {*CUSTOMER_FEATURES.names, *CONTRACT_NUMBERS, *CONTRACT_NAMES, "told"}
    if twice := [f"'{name}'" for name in attributes if name in taken]:
        raise ValueError(f"{', '.join(twice)}: there is a column of that name; call the attribute otherwise")
    return attributes


def told_by_attributes(rows: DataFrame, held: DataFrame, numbers: Sequence[str], names: Sequence[str]) -> DataFrame:
    """Add what else a source knows of customers.

    Parameters
    ----------
    rows : DataFrame
        With a column `customer_id`.
    held : DataFrame
        `customer_id`, and `attributes` as it held on the day: a JSON object.
    numbers, names : sequence of str
        Which of them: numbers become doubles, null where they are none; the others are text.

    Returns
    -------
    DataFrame
        The rows with these columns. One join by customer.
    """
    if not numbers and not names:
        return rows
    told = F.from_json("attributes", "map<string,string>")
    added = {name: told[name].try_cast("double") for name in numbers} | {name: told[name] for name in names}
    known = held.select("customer_id", *[column.alias(name) for name, column in added.items()])
    return rows.join(known, "customer_id", "left")
