"""MLlib's random forests, with trees that stay in Java until they are asked for.

PySpark looks at each attribute of a new model for its parameters, but for properties; with MLlib's own classes this
makes a Python object of each tree, in some hundred calls of Java, whether they are wanted or not.
"""

from typing import Any

from pyspark.ml.classification import (
    DecisionTreeClassificationModel,
    RandomForestClassificationModel,
    RandomForestClassifier,
)
from pyspark.ml.regression import DecisionTreeRegressionModel, RandomForestRegressionModel, RandomForestRegressor


class ClassificationModel(RandomForestClassificationModel):
    """What a Classifier has learned."""

    @property
    def trees(self) -> list[DecisionTreeClassificationModel]:
        """Make an object of each."""
        return super().trees


class RegressionModel(RandomForestRegressionModel):
    """What a Regressor has learned."""

    @property
    def trees(self) -> list[DecisionTreeRegressionModel]:
        """Make an object of each."""
        return super().trees


class Classifier(RandomForestClassifier):
    """Takes what MLlib's takes."""

    def _create_model(self, java_model: Any) -> ClassificationModel:
        return ClassificationModel(java_model)


class Regressor(RandomForestRegressor):
    """Takes what MLlib's takes."""

    def _create_model(self, java_model: Any) -> RegressionModel:
        return RegressionModel(java_model)
