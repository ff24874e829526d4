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
from crm_spark.models import choice_sections, choices
from crm_spark.segments.kmeans import SEGMENTS
from crm_spark.segments.rfm import SCORES


class Config(Settings):
    questions: Annotated[list[Literal["stays", "rfm", "kmeans"]], NamedOnce] = Field(
        ["stays", "rfm", "kmeans"], min_length=1, description="What is told apart."
    )
    days: int = Field(
        90, ge=1, le=3650, description="Who bought in the last days has stayed; the tree knows nothing of them."
    )
    features: Annotated[list[str], AfterValidator(numbers), NamedOnce] = Field(
        list(choices.FEATURES), min_length=1, description="Numbers to split by, of customer_features."
    )
    levels: Annotated[
        list[Literal["channel", "country", "region", "segment", "age_group", "income_group", "household"]], NamedOnce
    ] = Field(
        ["channel", "country"],
        description="Columns of customer_features to split by their levels, of which there are at most 30.",
    )
    deepest: int = Field(4, ge=1, le=30, description="Splits from the root to a leaf.")
    least_share: float = Field(0.01, ge=0, le=0.5, description="Of the customers, whom two branches must have.")
    confidence: float = Field(0.25, gt=0, le=0.5, description="The lower, the more of a tree is pruned.")


@job(
    reads=[*snapshot.READS, CUSTOMER_DAYS, CUSTOMER_FEATURES, SCORES, SEGMENTS],
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
    config: Config,
) -> tuple[DataFrame, DataFrame]:
    as_of, since = config.as_of, config.as_of - timedelta(days=config.days)
    segments = {"rfm": rfm_scores, "kmeans": customer_segments}

    def learned(question: str) -> tuple[DataFrame, DataFrame]:
        if question in segments:
            known_on, customers = as_of, choices.belongs(customer_features, segments[question], as_of)
        else:
            then = snapshot.take(
                order_lines, customer_history, product_history, events, feedback, contacts, responses, since
            )
            known_on, customers = since, choices.stays(then, customer_days, since, as_of)
        # Used several times: it is computed once.
        told = customers.select("customer_id", "told", *config.features, *config.levels).localCheckpoint()
        settings = config.deepest, config.least_share, config.confidence
        return choices.learn(told, question, as_of, known_on, config.features, config.levels, *settings)

    answers = together([partial(learned, question) for question in config.questions])
    trees, models = (reduce(DataFrame.unionByName, of_question) for of_question in zip(*answers, strict=True))
    return trees, models


if __name__ == "__main__":
    choice_trees.run()
