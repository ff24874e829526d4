"""What the tests share: one Spark session, a scratch lake, a place."""

import os
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession

from crm_spark.core import lease
from crm_spark.core.config import Place
from crm_spark.core.contracts import Table
from crm_spark.core.lake import Lake
from crm_spark.core.session import local, session
from tests.browser import browser, faults  # noqa: F401 - fixtures of all tests that make a page

QUICK_FOR_FEW_ROWS = {
    "spark.sql.codegen.wholeStage": "false",
    "spark.sql.codegen.factoryMode": "NO_CODEGEN",
    "spark.sql.adaptive.enabled": "false",
    "spark.sql.shuffle.partitions": "1",
    "spark.sql.leafNodeDefaultParallelism": "1",
}
# Java's second compiler, for code that runs long, would take a third of the processor from tests that do not; the
# first alone gets a small cache for its code, which must hold all of Spark here.
QUICK_JAVA = "-XX:+UseSerialGC -Xms1200m -Xmn700m -XX:TieredStopAtLevel=1 -XX:ReservedCodeCacheSize=240m"
AS_USERS_RUN = {
    "spark.sql.codegen.wholeStage": "true",
    "spark.sql.codegen.factoryMode": "FALLBACK",
    "spark.sql.adaptive.enabled": "true",
    "spark.sql.shuffle.partitions": "2",
    "spark.sql.leafNodeDefaultParallelism": "2",
}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--slow", action="store_true", help="run the slow tests too")
    parser.addoption("--kills", type=int, default=100, help="how many kills at random moments; with --slow")
    parser.addoption("--connect", action="store_true", help="run on a Spark Connect server of this process")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "slow: takes minutes; run with --slow")
    config.addinivalue_line(
        "markers", "first: takes minutes; is begun first, so that no process waits for it at the end"
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    skip = pytest.mark.skip(reason="slow: run with --slow")
    items.sort(key=lambda item: "first" not in item.keywords)
    for item in items:
        if "slow" in item.keywords and not config.getoption("--slow"):
            item.add_marker(skip)


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Iterator[SparkSession]:
    """Start one session for the whole run, a classic one or one of Spark Connect.

    Plans of a few rows are neither compiled nor planned anew on the way, and go in one part; the tests of published
    data do all of it, as users' sessions do.
    """
    settings = {
        **QUICK_FOR_FEW_ROWS,
        "spark.sql.warehouse.dir": str(tmp_path_factory.mktemp("warehouse")),
        "spark.driver.extraJavaOptions": QUICK_JAVA,
    }
    if pytestconfig.getoption("--connect"):
        started = connected(settings)
    else:
        started = session({"spark.master": "local[2]", **settings})
    yield started
    started.stop()


def connected(settings: Mapping[str, str]) -> SparkSession:
    """Start a server of Spark Connect in a Java of this process, and a session of it."""
    chosen = local({**settings, "spark.connect.grpc.binding.address": "127.0.0.1"})
    told = [part for name, value in chosen.items() if name != "spark.master" for part in ("--conf", f"{name}={value}")]
    os.environ |= {
        "PYSPARK_PYTHON": sys.executable,
        "PYSPARK_SUBMIT_ARGS": shlex.join([*told, "pyspark-shell"]),
        "SPARK_TESTING": "1",  # any free port
    }
    return session({"spark.remote": "local[2]"})


@pytest.fixture(scope="module")
def as_users_run(spark: SparkSession) -> Iterator[None]:
    """Compile plans and plan them anew on the way, for the tests of a module."""
    for name, value in AS_USERS_RUN.items():
        spark.conf.set(name, value)
    yield
    for name, value in QUICK_FOR_FEW_ROWS.items():
        spark.conf.set(name, value)


@pytest.fixture
def lake(spark: SparkSession, tmp_path: Path) -> Iterator[Lake]:
    yield Lake(spark, str(tmp_path / "lake"))
    lease.release(tmp_path / "lake", spark)


@pytest.fixture
def place(lake: Lake) -> Place:
    return Place(lake=lake.location)


@pytest.fixture(scope="session")
def cdnow_sample() -> Path:
    """Give the folder of CDNOW with its published answers."""
    folder = Path(__file__).parents[2] / "shared" / "data" / "cdnow_sample"
    if not folder.is_dir():
        pytest.skip("the published data are not beside the checkout")
    return folder


@pytest.fixture(scope="session")
def clustering_points() -> Path:
    """Give the folder of points with known groups."""
    folder = Path(__file__).parents[2] / "shared" / "data" / "clustering_points"
    if not folder.is_dir():
        pytest.skip("the published data are not beside the checkout")
    return folder


class Kept:
    """Stands in for a lake where only reading matters: its tables are rows, each of which names what matters."""

    location = "./lake"

    def __init__(self, spark: SparkSession, tables: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
        self.spark, self.tables = spark, tables

    def version(self, table: Table) -> int | None:
        return 1 if table.name in self.tables else None

    def read(self, table: Table, version: int | None) -> DataFrame:
        kept = self.tables.get(table.name, ())
        rows = [tuple(row.get(name) for name in table.names) for row in kept]
        return self.spark.createDataFrame(rows, table.nullable_ddl)


@pytest.fixture(scope="session")
def kept(spark: SparkSession) -> Callable[..., Kept]:
    """Keep tables, by name."""
    return lambda **tables: Kept(spark, tables)


@pytest.fixture
def same() -> Callable[[DataFrame], list[str]]:
    """Give what "the same table" compares: all rows without the columns of origin."""
    origin = {"file_hash", "run_id", "loaded_at", "row_hash"}

    def rows(table: DataFrame) -> list[str]:
        kept = [name for name in table.columns if name not in origin]
        return sorted(str(tuple(row)) for row in table.select(*kept).collect())

    return rows
