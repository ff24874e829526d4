"""Features of customers as of a day, against literal rows and a slow plain recomputation; nothing later leaks in."""

import statistics
from collections import Counter, defaultdict
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from itertools import pairwise
from random import Random
from typing import Any

import pytest
from pyspark.sql import DataFrame, Row, SparkSession

from crm_spark.features import snapshot
from crm_spark.features.snapshot import ATTRIBUTES, CUSTOMER_FEATURES, READS

AS_OF = date(2025, 6, 30)
CUSTOMERS, SEED = 300, 1
EDGES = [-1, 0, 89, 90, 179, 180, 364, 365]
Rows = list[dict[str, Any]]
DATED = {
    "order_lines": "ordered_on",
    "customer_history": "known_on",
    "product_history": "known_on",
    "events": "occurred_on",
    "feedback": "given_on",
    "contacts": "contacted_on",
    "responses": "responded_on",
}


def frames(spark: SparkSession, tables: dict[str, Rows]) -> dict[str, DataFrame]:
    """Every table that is read, of its promised columns; one that is not named is empty."""
    return {
        table.name: spark.createDataFrame(
            [tuple(row.get(name) for name in table.names) for row in tables.get(table.name, [])], table.nullable_ddl
        )
        for table in READS
    }


def taken(spark: SparkSession, tables: dict[str, Rows], as_of: date = AS_OF) -> dict[str, Row]:
    features = CUSTOMER_FEATURES.conform(snapshot.take(**frames(spark, tables), as_of=as_of))
    return {row["customer_id"]: row for row in features.collect()}


def day(ago: int) -> date:
    return AS_OF - timedelta(days=ago)


def at(ago: int, hour: int = 12) -> datetime:
    return datetime.combine(day(ago), datetime.min.time(), UTC) + timedelta(hours=hour)


def line(who: str | None, order: str, ago: int, amount: str, **told: Any) -> dict[str, Any]:
    row = {"customer_id": who, "order_id": order, "ordered_on": day(ago), "amount": Decimal(amount)}
    return row | {"kind": "sale", "quantity": Decimal(1), "product_id": "p1", "channel": "web"} | told


def said(who: str, ago: int, loaded: str = "h", **told: Any) -> dict[str, Any]:
    return {"customer_id": who, "known_at": at(ago), "known_on": day(ago), "row_hash": loaded} | told


def test_what_a_customer_did_is_told_in_one_row_and_who_did_not_buy_has_none(spark: SparkSession) -> None:
    expected = {
        "tenure_days": 400,
        "recency_days": 10,
        "purchase_days": 3,
        "orders": 4,
        "orders_365d": 3,
        "spend": Decimal("95"),
        "spend_365d": Decimal("55"),
        "basket_value": Decimal("26.25"),
        "basket_pieces": 1.5,
        "returned_share": 10 / 105,
        "discounted_share": 15 / 120,
        "products": 2,
        "categories": 1,
        "rhythm_days": 195.0,
        "rhythm_spread": statistics.stdev([310, 80]) / 195,
        "trend": (25 - 40) / 65,
        "channel": "web",
        "channels": 2,
    }
    lines = [
        line("ann", "o1", 400, "40", discount=Decimal(15)),
        line("ann", "o2", 90, "30", channel="app", quantity=Decimal(2)),
        line("ann", "o2", 90, "10", channel="web", product_id="p2", kind="sale"),
        line("ann", "o3", 10, "20"),
        line("ann", "o4", 10, "5"),
        line("ann", "o3", 5, "-10", kind="return", quantity=Decimal(-1), product_id="p9"),
        line("ann", "o5", 3, "-3", kind="adjustment", channel="post"),
        line("returns", "o6", 1, "-1", kind="return"),
        line("later", "o7", -1, "1"),
        line(None, "o8", 1, "1"),
    ]
    found = taken(
        spark,
        {
            "order_lines": lines,
            "product_history": [
                {"product_id": "p1", "known_at": at(999), "known_on": day(999), "row_hash": "h", "category": "tea"}
            ],
        },
    )
    assert set(found) == {"ann"}
    assert found["ann"].asDict() | expected == found["ann"].asDict()


def test_without_any_other_table_counts_are_nothing_and_what_is_unknown_is_null(spark: SparkSession) -> None:
    ann = taken(spark, {"order_lines": [line("ann", "o1", 0, "0", product_id=None, channel=None)]})["ann"]
    unknown = {name for name in CUSTOMER_FEATURES.names if ann[name] is None}
    assert unknown == {column.name for column in CUSTOMER_FEATURES.columns if column.nullable}
    assert {ann[name] for name in CUSTOMER_FEATURES.names if ann[name] is not None} - {"ann", AS_OF, 1} == {0}


def test_attributes_are_those_that_held_on_the_day(spark: SparkSession) -> None:
    history = [
        said("ann", 300, country="DE", gender="f", registered_on=day(300), birth_date=date(1980, 7, 1)),
        said("ann", 100, country="FR"),
        said("ann", -1, country="IT", gender="x"),
        said("bob", 2, birth_date=date(1980, 6, 30), registered_on=day(-2)),
        said("bob", -1, country="IT"),
        # Without a time it has held since ever; of an older version only the instant is there.
        {"customer_id": "cid", "known_at": datetime(1970, 1, 1, tzinfo=UTC), "row_hash": "h", "country": "DE"},
        {"customer_id": "dot", "known_at": at(0, 9), "row_hash": "h", "country": "DE"},
        {"customer_id": "eve", "known_at": at(0, 11), "row_hash": "h", "country": "DE"},
        said("only known", 9, country="DE"),
    ]
    lines = [line(who, who, 9, "1") for who in ("ann", "bob", "cid", "dot", "eve")]
    found = taken(spark, {"order_lines": lines, "customer_history": history})
    told = ["country", "gender", "registered_days", "age_years"]
    assert {who: [row[name] for name in told] for who, row in found.items()} == {
        "ann": ["FR", "f", 300, 44],
        "bob": [None, None, None, 45],
        "cid": ["DE", None, None, None],
        "dot": ["DE", None, None, None],
        "eve": [None, None, None, None],
    }, "for eve the next day may have begun already, on the clock of the business"


def test_a_control_group_was_not_contacted_and_events_without_a_session_are_one_visit_a_day(
    spark: SparkSession,
) -> None:
    tables = {
        "contacts": [{"customer_id": "ann", "contacted_on": day(1), "variant": way} for way in ("A", "Control", None)],
        "events": [{"customer_id": "ann", "occurred_on": day(ago), "kind": "view"} for ago in (1, 1, 2)],
    }
    told = [frames(spark, tables)[name] for name in ("events", "feedback", "contacts", "responses")]
    counts = snapshot.activity(*told, AS_OF).select("customer_id", "contacts_90d", "visits_90d").collect()
    assert [tuple(row) for row in counts] == [("ann", 2, 2)]


# -- random shops


def some_shop(random: Random) -> dict[str, Rows]:
    """Customers with lives of every length, half of it after the day that is asked about."""
    shop: dict[str, Rows] = {table.name: [] for table in READS}
    for number in range(CUSTOMERS):
        who, first = f"c{number:03}", random.choice([20, 150, 500])
        for _ in range(random.choice([0, 1, 2, 3, 8, 25])):
            shop["order_lines"] += some_order(random, who, some_day(random, first))
        for ago in some_days(random, first) * random.choice([1, 2]):  # of one day, and often of one hour
            told = {name: random.choice([None, "x", "y", "z"]) for name in ("gender", "country", "age_group")}
            born = random.choice([None, date(1999, 2, 28), date(1980, 6, 30), date(1980, 7, 1), date(2030, 1, 1)])
            registered = random.choice([None, day(ago), day(ago - 30)])
            known_at = at(ago, random.choice([1, 2]))
            told |= {"birth_date": born, "registered_on": registered, "known_at": known_at}
            shop["customer_history"].append(
                said(who, ago, random.choice("abc") + str(len(shop["customer_history"])), **told)
            )
        for ago in some_days(random, first):
            session = random.choice([None, "s1", "s2"])
            shop["events"].append({"customer_id": who, "occurred_on": day(ago), "session_id": session})
        for ago in some_days(random, first):
            kind, rating = random.choice(["review", "complaint"]), random.choice([None, 1.0, 2.5, 5.0])
            shop["feedback"].append({"customer_id": who, "given_on": day(ago), "kind": kind, "rating": rating})
        for name, dated in (("contacts", "contacted_on"), ("responses", "responded_on")):
            for ago in some_days(random, first):
                variant = random.choice([None, "A", "control"])
                when = random.choice([None, day(ago), day(ago)])
                shop[name].append(
                    {"customer_id": who, dated: when} | ({"variant": variant} if name == "contacts" else {})
                )
    for product in range(12):
        for ago in random.sample(range(-100, 400), 3):
            told = {"product_id": f"p{product}", "category": random.choice([None, "tea", "cup", "pot"])}
            shop["product_history"].append(said("", ago) | told)
    return shop


def some_days(random: Random, first: int) -> list[int]:
    return [some_day(random, first) for _ in range(random.choice([0, 0, 1, 4]))]


def some_day(random: Random, first: int) -> int:
    """Days ago, negative for days to come; often at an edge of what counts."""
    return random.choice([random.choice(EDGES), *[random.randint(-first // 2, first) for _ in range(3)]])


def some_order(random: Random, who: str, ago: int) -> Rows:
    order = f"{who}-{random.randrange(40)}"
    rows = []
    for _ in range(random.choice([1, 1, 2, 4])):
        kind = random.choices(["sale", "return", "adjustment"], [8, 2, 1])[0]
        sign = -1 if kind == "return" else 1
        told = {
            "kind": kind,
            "product_id": random.choice([None, *(f"p{n}" for n in range(14))]),
            "channel": random.choice([None, "web", "app", "store"]),
            "quantity": Decimal(random.randrange(1, 40)) / 4 * sign,
            "discount": random.choice([None, Decimal(0), Decimal("1.25")]),
        }
        late = random.choice([0, 0, 0, 3, 40])
        rows.append(line(who, order, ago - late, str(Decimal(random.randrange(10_000)) / 100 * sign), **told))
    return rows


def plainly(tables: dict[str, Rows], as_of: date) -> dict[str, dict[str, Any]]:
    """Recount everything by loops."""
    there = {name: known_by(rows, DATED[name], as_of) for name, rows in tables.items()}
    category = {
        product: newest(rows, "category") for product, rows in grouped(there["product_history"], "product_id").items()
    }
    of = {name: grouped(rows, "customer_id") for name, rows in there.items() if name != "product_history"}
    found = {}
    for who, lines in of["order_lines"].items():
        bought = bought_of(lines, category, as_of)
        if bought is not None:
            beside = {name: rows.get(who, []) for name, rows in of.items()}
            found[who] = bought | did_of(beside, as_of) | known_of(beside["customer_history"], as_of)
    return found


def known_by(rows: Rows, dated: str, as_of: date) -> Rows:
    return [row for row in rows if row[dated] is not None and row[dated] <= as_of]


def grouped(rows: Rows, by: str) -> dict[str, Rows]:
    groups = defaultdict(list)
    for row in rows:
        groups[row[by]].append(row)
    return groups


def newest(rows: Rows, name: str) -> Any:
    telling = [row for row in rows if row.get(name) is not None]
    return max(telling, key=lambda row: (row["known_at"], row["row_hash"]))[name] if telling else None


def bought_of(lines: Rows, category: dict[str, str], as_of: date) -> dict[str, Any] | None:
    orders = [rows for rows in grouped(lines, "order_id").values() if any(row["kind"] == "sale" for row in rows)]
    if not orders:
        return None
    began = [min(row["ordered_on"] for row in rows) for rows in orders]
    days = sorted(set(began))
    gaps = [(b - a).days for a, b in pairwise(days)]
    sold = [row for row in lines if row["kind"] == "sale"]
    sales = sum((row["amount"] for row in sold), Decimal())
    returns = -sum((row["amount"] for row in lines if row["kind"] == "return"), Decimal())
    off = sum((row["discount"] or 0 for row in sold), Decimal())
    last_year = [row for row in lines if ago(row["ordered_on"], as_of) < 365 and row["kind"] != "adjustment"]
    recent = sum((row["amount"] for row in sold if ago(row["ordered_on"], as_of) < 90), Decimal())
    older = sum((row["amount"] for row in sold if 90 <= ago(row["ordered_on"], as_of) < 180), Decimal())
    ways = [
        min((row["channel"] for row in rows if row["kind"] == "sale" and row["channel"]), default=None)
        for rows in orders
    ]
    counts = Counter(way for way in ways if way)
    tenure, products = ago(days[0], as_of), {row["product_id"] for row in sold} - {None}
    return {
        "tenure_days": tenure,
        "recency_days": ago(days[-1], as_of),
        "purchase_days": len(days),
        "orders": len(orders),
        "orders_365d": sum(ago(one, as_of) < 365 for one in began),
        "spend": sales - returns,
        "spend_365d": sum((row["amount"] for row in last_year), Decimal()),
        "basket_value": (sales / len(orders)).quantize(Decimal("1e-4"), ROUND_HALF_UP),
        "basket_pieces": float(sum(row["quantity"] for row in sold)) / len(orders),
        "returned_share": min(float(returns / sales), 1.0) if sales else 0.0,
        "discounted_share": float(off / (sales + off)) if sales + off else 0.0,
        "products": len(products),
        "categories": len({category.get(product) for product in products} - {None}),
        "rhythm_days": statistics.median(gaps) if gaps else None,
        "rhythm_spread": statistics.stdev(gaps) / statistics.mean(gaps) if len(gaps) > 1 else None,
        "trend": None if tenure < 180 else float((recent - older) / (recent + older)) if recent + older else 0.0,
        "channel": min(counts, key=lambda way: (-counts[way], way)) if counts else None,
        "channels": len(counts),
    }


def did_of(rows: dict[str, Rows], as_of: date) -> dict[str, Any]:
    visits = {row["session_id"] or row["occurred_on"] for row in rows["events"] if ago(row["occurred_on"], as_of) < 90}
    lately = [row for row in rows["feedback"] if ago(row["given_on"], as_of) < 365]
    ratings = [row["rating"] for row in rows["feedback"] if row["rating"] is not None]
    addressed = [
        row for row in rows["contacts"] if row["variant"] != "control" and ago(row["contacted_on"], as_of) < 90
    ]
    return {
        "visits_90d": len(visits),
        "feedback_365d": len(lately),
        "complaints_365d": sum(row["kind"] == "complaint" for row in lately),
        "rating": statistics.mean(ratings) if ratings else None,
        "contacts_90d": len(addressed),
        "responses_90d": sum(ago(row["responded_on"], as_of) < 90 for row in rows["responses"]),
    }


def known_of(rows: Rows, as_of: date) -> dict[str, Any]:
    born, registered = newest(rows, "birth_date"), newest(rows, "registered_on")
    age = born and as_of.year - born.year - ((as_of.month, as_of.day) < (born.month, born.day))
    return {name: newest(rows, name) for name in ATTRIBUTES} | {
        "registered_days": ago(registered, as_of) if registered and registered <= as_of else None,
        "age_years": age if born and born <= as_of else None,
    }


def ago(then: date, as_of: date) -> int:
    return (as_of - then).days


@pytest.fixture(scope="module")
def described(spark: SparkSession) -> tuple[dict[str, Rows], dict[str, Row]]:
    """A random shop and its customers' features."""
    shop = some_shop(Random(SEED))
    return shop, taken(spark, shop)


def test_a_random_shop_is_described_as_plain_loops_describe_it(
    described: tuple[dict[str, Rows], dict[str, Row]],
) -> None:
    shop, found = described
    expected = plainly(shop, AS_OF)
    assert set(found) == set(expected)
    assert len(found) > CUSTOMERS / 2
    for who, row in expected.items():
        for name, value in row.items():
            nearly = pytest.approx(value, rel=1e-12) if isinstance(value, float) else value
            assert found[who][name] == nearly, f"{name} of {who}, seed {SEED}"


def test_what_is_dated_later_changes_no_earlier_snapshot(
    spark: SparkSession, described: tuple[dict[str, Rows], dict[str, Row]]
) -> None:
    shop, found = described
    until = {name: known_by(rows, DATED[name], AS_OF) for name, rows in shop.items()}
    assert all(len(until[name]) < len(rows) for name, rows in shop.items())
    assert taken(spark, until) == found
    assert plainly(shop, day(-1)) != plainly(shop, AS_OF), "a day later there is more to tell"
