"""Contracts, against plain loops over their renewals and a simulation that goes on after the day."""

from calendar import monthrange
from collections import Counter, defaultdict
from datetime import date, timedelta
from decimal import Decimal
from random import Random
from typing import Any

import numpy as np
import pytest
from pyspark.sql import DataFrame, SparkSession

from crm_spark.ingest.tables import CONTRACTS
from crm_spark.kernels import sbg
from crm_spark.kernels.likelihood import limits
from crm_spark.kernels.predictive import LEVELS, POOL, Uncertain
from crm_spark.reports.page import gather
from crm_spark.value import contract_retention, contract_sections, contract_totals, contract_values
from crm_spark.value.bands import SHARES
from tests.value.test_bridge import frame

AS_OF = date(2026, 1, 31)
HELD_OUT, HORIZON = 60, 200
PERIODS = ((1, "month"), (14, "day"), (3, "month"))
Contract = dict[str, Any]
Group = tuple[str, int, str]


def contract(number: int, start: date, **told: Any) -> Contract:
    given = {"plan": "club", "period": 1, "period_unit": "month", "price": Decimal("9.90")}
    return {"contract_id": f"k{number}", "customer_id": f"c{number // 2}", "started_on": start, **given, **told}


def renewal_day(one: Contract, number: int) -> date:
    """The k-th renewal, by the calendar."""
    start: date = one["started_on"]
    if one["period_unit"] == "day":
        return start + timedelta(days=one["period"] * number)
    year, month = divmod(start.year * 12 + start.month - 1 + one["period"] * number, 12)
    return date(year, month + 1, min(start.day, monthrange(year, month + 1)[1]))


def drawn(size: int = 900, seed: int = 5) -> list[Contract]:
    """Contracts that ended at a renewal, in the midst of a period, will end, or will begin."""
    chance = Random(seed)
    found = []
    for number in range(size):
        period, unit = PERIODS[chance.choice([0, 0, 1, 1, 2])]
        start = AS_OF - timedelta(days=chance.randrange(-20, 420))
        one = contract(number, start, period=period, period_unit=unit, plan=chance.choice(["club", "box", None]))
        leaving, renewal = chance.betavariate(0.8, 2.5), 1
        while chance.random() > leaving and renewal < 60:
            renewal += 1
        end = renewal_day(one, renewal) - timedelta(days=chance.choice([0, 0, 0, 5]))
        notice = end - timedelta(days=chance.randrange(20))
        if notice <= AS_OF + timedelta(days=30):
            one |= {"ended_on": end, "cancelled_on": notice if chance.random() < 0.7 else None}
        found.append(one)
    return found


def learned(spark: SparkSession, contracts: list[Contract], **settings: Any) -> DataFrame:
    return contract_retention.fit(frame(spark, CONTRACTS, contracts), AS_OF, **settings).localCheckpoint()


def answers(spark: SparkSession) -> dict[str, DataFrame]:
    """All tables of some contracts, of five plans."""
    contracts = frame(
        spark, CONTRACTS, [{**one, "plan": f"plan {number % 5}"} for number, one in enumerate(drawn(200))]
    )
    fitted = contract_retention.fit(contracts, AS_OF, held_out=HELD_OUT).localCheckpoint()
    parameters = contract_retention.parameters(fitted)
    values = contract_values.predict(contracts, parameters, AS_OF, HORIZON)
    return {
        "contract_values": values,
        "contract_totals": contract_totals.total(contracts, parameters, AS_OF, HORIZON),
        "contract_parameters": parameters,
        "contract_retention": contract_retention.retention(fitted),
    }


def due_until(one: Contract, day: date) -> int:
    number = 0
    while renewal_day(one, number + 1) <= day:
        number += 1
    return number


def outcomes(one: Contract, day: date) -> list[bool]:
    """What was seen of each renewal until a day: renewed or left."""
    seen = []
    for number in range(1, due_until(one, day) + 1):
        seen.append(not (one.get("ended_on") and one["ended_on"] <= renewal_day(one, number)))
        if not seen[-1]:
            break
    return seen


def runs(one: Contract, day: date) -> bool:
    return one["started_on"] <= day and not (one.get("ended_on") and one["ended_on"] <= day)


def lifetimes(contracts: list[Contract], day: date) -> sbg.Lifetimes:
    left, renewed = Counter[int](), Counter[int]()
    for one in contracts:
        for at, stays in enumerate(outcomes(one, day) if one["started_on"] <= day else []):
            (renewed if stays else left)[at] += 1
    ages = range(max([*left, *renewed], default=-1) + 1)
    return sbg.Lifetimes(np.array([left[at] for at in ages], float), np.array([renewed[at] for at in ages], float))


def still_there(parameters: np.ndarray, k: int, more: int) -> float:
    alpha, beta = parameters
    share = 1.0
    for at in range(k, k + more):
        share *= (beta + at) / (alpha + beta + at)
    return share


def held_out(
    contracts: list[Contract], parameters: np.ndarray, constant: float
) -> tuple[Counter[int], dict[int, float], dict[int, float]]:
    """By renewal what came, and what was expected by the model and by one retention."""
    before = AS_OF - timedelta(days=HELD_OUT)
    came, expected, plainly = Counter[int](), defaultdict[int, float](float), defaultdict[int, float](float)
    for one in contracts:
        if runs(one, before):
            k, stays = due_until(one, before), outcomes(one, AS_OF)
            for more in range(1, due_until(one, AS_OF) - k + 1):
                came[k + more] += k + more <= len(stays) and stays[k + more - 1]
                expected[k + more] += still_there(parameters, k, more)
                plainly[k + more] += constant**more
    return came, expected, plainly


@pytest.mark.parametrize("by_plan", [False, True])
def test_renewals_are_counted_fitted_and_foretold_as_by_loops(spark: SparkSession, by_plan: bool) -> None:
    contracts = drawn()
    groups = defaultdict[Group, list[Contract]](list)
    for one in contracts:
        if one["started_on"] <= AS_OF:
            plan = (one["plan"] or "(unknown)") if by_plan else "(all)"
            groups[plan, one["period"], one["period_unit"]].append(one)
    fitted = learned(spark, contracts, by_plan=by_plan, held_out=HELD_OUT)
    parameters = defaultdict[Group, list[Any]](list)
    for row in contract_retention.parameters(fitted).orderBy("position").collect():
        parameters[row["plan"], row["period"], row["period_unit"]].append(row)
    assert set(parameters) == set(groups)
    assert len(groups) == (9 if by_plan else 3)
    rows = {(row["plan"], row["period"], row["period_unit"], row["renewal"]): row for row in contract_retention.retention(fitted).collect()}  # fmt: skip
    judged = 0
    for group, mine in groups.items():
        whole, before = (lifetimes(mine, day) for day in (AS_OF, AS_OF - timedelta(days=HELD_OUT)))
        estimate, first = sbg.fit(whole), sbg.fit(before)
        told = parameters[group]
        assert [row["parameter"] for row in told] == ["alpha", "beta"]
        assert {row["contracts"] for row in told} == {len(mine)}
        assert {row["reason"] for row in told} == {estimate.reason}
        if not estimate.reason:
            assert [row["value"] for row in told] == pytest.approx(estimate.parameters, rel=1e-6)
            assert [row["standard_error"] for row in told] == pytest.approx(estimate.standard_errors, rel=1e-6)
            ends = np.array([[row["low"], row["high"]] for row in told], dtype=float)
            assert ends == pytest.approx(limits(sbg.likelihood(whole), estimate), rel=1e-6, nan_ok=True)
            assert [row["covariances"] for row in told] == [pytest.approx(row, rel=1e-6) for row in estimate.covariance]
            assert [row["log_likelihood"] for row in told] == pytest.approx([estimate.log_likelihood] * 2)
        survival = 1.0
        for at, (left, renewed) in enumerate(zip(whole.left, whole.renewed, strict=True)):
            row = rows[(*group, at + 1)]
            assert (row["due"], row["renewed"]) == (left + renewed, renewed)
            survival *= row["retention"]
            assert row["retention"] == renewed / (left + renewed)
            assert row["survival"] == pytest.approx(survival)
            if not estimate.reason:
                assert row["expected_survival"] == pytest.approx(still_there(estimate.parameters, 0, at + 1), rel=1e-5)
        constant = before.renewed.sum() / (before.left.sum() + before.renewed.sum())
        came, expected, plainly = held_out(mine, first.parameters, constant)
        told_of = {key[3]: row for key, row in rows.items() if key[:3] == group and row["actual"] is not None}
        assert {at: row["actual"] for at, row in told_of.items()} == dict(came)
        assert {at: row["expected_constant"] for at, row in told_of.items()} == pytest.approx(plainly)
        if not first.reason:
            judged += 1
            assert {at: row["expected"] for at, row in told_of.items()} == pytest.approx(expected, rel=1e-5)
    assert judged > 1


def test_each_running_contract_is_told_its_renewals_and_its_worth(spark: SparkSession) -> None:
    contracts = [one for one in drawn() if one["period"] < 3]  # too few by the quarter
    table = frame(spark, CONTRACTS, contracts)
    fitted = learned(spark, contracts)
    told = contract_values.predict(
        table, contract_retention.parameters(fitted), AS_OF, HORIZON, discount=0.2, margin=0.5
    )
    found = {row["contract_id"]: row for row in told.collect()}
    assert set(found) == {one["contract_id"] for one in contracts if runs(one, AS_OF)}
    estimates = {
        (period, unit): sbg.fit(lifetimes([one for one in contracts if one["period"] == period], AS_OF))
        for period, unit in PERIODS[:2]
    }
    noticed = 0
    for one in contracts:
        if not runs(one, AS_OF):
            continue
        row, estimate = found[one["contract_id"]], estimates[one["period"], one["period_unit"]]
        k = due_until(one, AS_OF)
        due = due_until(one, AS_OF + timedelta(days=HORIZON)) - k
        next_ = renewal_day(one, k + 1)
        assert (row["renewals"], row["due"], row["next_renewal_on"]) == (k, due, next_)
        # From the payment at the next renewal on, one each period.
        years = one["period"] / (12 if one["period_unit"] == "month" else 365.25)
        away = (next_ - AS_OF).days / 365.25
        notice = one.get("cancelled_on")
        if notice and notice <= AS_OF:
            noticed += 1
            certain = sum(renewal_day(one, k + more) < one["ended_on"] for more in range(1, 70))
            assert row["ends_on"] == one["ended_on"]
            assert row["probability_renewal"] == (certain > 0)
            assert row["expected_renewals"] == min(certain, due) == row["renewals_p05"] == row["renewals_p95"]
            paid = sum(1.2 ** -(away + years * s) for s in range(certain))
            assert row["lifetime_value"] == pytest.approx(9.9 * 0.5 * paid)
            assert row["lifetime_value_p25"] == pytest.approx(9.9 * 0.5 * paid)
            continue
        assert row["ends_on"] is None
        shares = [still_there(estimate.parameters, k, more) for more in range(1, due + 1)]
        assert row["probability_renewal"] == pytest.approx(shares[0], rel=1e-5)
        assert row["expected_renewals"] == pytest.approx(sum(shares), rel=1e-5)
        assert row["expected_revenue"] == pytest.approx(9.9 * sum(shares), rel=1e-5)
        value = sum(share * 1.2 ** -(away + years * s) for s, share in enumerate(shares))
        assert row["value"] == pytest.approx(9.9 * 0.5 * value, rel=1e-5)
        ever = sbg.expected_renewals(estimate.parameters, np.array([k]), np.inf, 1.2**years - 1)[0] * 1.2**-away
        assert row["discounted_renewals"] == pytest.approx(ever, rel=1e-5)
        assert row["lifetime_value"] == pytest.approx(9.9 * 0.5 * ever, rel=1e-5)
        assert (row["expected_renewals_ever"] is None) == (estimate.parameters[0] <= 1)
        draws = Uncertain(estimate.parameters, estimate.covariance).draws(POOL)
        for level, quantile in zip(LEVELS, sbg.quantiles(draws, np.array([k]), LEVELS)[0].tolist(), strict=True):
            name = f"p{round(100 * level):02d}"
            assert row[f"renewals_{name}"] == min(quantile, due)
            assert row[f"revenue_{name}"] == pytest.approx(9.9 * min(quantile, due))
            paid = sum(1.2 ** -(away + years * s) for s in range(min(quantile, 20_000)))
            assert row[f"lifetime_value_{name}"] == pytest.approx(9.9 * 0.5 * paid)
        assert row["reason"] is None
    assert noticed > 3


def test_intervals_hold_what_really_comes_as_often_as_they_say(spark: SparkSession) -> None:
    random, size = np.random.default_rng(4), 6_000
    begun = random.integers(1, 500, size)
    stays = np.minimum(random.geometric(random.beta(0.7, 2.5, size)), 100)
    contracts = [
        contract(number, AS_OF - timedelta(days=int(ago)), period=30, period_unit="day")
        | {"ended_on": AS_OF - timedelta(days=int(ago)) + timedelta(days=30 * int(renewal))}
        for number, (ago, renewal) in enumerate(zip(begun, stays, strict=True))
    ]
    parameters = contract_retention.parameters(learned(spark, contracts))
    told = contract_values.predict(frame(spark, CONTRACTS, contracts), parameters, AS_OF, 600).collect()
    came = {one["contract_id"]: int(renewal) - 1 for one, renewal in zip(contracts, stays, strict=True)}
    real = np.array([min(came[row["contract_id"]] - row["renewals"], row["due"]) for row in told])
    assert len(told) > 1_500
    for level, share in zip(LEVELS, SHARES, strict=True):
        quantile = np.array([row[f"renewals_{share}"] for row in told])
        off = 4 * np.sqrt(level * (1 - level) / real.size)
        is_whole = np.array([row["due"] for row in told]) <= quantile
        assert (real <= quantile).mean() > level - off
        assert ((real < quantile) | is_whole & (real == quantile)).mean() < level + off + is_whole.mean()
    expected = np.array([row["expected_renewals"] for row in told])
    assert abs(real.sum() - expected.sum()) < 4 * np.sqrt(((real - expected) ** 2).sum()) + 0.05 * real.sum()


def test_totals_are_those_of_the_contracts_and_hold_what_really_comes(spark: SparkSession) -> None:
    contracts = [one for one in drawn(1500) if one["plan"] != "box" or one["contract_id"].endswith("7")]
    table = frame(spark, CONTRACTS, contracts)
    parameters = contract_retention.parameters(learned(spark, contracts)).localCheckpoint()
    asked = (table, parameters, AS_OF, HORIZON, 0.2, 0.5)
    found = {row["plan"]: row for row in contract_totals.total(*asked).collect()}
    values = [row.asDict() for row in contract_values.predict(*asked).collect()]
    assert set(found) == {"club", "box", "(unknown)", "(all)"}
    for plan, row in found.items():
        mine = [one for one in values if plan in ("(all)", one["plan"] or "(unknown)")]
        assert row["contracts"] == len(mine)
        assert row["ending"] == sum(one["ends_on"] is not None for one in mine)
        assert row["untold"] == sum(one["lifetime_value"] is None for one in mine)
        for name in ("expected_revenue", "lifetime_value"):
            assert row[name] == pytest.approx(sum(one[name] or 0 for one in mine), rel=1e-9)
    assert found["(all)"]["ending"] > 0
    assert found["box"]["contracts"] - found["box"]["ending"] < contract_totals.LEAST
    assert (found["box"]["reason"], found["box"]["revenue_p05"]) == (contract_totals.FEW, None)
    # What might come: each contract lives on by its own theta, under parameters as they may be.
    random, size = np.random.default_rng(8), 2_000
    brought = np.zeros((2, size))
    for period, unit in PERIODS:
        rows = {row["parameter"]: row for row in parameters.where(f"period = {period}").collect()}
        if rows["alpha"]["value"] is None:
            continue
        told = Uncertain(
            np.array([rows[name]["value"] for name in ("alpha", "beta")]), np.array([rows[name]["covariances"] for name in ("alpha", "beta")])
        )  # fmt: skip
        draws = told.draws(size)[:, random.permutation(size)]
        rate = 1.2 ** (period / (12 if unit == "month" else 365.25)) - 1
        for one in values:
            if one["plan"] == "box" or (one["period"], one["period_unit"]) != (period, unit):
                continue
            if one["ends_on"]:
                brought += np.array([[one["expected_revenue"]], [one["lifetime_value"]]])
                continue
            number = sbg.draw(draws, np.full(size, one["renewals"]), 1e6, random)
            away = 1.2 ** (-(one["next_renewal_on"] - AS_OF).days / 365.25)
            brought[0] += 9.9 * np.minimum(number, one["due"])
            brought[1] += 9.9 * 0.5 * away * (1 - (1 + rate) ** -number.astype(float)) * (1 + rate) / rate
    few = found["box"]
    for what, name in enumerate(("revenue", "lifetime_value")):
        expected = few["expected_revenue"] if name == "revenue" else few["lifetime_value"]
        for level, share in zip(LEVELS, SHARES, strict=True):
            held = (brought[what] + expected <= found["(all)"][f"{name}_{share}"]).mean()
            assert abs(held - level) < 0.04, (name, share)


def test_what_cannot_be_told_has_a_reason(spark: SparkSession) -> None:
    long_ago, lately = AS_OF - timedelta(days=200), AS_OF - timedelta(days=5)
    over = {"ended_on": renewal_day(contract(0, long_ago), 1)}
    cases: dict[str, list[Contract]] = {
        "one": [contract(0, long_ago)],
        "new": [contract(10 + n, lately) for n in range(5)],
        "stay": [contract(20 + n, long_ago) for n in range(5)],
        "left": [contract(30 + n, long_ago, **over) for n in range(5)] + [contract(39, lately)],
        "reversed": [contract(40, long_ago, ended_on=long_ago - timedelta(days=1))],
        "empty period": [contract(50 + n, long_ago, period=period) for n, period in enumerate([0, None, -1])],
        "week": [contract(60, long_ago, period_unit="week")],
        "later": [contract(70, AS_OF + timedelta(days=1))],
    }
    contracts = [one | {"plan": case} for case, rows in cases.items() for one in rows]
    fitted = learned(spark, contracts, by_plan=True, held_out=30)
    parameters = contract_retention.parameters(fitted)
    told = {row["plan"]: row["reason"] for row in parameters.collect()}
    assert told == {
        "one": "the likelihood has no maximum: nobody has left, so alpha falls to 0",
        "new": "no customer has come to a renewal",
        "stay": "the likelihood has no maximum: nobody has left, so alpha falls to 0",
        "left": "the likelihood has no maximum: nobody renewed, so beta falls to 0",
    }
    rows = contract_values.predict(frame(spark, CONTRACTS, contracts), parameters, AS_OF, HORIZON).collect()
    no_period = "its period is not one or more days or months"
    assert {(row["plan"], row["reason"]) for row in rows} == {
        *[(plan, f"how long customers stay cannot be told: {reason}") for plan, reason in told.items()],
        ("empty period", no_period), ("week", no_period),
    }  # fmt: skip
    assert len(rows) == 1 + 5 + 5 + 1 + 3 + 1
    assert {row["lifetime_value"] for row in rows} == {row["renewals_p95"] for row in rows} == {None}
    kept = {row["plan"]: row for row in contract_retention.retention(fitted).where("renewal = 1").collect()}
    assert kept["left"]["retention"] == 0
    assert kept["stay"]["expected"] is None
    assert kept["stay"]["reason"] == told["stay"]
    nobody = frame(spark, CONTRACTS, [])
    nothing = contract_retention.fit(nobody, AS_OF)
    assert nothing.isEmpty()
    assert contract_values.predict(nobody, contract_retention.parameters(nothing), AS_OF, HORIZON).isEmpty()
    assert contract_totals.total(nobody, contract_retention.parameters(nothing), AS_OF, HORIZON).isEmpty()
    total = contract_totals.total(frame(spark, CONTRACTS, contracts), parameters, AS_OF, HORIZON).collect()
    assert {(row["reason"], row["expected_revenue"], row["lifetime_value_p95"]) for row in total} == {
        (contract_totals.NONE, None, None)
    }
    assert {row["plan"]: row["untold"] for row in total}["(all)"] == len(rows)
    unknown = contract_values.predict(
        frame(spark, CONTRACTS, cases["one"]), parameters.limit(0), AS_OF, HORIZON
    ).collect()
    assert [row["reason"] for row in unknown] == ["how long customers stay is not known of contracts like this one"]


def test_without_discount_what_has_no_end_has_no_worth(spark: SparkSession) -> None:
    contracts = [one for one in drawn() if one["period"] == 1]
    parameters = contract_retention.parameters(learned(spark, contracts))
    told = contract_values.predict(
        frame(spark, CONTRACTS, contracts), parameters, AS_OF, HORIZON, discount=0.0
    ).collect()
    told = [row for row in told if row["ends_on"] is None]
    assert parameters.where("parameter = 'alpha'").first()["value"] <= 1
    assert {row["reason"] for row in told} == {
        "alpha is 1 or less: what is to come has no end, and nothing is discounted"
    }
    assert {row["lifetime_value"] for row in told} == {None}
    assert all(row["lifetime_value_p25"] >= 0 for row in told)
    assert all(row["value"] == pytest.approx(row["expected_revenue"]) for row in told)
    total = contract_totals.total(frame(spark, CONTRACTS, contracts), parameters, AS_OF, HORIZON, discount=0.0).first()
    assert (total["lifetime_value"], total["lifetime_value_p05"], total["reason"]) == (
        None,
        None,
        contract_totals.ENDLESS,
    )
    assert total["revenue_p05"] < total["expected_revenue"] < total["revenue_p95"]


def test_only_what_was_known_by_the_day_counts(spark: SparkSession) -> None:
    """An end after the day is as good as none, unless notice was given; what happens later changes nothing."""
    contracts = drawn()
    blind = [
        {
            **one,
            "ended_on": end if (end := one.get("ended_on")) and (end <= AS_OF or is_known(one)) else None,
            "cancelled_on": one.get("cancelled_on") if is_known(one) else None,
        }
        for one in contracts
        if one["started_on"] <= AS_OF
    ]
    assert sum(one.get("ended_on") is not None for one in contracts) > sum(one["ended_on"] is not None for one in blind)
    tables = []
    for some in (contracts, blind):
        fitted = learned(spark, some, held_out=HELD_OUT)
        values = contract_values.predict(
            frame(spark, CONTRACTS, some), contract_retention.parameters(fitted), AS_OF, HORIZON
        )
        tables.append([sorted(map(tuple, rows.collect())) for rows in (fitted.drop("covariances"), values)])
    assert str(tables[0]) == str(tables[1])


def is_known(one: Contract) -> bool:
    return bool(one.get("cancelled_on") and one["cancelled_on"] <= AS_OF)


def test_the_answers_do_not_depend_on_how_rows_lie(spark: SparkSession) -> None:
    contracts = frame(spark, CONTRACTS, drawn(300)).localCheckpoint()
    found = []
    for parts in (2, 7):
        spread = contracts.repartition(parts, "contract_id")
        fitted = contract_retention.fit(spread, AS_OF, held_out=HELD_OUT).localCheckpoint()
        values = contract_values.predict(spread, contract_retention.parameters(fitted), AS_OF, HORIZON)
        totals = contract_totals.total(spread, contract_retention.parameters(fitted), AS_OF, HORIZON)
        found.append(sorted(str(tuple(row)) for row in [*values.collect(), *fitted.collect(), *totals.collect()]))
    assert found[0] == found[1]


def test_the_page_tells_of_contracts(spark: SparkSession) -> None:
    told = {"as_of": AS_OF, "plan": "(all)", "period": 1, "period_unit": "month", "held_out": 42}
    rows = [
        {**told, "renewal": 1, "due": 100, "renewed": 60, "retention": 0.6, "expected_retention": 0.62,
         "actual": 10, "expected": 11.0, "expected_constant": 14.0},
        {**told, "renewal": 1, "due": 100, "renewed": 90, "retention": 0.9, "period": 2, "actual": 3},
        {**told, "renewal": 2, "due": 50, "renewed": 45, "retention": 0.9, "expected_retention": 0.88,
         "actual": 20, "expected": 20.5, "expected_constant": 15.0},
        {**told, "renewal": 3, "due": 5, "renewed": 5, "retention": 1.0, "expected_retention": 0.9},
        {**told, "renewal": 4, "due": 0, "renewed": 0, "actual": 0, "expected": 0.0, "expected_constant": 0.0},
    ]  # fmt: skip
    retention = frame(spark, contract_retention.RETENTION, rows)
    part = gather(contract_sections.renewed(retention))
    assert [(row["renewal"], row["retention"], row["expected_retention"]) for row in part.rows] == [
        (1, 75.0, pytest.approx(76.0)), (2, 90.0, pytest.approx(88.0)), (3, 100.0, pytest.approx(90.0)),
    ]  # fmt: skip
    assert part.sentence == (
        "Of 200 contracts that came to their first renewal 75.0 % were renewed, of 50 that came to their 2nd one "
        "90.0 %: who has stayed long more often stays on."
    )
    part = gather(contract_sections.foretold(retention))
    assert part.sentence == (
        "In the 42 days that were held out 30 contracts were renewed; the model had foretold 32, one retention for all "
        "29. Over the renewals the model was off by 2, the plain rule by 9."
    )
    of = {"as_of": AS_OF, "horizon": 365, "untold": 1, "revenue_p05": 20.0, "revenue_p95": 30.0}
    totals = [
        {**of, "plan": "club", "contracts": 2, "ending": 1, "expected_revenue": 25.0, "lifetime_value": 40.0},
        {**of, "plan": "(unknown)", "contracts": 1, "ending": 0},
        {**of, "plan": "(all)", "contracts": 3, "ending": 1, "expected_revenue": 25.0, "lifetime_value": 40.0},
    ]
    part = gather(contract_sections.worth(frame(spark, contract_totals.TOTALS, totals)))
    assert [(row["plan"], row["contracts"], row["is_plan"]) for row in part.rows] == [
        ("(all)", 3, False), ("club", 2, True), ("(unknown)", 1, True),
    ]  # fmt: skip
    assert part.sentence == (
        "3 contracts run. In the next 365 days they are expected to bring 25 ¤ (with 90 % between 20 and 30 ¤); all "
        "that they will bring is worth 40 ¤ today. Of 1 of them it cannot be told."
    )
    none = [gather(make(frame(spark, table, []))) for make, table in (
        (contract_sections.worth, contract_totals.TOTALS), (contract_sections.renewed, contract_retention.RETENTION),
        (contract_sections.foretold, contract_retention.RETENTION),
    )]  # fmt: skip
    assert [part.sentence for part in none] == [
        "There is no contract.", "No contract has come to a renewal.",
        "The model could not be judged: too few contracts came to a renewal before the days that are held out.",
    ]  # fmt: skip
