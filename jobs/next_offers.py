"""Say what to offer each customer next, and which rule is the reason."""

from typing import Annotated

from pydantic import AfterValidator, Field
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from crm_spark.baskets import offer_sections, offers, purchases
from crm_spark.baskets.rules import RULES
from crm_spark.core.config import Settings
from crm_spark.core.job import job
from crm_spark.ingest.tables import ORDER_LINES, PRODUCT_HISTORY


class Config(Settings):
    level: Annotated[str, AfterValidator(purchases.check)] = Field(
        "product", description="What is offered; basket_rules must have rules of it."
    )
    days: int = Field(365, ge=1, le=3650, description="Days of purchases that lead to offers, and are not offered.")
    most: int = Field(3, ge=1, le=100, description="Offers of a customer at most.")
    by: offers.Strength = Field("confidence", description="By what rules are strong; or lift, added_revenue, …")


@job(
    reads=[ORDER_LINES, PRODUCT_HISTORY, RULES],
    writes=[offers.OFFERS],
    sections=offer_sections.SECTIONS,
)
def next_offers(
    order_lines: DataFrame, product_history: DataFrame, basket_rules: DataFrame, config: Config
) -> DataFrame:
    bought = purchases.gather(order_lines, product_history, config.as_of, config.days, config.level)
    of_day = (F.col("as_of") == F.lit(config.as_of)) & (F.col("level") == config.level)
    # It is used several times: it is computed once.
    known = bought.select("customer_id", "item").localCheckpoint()
    return offers.offer(known, basket_rules.where(of_day), config.as_of, config.most, config.by)


if __name__ == "__main__":
    next_offers.run()
