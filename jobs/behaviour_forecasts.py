"""Foretell each series of behaviour by the method that told its own past best."""

from pydantic import Field
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from crm_spark.core.config import Settings
from crm_spark.core.job import job
from crm_spark.forecasting import forecast_sections, forecasts, reconciliation
from crm_spark.forecasting.series import OF_SERIES, SERIES
from crm_spark.segments.rfm import SCORES


class Config(Settings):
    horizon: int = Field(8, ge=1, le=1_000, description="Periods to foretell.")
    origins: int = Field(
        2, ge=1, le=50, description="From how many earlier periods the past is foretold to judge methods."
    )
    season: int | None = Field(
        None, ge=1, le=10_000, description="Periods of a cycle; without it 7 days, 52 weeks, 12 months."
    )
    refit_days: int = Field(
        1, ge=1, le=36_500, description="For how many days what was learned is used; 1: each run learns anew."
    )
    borrow: bool = Field(
        False,
        description="Whether customers' series that are too short are told with the ARIMA terms of their segment.",
    )
    reconciled: reconciliation.Method | None = Field(
        "top_down",
        description="How forecasts are made to add up: top_down, wls_var, wls_struct, bottom_up, or null: not at all.",
    )


@job(
    reads=[SERIES, forecasts.MODELS, SCORES],
    writes=[forecasts.FORECASTS, forecasts.MODELS],
    sections=forecast_sections.SECTIONS,
)
def behaviour_forecasts(
    behaviour_series: DataFrame, behaviour_models: DataFrame, rfm_scores: DataFrame, config: Config
) -> tuple[DataFrame, DataFrame]:
    as_of = config.as_of
    series = behaviour_series.where(F.col("as_of") == F.lit(as_of))
    segments = rfm_scores.where(F.col("as_of") == F.lit(as_of)).select("customer_id", "segment")
    asked = config.horizon, config.origins, as_of, config.season
    left, kept = series, None
    if config.refit_days > 1:
        kept = forecasts.keep(behaviour_models, series, as_of, config.refit_days)
        left = series.join(kept, list(OF_SERIES), "left_anti")
    is_short = forecasts.is_short() if config.borrow else F.lit(False)
    models = forecasts.learn(left.where(~is_short), *asked, former=behaviour_models)
    models = models if kept is None else kept.unionByName(models)
    models = models.localCheckpoint()  # it is used twice: it is computed once
    if config.borrow:
        borrowed = forecasts.borrow(left.where(is_short), series, models, segments, *asked)
        models = models.unionByName(borrowed.localCheckpoint())
    told = forecasts.predict(series, models, config.horizon, as_of)
    if config.reconciled is None:
        return told, models
    told = told.localCheckpoint()  # this too
    whole = told.unionByName(reconciliation.others(series, told, config.horizon, config.origins))
    return reconciliation.reconcile(whole, segments, config.reconciled), models


if __name__ == "__main__":
    behaviour_forecasts.run()
