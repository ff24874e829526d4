"""Tell why the revenue and margin of the last days differ from those of as many days before."""

from typing import Literal

from pydantic import Field
from pyspark.sql import DataFrame

from crm_spark.core.config import Settings
from crm_spark.core.job import job
from crm_spark.features.days import CUSTOMER_DAYS
from crm_spark.features.snapshot import CUSTOMER_FEATURES
from crm_spark.value import bridge, bridge_sections
from crm_spark.value.margins import MARGINS


class Config(Settings):
    period: int = Field(90, ge=1, le=3650, description="Days of each period, where there are twice as many.")
    attribute: Literal["channel", "country", "region"] = Field(
        "channel", description="Column of customer_features: between its groups orders shift."
    )
    net: bool = Field(
        False,
        description="Whether returns are taken off the money; no margin is told then, whose share is before them.",
    )


@job(
    reads=[CUSTOMER_DAYS, CUSTOMER_FEATURES, MARGINS],
    writes=[bridge.BRIDGE],
    sections=bridge_sections.SECTIONS,
)
def value_bridge(
    customer_days: DataFrame, customer_features: DataFrame, customer_margins: DataFrame, config: Config
) -> DataFrame:
    return bridge.compare(
        customer_days,
        customer_features,
        customer_margins,
        config.as_of,
        config.period,
        config.attribute,
        config.net,
    )


if __name__ == "__main__":
    value_bridge.run()
