"""The lease: another driver is refused, whoever of the first is left; a store that overwrites is refused too."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from crm_spark.core import lease
from crm_spark.core.errors import ConfigError, LakeBusy
from crm_spark.core.lake import Lake

HOLD = """
import sys, time
from pathlib import Path
from crm_spark.core import lease
lease.take(Path(sys.argv[1]))
print("held", flush=True)
time.sleep(600)
"""


@pytest.fixture
def other(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Start another driver that holds the folder `lake`."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path / "lake")], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_another_driver_is_refused_each_time_and_told_who_holds_the_lake_since_when(
    other: subprocess.Popen[str], tmp_path: Path
) -> None:
    folder, refused = tmp_path / "lake", 0
    for _ in range(20):
        with pytest.raises(LakeBusy, match=rf"held by process {other.pid} on .* since 20\d\d-.*; run again when"):
            lease.take(folder)
        refused += 1
    assert refused == 20

    other.send_signal(signal.SIGKILL)
    other.wait()
    lease.take(folder)
    lease.take(folder)  # what this driver holds already is no fault


def test_nobody_is_refused_where_nobody_writes(tmp_path: Path, spark: SparkSession) -> None:
    for _ in range(20):
        lease.take(tmp_path / "lake")
        lease.release(tmp_path / "lake", spark)


def test_of_many_drivers_at_once_one_gets_the_lake(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLD.replace("600", "5"), str(tmp_path / "lake")]
    rivals = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(4)]
    said = [rival.communicate() for rival in rivals]

    assert sorted(out for out, _ in said) == ["", "", "", "held\n"]
    assert sum("LakeBusy" in error for _, error in said) == 3


def test_java_holds_the_lake_when_its_python_is_gone(tmp_path: Path, spark: SparkSession) -> None:
    folder = tmp_path / "lake"
    lease.take(folder)
    lease.share(folder, spark)
    os.close(lease._held().pop(folder / lease.NAME))  # as the system does when Python is killed

    at_once = HOLD.replace("lease.take", "lease.LONGEST = 0; lease.take")
    refused = subprocess.run([sys.executable, "-c", at_once, str(folder)], check=False, capture_output=True, text=True)
    assert f"held by process {os.getpid()} on" in refused.stderr

    # Else it waits a little: Java is about to end.
    command = [sys.executable, "-c", HOLD, str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as patient:
        with pytest.raises(subprocess.TimeoutExpired):
            patient.wait(1)
        lease.release(folder, spark)
        assert patient.stdout is not None
        assert patient.stdout.readline() == "held\n"
        patient.kill()
    lease.take(folder)


def test_a_store_that_overwrites_is_refused_for_writing(spark: SparkSession) -> None:
    with pytest.raises(ConfigError, match=r"s3a does not keep two drivers .*S3DynamoDBLogStore"):
        lease.refuse_unsafe(spark, "s3a://bucket/crm")
    for safe in ("abfss://crm@store/crm", "gs://bucket/crm", "hdfs://name/crm"):
        lease.refuse_unsafe(spark, safe)
    with pytest.raises(ConfigError, match="s3a does not keep"), Lake(spark, "s3a://bucket/crm").turn():
        pass


def test_runs_of_one_driver_wait_for_each_other(tmp_path: Path) -> None:
    location, order = str(tmp_path / "lake"), list[str]()

    def second() -> None:
        with lease.turn(f"file:{location}") as had_to_wait:
            order.append(f"second, {had_to_wait}")

    with lease.turn(location) as had_to_wait:
        waiting = threading.Thread(target=second)
        waiting.start()
        time.sleep(0.2)
        order.append(f"first, {had_to_wait}")
    waiting.join()
    assert order == ["first, False", "second, True"]
