"""Spark Connect: the domains' tests run on it too, and its answers are those of a classic session."""

import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pandas as pd
import pytest
from pyspark.sql import SparkSession

from tests.on_connect import FOLDER, answers

ROOT = Path(__file__).parents[1]
BESIDE = {"cli", "core", "ingest", "kernels", "reports", "sample"}  # no domains
DOMAINS = {room.parent.name for room in ROOT.glob("crm_spark/*/__init__.py")} - BESIDE
KEYS = {
    "rfm_scores": ["customer_id"],
    "rfm_cuts": ["measure", "score"],
    "clv": ["customer_id"],
    "clv_parameters": ["model", "parameter"],
}


@pytest.fixture(scope="module")
def connected(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run these tests on Spark Connect in a process of its own, which can have no classic session."""
    folder = tmp_path_factory.mktemp("connect")
    command = [sys.executable, "-m", "pytest", "-q", "--connect", f"--junitxml={folder / 'report.xml'}"]
    command += [f"--basetemp={folder / 'tests'}", *[f"tests/{room}" for room in sorted(DOMAINS)], "tests/on_connect.py"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    environment |= {FOLDER: str(folder)}
    ended = subprocess.run(command, check=False, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stdout[-5000:]
    return folder


def test_the_domains_tests_pass_on_spark_connect(connected: Path) -> None:
    cases = list(ET.parse(connected / "report.xml").iter("testcase"))
    skipped = [case.get("name") for case in cases if case.find("skipped") is not None]
    is_cdnow_there = (ROOT.parent / "shared" / "data" / "cdnow_sample").is_dir()
    assert {case.get("classname", "").split(".")[1] for case in cases} == DOMAINS | {"on_connect"}
    assert not skipped or not is_cdnow_there


def test_its_answers_are_those_of_a_classic_session(connected: Path, spark: SparkSession) -> None:
    for name, rows in answers(spark).items():
        ours = rows.toPandas().sort_values(KEYS[name], ignore_index=True)
        theirs = pd.read_parquet(connected / name).sort_values(KEYS[name], ignore_index=True)
        assert len(ours) > 5, name
        pd.testing.assert_frame_equal(ours, theirs, rtol=1e-9, atol=0, obj=name)
