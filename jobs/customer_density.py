"""Find the customers who lie among many alike, and those who are unlike any."""

from typing import Annotated

from pydantic import AfterValidator, Field
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from crm_spark.core.config import NamedOnce, Settings
from crm_spark.core.job import job
from crm_spark.features.snapshot import CUSTOMER_FEATURES, numbers
from crm_spark.segments import density, density_sections, kmeans


class Config(Settings):
    features: Annotated[list[str], AfterValidator(numbers), NamedOnce] = Field(
        list(kmeans.FEATURES), min_length=1, description="By which numbers customers are alike or not."
    )
    eps: float | None = Field(
        None, gt=0, le=1_000, description="What is near, in standard deviations; without it a curve tells it."
    )
    min_samples: int | None = Field(
        None, ge=1, le=10_000, description="Customers that must be near; without it twice the number of features."
    )
    tail: float = Field(0.0, ge=0, lt=0.5, description="Share of customers at both ends who count as outliers.")


@job(
    reads=[CUSTOMER_FEATURES],
    writes=[density.DENSITY, density.GROUPS, density.MODEL],
    sections=density_sections.SECTIONS,
)
def customer_density(customer_features: DataFrame, config: Config) -> tuple[DataFrame, DataFrame, DataFrame]:
    as_of, features = config.as_of, config.features
    of_day = customer_features.where(F.col("as_of") == F.lit(as_of))
    # Each of these is used several times: it is computed once.
    customers = of_day.select("customer_id", "as_of", *dict.fromkeys([*features, "spend"])).localCheckpoint()
    model = density.learn(customers, as_of, features, config.tail, config.eps, config.min_samples).localCheckpoint()
    found = density.find(customers, model, as_of, features).localCheckpoint()
    return found, density.describe(customers, found, model, as_of, features), model


if __name__ == "__main__":
    customer_density.run()
