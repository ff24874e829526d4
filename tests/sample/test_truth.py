"""Planted against found: what lies in the files is what the truth says, in a shop of full effects and in one of none.

Every answer is computed plainly: closed-form likelihoods, counts and shares.
"""

import csv
import gzip
import json
from collections import Counter, defaultdict
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pyspark.sql import SparkSession
from scipy.optimize import minimize
from scipy.special import betaln, comb, gammaln
from scipy.stats import chi2, false_discovery_control

from crm_spark.kernels import bgnbd, calibration, gamma_gamma, sbg
from crm_spark.kernels.histories import histories
from crm_spark.kernels.likelihood import Estimate
from crm_spark.kernels.standings import KINDS, Asked, stand, together
from crm_spark.models import cart
from crm_spark.models.trees import Attribute
from crm_spark.sample import shop
from crm_spark.sample.archetypes import ARCHETYPES
from crm_spark.sample.setting import EFFECTS, MOST, Setting
from crm_spark.segments import kmeans

DAYS = 365
RARE = 0.9999  # a true value is refused once in ten thousand times


class Shop:
    """The files of a shop, read plainly."""

    def __init__(self, folder: Path, strength: float) -> None:
        self.folder = folder
        self.is_planted = strength > 0
        setting = Setting(5_000, DAYS, 11, date(2025, 1, 1), effects=dict.fromkeys(EFFECTS, strength))
        self.parameters: dict[str, Any] = shop.write(str(folder), setting)["parameters"]
        self.customers = self.truth("customers/0001.csv").set_index("customer_no")
        self.orders = self.truth("orders/0001.csv")
        self.days = self.truth("days.csv")
        self.archetypes = list(self.parameters["archetypes"])

    def truth(self, name: str) -> pd.DataFrame:
        numbers = {"customer_no": str, "order_no": str, "double_of": str, "sku": str}
        return pd.read_csv(self.folder / "truth" / name, dtype=numbers)

    def lines(self) -> list[dict[str, str]]:
        files = sorted(self.folder.glob("orders/*"))
        return [
            row for path in files for row in csv.DictReader(gzip.decompress(path.read_bytes()).decode().splitlines())
        ]

    def rows(self, feed: str) -> list[dict[str, str]]:
        return [
            row
            for path in sorted(self.folder.glob(f"{feed}/*"))
            for row in csv.DictReader(path.read_text().splitlines())
        ]

    def people(self) -> dict[str, dict[str, str]]:
        """The first version of each customer."""
        found: dict[str, dict[str, str]] = {}
        for path in sorted(self.folder.glob("customers/*")):
            for line in path.read_text().splitlines():
                row = json.loads(line)
                found.setdefault(row["customer_no"], row)
        return found

    def sessions(self) -> dict[str, list[tuple[str, str, str | None]]]:
        """Time, kind and customer of each session's events."""
        found = defaultdict(list)
        for path in sorted(self.folder.glob("events/*")):
            for line in gzip.decompress(path.read_bytes()).splitlines():
                row = json.loads(line)
                found[row["session"]].append((row["at"], row["type"], row["customer_no"]))
        return found


@pytest.fixture(scope="module", params=[1.0, 0.0], ids=["planted", "nothing"])
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Shop:
    return Shop(tmp_path_factory.mktemp("shop"), request.param)


def assert_likely(likelihood: Any, planted: np.ndarray) -> None:
    """The planted parameters are within the confidence region of those that fit best (Wilks)."""
    best = minimize(
        lambda logs: -likelihood(logs), planted, method="Nelder-Mead", options={"maxiter": 4000, "fatol": 1e-3}
    )
    ratio = 2 * (-best.fun - likelihood(planted))
    assert 0 <= ratio < chi2.ppf(RARE, len(planted)), np.exp(best.x)


def assert_share(count: float, of: float, planted: float, slack: float = 0.0) -> None:
    error = 4 * np.sqrt(max(planted * (1 - planted), 1e-9) / of)
    assert abs(count / of - planted) < error + slack, f"{count / of:.4f} of {of}, planted {planted:.4f}"


def test_bg_nbd_refitted_is_that_of_each_archetype(made: Shop) -> None:
    ages, homes = made.parameters["churn"]["age_group"], made.parameters["churn"]["household"]
    for name in made.archetypes:
        seen = made.customers[made.customers["archetype"] == name]
        x, t_x, T = (seen[column].to_numpy() for column in ("x", "t_x", "T"))
        z = seen["age_group"].map(ages).to_numpy() + seen["household"].map(homes).to_numpy()

        def likelihood(logs: np.ndarray, x=x, t_x=t_x, T=T, z=z) -> float:
            r, alpha, a, b = np.exp(logs[:4])
            a = a * np.exp(logs[4] * z)
            alive = betaln(a, b + x) - betaln(a, b) - (r + x) * np.log(alpha + T)
            gone = betaln(a + 1, b + np.maximum(x, 1) - 1) - betaln(a, b) - (r + x) * np.log(alpha + t_x)
            either = np.where(x > 0, np.logaddexp(alive, gone), alive)
            return float((gammaln(r + x) - gammaln(r) + r * np.log(alpha) + either).sum())

        planted = made.parameters["archetypes"][name]["buying"]
        logs = np.log([planted[letter] for letter in ("r", "alpha", "a", "b")])
        assert_likely(likelihood, np.append(logs, made.parameters["churn"]["gamma"]))


def test_gamma_gamma_refitted_is_that_of_each_archetype(made: Shop) -> None:
    process = made.orders[made.orders["cause"] == "process"]
    worth = process.groupby("customer_no")["worth"].agg(["size", "mean"])
    for name in made.archetypes:
        seen = worth[made.customers.loc[worth.index, "archetype"] == name]
        n, mean = seen["size"].to_numpy(), seen["mean"].to_numpy()

        def likelihood(logs: np.ndarray, n=n, mean=mean) -> float:
            p, q, gamma = np.exp(logs)
            shape = gammaln(p * n + q) - gammaln(p * n) - gammaln(q) + q * np.log(gamma)
            rest = (p * n - 1) * np.log(mean) + p * n * np.log(n) - (p * n + q) * np.log(gamma + n * mean)
            return float((shape + rest).sum())

        planted = made.parameters["archetypes"][name]["spending"]
        assert_likely(likelihood, np.log([planted[letter] for letter in ("p", "q", "gamma")]))
        own = process[made.customers.loc[process["customer_no"], "archetype"].to_numpy() == name]
        spread = (
            own["worth"].to_numpy() / made.customers.loc[own["customer_no"], "mean_order_value"].to_numpy() - 1
        ) ** 2
        assert abs(spread.mean() - 1 / planted["p"]) < 4 * spread.std() / np.sqrt(len(spread))


def test_contracts_are_left_as_the_planted_plan_says(made: Shop) -> None:
    last = date(2025, 1, 1) + timedelta(days=DAYS - 1)
    found: dict[str, dict[str, str]] = {}
    for row in made.rows("contracts"):
        found[row["contract_no"]] = row  # what is told later takes the place of what was told before
    for name, plan in made.parameters["contracts"].items():
        renewal, is_there = [], []
        for row in found.values():
            if row["plan"] != name:
                continue
            begins, ends = (date.fromisoformat(row[key]) if row[key] else None for key in ("begins", "ends"))
            days = 14 if name == "box" else 30.4375
            is_over = ends is not None and ends <= last
            is_there.append(not is_over)
            renewal.append(round((ends - begins).days / days) if is_over else due(begins, last, name))
        among = sbg.lifetimes(np.array(renewal), np.array(is_there))
        assert len(renewal) > 700
        left, renewed = among.left.sum(), among.renewed.sum()
        # A constant retention, which is what beta-geometric comes to where alpha and beta grow without end.
        constant = left * np.log(left / (left + renewed)) + renewed * np.log(renewed / (left + renewed))
        if made.is_planted:
            planted = np.log([plan["alpha"], plan["beta"]])
            assert_likely(lambda logs, among=among: sbg.log_likelihood(np.exp(logs), among), planted)
            assert sbg.log_likelihood(np.exp(planted), among) - constant > 20, "customers differ"
        else:
            assert plan["alpha"] is None
            assert_share(left, left + renewed, plan["leaving"])
            estimate = sbg.fit(among)
            assert estimate.reason or 2 * (estimate.log_likelihood - constant) < chi2.ppf(RARE, 1)


def due(begins: date, last: date, plan: str) -> int:
    """Renewals that came due until the last day."""
    if plan == "box":
        return (last - begins).days // 14
    months = (last.year - begins.year) * 12 + last.month - begins.month
    return months - (begins.day > last.day)  # the last day of the shop ends a month of 31 days


def test_the_models_of_lifetime_value_find_what_was_planted(made: Shop) -> None:
    churn = [made.parameters["churn"][name] for name in ("age_group", "household")]
    z = sum(made.customers[name].map(effect) for name, effect in zip(("age_group", "household"), churn, strict=True))
    process = made.orders[made.orders["cause"] == "process"]
    worth = process.groupby("customer_no")["worth"].agg(["size", "mean"])
    for name in made.archetypes:
        planted = made.parameters["archetypes"][name]
        # Of those whom no attribute makes leave sooner or later, where there are any.
        mine = made.customers[(made.customers["archetype"] == name) & (z == 0 if made.is_planted else True)]
        among = histories(*[mine[column].to_numpy() for column in ("x", "t_x", "T")])
        buying = np.array([planted["buying"][letter] for letter in bgnbd.NAMES])
        assert_near(bgnbd.fit(among), bgnbd.log_likelihood(buying, among))
        spent = worth[made.customers.loc[worth.index, "archetype"] == name]
        n, mean = spent["size"].to_numpy(float), spent["mean"].to_numpy()
        spending = np.array([planted["spending"][letter] for letter in ("p", "q", "gamma")])
        assert_near(gamma_gamma.fit(n, mean), gamma_gamma._Likelihood(n, mean).derive(spending)[0])


def assert_near(found: Estimate, at_planted: float) -> None:
    """The planted parameters are within the confidence region of the estimate (Wilks)."""
    assert found.reason is None
    assert 0 <= 2 * (found.log_likelihood - at_planted) < chi2.ppf(RARE, found.parameters.size), found


def test_segments_follow_the_archetypes_as_far_as_these_can_be_told_and_nothing_where_nothing_is(
    made: Shop, spark: SparkSession
) -> None:
    end = date(2025, 1, 1) + timedelta(days=DAYS - 1)
    known = made.orders[made.orders["customer_no"].notna()].assign(on=lambda rows: pd.to_datetime(rows["date"]))
    days = known.drop_duplicates(["customer_no", "on"]).sort_values("on")
    gaps = days.groupby("customer_no")["on"].diff().dt.days.groupby(days["customer_no"]).median()
    bought = known.groupby("customer_no").agg(
        last=("on", "max"), purchase_days=("on", "nunique"), spend=("worth", "sum"), basket_value=("worth", "mean")
    )
    bought["recency_days"] = (pd.Timestamp(end) - bought.pop("last")).dt.days
    rows = bought.assign(rhythm_days=gaps, as_of=end).reset_index(names="customer_id")
    customers = spark.createDataFrame(rows).localCheckpoint()
    model = kmeans.fit(customers, end, k=[len(made.archetypes)])
    found = kmeans.predict(customers, model, end).toPandas().set_index("customer_id")["segment_id"]
    alike = adjusted_rand(made.customers.loc[found.index, "archetype"], found)
    # Archetypes overlap: who knows all that was planted would come to 0.16. Chance alone strays by 0.002.
    assert 0.06 < alike < 0.16 if made.is_planted else abs(alike) < 0.01


def adjusted_rand(one: pd.Series, other: pd.Series) -> float:
    """Hubert and Arabie (1985): 1 where two partitions are one, 0 where they agree as by chance."""
    both = pd.crosstab(one.to_numpy(), other.to_numpy()).to_numpy()
    pairs, rows, columns = (comb(counts, 2).sum() for counts in (both, both.sum(axis=1), both.sum(axis=0)))
    expected = rows * columns / comb(both.sum(), 2)
    return float((pairs - expected) / ((rows + columns) / 2 - expected))


@pytest.mark.parametrize("factor", ["weekday", "year", "trend", "spike"])
def test_days_are_as_busy_as_their_factors_say(made: Shop, factor: str) -> None:
    """Of the repeat purchases that the other factors leave unexplained, each level has the share that its own one makes."""
    days = made.days
    others = days[[name for name in ("weekday", "year", "trend", "spike") if name != factor]].prod(axis=1)
    months = pd.to_datetime(days["date"]).dt.month
    level = months if factor in {"year", "trend"} else days[factor]
    sums = pd.DataFrame(
        {
            "level": level,
            "found": days["repeat_purchases"],
            "without": days["exposure"] * others,
            "planted": days["exposure"] * others * days[factor],
        }
    )
    for _, of in sums.groupby("level"):
        found, planted = of["found"].sum(), of["planted"].sum()
        assert abs(found - planted) < 4 * np.sqrt(planted)
    alike = sums.groupby("level")[["found", "without"]].sum()
    scaled = alike["without"] * alike["found"].sum() / alike["without"].sum()
    unlike = ((alike["found"] - scaled) ** 2 / scaled).sum()
    if made.is_planted:
        assert unlike > chi2.ppf(RARE, len(alike) - 1), f"nobody would find {factor}"
    else:
        assert unlike <= chi2.ppf(RARE, max(len(alike) - 1, 1)), f"chance looks like {factor}"


def test_purchases_counted_by_day_are_those_in_the_files(made: Shop) -> None:
    found = Counter(
        (row["sold_at"][:10], row["order_no"]) for row in made.lines() if row["kind"] == "S" and row["line_no"] == "1"
    )
    by_day = Counter(day for day, _ in found)
    causes = ["first_purchases", "repeat_purchases", "campaign_orders", "fraud_orders", "anonymous_orders"]
    planted = made.days.set_index("date")[causes].sum(axis=1)
    assert {date.fromisoformat(day).strftime("%d.%m.%Y"): count for day, count in planted.items() if count} == by_day


def test_bundles_have_their_planted_support(made: Shop) -> None:
    baskets = defaultdict(set)
    for row in made.lines():
        if row["kind"] == "S":
            baskets[row["order_no"]].add(row["sku"])
    for _, bundle in made.truth("bundles.csv").iterrows():
        products = set(bundle["products"].split())
        held = sum(products <= basket for basket in baskets.values())
        assert_share(held, len(baskets), bundle["support"], slack=0.002)  # chance holds a pair now and then


def test_ways_through_the_site_have_their_planted_shares(made: Shop) -> None:
    pages, chains = made.parameters["paths"]["pages"], made.parameters["paths"]["chains"]
    archetype = made.customers["archetype"].to_dict()
    counts = {name: np.zeros((7, 7)) for name in chains}
    for events in made.sessions().values():
        way = [pages.index(kind) for _, kind, _ in sorted(events)]
        name = "buyers" if pages.index("checkout") in way else archetype.get(events[0][2], "visitors")
        np.add.at(counts[name], (way, [*way[1:], 6]), 1)
    for name, chain in chains.items():
        for page, shares in enumerate(chain):
            for following, share in enumerate(shares):
                if of := counts[name][page].sum():
                    assert_share(counts[name][page, following], of, share, slack=2e-4)
    own = [np.array(chains[name]) for name in made.archetypes]
    assert made.is_planted == any(not np.allclose(chain, chains["visitors"]) for chain in own)


def test_who_is_addressed_buys_more_by_the_planted_lift(made: Shop) -> None:
    lasts = made.parameters["campaigns"]["lasts"]
    begins = {row["campaign_id"]: date.fromisoformat(row["starts_on"]) for row in made.rows("campaigns")}
    last = date(2025, 1, 1) + timedelta(days=DAYS - 1 - lasts)
    usual = made.orders[made.orders["cause"].isin(["process", "campaign"])]
    bought = usual.groupby("customer_no")["date"].apply(lambda days: sorted(map(date.fromisoformat, days))).to_dict()
    outcomes = defaultdict(list)
    for row in made.rows("contacts"):
        begin = begins[row["campaign_id"]]
        if begin <= last:
            window = (begin + timedelta(days=1), begin + timedelta(days=lasts))
            orders = sum(window[0] <= day <= window[1] for day in bought[row["customer_no"]])
            is_held_back = row["variant"] == made.parameters["campaigns"]["control"]
            outcomes[made.customers.at[row["customer_no"], "archetype"], is_held_back].append(orders)
    for name in made.archetypes:
        reached, held = np.array(outcomes[name, False]), np.array(outcomes[name, True])
        error = np.sqrt(reached.var() / len(reached) + held.var() / len(held))
        assert abs(reached.mean() - held.mean() - made.parameters["archetypes"][name]["lift"]) < 4 * error
    assert made.is_planted == any(made.parameters["archetypes"][name]["lift"] for name in made.archetypes)
    assert made.is_planted == (made.orders["cause"] == "campaign").any()


def test_persons_who_register_twice_can_be_found(made: Shop) -> None:
    people = defaultdict(list)
    for number, row in made.people().items():
        key = (row["birth_date"], row["name"][0], row["name"][-3:], row["household"], row["country"])
        people[key].append(number)
    found = {(first, other) for numbers in people.values() for first in numbers for other in numbers if first != other}
    twice = made.customers[made.customers["double_of"].notna()]
    planted = set(zip(twice.index, twice["double_of"], strict=True))
    assert planted <= found
    assert bool(planted) == made.is_planted
    alike = {number for pair in planted for number in pair}
    chance = [pair for pair in found if not set(pair) <= alike]
    assert len(chance) <= 8, "others look the same by chance only"


def test_frauds_come_at_night_when_nobody_else_buys(made: Shop) -> None:
    night = {
        row["order_no"] for row in made.lines() if row["kind"] == "S" and "03:00" < row["sold_at"][11:16] < "06:00"
    }
    frauds = made.orders[made.orders["cause"] == "fraud"]
    assert night == set(frauds["order_no"])
    assert bool(night) == made.is_planted
    usual = made.customers.loc[frauds["customer_no"], "mean_order_value"].to_numpy()
    assert (frauds["worth"].to_numpy() > 4 * usual).all()


def held(values: np.ndarray, asked: Asked) -> np.ndarray:
    """How often chance brings the newest values, held against the periods before, as `behaviour_findings` does it."""
    found = stand(values, asked)
    before, newest = found.kind[: asked.origins], found.kind[asked.origins :].ravel().astype(int)
    told = []
    three = together([p for method, p in found.p.items() if method != "window"])
    for p in (three, found.p["window"]):
        counts = calibration.count(p[: asked.origins], before, KINDS)
        whole = calibration.curve(counts.sum(axis=0))
        curves = calibration.curve(counts, np.broadcast_to(whole, counts.shape))
        told.append(calibration.calibrate(p[asked.origins :].ravel(), curves[newest]).reshape(asked.newest, -1))
    return together(told)


def test_busy_days_are_out_of_the_ordinary_and_others_no_more_often_than_was_asked_for(made: Shop) -> None:
    orders = made.orders.groupby("date").size().reindex(made.days["date"], fill_value=0).to_numpy(float)
    p = np.array([held(orders[: at + 1, None], Asked(7, 56, 7))[0, 0] for at in range(120, DAYS, 4)])
    is_busy = made.days["spike"].to_numpy()[120:DAYS:4] > 1
    busy = [
        held(orders[: at + 1, None], Asked(7, 56, 7))[0, 0] for at in np.flatnonzero(made.days["spike"] > 1) if at > 90
    ]
    assert bool(busy) == made.is_planted
    assert all(p < 1e-9 for p in busy)
    assert np.mean(p[~is_busy] <= 0.05) < 0.08


def test_frauds_are_found_among_thousands_of_customers_and_hardly_anything_where_nothing_is_planted(made: Shop) -> None:
    sales = made.orders[made.orders["customer_no"].notna()]
    week = pd.to_datetime(sales["date"]).sub(pd.Timestamp(made.days["date"][0])).dt.days // 7
    spent = sales.assign(week=week).pivot_table(index="week", columns="customer_no", values="worth", aggfunc="sum")
    spent = spent.reindex(range(52)).fillna(0.0)
    values = spent.to_numpy()
    begun = (values > 0).argmax(axis=0)
    values[np.arange(52)[:, None] <= begun] = np.nan  # a customer's first week is no whole one
    p = held(values, Asked(1, 40, 4, newest=12, origins=20))
    of_fraud = set(
        zip(week[sales["cause"] == "fraud"] - 40, sales["customer_no"][sales["cause"] == "fraud"], strict=True)
    )
    found = set()
    for at, of_week in enumerate(p):
        judged = np.flatnonzero(~np.isnan(of_week))
        q = false_discovery_control(of_week[judged])
        found |= {(at, spent.columns[column]) for column in judged[q <= 0.05]}
    judgeable = {(at, who) for at, who in of_fraud if at >= 0 and not np.isnan(p[at, spent.columns.get_loc(who)])}
    assert len(found & judgeable) >= 0.5 * len(judgeable)
    assert len(found - of_fraud) <= (1 if made.is_planted else 0), "in twelve weeks, of five thousand customers"
    assert bool(judgeable) == made.is_planted


def test_fewer_archetypes_are_the_first_ones(tmp_path: Path) -> None:
    shop.write(str(tmp_path), Setting(200, 10, 1, date(2025, 1, 1), archetypes=2))
    found = pd.read_csv(tmp_path / "truth/customers/0001.csv")["archetype"]
    assert set(found) == {"regulars", "occasional"}
    assert len(ARCHETYPES) == MOST


def test_what_drives_churn_is_what_a_tree_splits_by_first(made: Shop, spark: SparkSession) -> None:
    names = ["age_group", "household", "country"]
    told = made.customers["active_until"].notna().map({True: "left", False: "there"})
    rows = spark.createDataFrame(made.customers[names].assign(told=told))
    attributes = [Attribute(name, tuple(sorted(made.customers[name].unique()))) for name in names]
    tree = cart.fit(rows, "told", attributes, deepest=2, least=250)
    found = [row["attribute"] for row in tree.orderBy("depth", "node").collect() if row["attribute"]]
    shares = {row["rule"]: row["share"] if row["decision"] == "left" else 1 - row["share"] for row in tree.collect()}
    if made.is_planted:
        assert set(found) == {"age_group", "household"}
        assert max(shares.values()) > shares["all"] + 0.05, "the young who live alone leave"
    else:
        assert max(shares.values()) < shares["all"] + 4 * np.sqrt(0.25 / 250), "a leaf of 250 by chance"
