"""The shop's clock: weekdays, times of the year, growth and busy days make it run faster or slower.

A customer's purchases come from a process in shop time (`process`), in which every day of the calendar is as
long as its factor: `weekday * year * trend * spike`. So the process keeps its parameters, and the calendar
shows the seasons (a time change of a Poisson process).
"""

from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import pandas as pd

from crm_spark.sample.process import Floats, Ints, Purchases
from crm_spark.sample.setting import Setting
from crm_spark.sample.streams import stream

WEEKDAYS = [0.85, 0.9, 0.95, 1.0, 1.25, 1.35, 0.7]  # from Monday
SWING, PEAK = 0.35, 340.0  # of the year: by how much, and its busiest day
GROWTH = 0.2  # a year
SPIKE, BETWEEN = 3.0, 90  # how busy, and about how many days apart
YEAR = 365.25


@dataclass(frozen=True)
class Clock:
    """How long each day is in shop time.

    Parameters
    ----------
    weekday, year, trend, spike : arrays, one element a day
        The factors.
    """

    weekday: Floats
    year: Floats
    trend: Floats
    spike: Floats

    @property
    def factor(self) -> Floats:
        """How long each day is."""
        return self.weekday * self.year * self.trend * self.spike

    @property
    def ends(self) -> Floats:
        """Shop time at each midnight, the first one's and the last one's included."""
        return np.concatenate([[0.0], np.cumsum(self.factor)])

    def day(self, at: Floats) -> Ints:
        """Give the calendar day of points in shop time."""
        ends = self.ends
        return np.clip(np.searchsorted(ends, at, side="right") - 1, 0, len(ends) - 2).astype(np.int64)

    def moment(self, at: Floats) -> Floats:
        """Give the calendar time of points in shop time: the day, and the part of it that has passed."""
        day = self.day(at)
        return day + (at - self.ends[day]) / self.factor[day]


def clock(setting: Setting) -> Clock:
    """Make the clock of a shop."""
    days = np.arange(setting.days)
    dates = pd.DatetimeIndex([setting.start + timedelta(days=int(day)) for day in days])
    strength = setting.effect("seasons")
    draws = stream(setting.seed, "spikes")
    busy = draws.random(setting.days) < 1 / BETWEEN
    return Clock(
        weekday=np.array(WEEKDAYS)[dates.dayofweek] ** strength,
        year=1 + strength * SWING * np.cos(2 * np.pi * (dates.dayofyear.to_numpy() - PEAK) / YEAR),
        trend=np.exp(setting.effect("trend") * GROWTH * days / YEAR),
        spike=np.where(busy, SPIKE ** setting.effect("spikes"), 1.0),
    )


def exposure(clock: Clock, purchases: Purchases, first: Floats) -> Floats:
    """Sum, for each day, the rates of the customers who were active on it.

    Times the day's factor that is how many repeat purchases the process expects of them.
    """
    ends = clock.ends
    last = np.minimum(purchases.active_until, ends[-1])
    seen = _upto(ends, first, purchases.rate) - _upto(ends, last, purchases.rate)
    return np.diff(seen) / clock.factor


def _upto(ends: Floats, since: Floats, rate: Floats) -> Floats:
    """Sum rate * (time passed since) at each end."""
    order = np.argsort(since)
    reached = np.searchsorted(since[order], ends)
    rates = np.concatenate([[0.0], np.cumsum(rate[order])])[reached]
    begun = np.concatenate([[0.0], np.cumsum(rate[order] * since[order])])[reached]
    passed: Floats = ends * rates - begun
    return passed
