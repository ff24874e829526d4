"""Score every customer by recency, frequency and monetary value."""

from math import isfinite
from pathlib import Path
from typing import cast

from pydantic import Field, field_validator, model_validator
from pyspark.sql import DataFrame, SparkSession

from crm_spark.core.config import Settings
from crm_spark.core.job import job
from crm_spark.core.rules import read_rules
from crm_spark.features.days import CUSTOMER_DAYS
from crm_spark.segments import changes, rfm, sections, worth


class Config(Settings):
    bins: int = Field(5, ge=2, le=100, description="Number of scores, 1 (worst) to bins (best).")
    net: bool = Field(False, description="Whether returns are taken off the money.")
    cuts: dict[str, list[float]] = Field(
        default_factory=dict, description="Cut points, ascending, for a measure: in place of quantiles."
    )
    segments: Path | None = Field(None, description="A rule file that names segments, in place of the shipped one.")

    @field_validator("cuts")
    @classmethod
    def _are_ascending(cls, cuts: dict[str, list[float]]) -> dict[str, list[float]]:
        for measure, points in cuts.items():
            if measure not in rfm.MEASURES:
                raise ValueError(f"no measure is called '{measure}'; there are {', '.join(rfm.MEASURES)}")
            if points != sorted(set(points)) or not all(isfinite(point) for point in points):
                raise ValueError(f"cut points of {measure} must ascend, got {points}")
        return cuts

    @model_validator(mode="after")
    def _fit_the_bins(self) -> "Config":
        for measure, points in self.cuts.items():
            if len(points) != self.bins - 1:
                raise ValueError(f"{self.bins} bins need {self.bins - 1} cut points of {measure}, got {len(points)}")
        return self

    @model_validator(mode="after")
    def _rules_stand(self) -> "Config":
        """Refuse the rules before the run starts; their conditions only Spark can read, where it is there."""
        active = SparkSession.getActiveSession()
        rfm.check(self.rules, None if active is None else active.range(0))
        return self

    @property
    def rules(self) -> rfm.SegmentRules:
        return cast(rfm.SegmentRules, read_rules("rfm_segments.yaml", self.segments))


@job(
    reads=[CUSTOMER_DAYS],
    writes=[rfm.SCORES, rfm.CUTS],
    sections=[*changes.SECTIONS, *sections.SECTIONS, *worth.SECTIONS],
)
def rfm_scores(customer_days: DataFrame, config: Config) -> tuple[DataFrame, DataFrame]:
    # Both tables are made of these: they are computed once.
    measures = rfm.measure(customer_days, config.as_of, config.net).localCheckpoint()
    cuts = rfm.cut_points(measures, config.bins, config.cuts).localCheckpoint()
    scores = rfm.score(measures, cuts, config.as_of, config.bins, config.rules)
    return scores, rfm.listed(cuts, config.as_of)


if __name__ == "__main__":
    rfm_scores.run()
