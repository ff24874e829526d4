"""What the documents say to `spark-submit`, read by Spark's own parser; each setting by the entry that Spark has for it."""

import re
import shlex
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import pytest
import yaml
from pyspark.sql import SparkSession
from typer.main import get_command

from crm_spark.cli.app import app_for
from crm_spark.cli.machine import securing
from crm_spark.core import entry
from tests.test_docs import DOCUMENTS, ROOT, fences

CONF = ROOT / "conf" / "spark.conf"
# Objects that register their entries when they are first used.
ENTRIES = (
    "org.apache.spark.internal.config.package$",
    "org.apache.spark.internal.config.Network$",
    "org.apache.spark.internal.config.UI$",
    "org.apache.spark.internal.config.Python$",
    "org.apache.spark.sql.internal.SQLConf$",
    "org.apache.spark.sql.internal.StaticSQLConf$",
    "org.apache.spark.deploy.k8s.Config$",
    "org.apache.spark.deploy.yarn.config.package$",
)
# Spark's network library reads its settings by itself.
OF_NETWORK = {
    "spark.network.crypto.cipher": lambda conf: conf.cipherTransformation(),
    "spark.network.crypto.authEngineVersion": lambda conf: str(conf.authEngineVersion()),
}
OPEN_ENDED = ("spark.executorEnv.", "spark.hadoop.")  # what follows is another's name
COMMANDS = [
    command
    for document in DOCUMENTS
    for example in fences(document)
    for command in re.split(r"\n(?!\s)", example.text.replace("\\\n", ""))
    if "spark-submit" in command and "…" not in command
]


def parsed(spark: SparkSession, command: str) -> Any:
    """Spark's own view of a command line."""
    jvm, told = spark._jvm, shlex.split(command)
    at, environment = told.index("spark-submit"), jvm.java.util.HashMap()
    for name, value in (word.split("=", 1) for word in told[:at]):
        environment.put(name, value)
    words = jvm.PythonUtils.toSeq(told[at + 1 :])
    return jvm.org.apache.spark.deploy.SparkSubmitArguments(words, jvm.PythonUtils.toScalaMap(environment))


def listed(values: Any) -> list[str]:
    return [values.apply(at) for at in range(values.size())]


def faults(spark: SparkSession, settings: dict[str, str]) -> list[str]:
    """What Spark has no entry for, or whose value its entry refuses."""
    jvm, found = spark._jvm, []
    for name in ENTRIES:
        jvm.java.lang.Class.forName(name, True, jvm.java.lang.Thread.currentThread().getContextClassLoader())
    network = jvm.org.apache.spark.network.util
    for name, value in settings.items():
        if name in OF_NETWORK:
            read = OF_NETWORK[name](network.TransportConf("rpc", network.MapConfigProvider({name: value})))
            found += [] if read == value else [f"{name}: {read}"]
            continue
        known = jvm.org.apache.spark.internal.config.ConfigEntry.findEntry(name)
        if known is None:
            found += [] if name.startswith(OPEN_ENDED) else [f"{name}: unknown"]
            continue
        try:
            jvm.org.apache.spark.SparkConf(False).set(name, value).get(known)
        except Exception as error:
            found.append(f"{name}: {str(error).splitlines()[-1]}")
    return found


def properties(file: Path) -> dict[str, str]:
    lines = [line.split(maxsplit=1) for line in file.read_text("utf-8").splitlines()]
    return {name: value for name, value in (line for line in lines if line and line[0] != "#" and len(line) == 2)
            if name.startswith("spark.")}  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: " ".join(command.split()[1:3]))
def test_every_command_is_one_that_spark_takes(spark: SparkSession, command: str) -> None:
    told = parsed(spark, command)
    assert told.isPython()
    assert told.propertiesFile() == "conf/spark.conf"
    assert told.loadSparkDefaults()
    assert properties(CONF).items() <= {pair._1(): pair._2() for pair in listed(told.sparkProperties().toSeq())}.items()
    assert faults(spark, {pair._1(): pair._2() for pair in listed(told.sparkProperties().toSeq())}) == []
    jars = Path(ROOT, "requirements", "jars.txt").read_text("utf-8")
    for jar in told.jars().split(","):
        _, artifact, version = re.search(
            rf"^(\S+):({Path(jar).stem.rsplit('-', 1)[0]}):(\S+)", jars, re.MULTILINE
        ).groups()
        assert Path(jar).name == f"{artifact}-{version}.jar"
    assert [file for file in (told.files() or "").split(",") if file and not Path(urlparse(file).path).is_file()] == []


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: " ".join(command.split()[1:3]))
def test_the_job_takes_what_it_is_told(spark: SparkSession, command: str) -> None:
    told = parsed(spark, command)
    job, arguments = Path(urlparse(told.primaryResource()).path), listed(told.childArgs())
    assert job.is_file()
    if job.stem == "ingest":
        get_command(app_for()).commands["ingest"].make_context("ingest", arguments)
    else:
        known = entry.parser(getattr(import_module(f"jobs.{job.stem}"), job.stem)).parse_args(arguments)
        assert known.config.name == "cluster.yaml"


def test_yarn_and_kubernetes_are_among_them_and_the_driver_finds_its_configuration(spark: SparkSession) -> None:
    told = {str(each.master()).split(":")[0]: each for each in (parsed(spark, command) for command in COMMANDS)}
    assert {"spark", "yarn", "k8s"} <= told.keys()
    for name in ("yarn", "k8s"):
        assert told[name].deployMode() == "cluster"
        assert listed(told[name].childArgs())[-1] == Path(told[name].files()).name


def test_the_store_that_is_fetched_is_the_one_of_sparks_own_hadoop(spark: SparkSession) -> None:
    asked = {told.packages() for told in (parsed(spark, command) for command in COMMANDS)} - {None}
    assert asked == {f"org.apache.hadoop:hadoop-aws:{spark._jvm.org.apache.hadoop.util.VersionInfo.getVersion()}"}


def test_every_shipped_setting_is_one_that_spark_knows(spark: SparkSession) -> None:
    assert faults(spark, properties(CONF)) == []
    unknown, wrong = faults(spark, {"spark.autenticate": "true", "spark.authenticate": "maybe"})
    assert unknown == "spark.autenticate: unknown"
    assert "should be a/an 'boolean' value" in wrong


def test_the_shipped_settings_secure_spark() -> None:
    told = securing()
    assert told == {name: value for name, value in properties(CONF).items() if name in told}
    for name in (
        "spark.authenticate",
        "spark.network.crypto.enabled",
        "spark.io.encryption.enabled",
        "spark.acls.enable",
    ):
        assert told[name] == "true"


def test_the_configuration_of_clusters_leaves_sparks_settings_to_it() -> None:
    assert "spark" not in yaml.safe_load((ROOT / "conf/cluster.yaml").read_text("utf-8"))
