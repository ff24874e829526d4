"""Spark Connect: its answers are those of a classic session, and all tests of the domains run on it."""

import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pandas as pd
import pytest
from pyspark.sql import SparkSession

from tests.on_connect import FOLDER, answers

pytestmark = pytest.mark.first
ROOT = Path(__file__).parents[1]
BESIDE = {"cli", "core", "ingest", "kernels", "reports", "sample"}  # no domains
DOMAINS = {room.parent.name for room in ROOT.glob("crm_spark/*/__init__.py")} - BESIDE
KEYS = {
    "behaviour_series": ["grouping", "key", "measure"],
    "autocorrelations": ["grouping", "key", "measure"],
    "behaviour_models": ["key"],
    "behaviour_forecasts": ["key", "ahead"],
    "reconciled": ["grouping", "key", "measure", "ahead"],
    "behaviour_detected": ["key"],
    "behaviour_standings": ["key"],
    "behaviour_findings": ["key"],
    "choice_trees": ["node"],
    "choice_decisions": ["customer_id"],
    "choice_tree_by_cart": ["node"],
    "choice_scores": ["customer_id"],
    "choice_importance": ["attribute"],
    "value_groups": ["grouping", "group"],
    "value_concentration": ["measure", "statistic", "percent"],
    "value_migration": ["grouping", "from_group", "to_group"],
    "value_bridge": ["measure", "group", "part"],
    "basket_itemsets": ["items"],
    "basket_itemsets_by_apriori": ["items"],
    "basket_rules": ["antecedent", "consequent"],
    "rule_differences": ["antecedent", "consequent", "grouping", "group"],
    "rules_within": ["antecedent", "consequent", "grouping", "group"],
    "next_offers": ["customer_id"],
    "cohorts": ["cohort", "months_since"],
    "contract_values": ["contract_id"],
    "contract_totals": ["plan"],
    "contract_parameters": ["period", "period_unit", "parameter"],
    "contract_retention": ["period", "period_unit", "renewal"],
    "rfm_scores": ["customer_id"],
    "rfm_cuts": ["measure", "score"],
    "clv": ["customer_id"],
    "clv_with_prospects": ["customer_id"],
    "clv_covariates": ["customer_id"],
    "clv_parameters": ["model", "parameter"],
    "clv_models": ["model"],
    "clv_holdout": ["model", "by", "at"],
    "customer_features": ["customer_id"],
    "customer_margins": ["customer_id"],
    "customer_segments": ["customer_id"],
    "customer_density": ["customer_id"],
    "segment_model": ["parameter", "feature", "number"],
    "segment_model_later": ["parameter", "feature", "number"],
    "segment_migration": ["from_id", "to_id"],
    "segment_drift": ["segment_id", "feature"],
    "clv_drivers": ["customer_id"],
    "segment_drivers": ["grouping", "group", "level", "driver"],
    "driver_model": ["feature"],
}


def on_connect(folder: Path, *tests: str) -> list[ET.Element]:
    """Run tests on Spark Connect in a process of its own, which can have no classic session; give their reports."""
    command = [sys.executable, "-m", "pytest", "-q", "--connect", f"--junitxml={folder / 'report.xml'}"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    ended = subprocess.run(
        [*command, f"--basetemp={folder / 'tests'}", *tests],
        check=False,
        cwd=ROOT,
        env={**environment, FOLDER: str(folder)},
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, ended.stdout[-5000:]
    return list(ET.parse(folder / "report.xml").iter("testcase"))


@pytest.mark.slow
def test_the_answers_of_every_domain_are_those_of_a_classic_session(spark: SparkSession, tmp_path: Path) -> None:
    assert len(on_connect(tmp_path, "tests/on_connect.py")) == 1
    for name, rows in answers(spark).items():
        ours = rows.toPandas().sort_values(KEYS[name], ignore_index=True)
        theirs = pd.read_parquet(tmp_path / name).sort_values(KEYS[name], ignore_index=True)
        assert len(ours) >= 5, name
        pd.testing.assert_frame_equal(ours, theirs, rtol=1e-9, atol=0, obj=name)


@pytest.mark.slow
def test_the_domains_tests_pass_on_spark_connect(tmp_path: Path) -> None:
    cases = on_connect(tmp_path, *[f"tests/{room}" for room in sorted(DOMAINS)])
    skipped = [case.get("name") for case in cases if case.find("skipped") is not None]
    is_cdnow_there = (ROOT.parent / "shared" / "data" / "cdnow_sample").is_dir()
    assert {case.get("classname", "").split(".")[1] for case in cases} == DOMAINS
    assert not skipped or not is_cdnow_there
