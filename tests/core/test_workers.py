"""The process from which Python workers are forked: it has read their libraries, and has no thread but one."""

import gc
import os
import platform
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from crm_spark.core.session import meanwhile
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


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries have other rules")
def test_a_worker_keeps_memory_that_it_will_use_again(spark: SparkSession) -> None:
    """Else the system hands over pages of 4 KB or 2 MB anew, here more than a thousand."""

    def work(_: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        pages = []
        for _ in range(4):
            before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
            arrays = [np.ones(20 * 1024**2 // 8) for _ in range(3)]
            del arrays
            pages.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
        yield pa.RecordBatch.from_pydict({"pages": [pages[-1]]})

    (told,) = spark.range(1).coalesce(1).mapInArrow(work, "pages bigint").collect()
    assert told["pages"] < 100


def test_a_plain_function_on_columns_of_parquet_ends(spark: SparkSession, tmp_path: Path) -> None:
    assert spark.conf.get("spark.sql.execution.arrow.pythonUDF.columnarInput.enabled") == "false", "it would never"
    spark.range(36).select(F.col("id").cast("string").alias("text")).write.parquet(str(tmp_path / "rows"))
    length = F.udf(len, "bigint")
    with meanwhile(spark, {"spark.sql.codegen.wholeStage": "true"}):
        told = spark.read.parquet(str(tmp_path / "rows")).select(length("text").alias("n"))
        assert sorted(row["n"] for row in told.collect()) == [1] * 10 + [2] * 26
