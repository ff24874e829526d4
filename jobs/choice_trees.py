"""Tell by what customers differ: who stays and who leaves, and who belongs to which segment."""

from datetime import timedelta
from functools import partial, reduce
from typing import Annotated, Literal

from pydantic import AfterValidator, Field
from pyspark.sql import DataFrame

from crm_spark.core.config import NamedOnce, Settings
from crm_spark.core.job import job
from crm_spark.core.together import together
from crm_spark.features import snapshot
from crm_spark.features.days import CUSTOMER_DAYS
from crm_spark.features.snapshot import CUSTOMER_FEATURES, numbers
from crm_spark.ingest.tables import CONTRACTS
from crm_spark.models import choice_sections, choices, labels
from crm_spark.segments.kmeans import SEGMENTS
from crm_spark.segments.rfm import SCORES


class Config(Settings):
    questions: Annotated[list[Literal["stays", "rfm", "kmeans", "renews"]], NamedOnce] = Field(
        ["stays", "rfm", "kmeans"], min_length=1, description="What is told apart."
    )
    days: int = Field(
        90, ge=1, le=3650, description="Who bought in the last days has stayed; the tree knows nothing of them."
    )
    features: Annotated[list[str], AfterValidator(numbers), NamedOnce] = Field(
        list(choices.FEATURES), min_length=1, description="Numbers to split by, of customer_features."
    )
    levels: Annotated[list[choices.Level], NamedOnce] = Field(
        ["channel", "country"],
        description="Columns of customer_features to split by their levels, of which there are at most 30.",
    )
    attribute_numbers: Annotated[list[str], AfterValidator(labels.free), NamedOnce] = Field(
        [], description="Numbers among attributes of customers."
    )
    attribute_levels: Annotated[list[str], AfterValidator(labels.free), NamedOnce] = Field(
        [], description="Attributes of customers with levels."
    )
    method: Literal["c45", "cart"] = Field(
        "c45", description="c45 has a branch for each level and prunes; cart, by MLlib, splits in two."
    )
    deepest: int = Field(4, ge=1, le=30, description="Splits from the root to a leaf.")
    least_share: float = Field(0.01, ge=0, le=0.5, description="Of the customers, whom two branches must have.")
    confidence: float = Field(0.25, gt=0, le=0.5, description="The lower, the more of a tree is pruned.")


@job(
    reads=[*snapshot.READS, CUSTOMER_DAYS, CUSTOMER_FEATURES, SCORES, SEGMENTS, CONTRACTS],
    writes=[choices.TREES, choices.MODELS],
    sections=choice_sections.SECTIONS,
)
def choice_trees(  # noqa: PLR0913, PLR0917 - each is a table
    order_lines: DataFrame,
    customer_history: DataFrame,
    product_history: DataFrame,
    events: DataFrame,
    feedback: DataFrame,
    contacts: DataFrame,
    responses: DataFrame,
    customer_days: DataFrame,
    customer_features: DataFrame,
    rfm_scores: DataFrame,
    customer_segments: DataFrame,
    contracts: DataFrame,
    config: Config,
) -> tuple[DataFrame, DataFrame]:
    as_of, since = config.as_of, config.as_of - timedelta(days=config.days)
    segments = {"rfm": rfm_scores, "kmeans": customer_segments}

    def learned(question: str) -> tuple[DataFrame, DataFrame]:
        numbers, names = [*config.features, *config.attribute_numbers], [*config.levels, *config.attribute_levels]
        if question in segments:
            known_on, customers = as_of, choices.belongs(customer_features, segments[question], as_of)
        else:
            known_on = since
            customers = snapshot.take(
                order_lines, customer_history, product_history, events, feedback, contacts, responses, since
            )
            if question == "stays":
                customers = choices.stays(customers, customer_days, since, as_of)
            else:
                had = labels.running(contracts, since).join(customers, "customer_id", "left")
                customers = labels.renews(had, contracts, since, as_of)
                numbers, names = [*labels.CONTRACT_NUMBERS, *numbers], [*labels.CONTRACT_NAMES, *names]
        held = snapshot.held(customer_history, "customer_id", ["attributes"], known_on)
        customers = labels.told_by_attributes(customers, held, config.attribute_numbers, config.attribute_levels)
        # Used several times: it is computed once.
        told = customers.select("customer_id", "told", *numbers, *names).localCheckpoint()
        settings = config.deepest, config.least_share, config.confidence, config.method
        return choices.learn(told, question, as_of, known_on, numbers, names, *settings)

    answers = together([partial(learned, question) for question in config.questions])
    trees, models = (reduce(DataFrame.unionByName, of_question) for of_question in zip(*answers, strict=True))
    return trees, models


if __name__ == "__main__":
    choice_trees.run()
