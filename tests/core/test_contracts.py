"""Contracts: what they promise, and how every difference is told at once."""

import pytest
from pyspark.sql import SparkSession

from crm_spark.core.contracts import Field, Migration, Table
from crm_spark.core.errors import ContractError

THINGS = Table(
    "things",
    "Some things.",
    owns="table",
    key=["thing_id"],
    columns=[
        Field("thing_id", "string", "the thing"),
        Field("amount", "decimal(18,4)", "what it brings", unit="money"),
        Field("note", "string", "a remark", nullable=True, personal=True),
    ],
)


def test_every_difference_is_told_in_one_error(spark: SparkSession) -> None:
    rows = spark.createDataFrame([], "thing_id bigint, note string, amout double")
    with pytest.raises(ContractError) as told:
        THINGS.conform(rows)
    assert str(told.value).splitlines() == [
        "things breaks its contract:",
        "  thing_id: promised string, found bigint",
        "  amount: promised decimal(18,4), found nothing",
        "  amout: not promised; did you mean 'amount'?",
    ]


def test_conforming_rows_come_back_in_the_promised_order(spark: SparkSession) -> None:
    rows = spark.createDataFrame([], "note string, amount decimal(18,4), thing_id string")
    assert THINGS.conform(rows).columns == ["thing_id", "amount", "note"]


def test_faults_count_missing_values_and_doubled_keys_and_show_none(spark: SparkSession) -> None:
    rows = spark.createDataFrame(
        [("a", 1, "x"), ("a", None, None), ("b", None, None)], "thing_id string, amount int, note string"
    )
    found = {row["fault"]: row["rows"] for row in THINGS.faults(rows).collect()}
    assert found == {"amount is missing": 2, "several rows have one thing_id": 1}


def test_names_types_keys_and_clustering_are_checked_when_a_contract_is_written() -> None:
    with pytest.raises(ValueError, match="lower case"):
        Field("Amount", "string", "x")
    with pytest.raises(ValueError, match="type 'text'"):
        Field("amount", "text", "x")
    with pytest.raises(ValueError, match="names no column: other"):
        Table("t", "x", owns="table", key=["other"], columns=[Field("a", "int", "x")])
    day = Field("as_of", "date", "x")
    for columns in ([Field("a", "int", "x")], [day]):
        with pytest.raises(ValueError, match="needs that column and another"):
            Table("t", "x", owns="as_of", key=[columns[0].name], columns=columns)
    with pytest.raises(ValueError, match="it takes no cluster_by"):
        Table("t", "x", owns="as_of", key=["a"], cluster_by=["a"], columns=[day, Field("a", "int", "x")])
    with pytest.raises(ValueError, match="must not stand in the log: a"):
        Table("t", "x", owns="table", key=["a"], skip_by=["a"], columns=[Field("a", "int", "x", personal=True)])


def test_migrations_are_of_loaded_tables_and_rise_with_the_version() -> None:
    def table(*versions: int, loaded: bool = True) -> Table:
        steps = [Migration(f"to {version}", version, lambda rows: rows) for version in versions]
        columns = [Field("a", "int", "x")]
        return Table("t", "x", owns="batch", key=["a"], columns=columns, version=4, loaded=loaded, migrations=steps)

    assert [step.name for step in table(2, 4).migrations_from(2)] == ["to 4"]
    with pytest.raises(ValueError, match="is made anew, not migrated"):
        table(2, loaded=False)
    for wrong in [(1,), (3, 2), (2, 2), (5,)]:
        with pytest.raises(ValueError, match="must rise from 2 to 4"):
            table(*wrong)
