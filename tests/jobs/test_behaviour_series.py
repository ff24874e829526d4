"""What the job can be told, and what it refuses before any work."""

from typing import Any

import pytest

from crm_spark.core import runner
from crm_spark.core.config import Place
from crm_spark.core.errors import ConfigError
from crm_spark.core.lake import Lake
from jobs.behaviour_series import behaviour_series
from tests.jobs.test_customer_segments import AS_OF


def told(place: Place, **settings: Any) -> Place:
    return place.model_copy(update={"jobs": {"behaviour_series": settings}})


def test_settings_that_cannot_be_are_refused(lake: Lake, place: Place) -> None:
    settings = {
        "period": "year",
        "groupings": ["shoe"],
        "measures": [],
        "window": 0,
        "season": 1,
        "least": 0,
        "lags": 0,
    }
    with pytest.raises(ConfigError) as refused:
        runner.run(behaviour_series, lake, told(place, **settings), AS_OF)
    for part in ("period must be", "'shoe': a grouping is one of", "measures", "window must be", "season must be",
                 "least must be", "lags must be"):  # fmt: skip
        assert part in str(refused.value)
