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


def stock(draws: np.random.Generator, count: int) -> pd.DataFrame:
    """Draw a catalogue, cheapest first: sku, title, category, brand, price and cost in cents, since."""
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
        }
    )


def table(products: pd.DataFrame, start: date) -> pa.Table:
    """Write the products as their feed has them; prices are on the receipts only."""
    rows = products.sort_values("sku")
    return pa.table(
        {
            "sku": rows["sku"].to_list(),
            "title": rows["title"].to_list(),
            "category": rows["category"].to_list(),
            "brand": rows["brand"].to_list(),
            "cost": pa.array([Decimal(cost).scaleb(-2) for cost in rows["cost"]], pa.decimal128(10, 2)),
            "valid_from": [start + timedelta(days=since) for since in rows["since"].to_list()],
        }
    )
