"""Find what is out of the ordinary in the newest periods, and say which of it to tell, why, and how sure that is."""

from pydantic import Field
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from crm_spark.anomalies import detectors, finding_sections, findings, standings
from crm_spark.core.config import Settings
from crm_spark.core.job import job
from crm_spark.forecasting.forecasts import FORECASTS
from crm_spark.forecasting.series import SERIES
from crm_spark.ingest.tables import VERDICTS
from crm_spark.kernels.standings import Asked, Test
from crm_spark.segments.rfm import SCORES


class Config(Settings):
    newest: int = Field(1, ge=1, le=100, description="Last periods that are judged.")
    past: int = Field(52, ge=8, le=10_000, description="Periods before that each is held against.")
    season: int | None = Field(
        None, ge=1, le=10_000, description="Periods of a cycle; without it 7 days, 52 weeks, 12 months."
    )
    window: int = Field(4, ge=2, le=1_000, description="Periods of the last window, whose mean is tested.")
    test: Test = Field("welch", description="By which t-test: welch, pooled, paired or one_sample.")
    origins: int = Field(
        26, ge=1, le=1_000, description="Former periods that are judged, too, to know how often methods are wrong."
    )
    detector: detectors.Chosen = Field(
        "forest",
        description="What learns from verdicts; isolation_forest, which stands in for them, does not.",
    )
    learned: int = Field(60, ge=8, le=10_000, description="Periods that detectors learn from and are held against.")
    max_q: float = Field(0.05, gt=0, le=0.5, description="Share of findings that may be chance.")
    budget: int = Field(20, ge=0, le=100_000, description="Findings that are told a day at most.")
    quiet: int = Field(
        1, ge=0, le=1_000, description="Periods without a finding between two of an episode at most; it is told once."
    )


@job(
    reads=[SERIES, FORECASTS, SCORES, VERDICTS, findings.FINDINGS],
    writes=[findings.FINDINGS, standings.STANDINGS, detectors.DETECTORS],
    sections=finding_sections.SECTIONS,
)
def behaviour_findings(
    behaviour_series: DataFrame,
    behaviour_forecasts: DataFrame,
    rfm_scores: DataFrame,
    verdicts: DataFrame,
    behaviour_findings: DataFrame,
    config: Config,
) -> tuple[DataFrame, DataFrame, DataFrame]:
    as_of = config.as_of
    series = behaviour_series.where(F.col("as_of") == F.lit(as_of))
    # Of all that was ever foretold, what is of the newest periods: none is longer than a month.
    since = F.date_sub(F.lit(as_of), 31 * (config.newest + 1))
    foretold = behaviour_forecasts.where((F.col("as_of") < F.lit(as_of)) & (F.col("day") > since))
    peers = rfm_scores.where(F.col("as_of") == F.lit(as_of)).select(
        F.lit("customer").alias("grouping"), F.col("customer_id").alias("key"), F.col("segment").alias("group")
    )
    asked = Asked(1, config.past, config.window, config.newest, config.origins, config.test)
    # Both are used several times: they are computed once.
    measured = standings.measure(series, asked, config.season, foretold).localCheckpoint()
    detected, learned = detectors.judge(
        series, verdicts, as_of, config.newest, config.learned, config.detector, config.season
    )
    judged = standings.judge(measured, as_of, peers, detected).localCheckpoint()
    found = findings.find(judged, behaviour_findings, as_of, config.max_q, config.budget, config.quiet)
    return findings.draw(found, series, config.past), judged, learned


if __name__ == "__main__":
    behaviour_findings.run()
