"""The job on a lake: it owns one day, compares it with the one before, and its tables add up."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import pytest

from crm_spark.core import runner
from crm_spark.core.config import Place
from crm_spark.core.contracts import Table
from crm_spark.core.errors import ConfigError
from crm_spark.core.lake import Lake
from crm_spark.features.snapshot import CUSTOMER_FEATURES
from crm_spark.segments.kmeans import SEGMENTS
from crm_spark.segments.rfm import SCORES
from crm_spark.value.clv import CLV
from crm_spark.value.drivers import DRIVERS, PARTS, SEGMENT_DRIVERS
from crm_spark.value.forest import MODEL
from crm_spark.value.models import PARAMETERS
from jobs.clv_drivers import clv_drivers
from tests.value.test_drivers import AS_OF, BEFORE, CLV_DDL, FEATURES, FEATURES_DDL, drawn, with_shares

BLANK = {"int": 0, "bigint": 0, "double": 0.0, "string": "", "decimal(18,4)": Decimal(0), "decimal(28,4)": Decimal(0)}


def fill(lake: Lake, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Rows that tell what matters; other columns are 0 or empty."""
    told = [
        tuple(row.get(column.name, None if column.nullable else BLANK.get(column.type)) for column in table.columns)
        for row in rows
    ]
    made = lake.spark.createDataFrame(told, table.nullable_ddl)
    lake.prepare(table)
    lake.append(table, made, "fill", ("fill", 1))


def named(ddl: str, rows: Sequence[tuple]) -> list[dict[str, Any]]:
    names = [column.split()[0] for column in ddl.split(", ")]
    return [dict(zip(names, row, strict=True)) for row in rows]


def tables(lake: Lake) -> list[list[str]]:
    return [
        sorted(str(tuple(row)) for row in lake.current(table).collect()) for table in (DRIVERS, SEGMENT_DRIVERS, MODEL)
    ]


@pytest.mark.slow  # tests/test_shop.py runs every job twice
def test_run_twice_the_rows_are_the_same_other_days_stay_and_all_adds_up(lake: Lake, place: Place) -> None:
    before, now = drawn(90, BEFORE, seed=2), drawn(120)
    fill(lake, CLV, named(CLV_DDL, with_shares(before) + with_shares(now)))
    fill(lake, PARAMETERS, [{"as_of": day, "model": "bg_nbd", "parameter": "r"} for day in (BEFORE, AS_OF)])
    features = [row | {"basket_value": Decimal(str(row["basket_value"]))} for row in named(FEATURES_DDL, now.features)]
    fill(lake, CUSTOMER_FEATURES, features)
    groups = [{"customer_id": who, "as_of": AS_OF, "segment": segment} for who, _, segment in now.segments if segment]
    fill(lake, SCORES, groups)
    fill(lake, SEGMENTS, [row | {"segment": "Late"} for row in groups])
    told = place.model_copy(update={"jobs": {"clv_drivers": {"features": FEATURES}}})

    runner.run(clv_drivers, lake, told, BEFORE)
    first = tables(lake)
    runner.run(clv_drivers, lake, told, AS_OF)
    once = tables(lake)
    again = runner.run(clv_drivers, lake, told, AS_OF)
    assert again.rows == {
        "clv_drivers": 120,
        "segment_drivers": 4 * (len(PARTS) + len(FEATURES) + 1),
        "driver_model": 5,
    }
    assert tables(lake) == once
    assert all(set(early) < set(both) for early, both in zip(first, once, strict=True))

    rows = lake.current(DRIVERS).where(f"as_of = DATE '{AS_OF}'").collect()
    for row in rows:
        terms = [row["average"], *row["contributions"].values(), row["unexplained"]]
        assert row["value"] == pytest.approx(sum(terms), rel=1e-9, abs=1e-9)
        assert row["value"] == pytest.approx(
            row["average"] + sum(row[f"by_{part}"] for part in PARTS), rel=1e-9, abs=1e-9
        )
        assert row["by_margin"] != 0, "of the shares by which clv made margins of revenue"
        changes = [row[f"change_by_{name}"] or 0.0 for name in (*PARTS, "status")]
        assert row["value"] - (row["value_before"] or 0.0) == pytest.approx(sum(changes), rel=1e-9, abs=1e-9)
    assert {row["status"] for row in rows} == {"stayed", "won"}
    assert {row["since"] for row in rows} == {BEFORE}
    assert {row["reason"] for row in lake.current(MODEL).where(f"as_of = DATE '{BEFORE}'").collect()} == {
        "customer_features tells nothing of that day"
    }


def test_settings_that_cannot_be_are_refused(lake: Lake, place: Place) -> None:
    for settings, said in (
        ({"features": ["recency_day", "gender"]}, "did you mean 'recency_days'"),
        ({"features": ["rating", "rating"]}, "each may be named once"),
        ({"learned_from": 10}, "learned_from must be"),
    ):
        with pytest.raises(ConfigError, match=said):
            runner.run(clv_drivers, lake, place.model_copy(update={"jobs": {"clv_drivers": settings}}), AS_OF)
