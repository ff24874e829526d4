"""The pipeline: what it refuses."""

import pytest

from crm_spark.core.contracts import Field, Table
from crm_spark.core.errors import ConfigError
from crm_spark.core.job import job
from crm_spark.core.pipeline import Pipeline

THINGS = Table("things", "Some things.", owns="table", key=["name"], columns=[Field("name", "string", "its name")])


@job(reads=[], writes=[THINGS])
def one(): ...


@job(reads=[], writes=[THINGS])
def other(): ...


def test_two_jobs_that_write_one_table_are_refused():
    with pytest.raises(ConfigError) as told:
        Pipeline([one, other])
    assert str(told.value) == "a table is written by one job only:\n  things by one and other"
