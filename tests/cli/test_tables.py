"""`crm list`, `crm tables` and `crm history`."""

ABSENT = "is not there yet: `crm ingest` makes it"


def test_jobs_are_listed_in_order_after_ingestion_with_what_they_read_and_write(nowhere, files):
    listed = nowhere.json("list")["jobs"]
    assert [job["name"] for job in listed] == ["ingest", "toy_days", "toy_scores"]
    assert listed[2]["reads"] == ["toy_days"]
    assert listed[2]["writes"] == ["toy_scores"]
    assert "order_lines" in listed[0]["writes"]
    assert files() == []


def test_tables_are_listed_with_their_makers_though_no_lake_is_there(nowhere, files):
    told = nowhere.json("tables")
    makers = {table["name"]: table["made_by"] for table in told["tables"]}
    assert makers["order_lines"] == "ingest"
    assert makers["toy_scores"] == "toy_scores"
    assert makers["toy_orders"] is None
    assert list(makers)[-1] == "runs"
    assert told["notes"] == [f"the lake {nowhere.lake.location} {ABSENT}"]
    assert files() == []


def test_tables_that_are_there_show_rows_version_and_size(fresh):
    told = {table["name"]: table for table in fresh.json("tables")["tables"]}
    assert (told["toy_orders"]["rows"], told["toy_orders"]["version"], told["toy_orders"]["files"]) == (
        3,
        1,
        1,
    )
    assert told["toy_orders"]["bytes"] > 0
    assert "rows" not in told["order_lines"]


def test_a_table_shows_its_columns(nowhere):
    columns = {column["name"]: column for column in nowhere.json("tables", "toy_orders")["columns"]}
    assert columns["customer_id"]["personal"]
    assert columns["note"]["nullable"]
    assert (columns["ordered_on"]["unit"], columns["ordered_on"]["type"]) == ("day", "date")
    assert columns["order_id"]["key"]
    shown = nowhere.at("tables", "toy_orders").stdout
    assert shown.startswith("toy_orders (made by no job): What was bought.")


def test_the_history_is_what_ran_newest_first(crm):
    ran = crm.json("history")["runs"]
    assert [(run["job"], run["status"], run["as_of"]) for run in ran] == [
        ("toy_scores", "done", "2026-01-02"),
        ("toy_days", "done", "2026-01-02"),
    ]
    assert ran[0]["at"].endswith("+00:00")
    lines = crm.at("history", "--last", "1").stdout.splitlines()
    assert len(lines) == 2
    assert lines[1].split()[3:6] == ["toy_scores", "2026-01-02", "done"]


def test_the_history_of_a_table_is_its_versions_with_the_runs_that_made_them(crm):
    run = crm.json("history", "--last", "1")["runs"][0]["run_id"]
    made = crm.json("history", "toy_scores")["versions"]
    assert [(version["version"], version["operation"]) for version in made] == [
        (1, "WRITE"),
        (0, "CREATE TABLE"),
    ]
    assert made[0]["run_id"] == run
    assert crm.json("history", "order_lines")["notes"] == ["order_lines is not there yet"]
