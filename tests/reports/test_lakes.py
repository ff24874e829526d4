"""The page of every kind of lake opens, says what is there, and breaks nowhere."""

from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from crm_spark.cli.report import assemble
from crm_spark.core.config import Place
from crm_spark.core.pipeline import discover

DAY, AT = date(2026, 1, 31), datetime(2026, 2, 1, tzinfo=UTC)
LOADED = {"source": "shop", "feed": "orders", "status": "loaded", "warnings": {}, "modified_at": AT}
COUNTS = {"records": 2, "loaded": 2, "quarantined": 0, "duplicates": 0}
SALE = {"source": "shop", "ordered_on": DAY, "kind": "sale", "amount": Decimal("5.5"), "customer_id": "ann"}
UNLOADED = {"ingest_accounts": [LOADED | COUNTS], "order_lines": [SALE]}


def scored(*customers: str) -> dict[str, list[dict[str, Any]]]:
    """Scores of customers who are all alike, so that every score is the least."""
    row = {"as_of": DAY, "recency": 0, "frequency": 1, "monetary": Decimal("5.5"), "segment": "Hibernating"}
    measures = ("recency", "frequency", "monetary")
    scores = {f"{name}_score": 1 for name in measures}
    points = {"recency": 0.0, "frequency": 1.0, "monetary": 5.5}
    cuts = [{"as_of": DAY, "measure": name, "score": n, "cut": points[name]} for name in measures for n in range(2, 6)]
    return {"rfm_scores": [row | scores | {"customer_id": name} for name in customers], "rfm_cuts": cuts}


def valued(*customers: str) -> dict[str, list[dict[str, Any]]]:
    """What cannot be estimated from customers who are all alike."""
    reason = "the likelihood has no maximum"
    learned = {"as_of": DAY, "model": "bg_nbd", "parameter": "r", "customers": 1, "unit_days": 7, "reason": reason}
    row = {"as_of": DAY, "frequency": 0, "recency": 0, "age": 0, "horizon": 365, "reason": reason}
    score = {"as_of": DAY, "model": "bg_nbd", "is_baseline": False, "held_out": 90, "customers": 0, "is_chosen": False}
    return {
        "clv": [row | {"customer_id": name} for name in customers],
        "clv_parameters": [learned],
        "clv_models": [score | {"reason": reason}],
        "clv_holdout": [],
    }


LAKES = {
    "empty": ({}, ["order_lines, events, ingest_accounts are not there yet", "rfm_scores, rfm_cuts are not there yet"]),
    "loads and no jobs": (
        UNLOADED,
        [
            "No day of the last 90 is missing",
            "Nothing was refused so far.",
            "100.0\u00a0% loaded, none refused",
            "run <code>crm run rfm_scores</code>",
        ],
    ),
    "one customer": (
        UNLOADED | scored("ann") | valued("ann"),
        [
            "nothing to compare yet",
            "Of 1 customer, 1 has the highest",
            "One customer brought all",
            "ann, brought 6 EUR",
            "There is no estimate: too few customers bought again, or all are alike.",
            "No model could be judged: too few customers bought again before the days that are held out.",
        ],
    ),
    "all alike": (
        UNLOADED | scored("ann", "bob", "cy"),
        [
            "“Hibernating” brought most: 100.0\u00a0%",
            "The first 50\u00a0% of the customers brought 50.0\u00a0% of the money",
        ],
    ),
}


@pytest.mark.parametrize("name", LAKES)
def test_the_page_opens_and_says_what_is_there(
    kept: Callable[..., Any], faults: Callable[[str], list[str]], name: str
) -> None:
    tables, said = LAKES[name]
    page = assemble(kept(**tables), discover(), Place(currency="EUR"), "Customers")
    assert [text for text in said if text not in page] == []
    assert faults(page) == []
