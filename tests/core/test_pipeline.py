"""The pipeline: what it refuses, and jobs from outside the package."""

from dataclasses import replace
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from crm_spark.core.contracts import Field, Table
from crm_spark.core.errors import ConfigError
from crm_spark.core.job import job
from crm_spark.core.pipeline import Pipeline, discover

THINGS = Table("things", "Some things.", owns="table", key=["name"], columns=[Field("name", "string", "its name")])


@job(reads=[], writes=[THINGS])
def one(): ...


@job(reads=[], writes=[THINGS])
def other(): ...


def test_two_jobs_that_write_one_table_are_refused():
    with pytest.raises(ConfigError) as told:
        Pipeline([one, other])
    assert str(told.value) == "a table is written by one job only:\n  things by one and other"


def test_a_job_that_would_replace_what_ingestion_adds_to_is_refused():
    with pytest.raises(ValueError, match="two: loads owns a batch, which only ingestion adds to"):

        @job(reads=[], writes=[THINGS, replace(THINGS, name="loads", owns="batch")])
        def two(): ...


OWN = """
from crm_spark.core.contracts import Field, Table
from crm_spark.core.job import job

THINGS = Table("things", "Some things.", owns="table", key=["id"], columns=[Field("id", "bigint", "its number")])

def same(batches):
    yield from batches

@job(reads=[THINGS], writes=[THINGS])
def things(things):
    return things.mapInArrow(same, "id bigint")
"""


def test_functions_of_a_file_on_no_path_reach_the_workers(spark: SparkSession, tmp_path: Path) -> None:
    (tmp_path / "things.py").write_text(OWN, "utf-8")
    assert discover(str(tmp_path)).jobs["things"](spark.range(1)).collect() == [(0,)]


def test_a_file_may_import_its_job_from_an_installed_package(tmp_path: Path) -> None:
    (tmp_path / "first.py").write_text("from tests.core.test_pipeline import one", "utf-8")
    (tmp_path / "second.py").write_text("from tests.core.test_pipeline import one", "utf-8")
    assert discover(str(tmp_path)).makers["things"] == "one"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("import nothing_of_that_name", "ModuleNotFoundError: No module named 'nothing_of_that_name'"),
        ("def (", "SyntaxError"),
        (OWN.replace("things(", "clv("), "several jobs are called clv; give each a name of its own"),
        (OWN.replace('"things"', '"clv"').replace("(things)", "(clv)"), "a table is written by one job only"),
    ],
)
def test_a_file_that_does_not_fit_is_refused(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "mine.py").write_text(text, "utf-8")
    with pytest.raises(ConfigError) as told:
        discover(str(tmp_path))
    assert said in str(told.value)


def test_a_folder_that_is_not_there_is_refused() -> None:
    with pytest.raises(ConfigError) as told:
        discover("nowhere")
    assert str(told.value) == "own_jobs: there is no folder nowhere"
