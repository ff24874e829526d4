"""Find the customers who behave alike, and say what each of these segments is like."""

from pydantic import Field, field_validator, model_validator
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from crm_spark.core.config import Settings
from crm_spark.core.errors import near
from crm_spark.core.job import job
from crm_spark.features.snapshot import CUSTOMER_FEATURES
from crm_spark.segments import kmeans, kmeans_sections, profiles

NUMBERS = [
    column.name
    for column in CUSTOMER_FEATURES.columns
    if not column.personal and column.type.startswith(("int", "bigint", "double", "decimal"))
]


class Config(Settings):
    features: list[str] = Field(
        list(kmeans.FEATURES), min_length=1, description="By which numbers customers are alike or not."
    )
    k: int | None = Field(None, ge=2, le=50, description="Number of segments; without it the silhouette chooses.")
    k_from: int = Field(min(kmeans.K), ge=2, le=50, description="The least number that it chooses from.")
    k_to: int = Field(max(kmeans.K), ge=2, le=50, description="The greatest.")
    tail: float = Field(0.01, ge=0, lt=0.5, description="Share of customers at both ends who count as outliers.")
    starts: int = Field(3, ge=1, le=100, description="How often the search for the chosen number is begun anew.")

    @field_validator("features")
    @classmethod
    def _are_there(cls, features: list[str]) -> list[str]:
        strangers = [
            f"'{name}' is no number of customer_features{near(name, NUMBERS)}"
            for name in features
            if name not in NUMBERS
        ]
        if strangers:
            raise ValueError("; ".join(strangers))
        if len(set(features)) < len(features):
            raise ValueError("each may be named once")
        return features

    @model_validator(mode="after")
    def _rise(self) -> "Config":
        if self.k_from > self.k_to:
            raise ValueError(f"k_from must be at most k_to, got {self.k_from} and {self.k_to}")
        return self

    @property
    def ks(self) -> list[int]:
        return [self.k] if self.k is not None else list(range(self.k_from, self.k_to + 1))


@job(
    reads=[CUSTOMER_FEATURES],
    writes=[kmeans.SEGMENTS, profiles.PROFILES, kmeans.MODEL],
    sections=kmeans_sections.SECTIONS,
)
def customer_segments(customer_features: DataFrame, config: Config) -> tuple[DataFrame, DataFrame, DataFrame]:
    as_of, features = config.as_of, config.features
    shown = list(dict.fromkeys([*features, *profiles.SHOWN]))
    of_day = customer_features.where(F.col("as_of") == F.lit(as_of))
    # Each of these is used several times: it is computed once.
    customers = of_day.select("customer_id", "as_of", *shown).localCheckpoint()
    model = kmeans.fit(customers, as_of, features, config.ks, config.tail, config.starts)
    segments = kmeans.predict(customers, model, as_of, features).localCheckpoint()
    return segments, profiles.profile(customers, segments, as_of, shown, features), model


if __name__ == "__main__":
    customer_segments.run()
