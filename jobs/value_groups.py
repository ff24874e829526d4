"""Tell what groups of customers are worth, who moved between them, and how much few customers have."""

from typing import Annotated, Literal

from pydantic import Field
from pyspark.sql import DataFrame

from crm_spark.core.config import NamedOnce, Settings
from crm_spark.core.job import job
from crm_spark.features.snapshot import CUSTOMER_FEATURES
from crm_spark.segments.kmeans import SEGMENTS
from crm_spark.segments.rfm import SCORES
from crm_spark.value import concentration, group_sections, groups, migration, ranks, totals
from crm_spark.value.clv import CLV
from crm_spark.value.margins import MARGINS
from crm_spark.value.models import PARAMETERS


class Config(Settings):
    attributes: Annotated[list[Literal["channel", "country", "region"]], NamedOnce] = Field(
        ["channel", "country"], description="Columns of customer_features that part customers into groups too."
    )


@job(
    reads=[CLV, PARAMETERS, SCORES, SEGMENTS, CUSTOMER_FEATURES, MARGINS],
    writes=[groups.GROUPS, migration.MIGRATION, concentration.CONCENTRATION],
    sections=group_sections.SECTIONS,
)
def value_groups(
    clv: DataFrame,
    clv_parameters: DataFrame,
    rfm_scores: DataFrame,
    customer_segments: DataFrame,
    customer_features: DataFrame,
    customer_margins: DataFrame,
    config: Config,
) -> tuple[DataFrame, DataFrame, DataFrame]:
    as_of, attributes = config.as_of, config.attributes
    named = [*groups.GROUPINGS, *attributes]
    # Both are used several times: they are computed once.
    customers = groups.gather(
        clv, rfm_scores, customer_segments, customer_features, customer_margins, as_of, attributes
    ).localCheckpoint()
    ranked = ranks.rank(ranks.order(concentration.amounts(customers)).localCheckpoint())
    parted = groups.add_deciles(customers, ranked)
    sums = totals.draw(parted, clv_parameters.where(clv_parameters["as_of"] == as_of), named)
    return (
        groups.describe(parted, sums, as_of, named),
        migration.migrate(customers, clv, clv_parameters, rfm_scores, customer_segments, as_of),
        concentration.measure(ranked, customers, as_of),
    )


if __name__ == "__main__":
    value_groups.run()
