"""nab: what detectors find of the anomalies of the Numenta Anomaly Benchmark, at so many false alarms a series."""

import csv
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from benchmarks.measure import Figure, peak_mb, timed
from crm_spark.anomalies import taught
from crm_spark.kernels import alarms, isolation_forest, surprise
from crm_spark.kernels.likelihood import Floats

DATA = Path(__file__).parents[2] / "shared" / "data" / "nab"
BUDGETS = (1, 2, 5)
FOLDS = 3
BASELINE, DEFAULT = "windowed Gaussian", "default"
QUARTERS = 4  # of an hour: the season is that of the day
OTHERWISE = {"SHARE": (0.99, 0.9999), "LEVEL": (100, 400), "CYCLES": (5, 18), "STEP": (50, 200)}
TAUGHT: dict[taught.Detector, str] = {"tree": "decision tree", "svm": "linear SVM", "forest": "random forest"}


@dataclass(frozen=True)
class Watched:
    """A series of NAB."""

    name: str
    hours: Floats
    values: Floats
    windows: Floats

    @property
    def column(self) -> Floats:
        return self.values[:, None]

    @property
    def phase(self) -> NDArray[np.int64]:
        return (self.hours % 24 * QUARTERS).astype(np.int64)[:, None]


def read(names: Sequence[str] = ()) -> list[Watched]:
    """Read all series, or those that are named."""
    windows = json.loads((DATA / "labels" / "combined_windows.json").read_text(encoding="utf-8"))
    found = []
    for name in sorted(names or windows):
        with (DATA / "data" / name).open(encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        hours = np.array([_hour(row["timestamp"]) for row in rows])
        ends = [[_hour(end) for end in window] for window in windows[name]]
        values = np.array([float(row["value"]) for row in rows])
        found.append(Watched(name, hours, values, np.array(ends).reshape(-1, 2)))
    return found


def _hour(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() / 3600


def _of(way: str) -> Callable[[Watched], Floats]:
    def scores(one: Watched) -> Floats:
        left: Floats = getattr(surprise.residuals(one.column, one.phase), way)
        return np.abs(surprise.surprise(left))

    return scores


DETECTORS: dict[str, Callable[[Watched], Floats]] = {
    BASELINE: lambda one: surprise.gaussian(one.column),
    "robust z": lambda one: surprise.robust(one.column),
    "surprise of the step": _of("step"),
    "surprise of the level": _of("level"),
    "surprise of the season": _of("season"),
    "likelihood of errors": lambda one: surprise.likelihood(surprise.residuals(one.column, one.phase).season),
    DEFAULT: lambda one: surprise.default(one.column, one.phase),
}


def judged(detector: Callable[[Watched], Floats], series: Sequence[Watched]) -> list[alarms.Judged]:
    """Judge a detector, one series after the other."""
    return [alarms.judge(detector(one)[:, 0], one.hours, one.windows) for one in series]


def by_learning(spark: SparkSession, folder: Path, series: Sequence[Watched]) -> dict[str, list[Floats]]:
    """Score each series by what has learned from the series of the other folds; windows are what analysts would say."""
    told = [surprise.features(one.column, one.phase)[:, 0] for one in series]
    found: dict[str, list[Floats]] = {
        name: [np.full(one.values.size, np.nan) for one in series] for name in ("isolation forest", *TAUGHT.values())
    }
    is_known = [np.isfinite(each).all(axis=1) for each in told]
    for fold in range(FOLDS):
        others = np.concatenate(
            [each[known] for at, (each, known) in enumerate(zip(told, is_known, strict=True)) if at % FOLDS != fold]
        )
        forest = isolation_forest.fit(others, seed=1)
        for at in range(fold, len(series), FOLDS):
            found["isolation forest"][at] = isolation_forest.score(forest, told[at])
    rows = {
        "series": np.repeat(np.arange(len(series)), [known.sum() for known in is_known]),
        "at": np.concatenate([np.flatnonzero(known) for known in is_known]),
        "features": [row for each, known in zip(told, is_known, strict=True) for row in each[known]],
        "is_anomaly": np.concatenate([_is_in(one)[known] for one, known in zip(series, is_known, strict=True)]),
    }
    pq.write_table(pa.table(rows), folder / "points.parquet")
    points = spark.read.parquet(str(folder / "points.parquet"))
    for fold in range(FOLDS):
        is_held = F.col("series") % FOLDS == fold
        for detector, name in TAUGHT.items():
            learned = taught.fit(points.where(~is_held), detector)
            scored = taught.predict(points.where(is_held), learned).select("series", "at", "score").toPandas()
            for at in range(fold, len(series), FOLDS):
                of = scored[scored["series"] == at]
                found[name][at][of["at"]] = of["score"]
    return found


def _is_in(one: Watched) -> NDArray[np.bool_]:
    return np.asarray(((one.hours >= one.windows[:, :1]) & (one.hours <= one.windows[:, 1:])).any(axis=0))


def nab(spark: SparkSession, folder: Path, share: float) -> Figure:
    """Windows that the default detector finds at one false alarm a series, against the windowed Gaussian."""
    series = read()
    found: dict[str, list[alarms.Judged]] = {}
    seconds = {}
    for name, detector in DETECTORS.items():
        seconds[name] = timed(lambda: found.update({name: judged(detector, series)}))  # noqa: B023 - called at once
    for name, scores in by_learning(spark, folder, series).items():
        found[name] = [alarms.judge(of, one.hours, one.windows) for of, one in zip(scores, series, strict=True)]
    otherwise = {}
    for name, values in OTHERWISE.items():
        for value in values:
            with patch.object(surprise, name, value):
                otherwise[f"{name} = {value}"] = judged(DETECTORS[DEFAULT], series)
    print("\n".join(page(found, otherwise)))
    many = {name: alarms.recall(found[name], 1) for name in (DEFAULT, BASELINE)}
    ratio = many[BASELINE] / many[DEFAULT]
    return Figure(
        "nab",
        sum(one.values.size for one in series),
        round(seconds[DEFAULT], 2),
        "windowed Gaussian; the ratio is that of the windows it finds at one false alarm a series",
        round(seconds[BASELINE], 2),
        round(ratio, 3),
        peak_mb(),
        1.0,
        ratio < 1,
    )


def page(found: dict[str, list[alarms.Judged]], otherwise: dict[str, list[alarms.Judged]]) -> list[str]:
    """Tell what each detector finds, how surely the default finds more, and what it would find with other constants."""
    whole = sum(one.peaks.size for one in found[DEFAULT])
    lines = [
        "# What detectors find of the Numenta Anomaly Benchmark",
        "",
        f"Made by `scripts/bench nab --write`: {len(found[DEFAULT])} series, {whole} windows with anomalies.",
        "Each detector gives each value a score by those before it alone; one threshold holds for all series. A window",
        "is found where a value within it is flagged; flags outside of windows are false alarms, of which those less",
        "than 6 hours apart are one; the first 15 % of values, 750 at most, do not count. Thresholds are lowered until",
        "the false alarms exceed 1, 2 or 5 a series for the first time. What learns has learned from others alone.",
        "",
        *_table(found, whole),
        "",
        "The default against the windowed Gaussian, by a paired bootstrap over series (2,000 draws, in each of which",
        "both have the threshold that keeps to the budget there):",
        "",
        "| false alarms a series | more of the windows found | 95 % of draws | draws in which it finds more |",
        "|---|---|---|---|",
    ]
    for budget in BUDGETS:
        one = alarms.compare(found[DEFAULT], found[BASELINE], budget)
        lines.append(f"| {budget} | {one.mean:+.0%} | {one.low:+.0%} to {one.high:+.0%} | {one.share_above:.1%} |")
    limits = ", ".join(f"{alarms.limit(found[DEFAULT], budget):.2f}" for budget in BUDGETS)
    return [
        *lines,
        "",
        f"The default's thresholds for these are {limits} times what 1 of 1,000 past residuals exceeded.",
        "",
        "Its constants are round numbers. With others it finds:",
        "",
        *_table(otherwise, whole),
    ]


def _table(found: dict[str, list[alarms.Judged]], whole: int) -> list[str]:
    head = f"| windows found of {whole} at | " + " | ".join(f"{budget} a series" for budget in BUDGETS) + " |"
    recalls = {name: [alarms.recall(of, budget) for budget in BUDGETS] for name, of in found.items()}
    return [
        head,
        "|---|" + "---|" * len(BUDGETS),
        *[
            f"| {name} | " + " | ".join(f"{round(one * whole)} ({one:.0%})" for one in told) + " |"
            for name, told in recalls.items()
        ],
    ]
