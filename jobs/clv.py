"""Tell what every customer will be worth: who buys again, how often, and for how much."""

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from crm_spark.core.config import NamedOnce, Settings
from crm_spark.core.job import job
from crm_spark.core.kept import kept
from crm_spark.core.session import SMALL_ROWS
from crm_spark.features.days import CUSTOMER_DAYS
from crm_spark.ingest.tables import CUSTOMER_HISTORY, ORDER_LINES
from crm_spark.value import clv as value
from crm_spark.value import covariate_sections, covariates, histories, models, sections
from crm_spark.value.margins import MARGINS

Covariate = Literal["channel", "country", "region", "first_sales", "registered_days"]


class Config(Settings):
    horizon: int = Field(365, ge=1, le=3650, description="Days after the day the answers speak for.")
    models: Annotated[list[Literal["bg_nbd", "mbg_nbd", "pareto_nbd", "nbd", "bg_bb"]], NamedOnce] = Field(
        ["bg_nbd", "mbg_nbd", "pareto_nbd", "nbd"], min_length=1, description="Models of buying to choose from."
    )
    chance_days: int = Field(
        1, ge=1, le=366, description="Days of one chance to buy: orders within it are one purchase. For bg_bb."
    )
    held_out: int = Field(42, ge=0, le=3650, description="Last days by which models are judged; 0 for none.")
    unit_days: int = Field(7, ge=1, le=366, description="Days of one unit of the models' time: alpha, beta are in it.")
    discount: float = Field(0.1, ge=0, le=10, description="By which share money loses worth in a year.")
    margin: float = Field(
        1.0, gt=0, le=1, description="Share of the money that counts as value where customer_margins tells none."
    )
    net: bool = Field(
        False, description="Whether returns are taken off the money; customer_margins, which does so too, is not read."
    )
    covariates: Annotated[list[Covariate], NamedOnce] = Field(
        [], description="What was known of customers when they first bought, by which models may tell them apart."
    )

    @field_validator("models")
    @classmethod
    def _stands_alone(cls, models: list[str]) -> list[str]:
        if "bg_bb" in models and len(models) > 1:
            raise ValueError("bg_bb stands alone: its likelihood is of chances to buy, that of others of times")
        return models

    @model_validator(mode="after")
    def _can_have_covariates(self) -> "Config":
        if self.covariates and not set(self.models) & set(models.WITH_COVARIATES):
            raise ValueError(f"covariates need one of the models {', '.join(models.WITH_COVARIATES)}")
        return self

    @model_validator(mode="after")
    def _hold_out_chances(self) -> "Config":
        if self.held_out % self.chance_days:
            raise ValueError(f"held_out must be a multiple of chance_days, got {self.held_out} and {self.chance_days}")
        return self


@job(
    reads=[CUSTOMER_DAYS, MARGINS, CUSTOMER_HISTORY, ORDER_LINES],
    writes=[value.CLV, models.PARAMETERS, models.SCORES, models.HOLDOUT],
    sections=[*sections.SECTIONS, *covariate_sections.SECTIONS],
    spark=SMALL_ROWS,
)
def clv(
    customer_days: DataFrame,
    customer_margins: DataFrame,
    customer_history: DataFrame,
    order_lines: DataFrame,
    config: Config,
) -> tuple[DataFrame, DataFrame, DataFrame, DataFrame]:
    as_of, held_out = config.as_of, config.held_out
    margins = None if config.net else customer_margins.where(F.col("as_of") == F.lit(as_of))
    if config.chance_days > 1:
        customer_days = histories.chances(customer_days, as_of, config.chance_days)
    # What is used several times is computed once, and lies as those want it who use it last.
    gathered = histories.gather(customer_days, as_of, config.net, held_out, margins)
    customers = kept(gathered if config.covariates else histories.alike(gathered))
    prospects = histories.prospects(customer_history, customers, as_of, margins)
    if config.covariates:
        everybody = customers.unionByName(prospects, allowMissingColumns=True)
        known = kept(covariates.gather(everybody, customer_history, order_lines, as_of, config.covariates))
        told = kept(histories.alike(covariates.level(known, config.covariates)))
        customers, prospects = histories.bought(told), told.where(F.col("frequency").isNull())
    weeks = histories.weeks(customer_days, as_of, held_out) if held_out else None
    fitted = models.fit(
        customers, as_of, config.unit_days, config.models, held_out, weeks, config.chance_days
    ).localCheckpoint()
    parameters = models.parameters(fitted)
    values = value.predict(customers, parameters, as_of, config.horizon, config.discount, config.margin, prospects)
    return values, parameters, models.scores(fitted), models.expectations(fitted)


if __name__ == "__main__":
    clv.run()
