"""The job on a lake: with rules of single groups switched on it gives the same rows run twice."""

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from crm_spark.baskets.differences import DIFFERENCES
from crm_spark.baskets.rules import RULES
from crm_spark.core import runner
from crm_spark.core.config import Place
from crm_spark.core.contracts import Table
from crm_spark.core.errors import ConfigError
from crm_spark.core.lake import Lake
from crm_spark.ingest.tables import ORDER_LINES
from crm_spark.segments.rfm import SCORES
from jobs.rule_differences import rule_differences
from tests.baskets.test_differences import SEGMENTS, Rows, drawn, sides_of, told
from tests.baskets.test_purchases import AS_OF

BLANK = {
    "string": "-",
    "date": AS_OF,
    "int": 1,
    "bigint": 1,
    "double": 0.5,
    "boolean": True,
    "timestamp": datetime(2026, 1, 31),
}


def fill(lake: Lake, table: Table, rows: Rows) -> None:
    """Rows of a table; what is asked for and not told is of no account."""
    lake.prepare(table)
    told = [
        tuple(row.get(one.name, None if one.nullable else blank(one.type)) for one in table.columns) for row in rows
    ]
    lake.append(table, lake.spark.createDataFrame(told, table.nullable_ddl), "fill", ("fill", 1))


def blank(kind: str) -> Any:
    if kind.startswith("array"):
        return []
    return Decimal(1) if kind.startswith("decimal") else BLANK.get(kind)


def asked(place: Place, **settings: Any) -> Place:
    return place.model_copy(update={"jobs": {"rule_differences": {"attributes": [], **settings}}})


def test_rules_of_single_groups_are_the_same_run_twice_and_hold_there_more_surely(lake: Lake, place: Place) -> None:
    lines = [row | {"line_id": str(at)} for at, row in enumerate(drawn())]
    # What the lost buy together nobody else does: among all baskets it is too rare.
    own = [
        {**lines[0], "customer_id": who, "order_id": f"{who} {at}", "product_id": item, "line_id": f"{who} {at} {item}",
         "ordered_on": AS_OF - timedelta(days=at)}
        for who in ("k2", "k3") for at in range(6) for item in ("x", "y")
    ]  # fmt: skip
    fill(lake, ORDER_LINES, [*lines, *own])
    fill(lake, RULES, told(AS_OF, ["a>b"]))
    fill(lake, SCORES, [{"customer_id": who, "as_of": AS_OF, "segment": of[0]} for who, of in SEGMENTS.items()])
    settings = asked(place, mined_within=["rfm"], min_support=0.05, min_confidence=0.4)
    runs = []
    for _ in range(2):
        runner.run(rule_differences, lake, settings, AS_OF)
        runs.append(sorted(map(str, lake.current(DIFFERENCES).collect())))
    assert runs[0] == runs[1]
    rows = {(sides_of(row), row["group"]): row for row in lake.current(DIFFERENCES).where("grouping = 'rfm'").collect()}
    assert {rows[sides, "Lost"]["mined_in"][0] for sides in ("x>y", "y>x")} == {"rfm: Lost"}
    assert rows["a>b", "Best"]["mined_in"] is None, "it is a rule of all baskets"
    lost, best = rows["x>y", "Lost"], rows["x>y", "Best"]
    assert (lost["count"], lost["confidence"], best["count"]) == (12, 1.0, 0)
    assert (best["reason"], lost["reason"]) == (
        "no basket of the group has the antecedent",
        "no other basket has the antecedent",
    )


def test_settings_that_cannot_be_are_refused(lake: Lake, place: Place) -> None:
    with pytest.raises(ConfigError, match="mined_within is of rfm, kmeans, got channel"):
        runner.run(rule_differences, lake, asked(place, mined_within=["channel"]), AS_OF)
