"""`crm plan`: what would run and why; nothing is written."""

from datetime import date


def steps(crm, *told):
    return {step["job"]: step for step in crm.json("plan", "--as-of", "2026-01-02", *told)["steps"]}


def test_a_plan_says_what_is_read_and_written_and_why_and_writes_nothing(fresh, files):
    before = files()
    planned = steps(fresh)
    assert list(planned) == ["toy_days", "toy_scores"]
    assert planned["toy_days"] == {
        "job": "toy_days",
        "would": "run",
        "reason": "first run: everything is computed",
        "reads": {"toy_orders": "version 1"},
        "writes": {"toy_days": "creates the table, replaces all rows"},
        "settings": {},
    }
    assert planned["toy_scores"]["reads"] == {"toy_days": "as toy_days leaves it"}
    assert planned["toy_scores"]["writes"] == {"toy_scores": "creates the table, replaces the rows of 2026-01-02"}
    assert planned["toy_scores"]["settings"] == {"least": 1, "breaks": False}
    assert files() == before


def test_a_plan_after_a_run_skips_what_has_nothing_new(crm):
    planned = steps(crm)
    assert (planned["toy_days"]["would"], planned["toy_days"]["reason"]) == (
        "skip",
        "nothing new in toy_orders",
    )
    assert planned["toy_scores"]["reads"] == {"toy_days": "version 1"}


def test_new_rows_are_the_reason_to_run_again(crm):
    crm.add(("4", "bob", date(2026, 1, 4), None))
    planned = steps(crm)["toy_days"]
    assert planned["reason"] == "toy_orders changed from version 1 to 2"
    assert planned["writes"] == {"toy_days": "updates what changed, by day"}


def test_a_column_that_a_contract_has_grown_is_in_the_plan(grown):
    planned = grown.json("plan", "--as-of", "2026-01-02")["steps"][0]
    assert planned["reads"] == {"toy_orders": "version 0, lacks column note"}
    assert planned["writes"] == {"toy_notes": "adds column note, replaces all rows"}


def test_a_lake_that_is_not_there_is_planned_for_and_not_made(nowhere, files):
    ended = nowhere.at("plan", "--as-of", "2026-01-02")
    assert ended.exit_code == 0
    assert f"the lake {nowhere.lake.location} is not there yet: `crm ingest` makes it" in ended.stdout
    assert "toy_orders: not there: no rows" in ended.stdout
    assert files() == []


def test_upstream_and_downstream_take_the_neighbours_along(nowhere):
    assert list(steps(nowhere, "toy_scores", "--upstream")) == ["toy_days", "toy_scores"]
    assert list(steps(nowhere, "toy_days", "--downstream")) == ["toy_days", "toy_scores"]
    assert list(steps(nowhere, "toy_scores")) == ["toy_scores"]


def test_a_plan_refuses_what_a_run_would_refuse(crm, scores):
    crm.lake.spark.sql(f"ALTER TABLE {crm.lake.name(scores)} ADD COLUMNS (stranger int)")
    ended = crm.at("plan", "--as-of", "2026-01-02")
    assert ended.exit_code == 3
    assert "stranger: not promised" in ended.stderr


def test_a_table_that_is_read_must_keep_its_contract_too(crm, day_counts):
    crm.lake.spark.sql(f"ALTER TABLE {crm.lake.name(day_counts)} ADD COLUMNS (stranger int)")
    ended = crm.at("plan", "toy_scores", "--as-of", "2026-01-02")
    assert ended.exit_code == 3
    assert "toy_days on disk is not what its contract promises" in ended.stderr
