"""The runner, beside what the tests of each job say of it."""

from datetime import date

import pytest

from crm_spark.core import runner
from crm_spark.core.contracts import Field, Table
from crm_spark.core.errors import JobFailed
from crm_spark.core.job import job
from crm_spark.core.session import SMALL_ROWS

SEEN = Table("seen", "What held.", owns="table", key=["setting"], columns=[Field("setting", "string", "its value")])
((SETTING, VALUE),) = SMALL_ROWS.items()


@pytest.mark.parametrize("statement", ["SET {}", "SELECT nothing"])
def test_settings_of_a_job_hold_while_it_runs_and_no_longer(spark, lake, place, statement):
    @job(reads=[], writes=[SEEN], spark=SMALL_ROWS)
    def seen():
        return spark.sql(statement.format(SETTING)).selectExpr("value AS setting")

    before = spark.conf.get(SETTING)
    assert before != VALUE
    if statement.startswith("SET"):
        runner.run(seen, lake, place, date(2026, 1, 31))
        assert lake.current(SEEN).collect() == [(VALUE,)]
    else:
        with pytest.raises(JobFailed):
            runner.run(seen, lake, place, date(2026, 1, 31))
    assert spark.conf.get(SETTING) == before
