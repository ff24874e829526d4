"""The shop's products: titles of kitchen and garden goods, prices from a few euros to some hundred."""

from datetime import date, timedelta
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa

THINGS = {
    "Kitchen": ["Kettle", "Pan", "Knife", "Bowl", "Teapot", "Grater", "Whisk", "Jar"],
    "Garden": ["Spade", "Rake", "Pot", "Hose", "Lantern", "Bench", "Trowel", "Trellis"],
    "Bath": ["Towel", "Mirror", "Soap dish", "Stool", "Robe", "Basket"],
    "Office": ["Lamp", "Notebook", "Shelf", "Chair", "Pen", "Tray"],
    "Toys": ["Kite", "Puzzle", "Blocks", "Drum", "Doll's house", "Ball"],
}
KINDS = ["Red", "Blue", "Green", "Oak", "Steel", "Linen", "Small", "Large", "Grüne", "Classic"]
BRANDS = ["Musterwerk", "Beispiel & Söhne", "Probano", "Exempla", "Nordmuster"]


DISCONTINUED = "003999"  # the dearest; sold before the files begin, and never since


EVERY, CORRECTED = 30, 0.05  # days between catalogues; the share of products that the first one has wrong


def stock(draws: np.random.Generator, count: int, days: int) -> pd.DataFrame:
    """Draw the products, cheapest first: sku, title, category, brand, price and cost in cents, since, corrected.

    `corrected` is the day of the catalogue that has the title right; until then it lacks its end.
    """
    categories = np.array([name for name, things in THINGS.items() for _ in things])
    things = np.array([thing for things in THINGS.values() for thing in things])
    thing = draws.integers(0, len(things), count)
    price = np.sort(np.rint(100 * np.exp(draws.uniform(np.log(1.5), np.log(250), count)))).astype(np.int64)
    titles = np.char.add(np.char.add(draws.choice(KINDS, count), " "), things[thing])
    return pd.DataFrame(
        {
            "sku": [*(f"{number:06d}" for number in 4000 + draws.permutation(count - 1)), DISCONTINUED],
            "title": titles,
            "category": categories[thing],
            "brand": draws.choice(BRANDS, count),
            "price": price,
            "cost": np.maximum(1, np.rint(price * draws.uniform(0.35, 0.7, count))).astype(np.int64),
            "since": -draws.integers(1, 720, count),
            "corrected": np.where(
                draws.random(count) < CORRECTED, EVERY * draws.integers(1, max(2, -(-days // EVERY)), count), 0
            ),
        }
    )


def table(products: pd.DataFrame, start: date, day: int) -> pa.Table:
    """Write the catalogue of a day, all products once more; prices are on the receipts only."""
    rows = products.sort_values("sku")
    code = {name: f"K{number:02d}" for number, name in enumerate(THINGS, 1)}
    return pa.table(
        {
            "sku": rows["sku"].to_list(),
            "title": titles(rows, day).to_list(),
            "category_code": [code[name] for name in rows["category"]],
            "brand": rows["brand"].to_list(),
            "cost": pa.array([Decimal(cost).scaleb(-2) for cost in rows["cost"]], pa.decimal128(10, 2)),
            "changed_on": [start + timedelta(days=changed) for changed in changes(rows, day)],
        }
    )


def titles(products: pd.DataFrame, day: int) -> pd.Series:
    """Give the titles that a day's catalogue has."""
    return products["title"].where(products["corrected"] <= day, products["title"].str.slice(stop=-1))


def changes(products: pd.DataFrame, day: int) -> list[int]:
    """Give the day of each product's last change until a day."""
    is_corrected = (products["corrected"] > 0) & (products["corrected"] <= day)
    return products["since"].where(~is_corrected, products["corrected"]).to_list()


def categories() -> pd.DataFrame:
    """Write the look-up of the categories."""
    codes = [f"K{number:02d}" for number in range(1, len(THINGS) + 1)]
    return pd.DataFrame({"code": codes, "category": list(THINGS)})
