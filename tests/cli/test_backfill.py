"""`crm backfill`: jobs for each day of a span."""

import json
from datetime import date

from crm_spark.cli.backfill import Every, days
from crm_spark.core.errors import JobFailed

SPAN = ["--from", "2026-01-01", "--to", "2026-01-03"]


def test_every_day_of_the_span_runs_oldest_first_each_with_its_answer(empty, played):
    ended = empty.at("backfill", "toy_scores", *SPAN, "--json")
    assert ended.exit_code == 0
    assert [json.loads(line)["as_of"] for line in ended.stdout.splitlines()] == [day for _, day in played.called]
    assert played.called == [("toy_scores", f"2026-01-0{day}") for day in (1, 2, 3)]


def test_a_person_gets_one_table_of_all_days(empty, played):
    lines = [line.split()[:2] for line in empty.at("backfill", *SPAN).stdout.splitlines()]
    assert lines[:3] == [["day", "job"], ["2026-01-01", "toy_days"], ["2026-01-01", "toy_scores"]]
    assert len(lines) == 7


def test_the_first_day_that_fails_is_the_last(empty, played):
    played.errors["toy_scores"] = JobFailed("it failed")
    ended = empty.at("backfill", *SPAN)
    assert ended.exit_code == 4
    assert "days not run: 2026-01-02 to 2026-01-03" in ended.stderr
    assert played.called == [("toy_days", "2026-01-01"), ("toy_scores", "2026-01-01")]


def test_months_keep_the_day_of_the_first_where_they_have_it():
    found = days(date(2024, 1, 31), date(2024, 4, 30), Every.month)
    assert [str(day) for day in found] == ["2024-01-31", "2024-02-29", "2024-03-31", "2024-04-30"]


def test_weeks_are_seven_days_apart():
    assert [day.day for day in days(date(2024, 1, 1), date(2024, 1, 20), Every.week)] == [1, 8, 15]


def test_a_span_may_be_one_day():
    assert days(date(2024, 1, 1), date(2024, 1, 1), Every.month) == [date(2024, 1, 1)]
