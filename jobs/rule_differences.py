"""Tell for which customers the rules of baskets hold more surely, and what changed in them since the last time."""

from functools import reduce
from typing import Annotated, Literal

from pydantic import Field, model_validator
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from crm_spark.baskets import difference_sections, differences, purchases, within
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
    max_q: float = Field(
        0.05, ge=0, le=1, description="The greatest share of chance among changes, and rules of groups."
    )
    mined_within: Annotated[list[str], NamedOnce] = Field(
        [], description="rfm, kmeans or one of attributes: within their groups rules are sought that only these have."
    )
    min_support: float = Field(0.001, gt=0, le=1, description="Within groups, as basket_rules has it of all baskets.")
    min_baskets: int = Field(5, ge=1, description="Likewise.")
    max_items: int = Field(5, ge=2, le=50, description="Likewise.")
    min_confidence: float = Field(0.1, ge=0, le=1, description="Likewise.")

    @model_validator(mode="after")
    def _known(self) -> "Config":
        known = ["rfm", "kmeans", *self.attributes]
        unknown = [name for name in self.mined_within if name not in known]
        if unknown:
            raise ValueError(f"mined_within is of {', '.join(known)}, got {', '.join(unknown)}")
        return self


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
    names = ("min_support", "min_baskets", "max_items", "min_confidence", "max_q")
    wanted = within.Wanted(tuple(config.mined_within), **{name: getattr(config, name) for name in names})
    return differences.compare(order_lines, product_history, basket_rules, customers, span, config.max_q, wanted)


if __name__ == "__main__":
    rule_differences.run()
