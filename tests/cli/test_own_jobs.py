"""A job from outside the package: the one that the README shows, run as it stands there."""

import json
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from crm_spark.core.runs import RUNS
from crm_spark.features.days import CUSTOMER_DAYS
from tests.test_docs import ROOT, fences

(SHOWN,) = [example.text for example in fences(ROOT / "README.md") if "@job(" in example.text]
DAYS = [
    ("ann", date(2026, 1, 1), 2, Decimal(30), Decimal(0), 2),
    ("bob", date(2026, 1, 1), 1, Decimal("9.5"), Decimal(0), 1),
    ("ann", date(2026, 1, 3), 1, Decimal(10), Decimal(4), 2),
]


@pytest.fixture
def crm(crm_of: Any, tmp_path: Path) -> Any:
    """The command line as it is installed, where the configuration names a folder with the README's job."""
    (tmp_path / "my_jobs").mkdir()
    (tmp_path / "my_jobs/day_totals.py").write_text(SHOWN, "utf-8")
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf/local.yaml").write_text("own_jobs: my_jobs\n", "utf-8")
    return crm_of(None)


def test_the_job_of_the_readme_is_ordered_run_logged_documented_and_drawn(crm: Any, tmp_path: Path) -> None:
    fill(crm)
    ended = crm.json("run", "day_totals", "--as-of", "2026-01-31")

    # rows and run log
    table = crm.lake.spark.read.format("delta").load(f"{crm.lake.location}/day_totals")
    assert sorted(tuple(row) for row in table.collect()) == [
        (date(2026, 1, 1), 3, Decimal("39.5000")),
        (date(2026, 1, 3), 1, Decimal("10.0000")),
    ]
    (run,) = ended["runs"]
    assert (run["job"], run["status"], run["rows"]) == ("day_totals", "done", {"day_totals": 2})
    logged = crm.lake.current(RUNS).where("job = 'day_totals'").select("run_id", "status").collect()
    assert sorted(tuple(row) for row in logged) == [(run["run_id"], "done"), (run["run_id"], "started")]

    # order, table, dictionary, page, clean-up
    listed = [job["name"] for job in crm.json("list")["jobs"]]
    assert listed.index("customer_days") < listed.index("day_totals")
    (told,) = [each for each in crm.json("tables")["tables"] if each["name"] == "day_totals"]
    assert (told["made_by"], told["rows"]) == ("day_totals", 2)
    assert crm("dictionary").exit_code == 0
    assert "Made by `day_totals`" in (tmp_path / "docs/tables.md").read_text("utf-8")
    assert crm.at("report").exit_code == 0
    assert "2 days had customers." in (tmp_path / "report.html").read_text("utf-8")
    assert "day_totals" in [each["table"] for each in crm.json("clean", "--dry-run")["tables"]]


def test_its_checks_are_those_of_every_job(crm: Any, tmp_path: Path) -> None:
    fill(crm)
    file = tmp_path / "my_jobs/day_totals.py"
    file.write_text(SHOWN.replace('.cast("decimal(18,4)")', ""), "utf-8")
    ended = crm.at("run", "day_totals", "--as-of", "2026-01-31", "--json")
    assert ended.exit_code == 3
    assert "sales: promised decimal(18,4), found decimal(28,4)" in json.loads(ended.stdout)["error"]


def test_settings_of_jobs_are_held_against_ones_own_jobs_too(crm: Any, tmp_path: Path) -> None:
    (tmp_path / "conf/local.yaml").write_text("own_jobs: my_jobs\njobs: {day_total: {bins: 4}}\n", "utf-8")
    ended = crm("list")
    assert ended.exit_code == 2
    assert "no job is called 'day_total'; did you mean 'day_totals'?" in ended.stderr


def fill(crm: Any) -> None:
    at = "timestamp '2026-01-01'"
    names = CUSTOMER_DAYS.names[:-2]
    days = crm.lake.spark.createDataFrame([(*day, None, None) for day in DAYS], CUSTOMER_DAYS.nullable_ddl)
    crm.lake.prepare(CUSTOMER_DAYS)
    crm.lake.overwrite(CUSTOMER_DAYS, days.selectExpr(*names, f"{at} first_at", f"{at} last_at"), "fill")
