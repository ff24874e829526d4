"""Tell how behaviour moves: series of what customers did, their averages, trend and season, and their rhythm."""

from collections.abc import Mapping
from typing import Annotated

from pydantic import AfterValidator, Field
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from crm_spark.core.config import NamedOnce, Settings
from crm_spark.core.job import job
from crm_spark.forecasting import autocorrelation, sections, series, smoothing
from crm_spark.ingest.tables import CUSTOMER_HISTORY, EVENTS, FEEDBACK, ORDER_LINES, PRODUCT_HISTORY
from crm_spark.kernels.moving_average import Kind
from crm_spark.segments.rfm import SCORES

Groupings = Annotated[list[str], AfterValidator(series.check), NamedOnce]
WINDOWS: Mapping[series.Period, int] = {"day": 7, "week": 13, "month": 12}


class Config(Settings):
    period: series.Period = Field("week", description="day, week (from Monday on) or month.")
    groupings: Groupings = Field(
        ["all", "segment", "category", "customer"],
        min_length=1,
        description="Whose series: all, customer, segment, region, country, channel, product, category, subcategory, "
        "brand; or several of them, as segment+channel.",
    )
    measures: Annotated[list[series.Measure], NamedOnce] = Field(
        list(series.MEASURES), min_length=1, description="Of what."
    )
    most: int = Field(156, ge=1, le=10_000, description="Periods of a series at most, the last ones.")
    average: Kind = Field("trailing", description="trailing, centred, weighted, exponential or seasonal.")
    window: int | None = Field(
        None,
        ge=1,
        le=10_000,
        description="Periods of the average, of seasonal: cycles; without it 7 days, 13 weeks, 12 months.",
    )
    least: float = Field(1.0, gt=0, le=1, description="Share of the window that must be known.")
    season: int | None = Field(
        None, ge=2, le=10_000, description="Periods of a cycle; without it 7 days, 52 weeks, 12 months."
    )
    decomposed: Groupings = Field(["all", "segment"], description="Of which groupings trend and season are told apart.")
    lags: int = Field(26, ge=1, le=1_000, description="Periods back of which correlations are told.")


@job(
    reads=[ORDER_LINES, EVENTS, FEEDBACK, CUSTOMER_HISTORY, PRODUCT_HISTORY, SCORES],
    writes=[series.SERIES, autocorrelation.AUTOCORRELATIONS],
    sections=sections.SECTIONS,
)
def behaviour_series(
    order_lines: DataFrame,
    events: DataFrame,
    feedback: DataFrame,
    customer_history: DataFrame,
    product_history: DataFrame,
    rfm_scores: DataFrame,
    config: Config,
) -> tuple[DataFrame, DataFrame]:
    as_of, groupings = config.as_of, config.groupings
    season = config.season or series.SEASONS[config.period]
    segments = rfm_scores.where(F.col("as_of") == F.lit(as_of)).select("customer_id", "segment")
    facts = series.facts(order_lines, events, feedback, config.measures)
    known = series.tell_groups(facts, groupings, segments, customer_history, product_history, as_of)
    # It is used several times: it is computed once.
    told = series.gather(known, groupings, config.period, as_of, config.most).localCheckpoint()
    window = config.window or WINDOWS[config.period]
    smoothed = smoothing.smooth(told, config.average, window, season, config.least)
    parted = smoothing.decompose(told.where(F.col("grouping").isin(config.decomposed)), season)
    of_day = {"as_of": F.lit(as_of), "period": F.lit(config.period)}
    whole = smoothed.join(parted, ["grouping", "key", "measure"], "left").withColumns(of_day)
    correlations = autocorrelation.correlate(told, config.lags).withColumns(of_day)
    return whole.select(*series.SERIES.names), correlations.select(*autocorrelation.AUTOCORRELATIONS.names)


if __name__ == "__main__":
    behaviour_series.run()
