"""Say why each customer is worth what they are worth, and why that changed since the last time."""

from typing import Annotated

from pydantic import AfterValidator, Field
from pyspark.sql import DataFrame

from crm_spark.core.config import NamedOnce, Settings
from crm_spark.core.job import job
from crm_spark.features.snapshot import CUSTOMER_FEATURES, FAMILIAR, numbers
from crm_spark.segments.kmeans import SEGMENTS
from crm_spark.segments.rfm import SCORES
from crm_spark.value import driver_sections, drivers, forest
from crm_spark.value.clv import CLV
from crm_spark.value.models import PARAMETERS


class Config(Settings):
    features: Annotated[list[str], AfterValidator(numbers), NamedOnce] = Field(
        list(FAMILIAR), min_length=1, description="Numbers that may go along with what a customer is worth."
    )
    learned_from: int = Field(100_000, ge=1000, description="Customers to learn from; all are explained.")


@job(
    reads=[CLV, PARAMETERS, CUSTOMER_FEATURES, SCORES, SEGMENTS],
    writes=[drivers.DRIVERS, drivers.SEGMENT_DRIVERS, forest.MODEL],
    sections=driver_sections.SECTIONS,
)
def clv_drivers(
    clv: DataFrame,
    clv_parameters: DataFrame,
    customer_features: DataFrame,
    rfm_scores: DataFrame,
    customer_segments: DataFrame,
    config: Config,
) -> tuple[DataFrame, DataFrame, DataFrame]:
    as_of, features = config.as_of, config.features
    segments = {"rfm": rfm_scores, "kmeans": customer_segments}
    # Both are used several times: they are computed once.
    customers = drivers.gather(clv, clv_parameters, customer_features, segments, as_of, features).localCheckpoint()
    learned = forest.learn(customers, features, config.learned_from)
    explained = drivers.explain(customers, learned).localCheckpoint()
    return (
        drivers.by_customer(explained, learned, as_of),
        drivers.by_segment(explained, learned, as_of),
        forest.described(explained, learned, as_of),
    )


if __name__ == "__main__":
    clv_drivers.run()
