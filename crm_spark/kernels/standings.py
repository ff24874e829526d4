"""How the newest values of series stand to their own past, judged as each period of that past was.

Each period is judged by what lies before it alone: so the periods before the newest tell how often a method is wrong.
Many series at once, time along the first axis, all ending in the last row; NaN is missing. What is found for a series
does not depend on who lies beside it, to the last bit.

The season is taken out first: a value is held against the mean (robust: the median) of its own place in the cycle,
where two whole cycles are known. Else all periods count alike. What a Saturday brings often scatters more than what a
Monday does: from five values of a place on its own scatter counts beside that of all.

Of Box and Cox's powers a few simple ones are tried anew for each period: what fits the whole past finely would judge
that past too well, and false alarms could not be told from it.

References
----------
Tukey, J. W. (1977). Exploratory Data Analysis. Addison-Wesley: the ladder of powers.
Iglewicz, B., Hoaglin, D. C. (1993). How to Detect and Handle Outliers. ASQC: the robust z.
Wilson, D. J. (2019). The Harmonic Mean p-Value for Combining Dependent Tests. PNAS 116(4), 1195-1200.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from crm_spark.kernels import box_cox, mean_tests
from crm_spark.kernels.arithmetic import add_up, ratio
from crm_spark.kernels.likelihood import Flags, Floats
from crm_spark.kernels.mean_tests import Found, Sample

Method = Literal["z", "robust_z", "box_cox", "window"]
Test = Literal["welch", "pooled", "paired", "one_sample"]

METHODS: tuple[Method, ...] = ("z", "robust_z", "box_cox", "window")
TESTS: tuple[Test, ...] = ("welch", "pooled", "paired", "one_sample")
LEAST = 8  # values that must lie before a period to judge it
OF_MEDIAN = 1.482602218505602  # standard deviations of a normal one that its median deviation is
OF_MEAN = 1.2533141373155003  # and its mean deviation
EFFICIENCY = 0.3675  # of the median deviation: it knows a spread as well as so many of the values would
OF_SIZE, OF_MOVED = (16, 32), (1, 2, 3, 5, 9)  # where kinds of a past are parted
KINDS = (len(OF_SIZE) + 1) * (len(OF_MOVED) + 1)
OWN = 5  # values of a place in the cycle from which on it is told how far it scatters by itself
ALIKE = 4.0  # more that are as if seen there, scattering as all places do
LADDER = (-1.0, -0.5, 0.0, 1 / 3, 0.5, 1.0, 2.0)  # powers that are tried; Tukey's


@dataclass(frozen=True)
class Asked:
    """What is asked of series.

    Parameters
    ----------
    season : int
        Periods of a cycle; 1 for none.
    past : int
        Periods that a period is judged by: those right before it, in whole cycles, two at least.
    window : int
        Periods of the last window, whose mean is tested.
    newest : int
        Last periods that are judged.
    origins : int
        Periods before these that are judged, too, to know how often methods are wrong.
    test : str
        By which test windows are compared.
    methods : sequence of str
        Of METHODS.
    """

    season: int
    past: int
    window: int
    newest: int = 1
    origins: int = 26
    test: Test = "welch"
    methods: Sequence[Method] = METHODS

    @property
    def rows(self) -> int:
        """Periods that are judged."""
        return self.newest + self.origins


class Standings(NamedTuple):
    """How periods stand: (origins + newest, n) arrays, the newest last.

    Parameters
    ----------
    p : mapping
        By method: that chance alone takes a value so far from what is usual; NaN where it cannot be told.
    z : array
        Standard deviations between a value and what is usual, of the prediction.
    expected, spread : array
        What is usual, and its standard deviation.
    kind : array
        What the past of a period is like, 0 to KINDS - 1: by how many values it has, and how many of these are above
        the least. A purchase after many weeks without any is far off by each method, and often comes.
    """

    p: Mapping[Method, Floats]
    z: Floats
    expected: Floats
    spread: Floats
    kind: Floats


def stand(values: Floats, asked: Asked) -> Standings:
    """Judge the last periods of series.

    Parameters
    ----------
    values : (T, n) array
        Finite or missing; what is beyond 1e150 is to be refused before.
    asked : Asked
    """
    shape = asked.rows, values.shape[1]
    found = Standings({method: np.full(shape, np.nan) for method in asked.methods}, *np.full((4, *shape), np.nan))
    for which, part in _parts(values, asked):
        of_part = part.stand()
        for method in asked.methods:
            found.p[method][:, which] = of_part.p[method]
        for whole, of in zip(found[1:], of_part[1:], strict=True):
            whole[:, which] = of
    return found


def compare(values: Floats, asked: Asked) -> Found:
    """Test the mean of the last window of series against what lies before it.

    Parameters
    ----------
    values : (T, n) array
        Finite or missing.
    asked : Asked
        `test` says how: `welch` and `pooled` against the past, the season being taken out of both; `one_sample` against
        its mean; `paired` against the same periods a cycle before, or without a season against the window before.
    """
    found = Found(*np.full((3, values.shape[1]), np.nan))
    for which, part in _parts(values, asked):
        for whole, of in zip(found, part.window(len(part.values) - 1), strict=True):
            whole[which] = of
    return found


def _parts(values: Floats, asked: Asked) -> Iterator[tuple[Flags, "_Part"]]:
    """Series of which two cycles are known, and the others, which are judged without a season."""
    known = ~np.isnan(values)
    begin = np.where(known.any(axis=0), known.argmax(axis=0), len(values))
    is_seasonal = (len(values) - asked.newest - begin >= 2 * asked.season) & (asked.season > 1)
    for season, which in ((asked.season, is_seasonal), (1, ~is_seasonal)):
        if which.any():
            yield which, _Part(values[:, which], season, asked)


def together(p: Sequence[Floats]) -> Floats:
    """Give the harmonic mean of what methods found; those that found nothing do not count."""
    told = np.array(p)
    is_told = ~np.isnan(told)
    inverse = add_up(np.where(is_told, 1 / np.where(is_told, np.maximum(told, 1e-300), 1.0), 0.0))
    return ratio(add_up(is_told.astype(np.float64)), inverse)


class _Part:
    """Series that are judged by one cycle."""

    def __init__(self, values: Floats, season: int, asked: Asked) -> None:
        self.season, self.asked = season, asked
        self.cycles = max(asked.past // season, 2 if season > 1 else 1)
        self.reach = self.cycles * season
        rows = asked.rows + self.reach + asked.window
        self.values = np.full((rows, values.shape[1]), np.nan)
        taken = values[-rows:]
        self.values[rows - len(taken) :] = taken

    def stand(self) -> Standings:
        asked, told = self.asked, list[tuple[Floats, ...]]()
        logs, powered = self.powered() if "box_cox" in asked.methods else (self.values, [])
        p: dict[Method, list[Floats]] = {method: [] for method in asked.methods}
        for at in range(len(self.values) - asked.rows, len(self.values)):
            z, of_z, expected, spread = self.z(self.values, at)
            told.append((z, expected, spread, self.kind(at)))
            for method, of in p.items():
                if method == "z":
                    of.append(of_z)
                elif method == "robust_z":
                    of.append(self.robust_z(at))
                elif method == "box_cox":
                    of.append(self.box_cox(at, logs, powered))
                else:
                    of.append(self.window(at).p)
        z, expected, spread, kind = (np.array(of) for of in zip(*told, strict=True))
        return Standings({method: np.array(of) for method, of in p.items()}, z, expected, spread, kind)

    def kind(self, at: int) -> Floats:
        """What the past of a row is like."""
        past = self.values[at - self.reach : at]
        known = ~np.isnan(past)
        moved = known & (past > np.where(known, past, np.inf).min(axis=0))
        of_size, of_moved = (
            np.searchsorted(at, of.sum(axis=0), "right") for at, of in ((OF_SIZE, known), (OF_MOVED, moved))
        )
        return np.asarray(of_size * (len(OF_MOVED) + 1) + of_moved, dtype=np.float64)

    def before(self, values: Floats, at: int) -> Floats:
        """The past of a row as (cycles, places in the cycle, n): the row itself would be at the first place."""
        return values[at - self.reach : at].reshape(self.cycles, self.season, -1)

    def z(self, values: Floats, at: int, are_alike: bool = False) -> tuple[Floats, Floats, Floats, Floats]:
        """The z of a value with its p, what is usual and how far that scatters: a prediction of the normal model.

        A place in the cycle of which enough is known scatters by itself, unless places are alike.
        """
        places = mean_tests.describe(self.before(values, at))
        df, spread = _within(places)
        if not are_alike:
            df, spread = _of_place(df, spread, places.size[0] - 1, np.sqrt(places.variance[0]))
        off = values[at] - places.mean[0]
        error = spread * np.sqrt(1 + ratio(np.ones_like(df), places.size[0]))
        enough = df + 1 >= LEAST
        z = np.where(enough, ratio(off, error), np.nan)
        p = mean_tests.two_sided(z, df)
        # Where all before are alike, the one that is not is the last of them by chance: one of so many.
        first = np.where(off == 0, 1.0, 1 / (add_up(places.size) + 1))
        p = np.where((spread == 0) & enough & ~np.isnan(off), first, p)
        return z, p, np.where(enough, places.mean[0], np.nan), np.where(enough, spread, np.nan)

    def robust_z(self, at: int) -> Floats:
        """The p of a value by median and median deviation; by mean deviation where half of the values are alike."""
        past = self.before(self.values, at)
        centre = _median(past)
        apart = np.abs(past - centre)
        places = (~np.isnan(centre)).sum(axis=0).astype(np.float64)
        size, whole = _scatter(apart.reshape(self.reach, -1), places)
        of_place, own = _scatter(apart[:, 0], np.ones_like(places))
        df, spread = _of_place(size - places, whole, of_place - 1, own)
        error = spread * np.sqrt(1 + ratio(np.full_like(df, np.pi / 2), of_place))
        z = np.where(size - places + 1 >= LEAST, ratio(self.values[at] - centre[0], error), np.nan)
        return mean_tests.two_sided(z, np.maximum(EFFICIENCY * df, 1.0))

    def powered(self) -> tuple[Floats, list[Floats]]:
        """Logarithms of values, by their geometric mean, and their powers; added is what makes all of them positive."""
        logs = np.log(self.values + box_cox.shift(self.values))
        known = ~np.isnan(logs)
        logs = logs - ratio(add_up(np.where(known, logs, 0.0)), add_up(known.astype(np.float64)))
        with np.errstate(over="ignore"):
            return logs, [np.expm1(power * logs) / power if power else logs for power in LADDER]

    def box_cox(self, at: int, logs: Floats, powered: Sequence[Floats]) -> Floats:
        """The p of a value after the power that makes its past likeliest, the season being taken out."""
        past = logs[at - self.reach : at]
        known = ~np.isnan(past)
        size, slope = add_up(known.astype(np.float64)), add_up(np.where(known, past, 0.0))
        best, found = np.full(size.shape, -np.inf), np.full(size.shape, np.nan)
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            for power, values in zip(LADDER, powered, strict=True):
                _, p, _, spread = self.z(values, at, are_alike=True)
                height = (power - 1) * slope - size * np.log(spread)
                is_better = (height > best) & (spread > 0)
                best, found = np.where(is_better, height, best), np.where(is_better, p, found)
        return found

    def window(self, at: int) -> Found:
        """Test the mean of the window that ends with a row."""
        k = self.asked.window
        first = at - k + 1
        now = self.values[first : at + 1]
        if self.asked.test == "paired":
            back = self.season if self.season > 1 else k
            return _enough(mean_tests.paired(now, self.values[first - back : at + 1 - back]), now)
        places = mean_tests.describe(self.before(self.values, first))
        df, spread = _within(places)
        off = mean_tests.describe(now - places.mean[np.arange(k) % self.season])
        df = np.where(df + 1 >= LEAST, df, np.nan)
        past = Sample(df + 1, np.zeros_like(df), spread**2)
        if self.asked.test == "one_sample":
            found = mean_tests.one_sample(off, 0.0 * df)
        else:
            found = (mean_tests.welch if self.asked.test == "welch" else mean_tests.pooled)(off, past)
        return _enough(found, now)


def _within(places: Sample) -> tuple[Floats, Floats]:
    """Degrees of freedom and standard deviation within places of the cycle."""
    free = np.maximum(places.size - 1, 0.0)
    df = add_up(free)
    squares = add_up(np.where(free > 0, places.variance * free, 0.0))
    return df, np.sqrt(ratio(squares, df))


def _of_place(df: Floats, spread: Floats, own_df: Floats, own: Floats) -> tuple[Floats, Floats]:
    """Degrees of freedom and standard deviation of one place: its own, as far as it is known, and that of all places.

    By Satterthwaite: the own values are among those of all, so both estimates covary as the latter varies.
    """
    free = np.where(np.isnan(own) | (own_df + 1 < OWN), 0.0, own_df)
    share = free / (free + ALIKE)
    of_own = ratio(np.ones_like(df), free)
    doubt = ratio(1 - share**2, df) + np.where(share > 0, share**2 * of_own, 0.0)
    squares = (1 - share) * spread**2 + share * np.where(share > 0, own, 0.0) ** 2
    return ratio(np.ones_like(df), doubt), np.sqrt(squares)


def _scatter(apart: Floats, centres: Floats) -> tuple[Floats, Floats]:
    """How many values lie around so many medians, and how far: by the median, or the mean where half are alike."""
    size = (~np.isnan(apart)).sum(axis=0).astype(np.float64)
    mean = ratio(add_up(np.where(np.isnan(apart), 0.0, apart)), size)
    middle = _median(apart)
    scale = np.where(middle > 0, OF_MEDIAN * middle, OF_MEAN * mean)
    return size, scale * np.sqrt(ratio(size, np.maximum(size - centres, 0.0)))


def _enough(found: Found, window: Floats) -> Found:
    """Of a window that begins before its series, or ends without a value, nothing is told."""
    is_short = np.isnan(window[0]) | np.isnan(window[-1])
    return Found(*(np.where(is_short, np.nan, of) for of in found))


def _median(values: Floats) -> Floats:
    """The median of what is known along the first axis; NaN where nothing is."""
    size = (~np.isnan(values)).sum(axis=0)
    in_order = np.sort(values, axis=0)
    low, high = np.maximum(size - 1, 0) // 2, size // 2
    at = [np.take_along_axis(in_order, np.minimum(place, len(values) - 1)[None], axis=0)[0] for place in (low, high)]
    return np.where(size > 0, (at[0] + at[1]) / 2, np.nan)
