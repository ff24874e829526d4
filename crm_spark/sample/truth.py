"""What was planted: the truth that the raw files hide, for tests that find it back."""

from collections import Counter
from collections.abc import Iterable
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd

from crm_spark.sample import customers, receipts, seasons, text
from crm_spark.sample.orders import ANONYMOUS, CAMPAIGN, CAUSES, FRAUD, NOBODY, PROCESS, RETURN, SALE
from crm_spark.sample.trade import Trade
from crm_spark.sample.world import World

COUNTED = ["first_purchases", "repeat_purchases", "campaign_orders", "fraud_orders", "anonymous_orders", "new_buyers"]
SUMMED = ["lines", "sale_lines", "orders", "anonymous_orders", "returns", "sales", "returned"]


def customer_table(trade: Trade) -> pd.DataFrame:
    """One row per customer: who it is, what drove it, and what came of it."""
    purchases, people, clock = trade.purchases, trade.people, trade.world.clock
    size, end = len(people), clock.ends[-1]
    last = purchases.at[np.cumsum(np.bincount(purchases.customer, minlength=size)) - 1]
    city = trade.versions.drop_duplicates("customer", keep="last").sort_values("customer")["city"]
    left = np.isfinite(purchases.active_until)
    kind = trade.receipts.orders["kind"].to_numpy()
    sales = trade.receipts.orders["customer"].to_numpy()[kind == SALE]
    lines = sold(trade)
    return pd.DataFrame(
        {
            "customer_no": text.ids(trade.numbers).to_pylist(),
            "archetype": text.chosen(people["archetype"], [kind.name for kind in trade.world.archetypes]).to_pylist(),
            "age_group": text.chosen(people["age_group"], customers.AGE_GROUPS).to_pylist(),
            "household": text.chosen(people["household"], customers.HOUSEHOLDS).to_pylist(),
            "country": text.chosen(people["country"], customers.COUNTRIES).to_pylist(),
            "last_city": customers.places(people["country"], city).to_pylist(),
            "double_of": text.ids(receipts.known(trade.numbers, people["double_of"])).to_pylist(),
            "first_purchase": clock.moment(trade.first),
            "active_until": np.where(left, clock.moment(np.where(left, purchases.active_until, 0.0)), np.nan),
            "lambda": purchases.rate,
            "p": purchases.leaving,
            "x": np.bincount(purchases.customer, minlength=size) - 1,
            "t_x": last - trade.first,
            "T": end - trade.first,
            "mean_order_value": people["mean"],
            "orders": np.bincount(sales[sales != NOBODY], minlength=size),
            "spent": by_customer(lines[lines["kind"] == SALE], size),
            "returned": by_customer(lines[lines["kind"] == RETURN], size),
            "product_cost": by_customer(lines, size, "cost"),
            "contact_cost": by_customer(trade.contacts.assign(cost=100 * trade.contacts["cost"]), size, "cost"),
        }
    )


def order_table(trade: Trade) -> pd.DataFrame:
    """One row per sale: what it came of, its bundle, and what it was drawn to be worth."""
    orders = trade.receipts.orders
    sales = orders[orders["kind"] == SALE]
    return pd.DataFrame(
        {
            "order_no": text.ids(sales.index, receipts.orders_of(trade.chunk)).to_pylist(),
            "customer_no": text.ids(receipts.known(trade.numbers, sales["customer"])).to_pylist(),
            "date": text.dates(sales["day"], trade.world.setting.start).to_pylist(),
            "cause": text.chosen(sales["cause"], CAUSES).to_pylist(),
            "bundle": sales["bundle"].to_numpy() + 1,
            "worth": sales["worth"].round(4).to_numpy(),
        }
    )


def day_counts(trade: Trade) -> pd.DataFrame:
    """One row per day: how many orders came of what, and the exposure; sums over chunks are those of the shop."""
    clock, days = trade.world.clock, trade.world.setting.days
    orders = trade.receipts.orders[trade.receipts.orders["kind"] == SALE]
    first = np.bincount(clock.day(trade.first), minlength=days)
    named = orders[orders["customer"] != NOBODY]

    def of(cause: int) -> Any:
        return np.bincount(orders["day"][orders["cause"] == cause], minlength=days)

    return pd.DataFrame(
        {
            "exposure": seasons.exposure(clock, trade.purchases, trade.first),
            "first_purchases": first,
            "repeat_purchases": of(PROCESS) - first,
            "campaign_orders": of(CAMPAIGN),
            "fraud_orders": of(FRAUD),
            "anonymous_orders": of(ANONYMOUS),
            "new_buyers": np.bincount(named.groupby("customer")["day"].min(), minlength=days),
        }
    )


def day_table(world: World, counts: pd.DataFrame) -> pd.DataFrame:
    """One row per day: its planted factors beside what came of them."""
    clock, start = world.clock, world.setting.start
    planted = pd.DataFrame(
        {
            "date": [(start + timedelta(days=day)).isoformat() for day in range(world.setting.days)],
            "weekday": clock.weekday,
            "year": clock.year,
            "trend": clock.trend,
            "spike": clock.spike,
        }
    )
    return pd.concat([planted, counts.round({"exposure": 6})], axis=1)


def product_table(world: World) -> pd.DataFrame:
    """One row per product: its true attributes, and when the catalogue had them right."""
    products, start = world.products, world.setting.start
    corrected = [(start + timedelta(days=day)).isoformat() if day else "" for day in products["corrected"].to_list()]
    return products[["sku", "title", "category", "brand"]].assign(corrected_on=corrected).sort_values("sku")


def sold(trade: Trade) -> pd.DataFrame:
    """Give kind, customer, euros (1e-4 each) and what the pieces cost, as much, of every line."""
    lines = trade.receipts.lines
    orders = trade.receipts.orders.iloc[lines["order"]].reset_index(drop=True)
    return pd.DataFrame(
        {
            "kind": orders["kind"],
            "customer": orders["customer"],
            "euros": receipts.euros(trade.receipts, trade.world.rates),
            "cost": 100 * lines["quantity"] * trade.world.products["cost"].to_numpy()[lines["product"]],
        }
    )


def by_customer(lines: pd.DataFrame, size: int, money: str = "euros") -> list[str]:
    """Sum the money of every customer, those without a line included; buyers without a name fall out."""
    sums = lines.groupby("customer")[money].sum().reindex(range(size), fill_value=0)
    return [amount(euros) for euros in sums]


def totals(world: World, files: Iterable[dict[str, Any]], buyers: int) -> dict[str, Any]:
    """Sum the clean shop, and the shop as loaded: with the returns that come without a sale.

    Parameters
    ----------
    files : iterable of dict
        As `writing.sums` gives them, one for each file of orders.
    buyers : int
        Customers who bought anything.
    """
    sums = list(files)
    clean, orphans = [file["clean"] for file in sums], [file["orphans"] for file in sums]
    return {
        "currency": "EUR",
        "clean": _total(world, clean, buyers),
        "loaded": _total(world, [*clean, *orphans], buyers),
    }


def _total(world: World, parts: list[dict[str, Any]], buyers: int) -> dict[str, Any]:
    total = {name: sum(part.get(name, 0) for part in parts) for name in SUMMED}
    by_order_day: Counter[int] = Counter()
    by_line_day: Counter[int] = Counter()
    for part in parts:
        by_order_day.update({int(day): euros for day, euros in part["by_order_day"].items()})
        by_line_day.update({part["day"]: sum(part["by_order_day"].values())})
    return {
        **{name: total[name] for name in SUMMED[:5]},
        "customers_with_a_purchase": buyers,
        "revenue": amount(total["sales"] + total["returned"]),
        "sales": amount(total["sales"]),
        "returned": amount(total["returned"]),
        "revenue_by_day": _daily(by_order_day, world.setting.days, world.setting.start),
        "revenue_by_line_day": _daily(by_line_day, world.setting.days, world.setting.start),
    }


def _daily(euros: Counter[int], days: int, start: date) -> dict[str, str]:
    """Give every day's euros, days without any included."""
    return {(start + timedelta(days=day)).isoformat(): amount(euros[day]) for day in range(days)}


def amount(euros: int) -> str:
    """Spell hundredths of a cent as exact euros."""
    return str(Decimal(int(euros)).scaleb(-4))
