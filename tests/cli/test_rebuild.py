"""`crm rebuild`: forget a derived table and compute it anew."""

from datetime import date

import pytest

from crm_spark.core.errors import JobFailed


def test_a_rebuild_mends_a_table_that_broke_its_contract_and_says_which_days_are_gone(crm, scores):
    crm.lake.spark.sql(f"ALTER TABLE {crm.lake.name(scores)} ADD COLUMNS (stranger int)")
    refused = crm.at("run", "toy_scores", "--as-of", "2026-01-03")
    assert refused.exit_code == 3
    assert "stranger: not promised" in refused.stderr
    assert "`crm rebuild toy_scores`" in refused.stderr

    mended = crm.json("rebuild", "toy_scores", "--as-of", "2026-01-03")
    lost = "toy_scores lost 1 other day (2026-01-02 to 2026-01-02); `crm backfill toy_scores` makes days anew"
    assert mended["warnings"] == [lost]
    assert crm.rows(scores) == [(date(2026, 1, 3), 3)]


def test_a_rebuild_that_failed_leaves_nothing_to_skip(crm, played, day_counts):
    played.errors["toy_days"] = JobFailed("it failed")
    assert crm.at("rebuild", "toy_days", "--as-of", "2026-01-02").exit_code == 4
    planned = crm.json("plan", "toy_days", "--as-of", "2026-01-02")["steps"][0]
    assert (planned["would"], planned["reason"]) == ("run", "first run: everything is computed")
    assert crm.rows(day_counts) == []


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        (
            "order_lines",
            "order_lines is loaded from files, not derived from tables: `crm ingest --replace PATH`",
        ),
        ("toy_orders", "toy_orders is made by no job here"),
        ("runs", "runs is the log of what ran: it cannot be made anew"),
        ("toy_dais", "no table is called 'toy_dais'; did you mean 'toy_days'?"),
    ],
)
def test_what_no_job_makes_cannot_be_made_anew(empty, played, name, sentence):
    ended = empty.at("rebuild", name, "--as-of", "2026-01-02")
    assert ended.exit_code == 2
    assert sentence in ended.stderr
    assert played.called == []
