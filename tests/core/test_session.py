"""The settings of a session that is made here."""

import socket
import tempfile
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from crm_spark.core.session import (
    ARCHIVE,
    COMPILED_AGAIN,
    DEFAULT_OPTIONS,
    JAVA_OPTIONS,
    LONGEST_FOLDER,
    READ_BY_JAVA,
    UNCHECKED,
    for_java,
    forget_clusters,
    meanwhile,
    sockets,
)

PATIENT = " ".join([*UNCHECKED, *(f"-XX:Tier4{name}Threshold={times}" for name, times in COMPILED_AGAIN.items())])
WHOLE = "-Xms2g"  # of the memory that a session has by default


@pytest.fixture
def jars(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "the jars"
    folder.mkdir()
    monkeypatch.setenv("CRM_JARS", str(folder))
    return folder


def test_java_starts_from_the_archive_beside_the_jars(jars: Path) -> None:
    (jars / ARCHIVE).touch()

    options = for_java({JAVA_OPTIONS: "-XX:+UseSerialGC"})[JAVA_OPTIONS]

    assert options == f'-XX:SharedArchiveFile="{jars / ARCHIVE}" {PATIENT} {WHOLE} -XX:+UseSerialGC'


@pytest.mark.usefixtures("jars")
def test_what_is_set_comes_last_and_so_before_all_else() -> None:
    assert for_java({JAVA_OPTIONS: "-XX:+UseSerialGC"}) == {JAVA_OPTIONS: f"{PATIENT} {WHOLE} -XX:+UseSerialGC"}


@pytest.mark.usefixtures("jars")
def test_java_collects_with_all_its_threads_at_once() -> None:
    assert for_java({JAVA_OPTIONS: "-Xss4m"}) == {JAVA_OPTIONS: f"{PATIENT} -XX:+UseParallelGC {WHOLE} -Xss4m"}


@pytest.mark.usefixtures("jars")
@pytest.mark.parametrize("name", READ_BY_JAVA)
def test_a_collector_that_the_environment_sets_stays(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "-Xss4m -XX:+UseZGC")

    assert for_java({}) == {JAVA_OPTIONS: f"{PATIENT} {WHOLE}"}


@pytest.mark.usefixtures("jars")
def test_a_collector_among_sparks_default_options_stays() -> None:
    assert for_java({DEFAULT_OPTIONS: "-XX:+UseSerialGC"}) == {JAVA_OPTIONS: f"{PATIENT} {WHOLE}"}


@pytest.mark.usefixtures("jars")
def test_java_has_its_whole_heap_from_the_beginning() -> None:
    assert for_java({"spark.driver.memory": "512m"})[JAVA_OPTIONS].split()[-1] == "-Xms512m"


@pytest.mark.usefixtures("jars")
@pytest.mark.parametrize("told", ["-Xms1200m", "-XX:InitialHeapSize=1g", "-XX:InitialRAMPercentage=10"])
def test_a_first_heap_that_is_set_stays(told: str) -> None:
    assert for_java({JAVA_OPTIONS: told}) == {JAVA_OPTIONS: f"{PATIENT} -XX:+UseParallelGC {told}"}


def test_where_the_names_of_sockets_would_be_too_long_python_is_spoken_with_as_by_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = tmp_path / ("x" * LONGEST_FOLDER)
    long.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(long))

    assert sockets() == {}
    assert list(long.iterdir()) == []


def test_where_systems_have_no_such_sockets_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(socket, "AF_UNIX")

    assert sockets() == {}


def test_hadoop_holds_no_defaults_of_yarn_and_mapreduce_but_what_is_set(spark: SparkSession) -> None:
    hadoop = spark.sparkContext._jsc.hadoopConfiguration()
    told = ("yarn.nodemanager.address", "mapreduce.job.queuename", "fs.AbstractFileSystem.file.impl")
    assert [hadoop.get(name) for name in told] == [None, None, "org.apache.hadoop.fs.local.LocalFs"]

    hadoop.set("mapreduce.job.queuename", "mine")
    forget_clusters(spark)

    assert hadoop.get("mapreduce.job.queuename") == "mine"
    hadoop.unset("mapreduce.job.queuename")


def test_what_a_session_is_set_to_meanwhile_is_as_before_in_the_end(spark: SparkSession) -> None:
    unset, set_before = "spark.crm.set.meanwhile", "spark.sql.shuffle.partitions"
    before = spark.conf.get(set_before)
    with pytest.raises(ZeroDivisionError), meanwhile(spark, {unset: "on", set_before: "7"}):
        assert (spark.conf.get(unset), spark.conf.get(set_before)) == ("on", "7")
        raise ZeroDivisionError
    assert (spark.conf.get(unset, None), spark.conf.get(set_before)) == (None, before)
