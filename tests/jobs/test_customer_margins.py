"""The job on a lake: it owns one day, whatever tables are there, and what it is told reaches the margins."""

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from crm_spark.core import runner
from crm_spark.core.config import Place
from crm_spark.core.errors import ConfigError
from crm_spark.core.lake import Lake
from crm_spark.ingest.tables import FEEDBACK, ORDER_LINES, PRODUCT_HISTORY
from crm_spark.value.margins import MARGINS, NO_COST
from jobs.customer_margins import customer_margins
from tests.jobs.test_customer_features import add

FIRST, AS_OF = date(2025, 1, 31), date(2025, 2, 28)


def told(place: Place, **settings: object) -> Place:
    return place.model_copy(update={"jobs": {"customer_margins": settings}})


@pytest.mark.slow  # tests/test_shop.py runs every job twice
def test_run_twice_the_rows_are_the_same_and_without_any_cost_there_is_a_reason(lake: Lake, place: Place) -> None:
    lines = [
        {"customer_id": f"c{n}", "order_id": f"o{n}-{month}", "line_id": f"l{n}-{month}", "product_id": "p"}
        | {"ordered_at": datetime(2025, month, n), "ordered_on": date(2025, month, n)}
        | {"kind": "sale", "quantity": Decimal(1), "amount": Decimal(10 * n)}
        for n in range(1, 6)
        for month in (1, 2)
    ]
    add(lake, ORDER_LINES, *lines)
    assert runner.run(customer_margins, lake, place, FIRST).rows == {"customer_margins": 5}
    first = sorted(lake.current(MARGINS).collect())
    assert {(row["margin"], row["reason"]) for row in first} == {(None, NO_COST)}

    since = datetime(1970, 1, 1, tzinfo=UTC)
    add(lake, PRODUCT_HISTORY, {"product_id": "p", "known_at": since, "known_on": since.date(), "cost": Decimal(5)})
    said = {"customer_id": "c1", "given_at": datetime(2025, 2, 1), "given_on": date(2025, 2, 1), "kind": "complaint"}
    add(lake, FEEDBACK, said | {"feedback_id": "f"})
    costly = told(place, service_cost={"complaint": 2.5})
    runner.run(customer_margins, lake, costly, AS_OF)
    once = sorted(lake.current(MARGINS).collect())
    assert runner.run(customer_margins, lake, costly, AS_OF).rows == {"customer_margins": 5}
    assert sorted(lake.current(MARGINS).collect()) == once
    assert [row for row in once if row["as_of"] == FIRST] == first
    margins = {row["customer_id"]: row["margin"] for row in once if row["as_of"] == AS_OF}
    assert margins == {f"c{n}": Decimal(20 * n - 10) - (Decimal("2.5") if n == 1 else 0) for n in range(1, 6)}


def test_settings_that_cannot_be_are_refused(lake: Lake, place: Place) -> None:
    with pytest.raises(ConfigError) as refused:
        runner.run(customer_margins, lake, told(place, resalable=2, service_cost={"complaint": -1}, services=1), AS_OF)
    for part in ("resalable must be", "complaint must be", "services"):
        assert part in str(refused.value)
