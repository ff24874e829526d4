"""Find the customers who behave alike, and say what each of these segments is like."""

from typing import Annotated

from pydantic import AfterValidator, Field, model_validator
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from crm_spark.core.config import NamedOnce, Settings
from crm_spark.core.job import job
from crm_spark.features.snapshot import CUSTOMER_FEATURES, numbers
from crm_spark.segments import drift, former, kmeans, kmeans_sections, lifecycle_sections, migration, profiles
from crm_spark.segments.choice import By


class Config(Settings):
    features: Annotated[list[str], AfterValidator(numbers), NamedOnce] = Field(
        list(kmeans.FEATURES), min_length=1, description="By which numbers customers are alike or not."
    )
    k: int | None = Field(None, ge=2, le=50, description="Number of segments; without it one is chosen.")
    choose_by: By = Field("silhouette", description="Which of the numbers that may be is taken.")
    k_from: int = Field(min(kmeans.K), ge=2, le=50, description="The least number that may be.")
    k_to: int = Field(max(kmeans.K), ge=2, le=50, description="The greatest.")
    tail: float = Field(0.01, ge=0, lt=0.5, description="Share of customers at both ends who count as outliers.")
    starts: int = Field(10, ge=1, le=100, description="How often the search for each number is begun anew.")
    engine: kmeans.Engine = Field("lloyd", description="Who seeks: mllib is the reference, and takes long.")
    refit_days: int = Field(
        1, ge=1, le=36_500, description="For how many days what was learned is used; 1: each run learns anew."
    )

    @model_validator(mode="after")
    def _rise(self) -> "Config":
        if self.k_from > self.k_to:
            raise ValueError(f"k_from must be at most k_to, got {self.k_from} and {self.k_to}")
        if self.engine == "mllib" and self.choose_by == "stability":
            raise ValueError("choose_by stability needs engine lloyd: mllib does not tell it")
        return self

    @property
    def ks(self) -> list[int]:
        return [self.k] if self.k is not None else list(range(self.k_from, self.k_to + 1))


@job(
    reads=[CUSTOMER_FEATURES, kmeans.SEGMENTS, kmeans.MODEL],
    writes=[kmeans.SEGMENTS, profiles.PROFILES, kmeans.MODEL, migration.MIGRATION, drift.DRIFT],
    sections=[*kmeans_sections.SECTIONS, *lifecycle_sections.SECTIONS],
)
def customer_segments(
    customer_features: DataFrame, customer_segments: DataFrame, segment_model: DataFrame, config: Config
) -> tuple[DataFrame, DataFrame, DataFrame, DataFrame, DataFrame]:
    as_of, features = config.as_of, config.features
    last = former.find(segment_model, as_of)
    shown = list(dict.fromkeys([*features, *profiles.SHOWN]))
    known = dict.fromkeys([*shown, *(last.features if last else [])])
    of_day = customer_features.where(F.col("as_of") == F.lit(as_of))
    # Each of these is used several times: it is computed once.
    customers = of_day.select("customer_id", "as_of", *known).localCheckpoint()
    if last and last.is_kept(as_of, features, config.ks, config.refit_days):
        model = former.keep(segment_model, last, as_of).localCheckpoint()
    else:
        search = kmeans.Search(config.starts, config.choose_by, config.engine)
        model = kmeans.fit(customers, as_of, features, config.ks, config.tail, search)
        if last:
            model = former.align(customers, model, segment_model, last, as_of, features).localCheckpoint()
    segments = kmeans.predict(customers, model, as_of, features).localCheckpoint()
    since = last.since if last else None
    return (
        segments,
        profiles.profile(customers, segments, as_of, shown, features),
        model,
        migration.migrate(customers, segments, customer_segments, as_of, since),
        drift.measure(customer_features, segments, customer_segments, model, as_of, since, features),
    )


if __name__ == "__main__":
    customer_segments.run()
