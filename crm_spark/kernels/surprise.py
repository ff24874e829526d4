"""How surprising each value of a series is to whoever knows those before it, and nothing else.

A way to foretell the next value leaves residuals; how large one is, is told by the series' own past. Three ways are
exponential smoothing, each of another memory:

- `step`: the last value;
- `level`: the mean of about the last 200;
- `season`: the mean of about the last 9 of the same phase (hour of the day, day of the week).

The surprise is the residual against what 1 of 1,000 past ones exceeded: 1 is as odd as the past ever was. So a series
of regular spikes is not surprised by another one, and a quiet one is by little; one threshold is fair to all. The
`default` is the largest of the three. Beside them stand those that are known: `gaussian`, the windowed Gaussian of NAB;
`robust`, by median and median absolute deviation; `likelihood`, whether the errors of the last 10 values are larger
than they have been, as Ahmad and others tell anomalies from errors.

What learns of labels, or without any, is given `features`: the same surprises, those of the value before and of the
last values, which have no unit and are told of all series alike.

Many series at once, time along the first axis, each from the first row on; NaN is missing. What a value gets hangs on
those before it alone, and on no other series.

References
----------
Lavin, A., Ahmad, S. (2015). Evaluating Real-time Anomaly Detection Algorithms: the Numenta Anomaly Benchmark. ICMLA.
Ahmad, S., Lavin, A., Purdy, S., Agha, Z. (2017). Unsupervised real-time anomaly detection for streaming data.
    Neurocomputing 262, 134-147.
Siffer, A., Fouque, P.-A., Termier, A., Largouet, C. (2017). Anomaly Detection in Streams with Extreme Value
    Theory. KDD.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from crm_spark.kernels.arithmetic import add_up
from crm_spark.kernels.likelihood import Flags, Floats
from crm_spark.kernels.moving_average import average

WINDOW, STEP = 6400, 100  # of the windowed Gaussian in NAB
SHARE = 0.999  # of past residuals that are less
LEVEL, CYCLES = 200, 9  # memories, in values
LEAST = 20  # known values before anything is surprising
SHORT = 10
LEAST_DEVIATION = 1e-6  # of the windowed Gaussian in NAB
TO_SIGMA = 1.4826  # the median absolute deviation of a normal distribution is 1 / 1.4826 of its standard deviation
FLOOR = 0.1  # of the standard deviation of residuals, which their tail is not below
FEATURES = (
    *("step", "level", "season", "step_before", "level_before", "season_before"),
    *("level_lately", "errors_lately"),
)
NOTHING = 1e-9  # of the largest value so far: what varies less is rounding


@dataclass(frozen=True)
class Residuals:
    """What each way to foretell left over, (T, n)."""

    step: Floats
    level: Floats
    season: Floats


def residuals(values: Floats, phase: NDArray[np.int64] | None = None) -> Residuals:
    """Give what is left of each value when those before it have foretold it.

    Parameters
    ----------
    values : (T, n) array
        A series in each column, from the first row on; NaN where missing, and after its end.
    phase : (T, n) array of int, optional
        Where in its cycle each value is, from 0 on: hour of the day, day of the week. Without it nothing has a season.
    """
    step, level = (values - _before(average(values, "exponential", window)) for window in (1, LEVEL))
    return Residuals(step, level, np.full(values.shape, np.nan) if phase is None else _seasonal(values, phase))


def _seasonal(values: Floats, phase: NDArray[np.int64]) -> Floats:
    left, column = np.full(values.shape, np.nan), np.arange(values.shape[1])
    means = np.full((int(phase.max(initial=0)) + 1, column.size), np.nan)
    for at, (now, of) in enumerate(zip(values, phase, strict=True)):
        mean = means[of, column]
        left[at] = now - mean
        moved = np.where(np.isnan(mean), now, mean + 2 / (CYCLES + 1) * left[at])
        means[of, column] = np.where(np.isnan(now), mean, moved)
    return left


def _before(rows: Floats) -> Floats:
    """Each row's predecessor."""
    return np.concatenate([np.full((1, rows.shape[1]), np.nan), rows[:-1]])[: len(rows)]


def surprise(left: Floats, wanted: Flags | None = None) -> Floats:
    """Say how many times as large a residual is as what 1 of 1,000 past ones exceeded.

    Parameters
    ----------
    left : (T, n) array
        Residuals.
    wanted : (T, n) array of bool, optional
        Of which values it is asked; the others may be NaN.

    Returns
    -------
    (T, n) array
        Of the sign of the residual; NaN where fewer than 20 are known before. What is asked of the past is asked again
        after each 16th of it, 100 values at most; a past is 6,400 values long.
    """
    tail = _of_past(np.abs(left), lambda past: _quantile(past, SHARE), wanted)
    spread = _of_past(left, _deviation, wanted)
    return left / np.maximum(np.maximum(tail, FLOOR * spread), _rounding(left))


def default(values: Floats, phase: NDArray[np.int64] | None = None, wanted: Flags | None = None) -> Floats:
    """Give the largest surprise of step, level and season, without its sign, (T, n)."""
    left = residuals(values, phase)
    return np.asarray(np.fmax.reduce([np.abs(surprise(way, wanted)) for way in (left.step, left.level, left.season)]))


def features(values: Floats, phase: NDArray[np.int64] | None = None, wanted: Flags | None = None) -> Floats:
    """Give what each value is told by where something learns, (T, n, 8), in the order of FEATURES.

    Surprises of step, level and season (where none is known yet, that of the level); those of the value before; the
    mean surprise of the last 10 levels, and `likelihood` of them. Of each the inverse hyperbolic sine, by which what
    is huge is only large.
    """
    if wanted is not None:  # of each the last ones, too
        wanted = np.logical_or.reduce([_shifted(wanted, by) for by in range(SHORT)])
    left = residuals(values, phase)
    step, level, season = (surprise(way, wanted) for way in (left.step, left.level, left.season))
    now = [step, level, np.where(np.isnan(season), level, season)]
    lately = [average(level, "trailing", SHORT, least=0.5), likelihood(left.level, wanted)]
    return np.asarray(np.arcsinh(np.stack([*now, *map(_before, now), *lately], axis=-1)))


def _shifted(flags: Flags, by: int) -> Flags:
    """What is so many rows before a flag."""
    return np.concatenate([flags[by:], np.zeros((min(by, len(flags)), flags.shape[1]), dtype=bool)])


def gaussian(values: Floats) -> Floats:
    """Give |z| by mean and standard deviation of the last 6,400 values, (T, n): the windowed Gaussian of NAB.

    Both are taken anew at each value until so many are there, then after each 100.
    """
    known = ~np.isnan(values)
    start = np.take_along_axis(values, known.argmax(axis=0)[None], axis=0)
    apart = np.where(known, values - start, 0.0)
    sums = [np.concatenate([np.zeros((1, values.shape[1])), np.cumsum(of, axis=0)]) for of in (known, apart, apart**2)]
    row = np.arange(len(values))
    end = np.where(row <= WINDOW, row, WINDOW + (row - WINDOW) // STEP * STEP)
    count, total, squares = (each[end] - each[np.maximum(end - WINDOW, 0)] for each in sums)
    mean = total / np.maximum(count, 1)
    deviation = np.sqrt(np.maximum(squares / np.maximum(count, 1) - mean**2, 0))
    z = np.abs(values - start - mean) / np.maximum(deviation, LEAST_DEVIATION)
    return np.where(count > 0, z, np.nan)


def robust(values: Floats, wanted: Flags | None = None) -> Floats:
    """Give |z| by median and median absolute deviation of the last 6,400 values, (T, n).

    Where more than half of the values are alike the standard deviation stands for the latter.
    """
    middle = _of_past(values, _median, wanted)
    spread = TO_SIGMA * _of_past(values, lambda past: _median(np.abs(past - _median(past))), wanted)
    spread = np.where(spread > 0, spread, _of_past(values, _deviation, wanted))
    return np.abs(values - middle) / np.maximum(spread, _rounding(values))


def likelihood(left: Floats, wanted: Flags | None = None) -> Floats:
    """Say by how many standard deviations the mean of the last 10 errors exceeds that of the last 6,400, (T, n)."""
    size = np.abs(left)
    recent = average(size, "trailing", SHORT, least=0.5)
    mean, spread = _of_past(size, _mean, wanted), _of_past(size, _deviation, wanted)
    return (recent - mean) / np.maximum(spread, _rounding(size))


def _of_past(values: Floats, ask: Callable[[Floats], Floats], wanted: Flags | None) -> Floats:
    """Ask something of the past of each row; NaN where too little is known, or nobody wants it."""
    found = np.full(values.shape, np.nan)
    for begin, end in _spans(len(values)):
        past = values[max(begin - WINDOW, 0) : begin]
        is_asked = (~np.isnan(past)).sum(axis=0) >= LEAST
        if wanted is not None:
            is_asked &= wanted[begin:end].any(axis=0)
        if is_asked.any():
            found[begin:end, is_asked] = ask(np.ascontiguousarray(past[:, is_asked]))
    return found


def _spans(rows: int) -> Iterator[tuple[int, int]]:
    """Rows that share a past: each 16th of it, 100 at most."""
    begin = LEAST
    while begin < rows:
        end = min(begin + max(min(begin // 16, STEP), 1), rows)
        yield begin, end
        begin = end


def _quantile(past: Floats, share: float) -> Floats:
    """The quantile of what is known in each column, of which there is something; between two values along a line."""
    ordered = np.sort(past, axis=0)
    at = share * ((~np.isnan(past)).sum(axis=0) - 1)
    low = np.floor(at).astype(np.int64)
    below, above = (np.take_along_axis(ordered, each[None], axis=0)[0] for each in (low, np.ceil(at).astype(np.int64)))
    return np.asarray(below + (at - low) * (above - below))


def _median(past: Floats) -> Floats:
    return _quantile(past, 0.5)


def _mean(past: Floats) -> Floats:
    known = ~np.isnan(past)
    return np.asarray(add_up(np.where(known, past, 0.0)) / known.sum(axis=0))


def _deviation(past: Floats) -> Floats:
    return np.sqrt(_mean((past - _mean(past)) ** 2))


def _rounding(values: Floats) -> Floats:
    """What is nothing beside the largest so far."""
    largest = np.maximum.accumulate(np.where(np.isnan(values), 0.0, np.abs(values)), axis=0)
    return np.maximum(NOTHING * largest, np.finfo(np.float64).tiny)
