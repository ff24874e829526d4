"""What the job can be told: it is refused before any work where it cannot be."""

import pytest

from crm_spark.core import runner
from crm_spark.core.config import Place
from crm_spark.core.errors import ConfigError
from crm_spark.core.lake import Lake
from jobs.behaviour_forecasts import behaviour_forecasts
from tests.jobs.test_customer_segments import AS_OF


def test_settings_that_cannot_be_are_refused(lake: Lake, place: Place) -> None:
    settings = {"horizon": 0, "origins": 0, "season": 0, "refit_days": 0, "reconciled": "ols", "orders": 3}
    told = place.model_copy(update={"jobs": {"behaviour_forecasts": settings}})
    with pytest.raises(ConfigError) as refused:
        runner.run(behaviour_forecasts, lake, told, AS_OF)
    for name in settings:
        assert name in str(refused.value)
