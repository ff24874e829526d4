"""Run figures by name, print one JSON object a line, and write docs/performance.md from them."""

import argparse
import platform
import tempfile
from dataclasses import asdict
from datetime import date
from pathlib import Path

from benchmarks.answers import days_20m, rfm_20m
from benchmarks.ingestion import ingest_5m, ingest_online_retail
from benchmarks.measure import Figure
from crm_spark.core.session import session

FIGURES = {figure.__name__: figure for figure in (rfm_20m, days_20m, ingest_online_retail, ingest_5m)}
PAGE = Path(__file__).parents[1] / "docs" / "performance.md"


def main() -> None:
    """Measure what the command line names."""
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(FIGURES)}; default all")
    parser.add_argument("--share", type=float, default=1.0, help="of the full size of made data")
    parser.add_argument("--write", action="store_true", help="write docs/performance.md")
    told = parser.parse_args()
    spark = session({"spark.driver.memory": "2g"})
    figures = []
    for name in told.names or FIGURES:
        with tempfile.TemporaryDirectory() as folder:
            figures.append(FIGURES[name](spark, Path(folder), told.share))
        print(figures[-1].line(), flush=True)
    if told.write:
        PAGE.write_text(page(figures, told.share), encoding="utf-8")


def page(figures: list[Figure], share: float) -> str:
    """Give docs/performance.md."""
    names = ["name", "size", "seconds", "peer", "peer_seconds", "ratio", "goal", "met"]
    rows = ["| " + " | ".join(str(asdict(figure)[name]) for name in names) + " |" for figure in figures]
    command = "scripts/bench --write" + ("" if share == 1 else f" --share {share}")
    return "\n".join(
        [
            "# Performance",
            "",
            f"Made by `{command}` on {date.today()}, {platform.machine()}, Python {platform.python_version()}. Each",  # noqa: DTZ011
            "figure and its peer ran in turn in one session with 2 GB of driver heap, warm; seconds are medians of",
            "three, the ratio is the median of the three pairs, and both gave the same answer. Seconds depend on",
            "the machine; the ratio is what counts. At most the goal is what we aim at.",
            "",
            "| " + " | ".join(names) + " |",
            "|" + "---|" * len(names),
            *rows,
            "",
        ]
    )


main()
