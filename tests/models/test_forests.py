"""Forests are MLlib's; their trees become objects of Python when they are asked for, and not before."""

from typing import Any

import pytest
from pyspark.ml.classification import RandomForestClassifier
from pyspark.ml.functions import array_to_vector
from pyspark.ml.regression import RandomForestRegressor
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from crm_spark.models import forests


@pytest.mark.parametrize(
    ("ours", "theirs"), [(forests.Classifier, RandomForestClassifier), (forests.Regressor, RandomForestRegressor)]
)
def test_a_forest_is_that_of_mllib_and_its_trees_wait(spark: SparkSession, ours: Any, theirs: Any) -> None:
    number = F.col("id").cast("double")
    rows = spark.range(60).select(
        (F.col("id") % 3 == 0).cast("double").alias("label"),
        array_to_vector(F.array(number, number % 3)).alias("features"),
    )
    model, expected = (kind(numTrees=4, maxDepth=3, seed=7).fit(rows) for kind in (ours, theirs))
    assert "trees" not in vars(model)
    told = [one.toDebugString.split("\n", 1)[1] for one in (model, expected)]
    assert told[0] == told[1]
    assert [tree.depth for tree in model.trees] == [tree.depth for tree in expected.trees]
    assert len(model.trees) == 4
