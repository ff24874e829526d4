"""Tell what every customer will be worth: who buys again, how often, and for how much."""

from pydantic import Field
from pyspark.sql import DataFrame

from crm_spark.core.config import Settings
from crm_spark.core.job import job
from crm_spark.features.days import CUSTOMER_DAYS
from crm_spark.value import clv as model
from crm_spark.value import sections


class Config(Settings):
    horizon: int = Field(365, ge=1, le=3650, description="Days after the day the answers speak for.")
    unit_days: int = Field(7, ge=1, le=366, description="Days of one unit of the model's time: alpha is told in it.")
    discount: float = Field(0.1, ge=0, le=10, description="By which share money loses worth in a year.")
    margin: float = Field(1.0, gt=0, le=1, description="Share of the money that counts as value.")
    net: bool = Field(False, description="Whether returns are taken off the money.")


@job(reads=[CUSTOMER_DAYS], writes=[model.CLV, model.PARAMETERS], sections=sections.SECTIONS)
def clv(customer_days: DataFrame, config: Config) -> tuple[DataFrame, DataFrame]:
    # Both are used twice: they are computed once.
    histories = model.histories(customer_days, config.as_of, config.net).localCheckpoint()
    parameters = model.fit(histories, config.as_of, config.unit_days).localCheckpoint()
    values = model.predict(histories, parameters, config.as_of, config.horizon, config.discount, config.margin)
    return values, parameters


if __name__ == "__main__":
    clv.run()
