"""Labels by plain rows: who answered a contact, whose contract ended, what else is known of them."""

from datetime import date, timedelta

from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from crm_spark.models import labels
from crm_spark.models.labels import ENDS, IGNORES, RENEWS, RESPONDS

SINCE, AS_OF = date(2026, 1, 1), date(2026, 3, 31)


def day(number: int | None) -> date | None:
    return None if number is None else SINCE + timedelta(days=number)


def test_the_first_contact_counts_of_which_the_days_to_answer_are_over(spark: SparkSession) -> None:
    contacts = {
        "answers on the last day": [("one", 1)],
        "answers a day too late": [("one", 1)],
        "answers before": [("one", 5)],
        "answers another campaign": [("one", 1)],
        "answers the second alone": [("one", 1), ("two", 10)],
        "asked on the day itself": [("one", 0)],
        "asked on the last day that counts": [("one", 75)],
        "asked too lately": [("one", 76)],
    }
    answers = {
        "answers on the last day": ("one", 15),
        "answers a day too late": ("one", 16),
        "answers before": ("one", 4),
        "answers another campaign": ("two", 2),
        "answers the second alone": ("two", 11),
        "asked on the last day that counts": ("one", 75),
        "asked too lately": ("one", 77),
    }
    asked = spark.createDataFrame(
        [(who, campaign, f"{who} {campaign}", day(on)) for who, each in contacts.items() for campaign, on in each],
        "customer_id string, campaign_id string, contact_id string, contacted_on date",
    )
    answered = spark.createDataFrame(
        [(who, campaign, day(on)) for who, (campaign, on) in answers.items()],
        "customer_id string, campaign_id string, responded_on date",
    )
    features = spark.createDataFrame([(who,) for who in contacts], "customer_id string")
    told = labels.responds(features, asked, answered, SINCE, AS_OF, 14).collect()
    assert {row["customer_id"]: row["told"] for row in told} == {
        "answers on the last day": RESPONDS,
        "answers a day too late": IGNORES,
        "answers before": IGNORES,
        "answers another campaign": IGNORES,
        "answers the second alone": IGNORES,
        "asked on the last day that counts": RESPONDS,
    }
    assert len(told) == 6


def test_contracts_that_ran_on_the_day_are_renewed_or_ended_since(spark: SparkSession) -> None:
    rows = [  # customer, started, ended, notice given
        ("stays", -40, None, None),
        ("ends on the last day", -40, 89, 60),
        ("ends after it", -40, 90, 60),
        ("had given notice", -40, 30, 0),
        ("was over", -40, 0, None),
        ("came later", 1, None, None),
        ("one of two", -50, 20, None),
        ("one of two", 0, None, None),
    ]
    contracts = spark.createDataFrame(
        [
            (f"k{at}", who, f"plan {at}", day(began), 10 + at, day(notice), day(ended))
            for at, (who, began, ended, notice) in enumerate(rows)
        ],
        "contract_id string, customer_id string, plan string, started_on date, price int, cancelled_on date, ended_on date",
    )
    had = labels.running(contracts, SINCE)
    told = labels.renews(had, contracts, SINCE, AS_OF).collect()
    assert {row["customer_id"]: row["told"] for row in told} == {
        "stays": RENEWS,
        "ends on the last day": ENDS,
        "ends after it": RENEWS,
        "one of two": ENDS,
    }
    both = next(row for row in told if row["customer_id"] == "one of two")
    assert (both["contract_days"], both["contract_price"], both["plan"]) == (50, 33.0, "plan 6")


def test_attributes_are_numbers_or_text_and_null_where_they_are_neither(spark: SparkSession) -> None:
    held = spark.createDataFrame(
        [("a", '{"age": "4.5", "kind": "x"}'), ("b", '{"age": "old"}'), ("c", None), ("d", "broken")],
        "customer_id string, attributes string",
    )
    people = spark.createDataFrame([(who,) for who in "abcde"], "customer_id string")
    told = labels.told_by_attributes(people, held, ["age"], ["kind"]).orderBy("customer_id").collect()
    assert [tuple(row) for row in told] == [
        ("a", 4.5, "x"),
        *[(who, None, None) for who in "bcde"],
    ]
    assert labels.told_by_attributes(people, held.where(F.lit(False)), [], []) is people
