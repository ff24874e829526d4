"""A real cluster on this machine: the packaged zip, submitted to a standalone master with two workers."""

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pyspark
import pytest
from pyspark.sql import SparkSession

from crm_spark.core.lake import Lake
from crm_spark.core.session import jars
from crm_spark.features.days import CUSTOMER_DAYS
from crm_spark.segments import rfm
from tests.test_packaging import built

__all__ = ["built"]  # the fixture that builds the zip

pytestmark = pytest.mark.slow
SPARK = Path(pyspark.__file__).parent


def free_port() -> int:
    with closing(socket.socket()) as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@pytest.fixture(scope="module")
def master(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Start a master and two workers, each a process of its own."""
    folder, port, web = tmp_path_factory.mktemp("cluster"), free_port(), free_port()
    url = f"spark://127.0.0.1:{port}"
    start = [str(SPARK / "bin" / "spark-class"), "org.apache.spark.deploy"]
    commands = [
        [start[0], f"{start[1]}.master.Master", "--host", "127.0.0.1", "--port", str(port), "--webui-port", str(web)],
        *[
            [start[0], f"{start[1]}.worker.Worker", "--host", "127.0.0.1", "--cores", "1", "--memory", "1g",
             "--webui-port", "0", "--work-dir", str(folder / name), url]
            for name in ("one", "two")
        ],
    ]  # fmt: skip
    environment = {**os.environ, "PYSPARK_PYTHON": sys.executable, "SPARK_LOCAL_IP": "127.0.0.1"}
    processes = [
        subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for command in commands
    ]
    wait_for_workers(web, 2)
    yield url
    for process in reversed(processes):
        process.terminate()
        process.wait()


def wait_for_workers(port: int, wanted: int) -> None:
    for _ in range(120):
        time.sleep(0.5)
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/json/", timeout=5) as answer:
                if answer.read().decode().count('"state" : "ALIVE"') >= wanted:
                    return
        except OSError:
            continue
    raise TimeoutError("the workers did not come up in a minute")


def submit(master: str, zipped: Path, job: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    settings = ["spark.driver.host=127.0.0.1", "spark.driver.bindAddress=127.0.0.1", "spark.ui.enabled=false"]
    delta = ["--jars", jars()["spark.jars"], "--py-files", str(zipped)]
    command = [str(SPARK / "bin" / "spark-submit"), "--master", master, *delta]
    command += [part for setting in settings for part in ("--conf", setting)]
    # Elsewhere than in the checkout, without its path: all of the suite comes from the zip.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment |= {"PYSPARK_PYTHON": sys.executable, "PYSPARK_DRIVER_PYTHON": sys.executable}
    return subprocess.run(
        [*command, str(job), *arguments],
        check=False,
        cwd=zipped.parent,
        env=environment,
        capture_output=True,
        text=True,
    )


def test_a_submitted_job_writes_the_rows_that_a_local_run_writes(
    master: str, built: Path, spark: SparkSession, tmp_path: Path
) -> None:
    lake = Lake(spark, str(tmp_path / "lake"))
    lake.prepare(CUSTOMER_DAYS)
    at = datetime(2025, 1, 2, 9, tzinfo=UTC)
    day = ("ann", at.date(), 2, Decimal(10), Decimal(0), 2, at, at)
    days = spark.createDataFrame([day], CUSTOMER_DAYS.nullable_ddl)
    lake.append(CUSTOMER_DAYS, days, "test", ("test", 1))
    zipped, job = built / "dist" / "crm_spark.zip", built / "jobs" / "rfm_scores.py"

    done = submit(master, zipped, job, "--lake", lake.location, "--as-of", "2025-01-10")
    assert done.returncode == 0, done.stderr[-2000:]
    assert [(row["customer_id"], row["frequency"]) for row in lake.current(rfm.SCORES).collect()] == [("ann", 2)]

    absent = submit(master, zipped, job, "--lake", str(tmp_path / "nowhere"), "--as-of", "2025-01-10")
    assert absent.returncode == 2
    assert "has none of the tables that rfm_scores reads: customer_days" in absent.stdout, (
        "spark-submit hands on what Python says there"
    )
    assert not (tmp_path / "nowhere").exists()
