"""A driver that is killed: does one piece of work on a lake, and at one step ends its Python or its Java by force.

python -m tests.victim LAKE FOLDER WORK STEP TABLE WHOM

Prints the number of its Java, then each step of its work. Where STEP is `after`, TABLE is the seconds after which
it is killed.
"""

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event as Flag
from threading import Thread, Timer

import pyarrow as pa
from pyspark import SparkContext
from pyspark.sql import DataFrame

from crm_spark.core.events import Event, heard
from crm_spark.core.lake import Lake
from crm_spark.core.session import session
from tests.conftest import QUICK_FOR_FEW_ROWS, QUICK_JAVA
from tests.core import test_survival as toys
from tests.ingest.till import load

STUCK = "stuck"  # a file that says that rows no longer come


def everything(lake: Lake, folder: Path) -> None:
    load(lake, folder)
    toys.run(lake, *toys.JOBS)


WORKS: dict[str, Callable[[Lake, Path], None]] = {
    "guests": lambda lake, _: toys.run(lake, toys.guests),
    "days_guests": lambda lake, _: toys.run(lake, toys.days_guests),
    "stuck": lambda lake, _: lake.replace_as_of(toys.DAYS_GUESTS, stuck(lake), toys.AS_OF, "stuck"),
    "merging": lambda lake, _: lake.merge(toys.GUESTS, stuck(lake).select("guest", "visits"), "merging"),
    "compact": lambda lake, _: lake.compact(toys.VISITS),
    "vacuum": lambda lake, _: lake.remove_orphans(toys.VISITS),
    "ingest": load,
    "everything": everything,
}


def stuck(lake: Lake) -> DataFrame:
    """Give rows one half of which is written, while the other half never comes. A merge must see all of it first."""
    mark = Path(lake.location, STUCK)
    rows = lake.spark.createDataFrame([("ann", toys.AS_OF, 9), ("bob", toys.AS_OF, 9)], toys.DAYS_GUESTS.nullable_ddl)

    def wait(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            if "bob" in batch["guest"].to_pylist():
                mark.touch()
                time.sleep(600)
            yield batch

    return rows.repartitionByRange(2, "guest").mapInArrow(wait, rows.schema)


class Killer:
    """Hears the run, and kills at its step: at once, or when the table's folder changes after it."""

    def __init__(self, lake: Path, step: str, table: str, whom: str) -> None:
        self.at, self.whom, self.folder = (step, table), whom, lake / table
        self.marks = [lake / STUCK] if table == toys.GUESTS.name else []  # a merge writes no file before
        self.other_is_written = Flag()

    def __call__(self, event: Event) -> None:
        """Hear one step."""
        print(event.step, event.table or event.job, flush=True)
        if event.step == "written" and event.table == toys.DAYS_GUESTS.name:
            self.other_is_written.set()
        if (event.step, event.table) == ("writing", toys.TOTALS.name):
            self.other_is_written.wait()  # the second table of a job waits for its first
        if self.at == (event.step, event.table):
            self.kill()
        if self.at == (f"{event.step} on", event.table):
            Thread(target=self.watch, args=(self.files(),), daemon=True).start()

    def files(self) -> set[Path]:
        return {file for file in (*self.folder.rglob("*.parquet"), *self.marks) if file.exists()}

    def watch(self, before: set[Path]) -> None:
        while self.files() == before:
            time.sleep(0.001)
        self.kill()

    def kill(self) -> None:
        gateway = SparkContext._gateway
        os.kill(os.getpid() if self.whom == "python" else gateway.proc.pid, signal.SIGKILL)  # type: ignore[union-attr]


if __name__ == "__main__":
    place, folder, work, step, table, whom = sys.argv[1:]
    spark = session(
        {
            "spark.master": "local[2]",
            **QUICK_FOR_FEW_ROWS,
            "spark.driver.extraJavaOptions": QUICK_JAVA.replace("-Xms1200m -Xmn700m", ""),
        }
    )
    print(SparkContext._gateway.proc.pid, flush=True)  # type: ignore[union-attr]
    killer = Killer(Path(place), step, table, whom)
    if step == "after":
        Timer(float(table), killer.kill).start()
    with heard(killer):
        WORKS[work](Lake(spark, place), Path(folder))
    if step != "after":
        print("survived", flush=True)
