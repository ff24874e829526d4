"""Score how likely each customer is to stay away, to respond to a contact, and to end a contract."""

from datetime import timedelta
from functools import partial, reduce
from typing import Annotated, Literal

from pydantic import AfterValidator, Field
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from crm_spark.core.config import NamedOnce, Settings
from crm_spark.core.job import job
from crm_spark.core.together import together
from crm_spark.features import snapshot
from crm_spark.features.days import CUSTOMER_DAYS
from crm_spark.features.snapshot import CUSTOMER_FEATURES, numbers
from crm_spark.ingest.tables import CONTRACTS
from crm_spark.models import choices, labels, score_sections, scores
from crm_spark.models.scores import Asked, Grown

OUTCOMES = {"stays": choices.LEAVES, "responds": labels.RESPONDS, "renews": labels.ENDS}


class Config(Settings):
    questions: Annotated[list[Literal["stays", "responds", "renews"]], NamedOnce] = Field(
        ["stays", "responds"], min_length=1, description="What is asked."
    )
    days: int = Field(
        90, ge=1, le=3650, description="What came true in the last days is learned from; so far ahead scores look."
    )
    response_days: int = Field(14, ge=1, le=365, description="Within how many days an answer to a contact counts.")
    features: Annotated[list[str], AfterValidator(numbers), NamedOnce] = Field(
        list(choices.FEATURES), min_length=1, description="Numbers to learn from, of customer_features."
    )
    levels: Annotated[list[choices.Level], NamedOnce] = Field(
        ["channel", "country"],
        description="Columns of customer_features with levels to learn from, of which there are at most 30.",
    )
    attribute_numbers: Annotated[list[str], AfterValidator(labels.free), NamedOnce] = Field(
        [], description="Numbers among attributes of customers."
    )
    attribute_levels: Annotated[list[str], AfterValidator(labels.free), NamedOnce] = Field(
        [], description="Attributes of customers with levels."
    )
    trees: int = Field(30, ge=1, le=1000, description="Trees of a forest.")
    deepest: int = Field(5, ge=1, le=30, description="Splits from the root to a leaf.")


@job(
    reads=[*snapshot.READS, CUSTOMER_DAYS, CUSTOMER_FEATURES, CONTRACTS],
    writes=[scores.SCORES, scores.QUALITY, scores.IMPORTANCE],
    sections=score_sections.SECTIONS,
)
def choice_scores(  # noqa: PLR0913, PLR0917 - each is a table
    order_lines: DataFrame,
    customer_history: DataFrame,
    product_history: DataFrame,
    events: DataFrame,
    feedback: DataFrame,
    contacts: DataFrame,
    responses: DataFrame,
    customer_days: DataFrame,
    customer_features: DataFrame,
    contracts: DataFrame,
    config: Config,
) -> tuple[DataFrame, DataFrame, DataFrame]:
    as_of, since = config.as_of, config.as_of - timedelta(days=config.days)
    now = customer_features.where(F.col("as_of") == F.lit(as_of))
    # Used several times: it is computed once.
    then = snapshot.take(
        order_lines, customer_history, product_history, events, feedback, contacts, responses, since
    ).localCheckpoint()
    more = config.attribute_numbers, config.attribute_levels
    told_then, told_now = (
        partial(
            labels.told_by_attributes,
            held=snapshot.held(customer_history, "customer_id", ["attributes"], day),
            numbers=config.attribute_numbers,
            names=config.attribute_levels,
        )
        for day in (since, as_of)
    )

    def learned(question: str) -> tuple[DataFrame, DataFrame, DataFrame]:
        of_numbers, of_names = [*config.features, *more[0]], [*config.levels, *more[1]]
        customers, today = then, now
        if question == "stays":
            customers = choices.stays(then, customer_days, since, as_of)
        elif question == "responds":
            addressed = contacts.where(snapshot.is_addressed())
            customers = labels.responds(then, addressed, responses, since, as_of, config.response_days)
        else:
            of_numbers, of_names = [*labels.CONTRACT_NUMBERS, *of_numbers], [*labels.CONTRACT_NAMES, *of_names]
            customers, today = (
                labels.running(contracts, day).join(known, "customer_id", "left")
                for day, known in ((since, then), (as_of, now))
            )
            customers = labels.renews(customers, contracts, since, as_of)
        customers = told_then(customers).select("customer_id", "told", *of_numbers, *of_names).localCheckpoint()
        asked = Asked(question, OUTCOMES[question], as_of, since)
        return scores.learn(
            customers, told_now(today), asked, of_numbers, of_names, Grown(config.trees, config.deepest)
        )

    answers = together([partial(learned, question) for question in config.questions])
    told, quality, importance = (
        reduce(DataFrame.unionByName, of_question) for of_question in zip(*answers, strict=True)
    )
    return told, quality, importance


if __name__ == "__main__":
    choice_scores.run()
