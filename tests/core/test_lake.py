"""The lake: every way of writing is idempotent, reads are pinned, contracts grow; a folder and a schema alike."""

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import pytest
from py4j.protocol import Py4JJavaError
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from crm_spark.core.contracts import Field, Table
from crm_spark.core.ddl import VERSION_PROPERTY
from crm_spark.core.errors import ConfigError, ContractError, LakeBusy
from crm_spark.core.lake import NOTE, Growth, Lake
from crm_spark.core.refusals import is_unreadable

KEYED = Table(
    "keyed",
    "Rows by key; it's quoted.",
    owns="keys",
    key=["name", "day"],
    cluster_by=["day"],
    changes=True,
    columns=[
        Field("name", "string", "the one"),
        Field("day", "date", "when", unit="day"),
        Field("told", "map<string,bigint>", "what else", nullable=True),
        Field("number", "int", "how many"),
    ],
)
SNAPSHOT = Table(
    "snapshot",
    "A day's rows.",
    owns="as_of",
    key=["as_of", "name"],
    columns=[Field("as_of", "date", "the day"), Field("name", "string", "the one")],
)
FIRST, SECOND = date(2025, 1, 1), date(2025, 1, 2)


@pytest.fixture(params=["folder", "schema"])
def any_lake(request: pytest.FixtureRequest, spark: SparkSession, tmp_path: Path) -> Iterator[Lake]:
    """Give the same lake as a folder and as a catalog schema."""
    if request.param == "folder":
        yield Lake(spark, str(tmp_path / "it's a lake"))
        return
    spark.sql("CREATE SCHEMA IF NOT EXISTS spark_catalog.crm_test")
    yield Lake(spark, "spark_catalog.crm_test")
    spark.sql("DROP SCHEMA spark_catalog.crm_test CASCADE")


def keyed(spark: SparkSession, *rows: tuple[str, date, int]) -> DataFrame:
    told = [(name, day, {"a": 1}, number) for name, day, number in rows]
    return spark.createDataFrame(told, KEYED.nullable_ddl)


def rows(lake: Lake, table: Table) -> list[tuple[object, ...]]:
    return sorted(tuple(row) for row in lake.current(table).drop("told").collect())


def test_a_new_table_that_another_filled_first_is_replaced_and_not_added_to(
    lake: Lake, spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = spark.createDataFrame([(FIRST, "x")], SNAPSHOT.nullable_ddl)
    with lake.turn():
        lake.prepare(SNAPSHOT)  # and the run ends before it writes
    for one in (Lake(spark, lake.location), lake):
        one.prepare(SNAPSHOT)
        one.replace_as_of(SNAPSHOT, told, FIRST, "run")
    assert rows(lake, SNAPSHOT) == [(FIRST, "x")]

    # Where nothing keeps drivers apart but the store, two may find no table, and both make it.
    monkeypatch.setattr("crm_spark.core.lease.folder", lambda _: None)
    monkeypatch.setattr("crm_spark.core.lease.refuse_unsafe", lambda *_: None)
    both = [Lake(spark, str(tmp_path / "store")) for _ in range(2)]
    for one in both:
        monkeypatch.setattr(one, "growth", lambda _: Growth(exists=False))
        one.prepare(SNAPSHOT)
    for one in both:
        one.replace_as_of(SNAPSHOT, told, FIRST, "run")
    assert rows(both[0], SNAPSHOT) == [(FIRST, "x")]


def test_writing_twice_is_writing_once(any_lake: Lake, spark: SparkSession) -> None:
    lake = any_lake
    lake.prepare(KEYED)
    lake.prepare(SNAPSHOT)
    for _ in range(2):
        lake.append(KEYED, keyed(spark, ("a", FIRST, 1), ("b", FIRST, 2)), "run", ("me", 1))
        for day, name in ((FIRST, "x"), (SECOND, "y")):
            lake.replace_as_of(SNAPSHOT, spark.createDataFrame([(day, name)], SNAPSHOT.nullable_ddl), day, "run")
    assert rows(lake, KEYED) == [("a", FIRST, 1), ("b", FIRST, 2)]
    assert rows(lake, SNAPSHOT) == [(FIRST, "x"), (SECOND, "y")]

    # A merge changes what differs, adds what is new, and deletes a key that has no row any more.
    changed = keyed(spark, ("a", FIRST, 1), ("b", FIRST, 5), ("c", SECOND, 6))
    before = lake.version(KEYED)
    lake.merge(KEYED, changed, "run")
    assert rows(lake, KEYED) == [("a", FIRST, 1), ("b", FIRST, 5), ("c", SECOND, 6)]
    seen = lake.changes(KEYED, before, lake.version(KEYED))
    assert sorted((row["name"], row["_change_type"]) for row in seen.collect()) == [
        ("b", "update_postimage"), ("b", "update_preimage"), ("c", "insert"),
    ]  # fmt: skip
    lake.merge(KEYED, keyed(spark, ("c", SECOND, 6)), "run", keys=changed.select("name", "day").where("name <> 'a'"))
    assert rows(lake, KEYED) == [("a", FIRST, 1), ("c", SECOND, 6)]
    assert sorted(tuple(row) for row in lake.read(KEYED, before).select("name", "number").collect()) == [
        ("a", 1),
        ("b", 2),
    ]
    told = [(row["version"], row["userMetadata"], row["operationMetrics"]) for row in lake.history(KEYED)]
    assert [(made.version, made.run_id, dict(made.metrics)) for made in lake.commits(KEYED)] == told
    assert told[0][:2] == (lake.version(KEYED), "run")
    assert len(lake.commits(KEYED, most=2)) == 2
    assert spark.conf.get(NOTE, None) is None, "what the user writes himself bears no run of ours"


def test_a_day_that_is_new_for_sure_is_added_and_every_other_replaced(lake: Lake, spark: SparkSession) -> None:
    days = [FIRST + timedelta(days=number) for number in range(4)]

    def put(day: date, name: str) -> str:
        lake.prepare(SNAPSHOT)
        lake.replace_as_of(SNAPSHOT, spark.createDataFrame([(day, name)], SNAPSHOT.nullable_ddl), day, "run")
        return str(lake.history(SNAPSHOT, most=1)[0]["operationParameters"]["mode"])

    put(days[0], "a")
    with lake.turn():
        assert put(days[1], "b") == "Append"
        assert put(days[1], "c") == "Overwrite"
        # A run that died before its commit left a folder.
        Path(lake.location, SNAPSHOT.name, f"as_of={days[2]}").mkdir()
        assert put(days[2], "d") == "Overwrite"
    assert put(days[3], "e") == "Overwrite", "others may write meanwhile"
    # What is not laid out by days alone may have rows of a day anywhere.
    Path(lake.location, SNAPSHOT.name, "zQ").mkdir()
    with lake.turn():
        assert put(FIRST - timedelta(days=1), "f") == "Overwrite"
    assert rows(lake, SNAPSHOT) == [(FIRST - timedelta(days=1), "f"), *zip(days, "acde", strict=True)]


def test_rows_of_another_day_are_refused_however_the_day_is_written(lake: Lake, spark: SparkSession) -> None:
    mixed = spark.createDataFrame([(FIRST, "ann"), (SECOND, "bob")], SNAPSHOT.nullable_ddl)
    lake.prepare(SNAPSHOT)
    for made in ("in this turn", "before"):
        with lake.turn(), pytest.raises(ContractError, match="snapshot .* rows of another day") as told:
            if made == "in this turn":
                lake._made.add(SNAPSHOT.name)
            lake.replace_as_of(SNAPSHOT, mixed, FIRST, "run")
        assert "bob" not in str(told.value)
    lake.replace_as_of(SNAPSHOT, mixed.where("name = 'ann'"), FIRST, "run")
    with lake.turn(), pytest.raises(ContractError, match="rows of another day"):
        lake.replace_as_of(SNAPSHOT, mixed, SECOND, "run")
    assert rows(lake, SNAPSHOT) == [(FIRST, "ann")]


def test_a_lake_that_another_makes_after_a_run_looked_for_it_is_busy(lake: Lake, spark: SparkSession) -> None:
    mine = spark.createDataFrame([(FIRST, "ann")], SNAPSHOT.nullable_ddl)
    with pytest.raises(LakeBusy, match="made by another run meanwhile; run again"), lake.turn():
        Path(lake.location, "other", "_delta_log").mkdir(parents=True)
        lake.prepare(SNAPSHOT)
    with lake.turn():  # what is there now is known
        lake.prepare(SNAPSHOT)
        lake.replace_as_of(SNAPSHOT, mine, FIRST, "run")
    assert rows(lake, SNAPSHOT) == [(FIRST, "ann")]


def test_commits_are_read_where_a_value_holds_what_unicode_takes_for_the_end_of_a_line(
    lake: Lake, spark: SparkSession
) -> None:
    lake.prepare(KEYED)
    lake.append(KEYED, spark.createDataFrame([("a\u2028b\u0085c", FIRST, None, 1)], KEYED.nullable_ddl), "run")
    assert lake.commits(KEYED, most=1)[0].run_id == "run"


def is_asked_of_delta(told: DataFrame) -> bool:
    """Whether Delta looks for the files of a table when it is read."""
    plan = told._jdf.queryExecution().executedPlan().toString()
    return "DeltaFileIndex" in plan


def as_delta_reads(lake: Lake, table: Table, version: int | None) -> list[tuple[object, ...]]:
    read = lake.spark.read.option("versionAsOf", version).table(lake.name(table))
    return sorted((tuple(row) for row in read.select(*table.names).collect()), key=str)


def test_each_version_of_a_small_table_reads_as_delta_reads_it_without_asking_delta(
    spark: SparkSession, tmp_path: Path
) -> None:
    lake = Lake(spark, str(tmp_path / "a % lake's"))
    lake.prepare(KEYED)
    lake.prepare(SNAPSHOT)
    lake.append(KEYED, keyed(spark, ("a", FIRST, 1), ("b", FIRST, 2)), "run")
    lake.merge(KEYED, keyed(spark, ("b", FIRST, 3), ("c", SECOND, 4)), "run")
    for day in (FIRST, SECOND, FIRST):
        told = spark.createDataFrame([(day, name) for name in "xyz"], SNAPSHOT.nullable_ddl)
        lake.replace_as_of(SNAPSHOT, told, day, "run")
    spark.sql(f"ALTER TABLE {lake.name(KEYED)} SET TBLPROPERTIES ('delta.checkpointInterval' = '2')")
    for number in range(3):
        lake.append(KEYED, keyed(spark, ("d", SECOND, number)), "run")
    assert [*Path(lake.location, KEYED.name).glob("_delta_log/*.checkpoint.parquet")]
    lake.compact(KEYED)
    for table in (KEYED, SNAPSHOT):
        for version in range((lake.version(table) or 0) + 1):
            read = lake.read(table, version)
            assert not is_asked_of_delta(read), (table.name, version)
            assert sorted((tuple(row) for row in read.collect()), key=str) == as_delta_reads(lake, table, version)
    assert lake.read(SNAPSHOT, lake.version(SNAPSHOT)).where(F.col("as_of") == SECOND).count() == 3


def break_checksum(folder: Path) -> None:
    newest(folder, "crc").write_text("{")


def lose_checksum(folder: Path) -> None:
    newest(folder, "crc").unlink()


def newest(folder: Path, suffix: str) -> Path:
    return max(folder.glob(f"_delta_log/*.{suffix}"))


@pytest.mark.parametrize("change", [
    "ALTER TABLE {table} SET TBLPROPERTIES ('delta.columnMapping.mode' = 'name')",
    "ALTER TABLE {table} SET TBLPROPERTIES ('delta.enableDeletionVectors' = 'true')",
    break_checksum,
    lose_checksum,
])  # fmt: skip
def test_what_is_not_plainly_told_is_asked_of_delta(
    lake: Lake, spark: SparkSession, change: str | Callable[[Path], None]
) -> None:
    lake.prepare(KEYED)
    lake.append(KEYED, keyed(spark, ("a", FIRST, 1), ("b", FIRST, 2)), "run")
    if isinstance(change, str):
        spark.sql(change.replace("{table}", lake.name(KEYED)))
        spark.sql(f"DELETE FROM {lake.name(KEYED)} WHERE name = 'a'")
    else:
        change(Path(lake.location) / KEYED.name)
    read = lake.current(KEYED)
    assert is_asked_of_delta(read)
    assert sorted((tuple(row) for row in read.collect()), key=str) == as_delta_reads(lake, KEYED, lake.version(KEYED))


def test_many_files_are_asked_of_delta_which_knows_what_lies_in_each(
    lake: Lake, spark: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("crm_spark.core.commits.FEW", 2)
    lake.prepare(KEYED)
    for files in (1, 2, 3):
        lake.append(KEYED, keyed(spark, ("a", FIRST, files)), "run")
        assert is_asked_of_delta(lake.current(KEYED)) == (files > 2)
    assert len(rows(lake, KEYED)) == 3


def test_a_file_that_is_gone_is_told_by_delta(lake: Lake, spark: SparkSession) -> None:
    lake.prepare(KEYED)
    lake.append(KEYED, keyed(spark, ("a", FIRST, 1)), "run")
    for file in (Path(lake.location) / KEYED.name).glob("*.parquet"):
        file.unlink()
    read = lake.current(KEYED)
    assert is_asked_of_delta(read)
    with pytest.raises(Py4JJavaError, match=KEYED.name) as told:
        read.collect()
    assert is_unreadable(told.value)


def test_a_contract_grows_by_a_nullable_column_and_refuses_any_other_difference(
    any_lake: Lake, spark: SparkSession
) -> None:
    lake = any_lake
    lake.prepare(SNAPSHOT)
    lake.replace_as_of(SNAPSHOT, spark.createDataFrame([(FIRST, "x")], SNAPSHOT.nullable_ddl), FIRST, "run")
    grown = replace(SNAPSHOT, columns=[*SNAPSHOT.columns, Field("extra", "int", "new", nullable=True)], version=2)
    again = Lake(spark, lake.location)

    assert again.growth(grown).added == ["extra"]
    assert again.current(grown).collect()[0]["extra"] is None, "an old lake is read as if it had grown"
    again.prepare(grown)
    again.replace_as_of(grown, spark.createDataFrame([(SECOND, "y", 7)], grown.nullable_ddl), SECOND, "run")
    assert sorted(again.current(grown).collect())[1]["extra"] == 7
    properties = spark.sql("SHOW TBLPROPERTIES " + again.name(grown)).collect()
    assert {row["key"]: row["value"] for row in properties}[VERSION_PROPERTY] == "2"

    loose = replace(grown, columns=[SNAPSHOT["as_of"], Field("name", "string", "x", nullable=True), grown["extra"]])
    with pytest.raises(ContractError, match="name: promised values that may be missing, the table says a value in"):
        again.growth(loose)

    other = replace(SNAPSHOT, columns=[SNAPSHOT["as_of"], Field("name", "int", "another type")])
    with pytest.raises(ContractError) as told:
        Lake(spark, lake.location).prepare(other)
    assert str(told.value).splitlines() == [
        "snapshot on disk is not what its contract promises; mend it by `crm rebuild snapshot`:",
        "  name: promised int, found string",
        "  extra: not promised",
    ]


def test_all_that_is_wrong_with_refused_rows_is_told_without_a_row(lake: Lake, spark: SparkSession) -> None:
    lake.prepare(KEYED)
    wrong = [("secret", FIRST, {}, None), ("secret", None, {}, None), ("two", FIRST, {}, 1), ("two", FIRST, {}, 2)]
    with pytest.raises(ContractError) as told:
        lake.append(KEYED, spark.createDataFrame(wrong, KEYED.nullable_ddl), "run", ("me", 1))
    assert str(told.value).splitlines() == [
        "keyed breaks its contract:",
        "  day is missing: 1 rows",
        "  number is missing: 2 rows",
        "  several rows have one name, day: 1 rows",
    ]


def test_a_table_that_is_not_there_reads_as_no_rows(lake: Lake) -> None:
    assert lake.version(KEYED) is None
    assert lake.current(KEYED).collect() == []
    assert lake.read(KEYED, None).columns == KEYED.names


def test_what_joins_and_groups_a_table_that_is_not_there_is_no_step_of_the_plan(
    lake: Lake, spark: SparkSession, capsys: pytest.CaptureFixture[str]
) -> None:
    there = keyed(spark, ("a", FIRST, 1))
    counted = lake.current(KEYED).join(there.select("name"), "name").groupBy("name").agg(F.max("number").alias("most"))
    there.select("name").join(counted, "name", "left").explain()
    plan = capsys.readouterr().out
    assert not re.search("Exchange|Join|Aggregate", plan), plan


def test_the_table_itself_says_what_its_contract_says(lake: Lake, spark: SparkSession) -> None:
    lake.prepare(KEYED)
    described = {row["col_name"]: row["comment"] for row in spark.sql("DESCRIBE TABLE " + lake.name(KEYED)).collect()}
    assert described["day"] == "when [day]"
    detail = spark.sql("DESCRIBE DETAIL " + lake.name(KEYED)).collect()[0]
    assert (detail["description"], detail["clusteringColumns"]) == ("Rows by key; it's quoted.", ["day"])

    assert lake.drift(KEYED) == []
    lake.overwrite(KEYED, keyed(spark, ("a", FIRST, 1)), "run")
    assert lake.drift(KEYED) == [], "a table stays clustered when it is overwritten"
    log = "".join(file.read_text() for file in Path(lake.location, "keyed", "_delta_log").glob("*.json"))
    assert 'minValues\\":{\\"day\\":\\"2025-01-01\\"}' in log, "of clustering columns alone values stand in the log"
    assert lake.drift(replace(KEYED, cluster_by=[], changes=False, version=2)) == [
        "clustering: promised none, found day",
        "change feed: promised false, found true",
        "version: promised 2, found 1",
    ]
    lake.prepare(SNAPSHOT)
    assert lake.drift(SNAPSHOT) == []
    assert lake.drift(replace(SNAPSHOT, owns="table")) == ["partitions: promised none, found as_of"]


def test_a_run_id_stays_noted_until_the_last_of_the_writes_side_by_side_ends(lake: Lake, spark: SparkSession) -> None:
    with lake._noted("run"):
        with lake._noted("run"):
            pass
        assert spark.conf.get(NOTE) == "run"
    assert spark.conf.get(NOTE, None) is None


def test_a_name_with_a_dot_is_a_folder_where_one_is_there(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError) as told:
        Lake(spark, "out.lake")
    assert str(told.value) == (
        "the lake out.lake names a schema of a catalog, which is not there; "
        "create it, or write ./out.lake where a folder is meant"
    )
    with pytest.raises(ConfigError, match="spark_catalog.nowhere names a schema"):
        Lake(spark, "spark_catalog.nowhere")
    (tmp_path / "out.lake").mkdir()
    assert not Lake(spark, "out.lake").is_schema


@pytest.mark.parametrize("location", ["s3a://bucket/crm", "nostore://bucket/crm"])
def test_a_store_that_spark_does_not_know_is_told_with_its_remedy(spark: SparkSession, location: str) -> None:
    lake = Lake(spark, location)
    for ask in (lake.version, lake.growth, lake.current, lake.size):
        with pytest.raises(ConfigError, match="put the Hadoop JARs of that store on Spark's class path"):
            ask(KEYED)
