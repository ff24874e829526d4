"""Products that are bought together: an order holds all of a bundle more often than chance would have it."""

import numpy as np
import pandas as pd

from crm_spark.sample.process import Floats, Ints
from crm_spark.sample.setting import Setting
from crm_spark.sample.streams import stream

SUPPORTS = [0.08, 0.06, 0.05, 0.04, 0.03]  # shares of orders that hold the whole bundle
SIZES = [2, 3, 2, 2, 3]
NONE = -1


def planted(setting: Setting, count: int) -> list[Ints]:
    """Draw which products each bundle is of; no product is in two. The last, discontinued one is in none."""
    products = stream(setting.seed, "bundles").permutation(count - 1)[: sum(SIZES)]
    return np.split(products, np.cumsum(SIZES)[:-1])


def supports(setting: Setting) -> Floats:
    """Give the share of orders that hold each bundle."""
    return np.array(SUPPORTS) * setting.effect("bundles")


def choose(draws: np.random.Generator, shares: Floats, orders: int) -> Ints:
    """Draw the bundle of each order, or none."""
    return draws.choice(len(shares) + 1, orders, p=[1 - shares.sum(), *shares]) + NONE


def table(setting: Setting, products: pd.DataFrame) -> pd.DataFrame:
    """Write what was planted: bundle, its products, its share of the orders."""
    sku = products["sku"].to_numpy()
    return pd.DataFrame(
        {
            "bundle": np.arange(1, len(SIZES) + 1),
            "products": [" ".join(sorted(sku[bundle])) for bundle in planted(setting, len(products))],
            "support": supports(setting),
        }
    )
