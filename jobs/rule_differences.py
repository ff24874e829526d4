"""Tell for which customers the rules of baskets hold more surely, and what changed in them since the last time."""

from functools import reduce
from typing import Annotated, Literal

from pydantic import Field
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from crm_spark.baskets import difference_sections, differences, purchases
from crm_spark.baskets.rules import RULES
from crm_spark.core.config import NamedOnce, Settings
from crm_spark.core.job import job
from crm_spark.features.snapshot import CUSTOMER_FEATURES
from crm_spark.ingest.tables import ORDER_LINES, PRODUCT_HISTORY
from crm_spark.segments.kmeans import SEGMENTS
from crm_spark.segments.rfm import SCORES
from crm_spark.value.groups import of_day


class Config(Settings):
    basket: purchases.Basket = Field("order", description="What a basket is, as basket_rules has it.")
    days: int = Field(365, ge=1, le=3650, description="Days of baskets, as basket_rules has it.")
    attributes: Annotated[list[Literal["channel", "country", "region"]], NamedOnce] = Field(
        ["channel"], description="Columns of customer_features by which baskets are grouped too."
    )
    max_q: float = Field(0.05, ge=0, le=1, description="The greatest share of chance among changes that are told.")


@job(
    reads=[ORDER_LINES, PRODUCT_HISTORY, RULES, SCORES, SEGMENTS, CUSTOMER_FEATURES],
    writes=[differences.DIFFERENCES],
    sections=difference_sections.SECTIONS,
)
def rule_differences(
    order_lines: DataFrame,
    product_history: DataFrame,
    basket_rules: DataFrame,
    rfm_scores: DataFrame,
    customer_segments: DataFrame,
    customer_features: DataFrame,
    config: Config,
) -> DataFrame:
    as_of = config.as_of
    groups = [
        of_day(rfm_scores, as_of, F.col("segment").alias("rfm")),
        of_day(customer_segments, as_of, F.col("segment").alias("kmeans")),
        of_day(customer_features, as_of, *config.attributes),
    ]
    customers = reduce(lambda some, more: some.join(more, "customer_id", "full"), groups)
    span = differences.Span(as_of, config.days, config.basket)
    return differences.compare(order_lines, product_history, basket_rules, customers, span, config.max_q)


if __name__ == "__main__":
    rule_differences.run()
