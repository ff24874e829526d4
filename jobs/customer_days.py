"""Count what each known customer did on each day: orders, sales, returns, first and last time."""

from pyspark.sql import DataFrame

from crm_spark.core.job import Update, job
from crm_spark.core.pruning import among
from crm_spark.features import days
from crm_spark.features.days import CUSTOMER_DAYS
from crm_spark.ingest.tables import ORDER_LINES


@job(reads=[ORDER_LINES], writes=[CUSTOMER_DAYS], follows=ORDER_LINES)
def customer_days(order_lines: DataFrame, changed: DataFrame | None) -> DataFrame | Update:
    if changed is None:
        return days.count(order_lines)
    # The keys are used again and again: they are computed once.
    touched = days.touched(order_lines, changed, among).localCheckpoint()
    return Update(touched, days.recount(order_lines, touched, among))


if __name__ == "__main__":
    customer_days.run()
