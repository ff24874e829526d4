"""Days unlike their weekday: planted gaps and spikes are found, and nothing else."""

import random
import statistics
from datetime import UTC, date, datetime, timedelta

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from crm_spark.core.session import meanwhile
from crm_spark.ingest.accounts import ACCOUNTS
from crm_spark.ingest.oddities import odd_days

FIRST, DAYS = date(2026, 1, 5), 84  # a Monday, twelve weeks
Counts = dict[str, list[int]]  # for each source the records of each day


def lines(spark: SparkSession, counts: Counts) -> DataFrame:
    rows = [
        (source, FIRST + timedelta(days=day), number)
        for source, numbers in counts.items()
        for day, number in enumerate(numbers)
        if number
    ]
    days = spark.createDataFrame(rows, "source string, ordered_on date, number int")
    return days.select("source", "ordered_on", F.explode(F.sequence(F.lit(1), "number")))


def files(spark: SparkSession, rows: list[tuple[datetime, int, str]]) -> DataFrame:
    told = [
        {
            "source": "shop",
            "feed": "events",
            "modified_at": at,
            "records": records,
            "status": status,
            "zone": "Europe/Berlin",
        }
        for at, records, status in rows
    ]
    return spark.createDataFrame(
        [tuple(row.get(name) for name in ACCOUNTS.names) for row in told], ACCOUNTS.nullable_ddl
    )


def found(
    spark: SparkSession, counts: Counts, delivered: list[tuple[datetime, int, str]], visited: Counts | None = None
) -> set[tuple]:
    events = lines(spark, visited or {}).withColumnRenamed("ordered_on", "occurred_on")
    rows = odd_days(lines(spark, counts), events, files(spark, delivered)).collect()
    return {tuple(row[name] for name in ("what", "day", "records", "usual", "found")) for row in rows}


def changed(numbers: list[int], **days: int) -> list[int]:
    return [days.get(f"on_{day}", number) for day, number in enumerate(numbers)]


def test_gaps_and_spikes_are_found_and_quiet_shops_have_none(spark: SparkSession) -> None:
    chance = random.Random(7)
    counts = {
        "gap": changed([10] * DAYS, on_70=0),
        "spike": changed([20] * DAYS, on_71=200),
        "half": changed([400] * DAYS, on_72=150),
        "stopped": [30] * (DAYS - 2),
        "quiet": [sum(chance.random() < 0.1 for _ in range(30)) for _ in range(DAYS)],
        "busy": [round(chance.gauss(1_000, 100)) for _ in range(DAYS)],
        "closed": [50 if day % 7 < 5 else 0 for day in range(DAYS)],
        "sunday sale": changed([50 if day % 7 < 6 else 0 for day in range(DAYS)], on_83=900),
        "young": changed([0] * (DAYS - 21) + [40] * 21, on_80=0),
    }
    day = [FIRST + timedelta(days=number) for number in range(DAYS)]
    visits = {"gap": changed([90] * DAYS, on_75=0), "short": [40] * (DAYS - 9)}  # events end later than orders do
    assert found(spark, counts, [], visits) == {
        ("events of gap", day[75], 0, 90.0, "none"),
        *[("events of short", day[DAYS - number], 0, 40.0, "none") for number in range(1, 10)],
        ("order lines of gap", day[70], 0, 10.0, "none"),
        ("order lines of spike", day[71], 200, 20.0, "many"),
        ("order lines of half", day[72], 150, 400.0, "few"),
        ("order lines of stopped", day[82], 0, 30.0, "none"),
        ("order lines of stopped", day[83], 0, 30.0, "none"),
    }


def test_what_is_older_than_ninety_days_is_not_told_and_a_gap_makes_no_later_day_odd(spark: SparkSession) -> None:
    counts = {"old": changed([10] * 170, on_79=0), "new": changed([10] * 170, on_80=0)}
    assert {row[:2] for row in found(spark, counts, [])} == {("order lines of new", FIRST + timedelta(days=80))}


@pytest.mark.parametrize("zone", ["UTC", "Pacific/Auckland", "America/Los_Angeles"])
def test_files_count_on_the_day_on_which_they_were_written_where_the_business_is(
    spark: SparkSession, zone: str
) -> None:
    late = datetime(2026, 1, 5, 23, 30, tzinfo=UTC)  # Tuesday in Berlin
    delivered = [(late + timedelta(weeks=week), 100, "loaded") for week in range(9)]
    delivered += [(late + timedelta(weeks=9), 5, "refused"), (late + timedelta(weeks=9), 95, "repeated")]
    with meanwhile(spark, {"spark.sql.session.timeZone": zone}):
        assert found(spark, {}, delivered) == {("files of shop / events", date(2026, 3, 10), 5, 100.0, "few")}


def test_random_days_are_judged_as_a_plain_loop_judges_them(spark: SparkSession) -> None:
    chance = random.Random(11)
    counts = {
        f"s{mean}": [max(0, round(chance.gauss(mean, mean / 5))) for _ in range(DAYS)] for mean in (2, 8, 40, 200, 900)
    }
    counts = {
        source: [*changed(numbers, on_40=0, on_55=numbers[55] // 10, on_61=5 * numbers[61]), 1]
        for source, numbers in counts.items()
    }
    expected = set()
    for source, numbers in counts.items():
        start = next(day for day, number in enumerate(numbers) if number)
        for day, records in enumerate(numbers):
            before = [numbers[then] for then in range(day - 56, day, 7) if then >= start]
            if len(before) >= 4 and is_odd(records, before):
                kind = "none" if records == 0 else "few" if records < statistics.median(before) else "many"
                what, when = f"order lines of {source}", FIRST + timedelta(days=day)
                expected.add((what, when, records, float(statistics.median(before)), kind))
    assert {row[4] for row in expected} == {"none", "few", "many"}
    assert found(spark, counts, []) == expected


def is_odd(records: int, before: list[int]) -> bool:
    usual = statistics.median(before)
    spread = max(1.4826 * statistics.median(abs(number - usual) for number in before), usual**0.5)
    is_missing = records == 0 and min(before) > 0 and usual >= 5
    return is_missing or (usual > 0 and abs(records - usual) > max(5 * spread, usual / 2))
