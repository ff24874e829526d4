"""The job on a lake: the same rows run twice, and its settings reach the groups."""

from datetime import date, timedelta
from typing import Any

import pytest
from pyspark.sql import functions as F

from crm_spark.core import runner
from crm_spark.core.config import Place
from crm_spark.core.contracts import Table
from crm_spark.core.errors import ConfigError
from crm_spark.core.lake import Lake
from crm_spark.value.clv import CLV
from crm_spark.value.concentration import CONCENTRATION
from crm_spark.value.groups import GROUPS
from crm_spark.value.migration import MIGRATION
from crm_spark.value.models import PARAMETERS
from jobs.value_groups import value_groups
from tests.value.test_groups import NOW, learned, shop

FIRST = NOW - timedelta(days=7)


def fill(lake: Lake) -> None:
    """Two days of values; on the first, fewer are customers."""
    for table, rows in ((CLV, [*shop(FIRST)[:30], *shop(NOW)]), (PARAMETERS, [*learned(FIRST), *learned(NOW)])):
        lake.prepare(table)
        made = lake.spark.createDataFrame(
            [tuple(row.get(name) for name in table.names) for row in rows], table.nullable_ddl
        )
        lake.append(table, made, "fill", ("fill", 1))


def told(place: Place, **settings: Any) -> Place:
    return place.model_copy(update={"jobs": {"value_groups": settings}})


def tables(lake: Lake) -> list[dict[tuple, tuple]]:
    def keyed(table: Table) -> dict[tuple, tuple]:
        rows = lake.current(table).collect()
        return {tuple(row[name] for name in table.key): tuple(row) for row in rows}

    return [keyed(table) for table in (GROUPS, MIGRATION, CONCENTRATION)]


@pytest.mark.slow  # tests/test_shop.py runs every job twice
def test_run_twice_the_rows_are_the_same(lake: Lake, place: Place) -> None:
    fill(lake)
    few = told(place, attributes=["country"])
    runner.run(value_groups, lake, few, NOW)
    once = tables(lake)
    runner.run(value_groups, lake, few, NOW)
    for one, two in zip(once, tables(lake), strict=True):
        assert one.keys() == two.keys()
        assert len(one) >= 4
        for key, row in one.items():
            for ours, theirs in zip(row, two[key], strict=True):
                assert ours == (pytest.approx(theirs, rel=1e-9) if isinstance(ours, float) else theirs)
    of_now = lake.current(GROUPS).where(F.col("as_of") == F.lit(NOW))
    sums = of_now.groupBy("grouping").agg(F.sum("customers")).collect()
    assert {tuple(row) for row in sums} == {(name, 40) for name in ("rfm", "kmeans", "decile", "cohort", "country")}
    moved = lake.current(MIGRATION).where("as_of > since AND grouping = 'rfm'").agg(F.sum("customers"))
    assert moved.collect() == [(40,)]


def test_settings_that_cannot_be_are_refused(lake: Lake, place: Place) -> None:
    for attributes, said in ((["gender"], "attributes"), (["country", "country"], "each may be named once")):
        with pytest.raises(ConfigError, match=said):
            runner.run(value_groups, lake, told(place, attributes=attributes), date(2026, 1, 31))
