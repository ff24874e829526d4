"""What `crm doctor` looks at on the machine: Java, Python, packages, JARs, the configuration, Spark's security."""

from __future__ import annotations

import importlib.metadata
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import date
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from crm_spark.cli.finding import Finding, ok, problem, warning
from crm_spark.core.errors import ConfigError

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from crm_spark.cli.desk import Desk

JAVAS = (17, 21)
OLDEST_PYTHON = (3, 11)
SECURING = ("spark.authenticate", "spark.network.crypto.", "spark.io.encryption.", "spark.acls.")


def findings() -> Iterator[Finding]:
    """Look at everything that does not depend on the place."""
    yield java()
    yield python()
    yield packages()
    yield jars()


def java() -> Finding:
    """Look for a Java that Spark runs on."""
    program = str(Path(os.environ["JAVA_HOME"], "bin", "java")) if "JAVA_HOME" in os.environ else "java"
    remedy = "install Java 17 or 21 and set JAVA_HOME to it"
    try:
        told = subprocess.run([program, "-version"], capture_output=True, text=True, check=True)  # noqa: S603 - the user's own Java
    except (OSError, subprocess.CalledProcessError):
        return problem("Java", f"'{program}' does not run", remedy)
    found = re.search(r'version "(?:1\.)?(\d+)[^"]*"', told.stderr + told.stdout)
    if found is None or int(found[1]) not in JAVAS:
        return problem("Java", f"version {found[1] if found else 'unknown'}; Spark needs 17 or 21", remedy)
    return ok("Java", found[0].removeprefix("version ").strip('"'))


def python() -> Finding:
    """Look at the Python that runs this."""
    version = ".".join(str(part) for part in sys.version_info[:3])
    if sys.version_info < OLDEST_PYTHON:
        return problem("Python", version, "install Python 3.11 or newer")
    return ok("Python", version)


def packages() -> Finding:
    """Hold the installed packages against what the project asks for."""
    from packaging.requirements import Requirement

    try:
        asked = [Requirement(text) for text in importlib.metadata.requires("crm_spark") or []]
    except importlib.metadata.PackageNotFoundError:
        return warning("packages", "crm_spark is not installed here, so its needs are unknown", "pip install .")
    wanted = [need for need in asked if need.marker is None or need.marker.evaluate({"extra": ""})]
    wrong = [f"{need} (found {found})" for need in wanted if (found := _installed(need.name)) not in need.specifier]
    if wrong:
        return problem("packages", "; ".join(wrong), "run scripts/setup, or pip install .")
    return ok(
        "packages",
        ", ".join(f"{need.name} {_installed(need.name)}" for need in wanted[:2]) + f" and {len(wanted) - 2} more",
    )


def jars() -> Finding:
    """Look for Delta's JARs."""
    from crm_spark.core import session

    told = session.jars()
    if "spark.jars" not in told:
        return warning(
            "JARs",
            "not here; Spark fetches them when it starts",
            "run scripts/setup, or set CRM_JARS to their folder",
        )
    return ok("JARs", ", ".join(Path(path).name for path in told["spark.jars"].split(",")))


def configuration(desk: Desk, with_spark: bool) -> Finding:
    """Read the configuration, and every job's settings in it; some of these only Spark can read."""
    from crm_spark.core import config

    try:
        place = desk.place
        if with_spark:
            _ = desk.lake
        for job in desk.pipeline.jobs.values():
            config.of_job(job.config, job.name, place, date.today())  # noqa: DTZ011 - any day does
    except ConfigError as error:
        return problem("configuration", str(error), "correct the file, the environment (CRM_…) or the command line")
    return ok("configuration", f"lake {place.lake}, zone {place.zone}, currency {place.currency}")


def security(session: SparkSession) -> Finding:
    """Hold a session's settings against those of the shipped conf/spark.conf that secure Spark."""
    if (session.conf.get("spark.master", "local") or "").startswith("local"):
        return ok("security", "Spark runs in one process of this machine")
    # TLS takes the place of Spark's own encryption.
    is_tls = session.conf.get("spark.ssl.rpc.enabled", "false") == "true"
    lacking = [
        f"{name} is {found or 'not set'}"
        for name, wanted in securing().items()
        if (found := session.conf.get(name, "")) != wanted and not (is_tls and name.startswith("spark.network"))
    ]
    if lacking:
        return warning("security", "; ".join(lacking), "start Spark with `--properties-file conf/spark.conf`")
    return ok("security", "processes authenticate; what they send and what they write to local disks is encrypted")


def securing() -> dict[str, str]:
    """Give the settings of the shipped conf/spark.conf that secure Spark."""
    shipped = (files("crm_spark.conf") / "spark.conf").read_text(encoding="utf-8")
    told = [line.split(maxsplit=1) for line in shipped.splitlines() if line.startswith("spark.")]
    return {name: value for name, value in told if name.startswith(SECURING)}


def _installed(name: str) -> str:
    """Give the version of a package; 0 where it is not there, which nothing asks for."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "0"
