"""What was planted: the truth that the raw files hide, for tests that find it back."""

from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd

from crm_spark.sample import customers, text
from crm_spark.sample.dirt import NEW_ORDERS, ORPHAN, Soiled
from crm_spark.sample.orders import NOBODY, RETURN, SALE, Receipts
from crm_spark.sample.process import Ints
from crm_spark.sample.receipts import euros
from crm_spark.sample.trade import Trade


def sold(receipts: Receipts, rates: Ints) -> pd.DataFrame:
    """Give the lines as a right ingestion of a clean shop sees them.

    Returns
    -------
    DataFrame
        order, kind, customer, order_day (of the first line), day (of the line), euros (1e-4 each).
    """
    lines = receipts.lines
    orders = receipts.orders.iloc[lines["order"]].reset_index(drop=True)
    return pd.DataFrame(
        {
            "order": lines["order"],
            "kind": orders["kind"],
            "customer": orders["customer"],
            "order_day": orders["day"],
            "day": lines["day"],
            "euros": euros(receipts, rates),
        }
    )


def orphans(receipts: Receipts, rates: Ints, soiled: Soiled) -> pd.DataFrame:
    """Give the returns without a sale, which are dirt and yet loaded: one piece each."""
    lines = receipts.lines.iloc[soiled.source[soiled.kind == ORPHAN]]
    currency = receipts.orders["currency"].to_numpy()[lines["order"]]
    return pd.DataFrame(
        {
            "order": NEW_ORDERS + np.arange(len(lines)),
            "kind": RETURN,
            "customer": np.maximum(0, receipts.orders["customer"].to_numpy()[lines["order"]]),
            "order_day": lines["day"].to_numpy(),
            "day": lines["day"].to_numpy(),
            "euros": -lines["unit_price"].to_numpy() * rates[lines["day"], currency],
        }
    )


def totals(lines: pd.DataFrame, days: int, start: date) -> dict[str, Any]:
    """Sum the lines; revenue is sales less returns, after discounts, in euros."""
    sales, returns = lines[lines["kind"] == SALE], lines[lines["kind"] == RETURN]
    bought = sales.loc[sales["customer"] != NOBODY, "customer"]
    return {
        "lines": len(lines),
        "sale_lines": len(sales),
        "orders": int(sales["order"].nunique()),
        "anonymous_orders": int(sales.loc[sales["customer"] == NOBODY, "order"].nunique()),
        "returns": int(returns["order"].nunique()),
        "customers_with_a_purchase": int(bought.nunique()),
        "revenue": amount(lines["euros"].sum()),
        "sales": amount(sales["euros"].sum()),
        "returned": amount(returns["euros"].sum()),
        "revenue_by_day": daily(lines, "order_day", days, start),
        "revenue_by_line_day": daily(lines, "day", days, start),
    }


def daily(lines: pd.DataFrame, by: str, days: int, start: date) -> dict[str, str]:
    """Sum the euros of every day, days without any included."""
    sums = lines.groupby(by)["euros"].sum().reindex(range(days), fill_value=0)
    return {(start + timedelta(days=day)).isoformat(): amount(sums[day]) for day in range(days)}


def amount(euros: int) -> str:
    """Spell hundredths of a cent as exact euros."""
    return str(Decimal(int(euros)).scaleb(-4))


def customer_table(trade: Trade) -> pd.DataFrame:
    """One row per customer: what drove the customer, and what came of it."""
    purchases, people, size = trade.purchases, trade.people, len(trade.people)
    lines = sold(trade.receipts, trade.rates)
    first = np.flatnonzero(np.diff(purchases.customer, prepend=-1))
    last = trade.versions.drop_duplicates("customer", keep="last").sort_values("customer")
    left = np.isfinite(purchases.active_until)
    return pd.DataFrame(
        {
            "customer_no": text.ids(np.arange(size)).to_pylist(),
            "first_purchase": purchases.at[first],
            "lambda": purchases.rate,
            "p": purchases.leaving,
            "active_until": np.where(left, purchases.active_until, np.nan),
            "mean_order_value": trade.mean_value,
            "purchases": np.bincount(purchases.customer, minlength=size),
            "spent": by_customer(lines[lines["kind"] == SALE], size),
            "returned": by_customer(lines[lines["kind"] == RETURN], size),
            "country": text.chosen(people["country"], customers.COUNTRIES).to_pylist(),
            "last_city": customers.places(people["country"], last["city"]).to_pylist(),
        }
    )


def by_customer(lines: pd.DataFrame, size: int) -> list[str]:
    """Sum the euros of every customer, those without a line included; buyers without a name fall out."""
    sums = lines.groupby("customer")["euros"].sum().reindex(range(size), fill_value=0)
    return [amount(euros) for euros in sums]
