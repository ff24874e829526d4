"""Tell how long contracts will be renewed, and what the running ones are worth."""

from pydantic import Field
from pyspark.sql import DataFrame

from crm_spark.core.config import Settings
from crm_spark.core.job import job
from crm_spark.ingest.tables import CONTRACTS
from crm_spark.value import contract_retention, contract_sections, contract_totals
from crm_spark.value import contract_values as values


class Config(Settings):
    horizon: int = Field(365, ge=1, le=3650, description="Days after the day the answers speak for.")
    by_plan: bool = Field(False, description="Whether each plan is fitted by itself; else all whose periods are equal.")
    held_out: int = Field(42, ge=0, le=3650, description="Last days by which the model is judged; 0 for none.")
    discount: float = Field(0.1, ge=0, le=10, description="By which share money loses worth in a year.")
    margin: float = Field(1.0, gt=0, le=1, description="Share of the money that counts as value.")


@job(
    reads=[CONTRACTS],
    writes=[values.VALUES, contract_totals.TOTALS, contract_retention.PARAMETERS, contract_retention.RETENTION],
    sections=contract_sections.SECTIONS,
)
def contract_values(contracts: DataFrame, config: Config) -> tuple[DataFrame, DataFrame, DataFrame, DataFrame]:
    as_of = config.as_of
    # Used several times: it is computed once.
    fitted = contract_retention.fit(contracts, as_of, config.by_plan, config.held_out).localCheckpoint()
    parameters = contract_retention.parameters(fitted)
    asked = (contracts, parameters, as_of, config.horizon, config.discount, config.margin)
    return values.predict(*asked), contract_totals.total(*asked), parameters, contract_retention.retention(fitted)


if __name__ == "__main__":
    contract_values.run()
