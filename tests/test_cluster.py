"""A real cluster on this machine: the packaged zip, submitted to a standalone master with two workers.

Master and workers demand the secret and the encryption of the shipped conf/spark.conf. Workers run a Python that has
NumPy, SciPy, pandas and PyArrow alone.
"""

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from importlib.metadata import PackagePath, distribution
from pathlib import Path

import pandas as pd
import pyspark
import pytest
import yaml
from pyspark.sql import SparkSession
from typer.testing import CliRunner

from crm_spark.cli.app import app_for
from crm_spark.cli.machine import securing
from crm_spark.core.contracts import Table
from crm_spark.core.lake import Lake
from crm_spark.core.session import LOCAL, jars
from crm_spark.features.days import CUSTOMER_DAYS
from crm_spark.ingest.tables import ORDER_LINES
from crm_spark.segments import rfm
from crm_spark.value import clv, models
from tests.test_packaging import ROOT, built, python
from tests.value.test_clv import drawn

__all__ = ["built"]  # the fixture that builds the zip

pytestmark = pytest.mark.slow
SPARK = Path(pyspark.__file__).parent
AS_OF = "1997-09-30"
QUICK_JAVA = "-XX:+UseSerialGC -XX:TieredStopAtLevel=1"
SETTINGS = {
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.ui.enabled": "false",
    # Few rows, in few tasks.
    "spark.sql.shuffle.partitions": "2",
    "spark.sql.sources.parallelPartitionDiscovery.parallelism": "2",
    "spark.databricks.delta.snapshotPartitions": "1",
    "spark.delta.logStore.file.impl": LOCAL["spark.delta.logStore.file.impl"],
    "spark.driver.extraJavaOptions": QUICK_JAVA,
    "spark.executor.extraJavaOptions": QUICK_JAVA,
}
JOBS = {
    "customer_days": [CUSTOMER_DAYS],
    "rfm_scores": [rfm.SCORES, rfm.CUTS],
    "clv": [clv.CLV, models.PARAMETERS, models.SCORES, models.HOLDOUT],
}
BARE = ("numpy", "scipy", "pandas", "pyarrow", "dateutil", "pytz", "tzdata", "six.py")
SHOP = {
    "source": "till",
    "zone": "Europe/Berlin",
    "currency": "EUR",
    "feeds": {
        "orders": {
            "files": "*.csv",
            "columns": {"order": "string", "customer": "string", "price": "decimal(18,4)", "day": "date"},
            "tables": {
                "order_lines": {
                    "columns": {
                        "order_id": "order",
                        "line_number": "1",
                        "customer_id": "customer",
                        "quantity": "1",
                        "unit_price": "price",
                        "ordered_at": "cast(day AS timestamp)",
                    }
                }
            },
        }
    },
}


# -- the cluster


def free_port() -> int:
    with closing(socket.socket()) as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@dataclass(frozen=True)
class Cluster:
    """A master and two workers, each a process of its own."""

    url: str
    folder: Path
    zipped: Path
    python: str

    def submit(
        self, job: Path, *arguments: str, options: tuple[str, ...] = (), worker: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run `spark-submit`."""
        delta = ["--jars", jars()["spark.jars"], "--py-files", str(self.zipped)]
        delta += ["--properties-file", str(ROOT / "conf" / "spark.conf"), "--load-spark-defaults"]
        command = [str(SPARK / "bin" / "spark-submit"), "--master", self.url, *delta, *options]
        command += [part for name, value in SETTINGS.items() for part in ("--conf", f"{name}={value}")]
        # Elsewhere than in the checkout, without its path: all of the suite comes from the zip.
        environment = {name: value for name, value in self.environment.items() if name != "PYTHONPATH"}
        environment |= {"PYSPARK_PYTHON": worker or self.python, "PYSPARK_DRIVER_PYTHON": sys.executable}
        return subprocess.run(
            [*command, str(job), *arguments],
            check=False,
            cwd=self.zipped.parent,
            env=environment,
            capture_output=True,
            text=True,
        )

    @property
    def environment(self) -> dict[str, str]:
        """What every process of the cluster is told."""
        return {
            **os.environ,
            "SPARK_CONF_DIR": str(self.folder),
            "SPARK_LOCAL_IP": "127.0.0.1",
            "SPARK_DAEMON_JAVA_OPTS": QUICK_JAVA,
        }

    def executors(self) -> list[int]:
        """The processes that are at work on the two workers."""
        return [
            int(process.name)
            for process in Path("/proc").iterdir()
            if process.name.isdigit() and self._is_executor(process)
        ]

    def _is_executor(self, process: Path) -> bool:
        try:
            is_below = (process / "cwd").resolve().is_relative_to(self.folder.resolve())
            return is_below and b"CoarseGrainedExecutorBackend" in (process / "cmdline").read_bytes()
        except OSError:  # it ended meanwhile
            return False


@pytest.fixture(scope="module")
def cluster(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Start a cluster that demands what conf/spark.conf gives."""
    folder, port, web = tmp_path_factory.mktemp("cluster"), free_port(), free_port()
    demanded = {
        name: value for name, value in securing().items() if name.startswith(("spark.authenticate", "spark.network"))
    }
    demanded["spark.authenticate.secret"] = secrets.token_hex()
    lines = [f"{name} {value}" for name, value in demanded.items()]
    (folder / "spark-defaults.conf").write_text("\n".join(lines), "utf-8")
    made = Cluster(f"spark://127.0.0.1:{port}", folder, built / "dist" / "crm_spark.zip", bare_python(folder / "bare"))
    start = [str(SPARK / "bin" / "spark-class"), "org.apache.spark.deploy"]
    commands = [
        [start[0], f"{start[1]}.master.Master", "--host", "127.0.0.1", "--port", str(port), "--webui-port", str(web)],
        *[
            [start[0], f"{start[1]}.worker.Worker", "--host", "127.0.0.1", "--cores", "1", "--memory", "1g",
             "--webui-port", "0", "--work-dir", str(folder / name), made.url]
            for name in ("one", "two")
        ],
    ]  # fmt: skip
    processes = [
        subprocess.Popen(command, env=made.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for command in commands
    ]
    try:
        wait_for_workers(web, 2)
        yield made
    finally:
        for process in reversed(processes):
            process.terminate()
            process.wait()


def wait_for_workers(port: int, wanted: int) -> None:
    for _ in range(240):
        time.sleep(0.5)
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/json/", timeout=5) as answer:
                if answer.read().decode().count('"state" : "ALIVE"') >= wanted:
                    return
        except OSError:
            continue
    raise TimeoutError("the workers did not come up in two minutes")


def bare_python(folder: Path) -> str:
    """Make a Python that has what executors need, and nothing else."""
    site = made_python(folder)
    packages = Path(pd.__file__).parents[1]
    for name in BARE:
        for found in (packages / name, packages / f"{name}.libs"):
            if found.exists():
                (site / found.name).symlink_to(found)
    tried = [subprocess.run([folder / "bin/python", "-P", "-c", f"import {name}"], capture_output=True, check=False).returncode
             for name in ("pyarrow, scipy.optimize", "pydantic", "yaml", "typer", "crm_spark")]  # fmt: skip
    assert tried == [0, 1, 1, 1, 1]
    return str(folder / "bin" / "python")


def made_python(folder: Path) -> Path:
    """Make a Python without packages, and give the folder where these belong."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    (site,) = folder.glob("lib/python*/site-packages")
    return site


# -- the same rows


@dataclass(frozen=True)
class Shop:
    """A folder of raw files with its configuration."""

    folder: Path

    @property
    def config(self) -> tuple[str, str]:
        return "--config", str(self.folder / "cluster.yaml")

    @property
    def source(self) -> tuple[str, ...]:
        return "till", "--from", str(self.folder / "raw"), *self.config


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    folder = tmp_path_factory.mktemp("shop")
    orders = pd.DataFrame(
        [(who, sales, day) for who, day, _, sales in drawn(300)], columns=["customer", "price", "day"]
    )
    orders.insert(0, "order", orders.index.astype(str))
    (folder / "raw").mkdir()
    for part in range(2):
        orders[part::2].to_csv(folder / "raw" / f"{part}.csv", index=False)
    (folder / "till.yaml").write_text(yaml.safe_dump(SHOP, sort_keys=False), "utf-8")
    shipped = (ROOT / "conf/cluster.yaml").read_text("utf-8")
    (folder / "cluster.yaml").write_text(f"{shipped}\nsources: {folder}\n", "utf-8")
    return Shop(folder)


@pytest.fixture(scope="module")
def here(spark: SparkSession, shop: Shop) -> Lake:
    """The lake that a run on this machine makes."""
    lake = Lake(spark, str(shop.folder / "here"))
    for told in (("ingest", *shop.source), ("run", "--as-of", AS_OF, *shop.config)):
        ended = CliRunner().invoke(app_for(), [*told, "--lake", lake.location])
        assert ended.exit_code == 0, ended.output
    return lake


@pytest.fixture(scope="module")
def there(cluster: Cluster, spark: SparkSession, shop: Shop) -> Lake:
    """The lake that the cluster makes."""
    lake = Lake(spark, str(shop.folder / "there"))
    jobs = cluster.zipped.parents[1] / "jobs"
    submissions = [("ingest", *shop.source), *[(name, "--as-of", AS_OF, *shop.config) for name in JOBS]]
    for name, *arguments in submissions:
        done = cluster.submit(jobs / f"{name}.py", *arguments, "--lake", lake.location)
        assert done.returncode == 0, done.stderr[-3000:]
    return lake


def rows(lake: Lake, table: Table) -> pd.DataFrame:
    told = [name for name in table.names if name not in {"file_hash", "run_id", "loaded_at"}]
    return lake.current(table).select(*told).toPandas().sort_values([*table.key], ignore_index=True)


@pytest.mark.parametrize(
    "table", [ORDER_LINES, *[table for tables in JOBS.values() for table in tables]], ids=lambda table: table.name
)
def test_submitted_jobs_write_the_rows_that_a_local_run_writes(here: Lake, there: Lake, table: Table) -> None:
    ours = rows(here, table)
    assert len(ours) >= 5
    pd.testing.assert_frame_equal(rows(there, table), ours, rtol=1e-9, atol=0)


def test_a_lake_that_is_not_there_is_told_in_a_sentence(cluster: Cluster, tmp_path: Path) -> None:
    job = cluster.zipped.parents[1] / "jobs" / "rfm_scores.py"
    absent = cluster.submit(job, "--lake", str(tmp_path / "nowhere"), "--as-of", AS_OF)
    assert absent.returncode == 2
    assert "has none of the tables that rfm_scores reads: customer_days" in absent.stdout, (
        "spark-submit hands on what Python says there"
    )
    assert not (tmp_path / "nowhere").exists()


# -- an executor dies

SLOW = '''"""Copy slowly what customers did."""

import time

from crm_spark.core.contracts import Table
from crm_spark.core.job import job
from crm_spark.features.days import CUSTOMER_DAYS

COPIES = Table("copies", "Copies.", owns="table", key=CUSTOMER_DAYS.key, columns=CUSTOMER_DAYS.columns)


def slowly(batches):
    for batch in batches:
        time.sleep(2)
        yield batch


@job(reads=[CUSTOMER_DAYS], writes=[COPIES])
def copies(customer_days):
    return customer_days.repartition(8, "customer_id").mapInArrow(slowly, CUSTOMER_DAYS.ddl)


copies.run()
'''
COPIES = Table("copies", "Copies.", owns="table", key=CUSTOMER_DAYS.key, columns=CUSTOMER_DAYS.columns)


def test_an_executor_that_is_killed_while_it_writes_leaves_no_row_out_and_none_twice(
    cluster: Cluster, here: Lake, spark: SparkSession, tmp_path: Path
) -> None:
    lake = Lake(spark, str(tmp_path / "lake"))
    shutil.copytree(Path(here.location, "customer_days"), Path(lake.location, "customer_days"))
    (tmp_path / "copies.py").write_text(SLOW, "utf-8")
    with ThreadPoolExecutor() as pool:
        job = pool.submit(cluster.submit, tmp_path / "copies.py", "--lake", lake.location, "--as-of", AS_OF)
        while not job.done() and not list(Path(lake.location, "copies").glob("*.parquet")):
            time.sleep(0.1)  # until some rows are written, and others are not
        for executor in cluster.executors()[:1]:
            os.kill(executor, signal.SIGKILL)
        done = job.result()
    assert done.returncode == 0, done.stderr[-3000:]
    assert "Lost executor" in done.stderr
    pd.testing.assert_frame_equal(rows(lake, COPIES), rows(here, CUSTOMER_DAYS))
    writes = [commit for commit in lake.history(COPIES) if commit["operation"] != "CREATE TABLE"]
    assert len(writes) == 1


# -- with the environment, in a catalog

CATALOGUED = '''"""Score customers in a schema of the session's catalog, which knows of it nothing but their days."""

import sys

from crm_spark.core.entry import main
from crm_spark.core.session import session
from crm_spark.jobs.rfm_scores import rfm_scores

spark = session()
spark.sql("CREATE SCHEMA spark_catalog.crm LOCATION '{schema}'")
spark.sql("CREATE TABLE spark_catalog.crm.customer_days USING delta LOCATION '{days}'")
sys.exit(main(rfm_scores))
'''


def test_where_nodes_have_nothing_the_environment_goes_along_and_a_schema_is_a_lake_there(
    cluster: Cluster, built: Path, shop: Shop, here: Lake, spark: SparkSession, tmp_path: Path
) -> None:
    schema, days = tmp_path / "crm", Path(here.location, "customer_days")
    (tmp_path / "catalogued.py").write_text(CATALOGUED.format(schema=schema, days=days), "utf-8")
    done = cluster.submit(
        tmp_path / "catalogued.py",
        *("--lake", "spark_catalog.crm", "--as-of", AS_OF, *shop.config),
        options=("--archives", f"{packed_environment(built)}#environment"),
        worker="./environment/bin/python",
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found = Lake(spark, str(schema))
    pd.testing.assert_frame_equal(rows(found, rfm.SCORES), rows(here, rfm.SCORES), rtol=1e-9, atol=0)


def packed_environment(built: Path) -> Path:
    """Pack what `scripts/package` packs: of the packages those that are installed here, which have the same pins."""
    site = made_python(built / "build" / "environment")
    lines = (ROOT / "requirements/runtime.txt").read_text("utf-8").splitlines()
    pins = [line.split(" ")[0].split("==") for line in lines if line[:1].isalpha() and "sys_platform" not in line]
    for name, version in pins:
        found = distribution(name)
        assert found.version == version
        if name not in ("pyspark", "py4j"):
            copy(found.files or [], Path(str(found.locate_file(""))), site)
    code = "import archives; archives.tar_environment()"
    python(code, cwd=built, PYTHONPATH=str(built / "scripts"))
    return built / "dist" / "environment.tar.gz"


def copy(files: Sequence[PackagePath], site: Path, target: Path) -> None:
    """Copy an installed package; not its scripts, which lie elsewhere."""
    for file in files:
        if ".." not in file.parts and "__pycache__" not in file.parts:
            (target / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(site / file, target / file)
