"""What the tests of buying models share: the published sample."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest


@pytest.fixture(scope="session")
def cdnow(cdnow_sample: Path) -> pd.DataFrame:
    return pd.read_csv(cdnow_sample / "cdnow_customers_summary.csv")


@pytest.fixture(scope="session")
def exact_weeks(cdnow_sample: Path) -> tuple[np.ndarray, ...]:
    """The summary from the raw file, in exact weeks: one purchase for a customer and day."""
    names = ["master", "customer", "day", "discs", "dollars"]
    raw = pd.read_csv(cdnow_sample / "CDNOW_sample.txt", sep=r"\s+", header=None, names=names)
    days = pd.to_datetime(raw["day"], format="%Y%m%d")
    end = pd.Timestamp("1997-09-30")
    bought = days[days <= end].groupby(raw["customer"]).agg(["nunique", "min", "max"])
    weeks = [(late - bought["min"]).dt.days.to_numpy() / 7 for late in (bought["max"], pd.Series(end, bought.index))]
    return bought["nunique"].to_numpy(float) - 1, *weeks
