"""Tell what every customer brought and cost, and which share of the revenue to come will stay as margin."""

from typing import Annotated

from pydantic import Field
from pyspark.sql import DataFrame

from crm_spark.core.config import Settings
from crm_spark.core.job import job
from crm_spark.ingest.tables import CONTACTS, FEEDBACK, ORDER_LINES, PRODUCT_HISTORY
from crm_spark.value import margin_sections, margins


class Config(Settings):
    resalable: float = Field(1.0, ge=0, le=1, description="Share of what comes back that can be sold again.")
    service_cost: dict[str, Annotated[float, Field(ge=0, lt=1e9)]] = Field(
        default_factory=dict, description="What a statement of feedback costs to answer, by its kind."
    )


@job(
    reads=[ORDER_LINES, PRODUCT_HISTORY, CONTACTS, FEEDBACK],
    writes=[margins.MARGINS],
    sections=margin_sections.SECTIONS,
)
def customer_margins(
    order_lines: DataFrame, product_history: DataFrame, contacts: DataFrame, feedback: DataFrame, config: Config
) -> DataFrame:
    gathered = margins.gather(
        order_lines, product_history, contacts, feedback, config.as_of, config.resalable, config.service_cost
    )
    # It is used several times: it is computed once.
    return margins.expect(gathered.localCheckpoint(), config.as_of)


if __name__ == "__main__":
    customer_margins.run()
