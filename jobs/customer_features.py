"""Take a snapshot of what is known of each customer who bought: features for models and segments."""

from pyspark.sql import DataFrame

from crm_spark.core.config import Settings
from crm_spark.core.job import job
from crm_spark.features import sections, snapshot


@job(reads=snapshot.READS, writes=[snapshot.CUSTOMER_FEATURES], sections=sections.SECTIONS)
def customer_features(  # noqa: PLR0913, PLR0917 - each is a table
    order_lines: DataFrame,
    customer_history: DataFrame,
    product_history: DataFrame,
    events: DataFrame,
    feedback: DataFrame,
    contacts: DataFrame,
    responses: DataFrame,
    config: Settings,
) -> DataFrame:
    return snapshot.take(
        order_lines, customer_history, product_history, events, feedback, contacts, responses, config.as_of
    )


if __name__ == "__main__":
    customer_features.run()
