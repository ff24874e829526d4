"""The Spark session: the one that is there, or one made for this machine.

Under `spark-submit`, in a notebook and on Spark Connect a session is there or its master is given: it is
used as it is. Only where nothing is there a local one is made, with settings that suit small tables.
"""

import atexit
import json
import os
import re
import shutil
import signal
import socket
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any

from pyspark import SparkConf, SparkContext
from pyspark.java_gateway import launch_gateway
from pyspark.sql import SparkSession
from pyspark.sql.utils import is_remote

from crm_spark.core.errors import ConfigError, LakeBusy

PACKAGES = "io.delta:delta-spark_4.2_2.13:4.4.0,io.delta:delta-storage:4.4.0"

DELTA = {
    "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
    "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
}

LOCAL = {
    "spark.master": "local[*]",
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.driver.memory": "2g",
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.sql.session.timeZone": "UTC",
    # Spark makes this folder whether it is used or not: not where the user stands, who in a container has no name.
    "spark.sql.warehouse.dir": f"{tempfile.gettempdir()}/spark-warehouse-{getattr(os, 'getuid', os.getpid)()}",
    "spark.sql.shuffle.partitions": str(os.cpu_count() or 2),
    "spark.sql.sources.parallelPartitionDiscovery.parallelism": str(os.cpu_count() or 2),
    # A table's state in 50 tasks costs seconds on one machine.
    "spark.databricks.delta.snapshotPartitions": "1",
    # To replace the rows of a day Delta would look for them as if they could lie in any file, and first add up the
    # whole table; they are a folder.
    "spark.databricks.delta.replaceWhere.dataColumns.enabled": "false",
    # Delta would try ten million times to commit what rivals outrun.
    "spark.databricks.delta.maxCommitAttempts": "20",
    # Delta's own store for a local folder; its default forks a process some ten times for each commit.
    "spark.delta.logStore.file.impl": "io.delta.storage.LocalLogStore",
    # For the sums it writes beside each commit Delta asks Spark; by default several processes would read links.
    "spark.sql.streaming.checkpointFileManagerClass": (
        "org.apache.spark.sql.execution.streaming.checkpointing.FileSystemBasedCheckpointFileManager"
    ),
    # A load has some 160 generated classes. Spark keeps 100, and Java would compile them all anew each time.
    "spark.sql.codegen.cache.maxEntries": "2000",
    # A run writes the rows of one day: to sort them by their days first, as Spark does for one open file at a time, is
    # for nothing. Of more days than these it does so.
    "spark.sql.maxConcurrentOutputFileWriters": "8",
    # Groups are customers as a rule: a first map for few of them is full at once, asked in vain, and code to compile.
    "spark.sql.codegen.aggregate.map.twolevel.enabled": "false",
    # Rows that are kept as bytes take a third less time than by Java's own serializer.
    "spark.serializer": "org.apache.spark.serializer.KryoSerializer",
    # A filter made of one side of a join pays from 10 GB on; to look for one takes a tenth of planning a small load.
    "spark.sql.optimizer.runtime.bloomFilter.enabled": "false",
    # To note where in Python a column was made, for messages that no one sees, takes longer than to make it.
    "spark.python.sql.dataFrameDebugging.enabled": "false",
    # A task takes a page for what it sorts or groups: of 2 GB Spark would make it 32 MB, to be zeroed and thrown away
    # by each of thousands of small tasks, and Java would do little else than collect them. 2 MB with its header:
    # a page that is a little larger takes three regions of a heap by Java's default instead of two.
    "spark.buffer.pageSize": f"{2 * 1024**2 - 16}b",
    # Parquet looks for repeated values until it has seen 1 MB of different ones, in each column of each part.
    "spark.hadoop.parquet.dictionary.page.size": "131072",
    "spark.python.daemon.module": "crm_spark.core.workers",
    # A plain Python function on columns of Parquet would stand still for ever (SPARK-58241, of Spark 4.2.0).
    "spark.sql.execution.arrow.pythonUDF.columnarInput.enabled": "false",
    # Spark keeps workers for plans and for RDDs apart, as the errors of the first are told in fewer lines.
    "spark.sql.execution.pyspark.udf.simplifiedTraceback.enabled": "false",
    # One thread for each worker: workers already fill the cores.
    "spark.executorEnv.OMP_NUM_THREADS": "1",
    "spark.executorEnv.OPENBLAS_NUM_THREADS": "1",
    # A worker keeps memory that it used and will use again: glibc would give back arrays beyond 128 KB, or what lies
    # free beyond twice the largest, and the system would zero them anew. 32 MB is the most that the first may be.
    "spark.executorEnv.MALLOC_MMAP_THRESHOLD_": str(32 * 1024**2),
    "spark.executorEnv.MALLOC_TRIM_THRESHOLD_": str(256 * 1024**2),
}

# Spark measures a batch for Python anew at each row that it adds, column by column, and ends it at 64 MB: that takes
# longer than to hand it over. 10,000 rows, the other limit, are less where there are no lists or long texts.
SMALL_ROWS = {"spark.sql.execution.arrow.maxBytesPerBatch": str(2**31 - 1)}

# PySpark asks Java for these by name again and again, and each time Java looks through all JARs.
ASKED_AT_EACH_STEP = (
    "PythonRDD",
    "PythonSQLUtils",
    "PythonUtils",
    "SerDeUtil",
    "SimplePythonFunction",
    "functions",
    "org.apache.spark.sql.classic.SparkSession",
    "org.apache.spark.sql.execution.python.UserDefinedPythonFunction",
    "org.apache.spark.sql.expressions.Window",
    "org.apache.spark.sql.functions",
)
JAVA_OPTIONS = "spark.driver.extraJavaOptions"
DEFAULT_OPTIONS = "spark.driver.defaultJavaOptions"
READ_BY_JAVA = ("JDK_JAVA_OPTIONS", "JAVA_TOOL_OPTIONS", "_JAVA_OPTIONS")  # of the environment
# After how many calls and loops, by default 5,000, 600, 15,000 and 40,000.
COMPILED_AGAIN = {"Invocation": 200_000, "MinInvocation": 24_000, "Compile": 600_000, "BackEdge": 1_600_000}
COLLECTOR, FIRST_HEAP = re.compile(r"-XX:\+Use\w+GC\b"), re.compile(r"-Xms|-XX:Initial(Heap|RAM)")
# Arrow in Java would look at each number whether it is within its buffer, and whether it is null a second time.
UNCHECKED = ("-Darrow.enable_unsafe_memory_access=true", "-Darrow.enable_null_check_for_get=false")
ARCHIVE = "classes.jsa"
OF_CLUSTERS = ("mapred-default.xml", "yarn-default.xml")
# Of temporary files: macOS allows a socket's name 103 characters, Linux 107.
LONGEST_FOLDER = 103 - len("/crm-00000000/.00000000-0000-0000-0000-000000000000.sock")


def session(settings: Mapping[str, str] | None = None) -> SparkSession:
    """Return the active session, or start one.

    Parameters
    ----------
    settings : mapping, optional
        Spark settings, which go before the ones above. Used only when a session is started. With `spark.remote`,
        or SPARK_REMOTE in the environment, it is one of Spark Connect: all but these are its server's.
    """
    active = SparkSession.getActiveSession()
    return active if active is not None else _start(dict(settings or {}))


def of_command(settings: Mapping[str, str] | None = None) -> SparkSession:
    """Return the session of a command, which ends where it is interrupted.

    PySpark would first cancel jobs, over a connection that may be in the middle of an answer; Java ends with us.
    """
    found = session(settings)
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.default_int_handler)
    return found


def _start(settings: dict[str, str]) -> SparkSession:
    is_submitted = "PYSPARK_GATEWAY_PORT" in os.environ
    is_connect = "spark.remote" in settings or "SPARK_REMOTE" in os.environ
    is_ours = not is_submitted and not is_connect
    if is_submitted:
        settings = {**DELTA, **settings}
    elif is_ours:
        settings = local(settings)
        _launch(settings)
    builder = SparkSession.builder.appName("crm_spark")
    for name, value in settings.items():
        builder = builder.config(name, value)
    started = builder.getOrCreate()
    if is_ours:
        started.sparkContext.setLogLevel(os.environ.get("CRM_SPARK_LOG_LEVEL", "ERROR"))
        if settings["spark.master"].startswith("local"):
            forget_clusters(started)
    return started


def forget_clusters(spark: SparkSession) -> None:
    """Drop Hadoop's defaults for YARN and MapReduce, which are sent with each task that reads or writes a file.

    They are most of what Hadoop holds, and each such task would read them anew. What is set stays.
    """
    java: Any = spark._jvm
    hadoop = spark.sparkContext._jsc.hadoopConfiguration()
    told = java.java.io.StringWriter()
    java.org.apache.hadoop.conf.Configuration.dumpConfiguration(hadoop, told)
    for setting in json.loads(told.toString())["properties"]:
        if setting["resource"] in OF_CLUSTERS:
            hadoop.unset(setting["key"])


def _launch(settings: dict[str, str]) -> None:
    """Start Java; what it prints before its log level is set is no one's terminal's business.

    `CRM_SPARK_LOG_LEVEL` lets it speak.
    """
    # Workers must run the interpreter of the session.
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    if "CRM_SPARK_LOG_LEVEL" in os.environ or SparkContext._gateway is not None:
        return
    with tempfile.TemporaryFile() as said:
        try:
            conf = SparkConf().setAll(list(settings.items()))
            gateway = launch_gateway(conf, {"stdout": said, "stderr": said})  # type: ignore[no-untyped-call]
        except Exception as error:
            said.seek(0)
            raise _no_java(said.read().decode(errors="replace")) from error
    SparkContext._ensure_initialized(gateway=gateway)
    for name in ASKED_AT_EACH_STEP:
        setattr(SparkContext._jvm, name, getattr(SparkContext._jvm, name))


def _no_java(said: str) -> ConfigError:
    """Say why Java did not start, in its own words where it has some."""
    lines = [line.strip() for line in said.splitlines()]
    reasons = [line for line in lines if line and not line.startswith(("WARNING", "NOTE", "Picked up"))]
    why = reasons[0] if reasons else "it ended without a word"
    remedy = "it needs Java 17 or 21 (JAVA_HOME names it) and sound settings under `spark:`"
    return ConfigError(f"Spark could not start Java: {why}; {remedy}")


def jar_folder() -> Path:
    """Give the folder where the set-up put Delta's JARs; `CRM_JARS` names another."""
    return Path(os.environ.get("CRM_JARS", Path(str(files("crm_spark"))).parent / ".jars"))


def jars() -> dict[str, str]:
    """Delta's two JARs as local files where the set-up put them, else by their coordinates."""
    found = sorted(str(path) for path in jar_folder().glob("*.jar"))
    return {"spark.jars": ",".join(found)} if found else {"spark.jars.packages": PACKAGES}


def local(settings: Mapping[str, str]) -> dict[str, str]:
    """Give all settings of a session on this machine; those that are given go before ours."""
    return {**DELTA, **LOCAL, **jars(), **sockets(), **settings, **for_java(settings)}


def sockets() -> dict[str, str]:
    """Let Java and its Python workers speak through files, in a folder of their own until Python ends.

    Over TCP, Spark's default, each task waits 40 ms for one side to tell that it has heard the other. It stays with
    that where systems have no such files, or allow no name as long as theirs.
    """
    if not hasattr(socket, "AF_UNIX") or len(tempfile.gettempdir()) > LONGEST_FOLDER:
        return {}
    folder = tempfile.mkdtemp(prefix="crm-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    named = "spark.python.unix.domain.socket"
    return {f"{named}.enabled": "true", f"{named}.dir": folder}


def for_java(settings: Mapping[str, str]) -> dict[str, str]:
    """Say how Java starts and collects, before what is set.

    It takes Spark's classes from the archive that the set-up made, which halves its start; it passes over one that
    another Java, or the same in another place, has made. Its second compiler waits forty times as long as by default:
    most of Spark's code runs too seldom to earn what that takes from few cores. It collects with all its threads while
    nothing else runs, unless a collector is set: beside what runs, as by default, it would take that one's cores. It
    may use its whole heap from the beginning, unless that is set: to grow, it would first collect all there is. What
    Arrow holds is read without checks: it comes from workers of ours, and Spark asks for nulls itself.
    """
    others, archive = settings.get(JAVA_OPTIONS, ""), jar_folder() / ARCHIVE
    told = [f'-XX:SharedArchiveFile="{archive}"'] if archive.is_file() else []
    told += [*UNCHECKED, *(f"-XX:Tier4{name}Threshold={times}" for name, times in COMPILED_AGAIN.items())]
    chosen = [others, settings.get(DEFAULT_OPTIONS, ""), *(os.environ.get(name, "") for name in READ_BY_JAVA)]
    whole = settings.get("spark.driver.memory", LOCAL["spark.driver.memory"])
    ours = {COLLECTOR: "-XX:+UseParallelGC", FIRST_HEAP: f"-Xms{whole}"}
    told += [option for kind, option in ours.items() if not any(map(kind.search, chosen))]
    return {JAVA_OPTIONS: " ".join([*told, others]).strip()}


@contextmanager
def meanwhile(spark: SparkSession, wanted: Mapping[str, str]) -> Iterator[None]:
    """Let a session have other settings, as long as something goes on in it."""
    before = {name: spark.conf.get(name, None) for name in wanted}
    try:
        for name, value in wanted.items():
            spark.conf.set(name, value)
        yield
    finally:
        for name, kept in before.items():
            if kept is None:
                spark.conf.unset(name)
            else:
                spark.conf.set(name, kept)


def hold_in_java(spark: SparkSession, path: Path) -> None:
    """Let the session's Java lock a file until it ends. A Connect server is not ours: it locks nothing.

    Raises
    ------
    LakeBusy
        Another Java holds it.
    """
    if is_remote():
        return
    java: Any = spark._jvm
    lock = java.java.io.RandomAccessFile(str(path), "rw").getChannel().tryLock()
    if lock is None:
        raise LakeBusy(f"the lake {path.parent} is held by another Java; run again when it is done")
    # Kept where Java keeps it when this Python is gone.
    java.java.lang.System.getProperties().put(f"crm_spark {path}", lock)


def release_in_java(spark: SparkSession, path: Path) -> None:
    """Give up what `hold_in_java` locked."""
    if not is_remote():
        java: Any = spark._jvm
        java.java.lang.System.getProperties().remove(f"crm_spark {path}").channel().close()
