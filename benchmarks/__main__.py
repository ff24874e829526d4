"""Run figures by name, print one JSON object a line, and write docs/performance.md from them."""

import argparse
import json
import platform
import subprocess
import sys
import tempfile
from dataclasses import asdict
from datetime import date
from pathlib import Path

from benchmarks.anomalies import nab
from benchmarks.answers import days_20m, rfm_20m
from benchmarks.baskets import (
    itemsets_1m_02,
    itemsets_1m_1,
    itemsets_1m_1_mlxtend,
    itemsets_100k_02,
    itemsets_100k_1,
    itemsets_miner_1m_02,
    itemsets_miner_1m_1,
    itemsets_miner_100k_02,
    itemsets_miner_100k_1,
)
from benchmarks.buying import bgnbd_1m, bgnbd_1m_map, coverage, pareto_nbd_1m
from benchmarks.choices import c45_500k
from benchmarks.forecasting import (
    acf_1m,
    arima_111,
    arima_111_r,
    arima_auto,
    arima_job_10k,
    arima_job_100k,
    aus_retail,
    forecast_coverage,
)
from benchmarks.groups import dbscan_1m, dbscan_10m, dbscan_100k_8d, kmeans_1m
from benchmarks.ingestion import ingest_5m, ingest_online_retail
from benchmarks.measure import Figure
from benchmarks.page import report_10m
from benchmarks.segments import segments_1m
from benchmarks.shop import sample_1m
from benchmarks.survival import series_skew, skew, survive_cost
from benchmarks.value import clv_1m, clv_1m_intervals, clv_1m_job, clv_10m_job, clv_scaling
from crm_spark.core.session import session

ALL = (
    rfm_20m,
    days_20m,
    ingest_online_retail,
    ingest_5m,
    sample_1m,
    report_10m,
    clv_1m,
    clv_1m_job,
    clv_1m_intervals,
    clv_10m_job,
    clv_scaling,
    bgnbd_1m,
    bgnbd_1m_map,
    pareto_nbd_1m,
    coverage,
    segments_1m,
    itemsets_100k_1,
    itemsets_100k_02,
    itemsets_1m_1,
    itemsets_1m_02,
    itemsets_1m_1_mlxtend,
    itemsets_miner_100k_1,
    itemsets_miner_100k_02,
    itemsets_miner_1m_1,
    itemsets_miner_1m_02,
    kmeans_1m,
    dbscan_1m,
    dbscan_100k_8d,
    dbscan_10m,
    c45_500k,
    arima_111,
    arima_111_r,
    arima_auto,
    aus_retail,
    forecast_coverage,
    arima_job_10k,
    arima_job_100k,
    acf_1m,
    nab,
    survive_cost,
    skew,
    series_skew,
)
FIGURES = {figure.__name__: figure for figure in ALL}
HEAPS = {"itemsets_1m_02": "12g"}  # where the peer runs out of memory with 2
PAGE = Path(__file__).parents[1] / "docs" / "performance.md"


def main() -> None:
    """Measure what the command line names."""
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(FIGURES)}; default all")
    parser.add_argument("--share", type=float, default=1.0, help="of the full size of made data")
    parser.add_argument("--write", action="store_true", help="write what was measured into docs/performance.md")
    told = parser.parse_args()
    names = told.names or list(FIGURES)
    if len(names) == 1 and not told.write:
        print(measured(names[0], told.share).line(), flush=True)
        return
    figures = []
    for name in names:  # each in a process of its own: its memory is its own too
        command = [sys.executable, "-m", "benchmarks", name, "--share", str(told.share)]
        *own_page, line = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()
        print(line, flush=True)
        if told.write and own_page[:1] and own_page[0].startswith("# "):  # what a figure prints before its line
            (PAGE.parent / f"{name}.md").write_text("\n".join([*own_page, ""]), encoding="utf-8")
        figures.append(Figure(**json.loads(line)))
    if told.write:
        PAGE.write_text(page(figures, told.share, PAGE.read_text(encoding="utf-8")), encoding="utf-8")


def measured(name: str, share: float) -> Figure:
    """Measure one figure against its peer."""
    spark = session({"spark.driver.memory": HEAPS.get(name, "2g")})
    with tempfile.TemporaryDirectory() as folder:
        return FIGURES[name](spark, Path(folder), share)


def page(figures: list[Figure], share: float, before: str) -> str:
    """Give docs/performance.md: rows of figures that were not measured now stay as they were."""
    columns = ["name", "size", "seconds", "peer", "peer_seconds", "ratio", "goal", "met", "peak_memory_mb", "measured"]
    rows = {line.split("|")[1].strip(): line for line in before.splitlines() if line.startswith("| ")}
    today = f"{date.today()}" + ("" if share == 1 else f", --share {share}")  # noqa: DTZ011
    rows |= {
        figure.name: "| " + " | ".join(str({**asdict(figure), "measured": today}[name]) for name in columns) + " |"
        for figure in figures
    }
    return "\n".join(
        [
            "# Performance",
            "",
            f"Made by `scripts/bench [NAME…] --write`, last on {platform.machine()}.",
            "Each figure and its peer ran in turn in one session with 2 GB of driver heap (`itemsets_1m_02` with 12:",
            "MLlib runs out of memory with 2), warm; seconds are medians of three, the ratio is the median of the",
            "three pairs, and both gave the same answer; what takes minutes (`sample_1m`, `pareto_nbd_1m`,",
            "`itemsets_1m_…` against others, `dbscan_10m`, `arima_job_…`) has one pair. Seconds depend on the machine;",
            "the ratio counts. The goal is a maximum.",
            "Memory is that of Python, the JVM and the workers together, each at its peak, the peer's run included.",
            "",
            "| " + " | ".join(columns) + " |",
            "|" + "---|" * len(columns),
            *[rows[name] for name in FIGURES if name in rows],
            "",
        ]
    )


if __name__ == "__main__":
    main()
