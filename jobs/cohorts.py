"""Follow the customers of each month of first purchase: who comes back, and what they bring."""

from pydantic import Field
from pyspark.sql import DataFrame

from crm_spark.core.config import Settings
from crm_spark.core.job import job
from crm_spark.features.days import CUSTOMER_DAYS
from crm_spark.value import cohort_sections
from crm_spark.value import cohorts as value
from crm_spark.value.margins import MARGINS


class Config(Settings):
    net: bool = Field(
        False,
        description="Whether returns are taken off the money; no margin is told then, whose share is before them.",
    )


@job(reads=[CUSTOMER_DAYS, MARGINS], writes=[value.COHORTS], sections=cohort_sections.SECTIONS)
def cohorts(customer_days: DataFrame, customer_margins: DataFrame, config: Config) -> DataFrame:
    return value.follow(customer_days, customer_margins, config.as_of, config.net)


if __name__ == "__main__":
    cohorts.run()
