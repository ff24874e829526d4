"""The shop's files against its truth, by a slow plain reading that knows nothing of how they were made."""

import csv
import gzip
import io
import json
from collections import Counter, defaultdict
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession

from crm_spark.core.errors import ConfigError
from crm_spark.sample import shop
from crm_spark.sample.setting import EFFECTS, Setting

SIZE: dict[str, Any] = {"customers": 400, "days": 70, "seed": 5}
STORES = {"900": "web", "901": "app"}
Row = dict[str, Any]


def make(folder: Path, spark: SparkSession | None = None, **told: Any) -> dict[str, Any]:
    """Write a shop; what is not told is small and clean."""
    given = {"customers": 1, "days": 1, "seed": 1, "start": date(2025, 1, 1), "dirt": 0.0, **told}
    return shop.write(str(folder), Setting(**given), spark)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shop")
    make(folder, **SIZE, dirt=0.05)
    return folder


@pytest.fixture(scope="module")
def lines(out: Path) -> list[Row]:
    return [line for path in daily(out, "orders") for line in loaded(path, order_line(rates(out)), 1)]


def content(path: Path) -> bytes:
    return gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()


def truth(out: Path, name: str) -> Any:
    return json.loads((out / "truth" / name).read_text())


def table(path: Path) -> list[Row]:
    return list(csv.DictReader(io.StringIO(path.read_text(), newline="")))


def daily(out: Path, feed: str) -> list[Path]:
    return sorted(path for path in (out / feed).iterdir() if "again" not in path.name)


def rates(out: Path) -> dict[tuple[str, str], Decimal]:
    return {(row["currency"], row["date"]): Decimal(row["rate"]) for row in table(out / "rates/rates.csv")}


def order_line(rates: dict[tuple[str, str], Decimal]) -> Any:
    def read(text: str) -> Row:
        header = "order_no line_no sku qty unit_price currency customer_no sold_at kind refers_to store_no discount"
        row: Row = dict(zip(header.split(), next(csv.reader([text], strict=True)), strict=True))
        row["sold_at"] = datetime.strptime(row["sold_at"], "%d.%m.%Y %H:%M:%S")  # noqa: DTZ007 - a wall clock
        row |= {name: Decimal(row[name]) for name in ("qty", "unit_price", "discount")}
        day = row["sold_at"].date().isoformat()
        rate = Decimal(1) if row["currency"] == "EUR" else rates[row["currency"], day]
        row["euros"] = (row["qty"] * row["unit_price"] - row["discount"]) * rate
        assert row["order_no"]
        assert row["unit_price"] >= 0
        assert row["sold_at"].year < 2100
        assert int(row["line_no"]) > 0
        assert row["store_no"] in {"900", "901", "101", "102", "103", "104", "105"}
        row["warned"] = row["kind"] == "R" and not row["refers_to"]
        return row

    return read


def customer(text: str) -> Row:
    row: Row = json.loads(text)
    date.fromisoformat(row["birth_date"])
    assert row["customer_no"]
    return row


def event(text: str) -> Row:
    row: Row = json.loads(text)
    row["at"] = datetime.fromisoformat(row["at"])
    assert row["event_id"]
    assert row["at"].year < 2100
    return row


def loaded(path: Path, read: Any, header: int = 0, counts: Counter[str] | None = None) -> list[Row]:
    """Every record that a plain reader can take, each line once."""
    counts = Counter() if counts is None else counts
    seen, rows = set(), []
    for line in content(path).split(b"\n")[header:-1]:
        counts["records"] += 1
        if line in seen:
            counts["duplicates"] += 1
            continue
        seen.add(line)
        try:
            assert b"\0" not in line
            rows.append(read(line.decode()))
        except (ValueError, AssertionError, ArithmeticError, KeyError, csv.Error):
            counts["quarantined"] += 1
    counts["loaded"] += len(rows)
    counts["warned"] += sum(row.get("warned", False) for row in rows)
    return rows


def sums(lines: list[Row], by: Any) -> dict[str, Decimal]:
    total: dict[str, Decimal] = defaultdict(Decimal)
    for line in lines:
        total[by(line)] += line["euros"]
    return total


def truths(out: Path, name: str) -> list[Row]:
    """Read a truth that each chunk has a file of."""
    return [row for path in sorted((out / "truth" / name).iterdir()) for row in table(path)]


def defects(out: Path) -> list[Row]:
    return [row for path in sorted((out / "truth/defects").rglob("*.csv")) for row in table(path)]


def test_the_same_arguments_give_the_same_bytes(out: Path, tmp_path: Path) -> None:
    make(tmp_path, **SIZE, dirt=0.05)
    first = contents(out)
    assert first == contents(tmp_path)
    assert len(first) > 250
    dated = [path for path, content in first.items() if path.endswith(".gz") and any(content[4:8])]
    assert not dated, "the clock stands in gzip's header"


def test_spark_writes_the_bytes_that_one_process_writes(spark: SparkSession, tmp_path: Path) -> None:
    told = {"customers": 50, "days": 35, "seed": 9, "dirt": 0.1, "chunk": 20}
    written = make(tmp_path / "spark", spark, **told)
    assert written == make(tmp_path / "alone", **told)
    assert contents(tmp_path / "spark") == contents(tmp_path / "alone")
    assert len(truths(tmp_path / "spark", "customers")) == 50


def test_another_seed_gives_another_shop(out: Path, tmp_path: Path) -> None:
    make(tmp_path, **{**SIZE, "seed": 6}, dirt=0.05)
    assert truth(out, "totals.json")["clean"] != truth(tmp_path, "totals.json")["clean"]


def test_a_clean_shop_is_the_same_shop_without_defects(out: Path, tmp_path: Path) -> None:
    written = make(tmp_path, **SIZE)
    total = written["accounts"]["total"]
    assert total["records"] == total["loaded"]
    assert written["accounts"]["outcomes"] == {}
    assert not (tmp_path / "truth/defects").exists()
    assert written["totals"]["loaded"] == written["totals"]["clean"] == truth(out, "totals.json")["clean"]
    for name in ("customers/0001.csv", "orders/0001.csv", "days.csv"):
        assert (tmp_path / "truth" / name).read_bytes() == (out / "truth" / name).read_bytes()
    assert not list(tmp_path.glob("orders/*again*"))
    assert set(daily_names(tmp_path, "events")) - set(daily_names(out, "events")) == {"2025-02-05.jsonl.gz"}


def daily_names(out: Path, feed: str) -> list[str]:
    return [path.name for path in daily(out, feed)]


@pytest.mark.parametrize("feed", ["orders", "customers", "events"])
def test_the_accounts_are_what_a_plain_reading_comes_to(out: Path, feed: str) -> None:
    read = {"orders": order_line(rates(out)), "customers": customer, "events": event}[feed]
    accounts = truth(out, "accounts.json")["files"]
    paths = daily(out, feed)
    assert len(paths) > 40
    for path in paths:
        counts: Counter[str] = Counter()
        loaded(path, read, header=feed == "orders", counts=counts)
        account = accounts[path.relative_to(out).as_posix()]
        assert counts == {key: account[key] for key in counts}, path.name
        assert account["loaded"] + account["quarantined"] + account["duplicates"] == account["records"]


def test_every_file_is_accounted_for(out: Path) -> None:
    files = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    accounts = truth(out, "accounts.json")
    assert set(accounts["files"]) == {name for name in files if not name.startswith("truth/")}
    for key, total in accounts["total"].items():
        assert total == sum(account[key] for account in accounts["files"].values())


def test_every_defect_is_where_the_truth_says(out: Path) -> None:
    told = defects(out)
    accounts = truth(out, "accounts.json")
    found = Counter((row["file"], row["kind"]) for row in told)
    counted = {
        (file, kind): count for file, account in accounts["files"].items() for kind, count in account["defects"].items()
    }
    assert found == counted
    assert {row["kind"]: row["outcome"] for row in told} == accounts["outcomes"]
    for row in told:
        if row["kind"] == "nul_byte":
            assert b"\0" in content(out / row["file"]).split(b"\n")[int(row["line"]) - 1]


def test_small_feeds_have_as_many_records_as_their_accounts_say(out: Path) -> None:
    accounts = truth(out, "accounts.json")["files"]
    feeds = ["rates", "stores", "categories", "campaigns", "feedback", "contacts", "responses", "contracts"]
    for path in [path for feed in feeds for path in (out / feed).iterdir()]:
        assert len(table(path)) == accounts[path.relative_to(out).as_posix()]["records"] > 0
    for path in (out / "products").iterdir():
        assert pq.read_metadata(path).num_rows == accounts[f"products/{path.name}"]["records"]


def test_one_day_comes_again_under_another_name(out: Path) -> None:
    (again,) = out.glob("orders/*again*")
    account = truth(out, "accounts.json")["files"][f"orders/{again.name}"]
    assert account["records"] == 0
    assert content(out / account["repeats"]) == content(again)
    assert (out / account["repeats"]).read_bytes() != again.read_bytes()
    assert account["repeats"] < f"orders/{again.name}", "read by name, the first is the one that counts"


@pytest.mark.parametrize("part", ["clean", "loaded"])
def test_totals_are_those_of_a_plain_recomputation(out: Path, lines: list[Row], part: str) -> None:
    rows = [line for line in lines if part == "loaded" or not line["warned"]]
    total = truth(out, "totals.json")[part]
    sales = [line for line in rows if line["kind"] == "S"]
    day_of_order: dict[str, str] = {}
    for line in sorted(rows, key=lambda line: (line["sold_at"], int(line["line_no"]))):
        day_of_order.setdefault(line["order_no"], line["sold_at"].date().isoformat())
    assert total["lines"] == len(rows)
    assert total["orders"] == len({line["order_no"] for line in sales})
    assert total["returns"] == len({line["order_no"] for line in rows if line["kind"] == "R"})
    assert total["anonymous_orders"] == len({line["order_no"] for line in sales if not line["customer_no"]})
    assert total["customers_with_a_purchase"] == len({line["customer_no"] for line in sales} - {""})
    assert Decimal(total["revenue"]) == sum(line["euros"] for line in rows)
    assert Decimal(total["sales"]) == sum(line["euros"] for line in sales)
    by_order = sums(rows, lambda line: day_of_order[line["order_no"]])
    by_line = sums(rows, lambda line: line["sold_at"].date().isoformat())
    assert {day: Decimal(money) for day, money in total["revenue_by_day"].items() if Decimal(money)} == by_order
    assert {day: Decimal(money) for day, money in total["revenue_by_line_day"].items() if Decimal(money)} == by_line
    assert len(total["revenue_by_day"]) == SIZE["days"]


def test_customers_bought_and_spent_what_the_truth_says(out: Path, lines: list[Row]) -> None:
    sales = [line for line in lines if line["kind"] == "S"]
    orders = Counter(number for number, _ in {(line["customer_no"], line["order_no"]) for line in sales})
    spent = sums(sales, lambda line: line["customer_no"])
    customers = truths(out, "customers")
    assert len(customers) == SIZE["customers"]
    for row in customers:
        assert int(row["orders"]) == orders[row["customer_no"]]
        assert Decimal(row["spent"]) == spent[row["customer_no"]]


def test_customers_cost_what_the_truth_says(out: Path, lines: list[Row]) -> None:
    catalogue = pq.read_table(sorted((out / "products").iterdir())[-1]).to_pylist()
    costs = {row["sku"]: row["cost"] for row in catalogue}
    products, contacts = defaultdict[str, Decimal](Decimal), defaultdict[str, Decimal](Decimal)
    for line in lines:
        if not line["warned"]:  # the truth is that of the clean shop
            products[line["customer_no"]] += line["qty"] * costs[line["sku"]]
    for path in (out / "contacts").iterdir():
        for row in table(path):
            contacts[row["customer_no"]] += Decimal(row["cost"])
    for row in truths(out, "customers"):
        assert Decimal(row["product_cost"]) == products[row["customer_no"]]
        assert Decimal(row["contact_cost"]) == contacts[row["customer_no"]]
    assert sum(contacts.values()) > 0


def test_orders_are_numbered_as_they_come(lines: list[Row]) -> None:
    real = [line for line in lines if not line["warned"]]
    first: dict[str, datetime] = {}
    for line in sorted(real, key=lambda line: (line["order_no"], int(line["line_no"]))):
        first.setdefault(line["order_no"], line["sold_at"])
    times = [first[number] for number in sorted(first)]
    assert times == sorted(times)
    assert sorted(first) == [f"0001{n:07d}" for n in range(1, len(first) + 1)]
    assert len({(line["order_no"], line["line_no"]) for line in real}) == len(real)


def test_lines_are_in_the_file_of_their_own_day(out: Path) -> None:
    for path in daily(out, "orders"):
        days = {line["sold_at"].date().isoformat() for line in loaded(path, order_line(rates(out)), 1)}
        assert days == {path.name.split(".")[0]}


def test_a_few_orders_run_over_midnight(lines: list[Row]) -> None:
    times = defaultdict(set)
    for line in lines:
        times[line["order_no"]].add(line["sold_at"])
    over = [sorted(at) for at in times.values() if len(at) > 1]
    assert 0 < len(over) < 0.03 * len(times)
    for begin, end in over:
        assert (begin.strftime("%H:%M"), end.strftime("%H:%M")) == ("23:59", "00:01")
        assert timedelta(0) < end - begin < timedelta(minutes=3)


def test_a_return_gives_back_a_line_of_an_earlier_sale(lines: list[Row]) -> None:
    sold = defaultdict(list)
    for line in lines:
        if line["kind"] == "S":
            sold[line["order_no"]].append(line)
    returns = [line for line in lines if line["kind"] == "R" and not line["warned"]]
    assert len(returns) > 20
    assert "003999" not in {line["sku"] for lines in sold.values() for line in lines}
    for back in returns:
        same = ("sku", "unit_price", "currency", "customer_no")
        assert any(
            -back["qty"] == line["qty"]
            and back["sold_at"] > line["sold_at"]
            and all(back[name] == line[name] for name in same)
            for line in sold[back["refers_to"]]
        )


def test_a_share_of_buyers_is_anonymous_and_a_share_pays_in_pounds(out: Path, lines: list[Row]) -> None:
    total = truth(out, "totals.json")["clean"]
    assert total["anonymous_orders"] / total["orders"] == pytest.approx(0.05, abs=0.001)
    assert 0 < sum(line["currency"] == "GBP" for line in lines) < 0.1 * len(lines)


def test_the_latest_version_of_a_customer_has_the_true_city(out: Path) -> None:
    versions = [row for path in daily(out, "customers") for row in loaded(path, customer)]
    latest = {row["customer_no"]: row for row in sorted(versions, key=lambda row: row["updated_at"])}
    assert {number: row["city"] for number, row in latest.items()} == {
        row["customer_no"]: row["last_city"] for row in truths(out, "customers")
    }
    assert len(versions) > len(latest)
    cities = Counter((row["customer_no"], row["city"]) for row in versions)
    assert len(cities) > len(latest) + 0.8 * (len(versions) - len(latest)), "who moves lives elsewhere"
    assert len({(row["customer_no"], row["updated_at"]) for row in versions}) == len(versions)
    assert {row["email"].rpartition("@")[2] for row in versions} == {"example.com", "example.org"}


def test_events_are_of_one_buyer_or_visitor_and_of_known_products(out: Path) -> None:
    (path,) = out.glob("products/2025-01-01.parquet")
    products = set(pq.read_table(path)["sku"].to_pylist())
    events = [(path, row) for path in daily(out, "events") for row in loaded(path, event)]
    assert len({row["event_id"] for _, row in events}) == len(events)
    for path, row in events:
        assert row["at"].date().isoformat() == path.name.split(".")[0]
        assert (row["customer_no"] is None) != (row["visitor"] is None)
        assert (row["sku"] in products) if row["type"] in {"view", "cart"} else (row["sku"] is None)


def test_a_session_on_the_shop_s_clock_leads_to_every_sale_online(out: Path, lines: list[Row]) -> None:
    events = [row for path in daily(out, "events") for row in loaded(path, event)]
    lost = date(2025, 2, 5)  # its file of events never came
    orders = {(row["customer_no"], row["at"]) for row in events if row["type"] == "checkout"}
    sales = {
        (line["customer_no"], line["sold_at"].replace(tzinfo=ZoneInfo("Europe/Berlin")).astimezone(UTC))
        for line in lines
        if line["kind"] == "S" and line["customer_no"] and line["store_no"] in STORES and line["line_no"] == "1"
    }
    assert orders == {(customer, at) for customer, at in sales if at.date() != lost}
    assert len(orders) < len(sales)


def test_small_feeds_speak_of_known_customers_orders_and_campaigns(out: Path, lines: list[Row]) -> None:
    customers = {row["customer_no"] for row in truths(out, "customers")}
    buyers = {line["order_no"]: line["customer_no"] for line in lines}
    campaigns = {row["campaign_id"] for row in table(out / "campaigns/campaigns.csv")}
    contacts = {row["contact_id"]: row for path in out.glob("contacts/*") for row in table(path)}
    assert len(contacts) == sum(len(table(path)) for path in out.glob("contacts/*")) > 100
    for row in contacts.values():
        assert row["campaign_id"] in campaigns
        assert row["customer_no"] in customers
    for row in [row for path in out.glob("responses/*") for row in table(path)]:
        contact = contacts[row["contact_id"]]
        assert contact["customer_no"] == row["customer_no"]
        assert contact["contacted_at"] < row["responded_at"]
        assert contact["variant"] != "control"
    feedback = [row for path in out.glob("feedback/*") for row in table(path)]
    assert len({row["feedback_id"] for row in feedback}) == len(feedback)
    assert any("\n" in row["text"] and '"' in row["text"] for row in feedback)
    for row in feedback:
        assert buyers[row["order_no"]] == row["customer_no"]
        assert row["complaint"] == ("yes" if int(row.get("rating") or row["stars"]) <= 2 else "no")


def test_contracts_are_told_when_they_begin_and_when_notice_is_given(out: Path) -> None:
    customers = {row["customer_no"]: row for row in truths(out, "customers")}
    renewals = {row["contract_no"]: int(row["renewal"]) for row in truths(out, "contracts")}
    told = defaultdict(list)
    for path in sorted(out.glob("contracts/*")):
        for row in table(path):
            assert row["changed"].startswith(path.stem)
            told[row["contract_no"]].append(row)
    assert told.keys() == renewals.keys()
    assert {len(rows) for rows in told.values()} == {1, 2}
    for number, (first, *later) in told.items():
        assert first["customer_no"] in customers
        assert (first["changed"], first["cancelled"], first["ends"]) == (first["begins"], "", "")
        assert (number[0], first["price"]) == {"club": ("C", "9.90"), "box": ("B", "24.90")}[first["plan"]]
        for row in later:
            assert row["changed"] == row["cancelled"] <= row["ends"]
            begins, ends = (date.fromisoformat(row[key]) for key in ("begins", "ends"))
            if row["plan"] == "box":
                assert ends == begins + timedelta(days=14 * renewals[number])
            else:
                assert (ends.year * 12 + ends.month) - (begins.year * 12 + begins.month) == renewals[number]
                assert ends.day == begins.day or (ends + timedelta(days=1)).day == 1


def test_feedback_changes_its_columns_half_way(out: Path) -> None:
    headers = [path.read_text().partition("\n")[0].split(",") for path in sorted(out.glob("feedback/*"))]
    assert ["rating" in header for header in headers] == [True, True, False]
    assert [{"stars", "device"} <= set(header) for header in headers] == [False, False, True]


def test_each_catalogue_repeats_all_products_and_corrects_some(out: Path) -> None:
    catalogues = [pq.read_table(path).to_pylist() for path in sorted(out.glob("products/*"))]
    true = {row["sku"]: row for row in table(out / "truth/products.csv")}
    assert len(catalogues) == 3
    for catalogue in catalogues:
        assert [row["sku"] for row in catalogue] == sorted(true)
    latest = {row["sku"]: row for row in catalogues[-1]}
    assert {sku: row["title"] for sku, row in latest.items()} == {sku: row["title"] for sku, row in true.items()}
    corrected = {row["sku"] for row in catalogues[0] if row["title"] != true[row["sku"]]["title"]}
    assert corrected == {sku for sku, row in true.items() if row["corrected_on"]}
    assert 0 < len(corrected) < 10
    assert all(latest[sku]["changed_on"].isoformat() == true[sku]["corrected_on"] for sku in corrected)


@pytest.mark.parametrize(("customers", "days"), [(1, 1), (1, 2), (2, 1), (5, 40)])
@pytest.mark.parametrize("dirt", [0, 0.01, 1])
def test_the_smallest_shops_are_shops(tmp_path: Path, customers: int, days: int, dirt: float) -> None:
    written = make(tmp_path, customers=customers, days=days, dirt=dirt)
    assert written["totals"]["clean"]["customers_with_a_purchase"] == customers
    assert all(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file())


def test_what_is_returned_is_what_was_written(tmp_path: Path) -> None:
    written = make(tmp_path, customers=3, days=5, start=date(2023, 12, 30))
    assert written == {name: truth(tmp_path, f"{name}.json") for name in ("parameters", "accounts", "totals")}
    assert set(written["totals"]["clean"]["revenue_by_day"]) >= {"2023-12-30", "2024-01-03"}


def test_a_folder_with_anything_else_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(ConfigError, match="holds something else"):
        make(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_the_same_shop_may_be_written_again_another_not(tmp_path: Path) -> None:
    make(tmp_path)
    make(tmp_path)
    with pytest.raises(ConfigError, match="holds something else"):
        make(tmp_path, customers=2)


def test_a_shop_may_be_written_below_an_address(tmp_path: Path) -> None:
    shop.write((tmp_path / "new").as_uri(), Setting(1, 1, 1, date(2025, 1, 1)))
    make(tmp_path / "old")
    assert contents(tmp_path / "new") == contents(tmp_path / "old")


def test_every_wrong_argument_is_named_at_once() -> None:
    with pytest.raises(
        ValueError, match=r"customers must be 1 or more, got 0; days .* got -1; .* unknown effect 'luck'"
    ):
        Setting(customers=0, days=-1, seed=0, start=date(2025, 1, 1), dirt=2, effects={"luck": 1, "churn": 3})
    assert "churn" in EFFECTS
