"""A pipeline of two toy jobs over one toy table, and the command line over them."""

import dataclasses
import json
import shutil
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from pydantic import Field as Setting
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from typer.testing import CliRunner, Result

from crm_spark.cli.app import app_for
from crm_spark.core import log, runner
from crm_spark.core.config import Place, Settings
from crm_spark.core.contracts import Field, Table
from crm_spark.core.errors import ContractError, CrmError
from crm_spark.core.events import Event, Listener
from crm_spark.core.job import Job, Update, job
from crm_spark.core.lake import Lake
from crm_spark.core.pipeline import Pipeline

ORDERS = Table(
    "toy_orders",
    "What was bought.",
    owns="batch",
    key=["order_id"],
    changes=True,
    columns=[
        Field("order_id", "string", "the order"),
        Field("customer_id", "string", "who bought", personal=True),
        Field("ordered_on", "date", "when", unit="day"),
        Field("note", "string", "anything", nullable=True),
    ],
)
DAYS = Table(
    "toy_days",
    "Orders for each day.",
    owns="keys",
    key=["day"],
    columns=[Field("day", "date", "the day", unit="day"), Field("orders", "bigint", "orders", unit="order")],
)
SCORES = Table(
    "toy_scores",
    "Orders up to a day.",
    owns="as_of",
    key=["as_of"],
    columns=[
        Field("as_of", "date", "the day it speaks for"),
        Field("orders", "bigint", "orders until then", unit="order"),
    ],
)
NOTES = Table(
    "toy_notes",
    "What was noted.",
    owns="table",
    key=["order_id"],
    version=2,
    columns=[ORDERS["order_id"], ORDERS["note"]],
)
LINES = [
    ("1", "ann", date(2026, 1, 1), None),
    ("2", "bob", date(2026, 1, 1), None),
    ("3", "ann", date(2026, 1, 3), "gift"),
]


class Config(Settings):
    least: int = Setting(1, ge=0, description="Days with fewer orders do not count.")
    breaks: bool = Setting(False, description="Whether it fails.")


@job(reads=[ORDERS], writes=[DAYS], follows=ORDERS)
def toy_days(toy_orders: DataFrame, changed: DataFrame | None) -> DataFrame | Update:
    if changed is None:
        return count(toy_orders)
    keys = changed.select(F.col("ordered_on").alias("day")).distinct()
    return Update(keys, count(toy_orders).join(keys, "day"))


@job(reads=[DAYS], writes=[SCORES])
def toy_scores(toy_days: DataFrame, config: Config) -> DataFrame:
    if config.breaks:
        raise RuntimeError("a customer's value")
    counted = toy_days.where(F.col("day") <= F.lit(config.as_of)).where(F.col("orders") >= config.least)
    return counted.groupBy(F.lit(config.as_of).alias("as_of")).agg(F.sum("orders").alias("orders"))


def count(orders: DataFrame) -> DataFrame:
    return orders.groupBy(F.col("ordered_on").alias("day")).agg(F.count("*").alias("orders"))


@pytest.fixture(scope="session")
def toys() -> Pipeline:
    return Pipeline([toy_scores, toy_days])


class Crm:
    """The command line over the toys, on one lake."""

    def __init__(self, pipeline: Pipeline, lake: Lake) -> None:
        self.app = app_for(pipeline)
        self.lake = lake

    def __call__(self, *told: str) -> Result:
        """Run a command line as it stands."""
        return CliRunner().invoke(self.app, list(told))

    def at(self, *told: str) -> Result:
        """Run a command at the lake."""
        return self(*told, "--lake", self.lake.location)

    def json(self, *told: str) -> Any:
        """Run a command at the lake; its answer as data."""
        return json.loads(self.at(*told, "--json").stdout)

    def rows(self, table: Table) -> list[tuple[Any, ...]]:
        version = self.lake.version(table)
        return sorted(tuple(row) for row in self.lake.read(table, version).collect())

    def add(self, *lines: tuple[str, str, date, str | None]) -> None:
        """Load more orders."""
        rows = self.lake.spark.createDataFrame(list(lines), ORDERS.nullable_ddl).coalesce(1)
        self.lake.append(ORDERS, rows, "loaded", ("toys", (self.lake.version(ORDERS) or 0) + 1))


@pytest.fixture(scope="session")
def loaded(spark: SparkSession, toys: Pipeline, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a lake with orders and nothing else, once; tests take copies."""
    folder = tmp_path_factory.mktemp("toys") / "lake"
    crm = Crm(toys, Lake(spark, str(folder)))
    crm.lake.prepare(ORDERS)
    crm.add(*LINES)
    return folder


@pytest.fixture(scope="session")
def computed(spark: SparkSession, toys: Pipeline, loaded: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a lake on which all toys ran for 2026-01-02, once; tests take copies."""
    folder = tmp_path_factory.mktemp("toys") / "lake"
    shutil.copytree(loaded, folder)
    ended = Crm(toys, Lake(spark, str(folder))).at("run", "--as-of", "2026-01-02", "--json")
    assert ended.exit_code == 0, ended.output
    (folder.parent / "answer.json").write_text(ended.stdout)
    return folder


@pytest.fixture
def answer(computed: Path) -> dict[str, Any]:
    """What that run of all toys answered."""
    return json.loads((computed.parent / "answer.json").read_text())


@pytest.fixture
def nowhere(toys: Pipeline, lake: Lake) -> Crm:
    """The command line at a lake that is not there."""
    return Crm(toys, lake)


@pytest.fixture
def fresh(toys: Pipeline, lake: Lake, loaded: Path) -> Crm:
    """The command line at a lake that holds orders."""
    shutil.copytree(loaded, lake.location)
    return Crm(toys, lake)


@pytest.fixture
def crm(toys: Pipeline, lake: Lake, computed: Path) -> Crm:
    """The command line at a lake on which all ran."""
    shutil.copytree(computed, lake.location)
    return Crm(toys, lake)


@pytest.fixture
def crm_of(lake: Lake) -> Callable[[Pipeline], Crm]:
    """The command line over any jobs, at the test's lake."""
    return lambda pipeline: Crm(pipeline, lake)


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Stand in an empty folder; leave no handler on a stream that the runner closed."""
    monkeypatch.chdir(tmp_path)
    yield
    log.log.handlers = []


@pytest.fixture
def files(tmp_path: Path) -> Callable[[], list[str]]:
    """Give every file below the test's folder."""
    return lambda: sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*"))


@pytest.fixture
def orders() -> Table:
    return ORDERS


@pytest.fixture
def scores() -> Table:
    return SCORES


@pytest.fixture
def day_counts() -> Table:
    return DAYS


@job(reads=[ORDERS], writes=[NOTES])
def toy_notes(toy_orders: DataFrame) -> DataFrame:
    return toy_orders.select("order_id", "note")


@pytest.fixture
def grown(lake: Lake) -> Crm:
    """The command line at a lake with tables that lack a column which their contracts have grown since."""
    for table in (NOTES, ORDERS):
        lake.prepare(dataclasses.replace(table, columns=[c for c in table.columns if c.name != "note"]))
    return Crm(Pipeline([toy_notes]), lake)


class Played:
    """Stands in for the runner where only the command line matters; plays what it was told, keeps count."""

    def __init__(self) -> None:
        self.called: list[tuple[str, str]] = []
        self.errors: dict[str, CrmError] = {}
        self.rows = 1
        self.versions: dict[str, int] = {}

    def __call__(  # as `runner.run`
        self, job: Job, _: Lake, __: Place, as_of: date, listener: Listener, ___: runner.Intent | None
    ) -> runner.Result:
        self.called.append((job.name, str(as_of)))
        if isinstance(self.errors.get(job.name), ContractError):
            raise self.errors[job.name]  # as the runner does, before there is a run
        listener(Event("started", job.name))
        if job.name in self.errors:
            raise self.errors[job.name] from RuntimeError("a customer's value")
        listener(Event("done", job.name, reason="played"))
        rows = {table.name: self.rows for table in job.writes}
        return runner.Result("feed", job.name, "done", "played", versions_read=self.versions, rows=rows)


@pytest.fixture
def played(monkeypatch: pytest.MonkeyPatch) -> Played:
    stand_in = Played()
    monkeypatch.setattr(runner, "run", stand_in)
    return stand_in


@pytest.fixture
def empty(nowhere: Crm) -> Crm:
    """The command line at a lake without a table."""
    Path(nowhere.lake.location).mkdir()
    return nowhere
