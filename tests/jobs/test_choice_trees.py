"""The job on a lake: run twice the rows are the same, and the tree is its SQL."""

import pytest
from pyspark.sql import functions as F

from crm_spark.core import runner
from crm_spark.core.config import Place
from crm_spark.core.errors import ConfigError
from crm_spark.core.lake import Lake
from crm_spark.features.snapshot import CUSTOMER_FEATURES
from crm_spark.models import trees
from crm_spark.models.choice_sections import SECTIONS
from crm_spark.models.choices import MODELS, TREES
from crm_spark.reports.page import gather
from crm_spark.segments.kmeans import SEGMENTS
from jobs.choice_trees import choice_trees
from tests.jobs.test_customer_segments import AS_OF, fill


def fill_segments(lake: Lake) -> None:
    """Late ones, and others by what an order of theirs brings."""
    kind = F.expr("CASE WHEN recency_days > 40 THEN 'late' WHEN basket_value > 50 THEN 'dear' ELSE 'cheap' END")
    told = lake.current(CUSTOMER_FEATURES).withColumn("segment", kind)
    empty = [F.lit(None).cast(column.type).alias(column.name) for column in SEGMENTS.columns]
    lake.prepare(SEGMENTS)
    known = [
        one if name not in ("customer_id", "as_of", "segment") else F.col(name)
        for one, name in zip(empty, SEGMENTS.names, strict=True)
    ]
    lake.append(SEGMENTS, told.select(*known), "fill", ("fill", 1))


def rows(lake: Lake) -> list[list[str]]:
    return [sorted(str(tuple(row)) for row in lake.current(table).collect()) for table in (TREES, MODELS)]


@pytest.mark.slow  # tests/test_shop.py runs every job twice
def test_run_twice_the_rows_are_the_same_and_the_tree_is_its_sql(lake: Lake, place: Place) -> None:
    fill(lake)
    fill_segments(lake)
    settings = {
        "questions": ["kmeans", "stays"],
        "features": ["recency_days", "basket_value", "trend"],
        "least_share": 0,
    }
    told = place.model_copy(update={"jobs": {"choice_trees": settings}})
    runner.run(choice_trees, lake, told, AS_OF)
    before = rows(lake)
    runner.run(choice_trees, lake, told, AS_OF)
    assert rows(lake) == before

    models = {row["question"]: row for row in lake.current(MODELS).collect()}
    assert models["stays"]["reason"] == "fewer than 50 customers to learn from"
    assert models["stays"]["sql"] is None
    assert {one.split()[0] for one in models["kmeans"]["left_out"]} == {"trend", "channel", "country"}
    assert models["kmeans"]["right"] > 0.9 > models["kmeans"]["right_by_commonest"]
    nodes = [row.asDict() for row in lake.current(TREES).orderBy("node").collect()]
    assert trees.sql(nodes) == models["kmeans"]["sql"]
    features = lake.current(CUSTOMER_FEATURES).where(F.col("as_of") == F.lit(AS_OF))
    decided = features.select(F.expr(models["kmeans"]["sql"]).alias("by_tree"), "recency_days")
    assert {row["by_tree"] for row in decided.where("recency_days > 40").collect()} == {"late"}

    page = {section.__name__: gather(section(lake.current(TREES), lake.current(MODELS))) for section in SECTIONS}
    assert page["stays"].sentence.startswith("By what customers differ cannot be told: fewer than 50 customers")
    assert "held out the tree is right of" in page["kmeans"].sentence
    assert len(page["kmeans"].rows) == len(nodes)


def test_settings_that_cannot_be_are_refused(lake: Lake, place: Place) -> None:
    settings = {"features": ["recency"], "levels": ["email"], "confidence": 0.6}
    with pytest.raises(ConfigError, match=r"(?s)features.*levels.*confidence"):
        runner.run(choice_trees, lake, place.model_copy(update={"jobs": {"choice_trees": settings}}), AS_OF)
