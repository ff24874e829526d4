"""The process from which Python workers are forked: it has read their libraries, and has no thread but one."""

import gc
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest
from pyspark.sql import SparkSession

from crm_spark.core.workers import LIBRARIES, THREADS

pytestmark = pytest.mark.skipif(not THREADS.is_dir(), reason="threads are counted where Linux lists them")
READ = "from crm_spark.core import workers; workers.read_libraries(); print(len(list(workers.THREADS.iterdir())))"


def test_no_library_leaves_a_thread_that_a_fork_would_lose() -> None:
    alone = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    told = subprocess.run([sys.executable, "-c", READ], env=alone, capture_output=True, text=True, check=True)
    assert told.stdout.split() == ["1"]


def test_workers_of_plans_and_of_rdds_come_from_it_with_the_libraries_read(spark: SparkSession) -> None:
    def look(_: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        missing = [name for name in LIBRARIES if name not in sys.modules]
        parent = Path(f"/proc/{os.getppid()}/cmdline").read_text(encoding="utf-8")
        told = {"parent": parent.replace("\0", " "), "missing": missing, "frozen": gc.get_freeze_count()}
        told["through"] = os.environ.get("PYTHON_WORKER_FACTORY_SOCK_DIR", "TCP")
        yield pa.RecordBatch.from_pylist([told])

    types = "parent string, missing array<string>, frozen bigint, through string"
    (of_plan,) = spark.range(1).coalesce(1).mapInArrow(look, types).collect()
    assert of_plan["missing"] == []
    assert of_plan["frozen"] > 100_000, "after each task Python would look through them"
    assert Path(of_plan["through"]).stat().st_mode & 0o777 == 0o700, "nobody else speaks with a worker"
    assert "-m crm_spark.core.workers pyspark.worker" in of_plan["parent"]
    (of_rdd,) = spark.sparkContext.parallelize([0], 1).map(lambda _: os.getppid()).collect()
    assert Path(f"/proc/{of_rdd}/cmdline").read_text(encoding="utf-8").replace("\0", " ") == of_plan["parent"]
