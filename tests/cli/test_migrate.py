"""`crm migrate`: a lake of an older version becomes what its contracts promise now, wherever it was stopped."""

from dataclasses import replace
from datetime import date

import pytest
from pyspark.sql import functions as F

from crm_spark.core import runner
from crm_spark.core.contracts import Field, Migration, Table
from crm_spark.core.errors import ContractError
from crm_spark.core.job import job
from crm_spark.core.lake import Lake
from crm_spark.core.pipeline import Pipeline

STOCK_1 = Table(
    "toy_stock",
    "What is there.",
    owns="batch",
    key=["item"],
    cluster_by=["item"],
    changes=True,
    loaded=True,
    columns=[Field("item", "string", "the thing"), Field("price", "int", "what it costs", unit="euro")],
)
STOCK_2 = replace(
    STOCK_1, version=2, columns=[*STOCK_1.columns, Field("note", "string", "anything", nullable=True, personal=True)]
)
STOCK_3 = replace(
    STOCK_2,
    version=3,
    columns=[STOCK_1["item"], Field("cents", "bigint", "what it costs", unit="cent"), STOCK_2["note"]],
    migrations=[
        Migration(
            "cents", 3, lambda rows: rows.withColumn("cents", F.col("price") * F.lit(100).cast("bigint")).drop("price")
        )
    ],
)
LOSES = Migration("loses", 3, lambda rows: rows.withColumn("cents", F.lit(None).cast("bigint")).drop("price"))
AS_OF = date(2026, 1, 2)
NAMES = Table("toy_names", "All things.", owns="keys", key=["item"], columns=[STOCK_1["item"]])


def names(stock):
    """The job that follows the stock, as it is with a version of that contract."""

    @job(reads=[stock], writes=[NAMES], follows=stock)
    def toy_names(toy_stock, changed):
        return (toy_stock if changed is None else changed).select("item").distinct()

    return toy_names


def load(lake, stock, *rows):
    lake.prepare(stock)
    number = (lake.version(stock) or 0) + 1
    lake.append(stock, lake.spark.createDataFrame(list(rows), stock.nullable_ddl), "load", ("toys", number))


class Killed(BaseException):
    """As the process dies, right after a write."""


@pytest.fixture
def kill(monkeypatch):
    """Let the process die after so many writes from now."""
    left = [0]

    def counted(kind, write):
        def called(*told):
            done = write(*told)
            if kind == "write" or told[1].startswith(("REPLACE", "ALTER", "CREATE")):
                left[0] -= 1
                if left[0] == 0:
                    raise Killed
            return done

        return called

    monkeypatch.setattr(Lake, "_write", counted("write", Lake._write))
    monkeypatch.setattr(Lake, "_sql", counted("statement", Lake._sql))
    return lambda writes: left.__setitem__(0, writes)


def test_an_old_lake_is_grown_and_migrated_wherever_it_is_stopped(crm_of, lake, place, kill):
    load(lake, STOCK_1, ("a", 1), ("b", 2))
    runner.run(names(STOCK_1), lake, place, AS_OF)
    load(lake, STOCK_1, ("c", 3))

    # Version 2 brings a nullable column: what follows the table reads on, though nothing was loaded since.
    second = Lake(lake.spark, lake.location)
    assert runner.run(names(STOCK_2), second, place, AS_OF).rows == {"toy_names": 1}
    kill(1)
    with pytest.raises(Killed):
        Lake(lake.spark, lake.location).prepare(STOCK_2)
    second.prepare(STOCK_2)
    assert second.contract(STOCK_2) == 2
    load(second, STOCK_2, ("d", 4, "last"))

    crm = crm_of(Pipeline([names(STOCK_3)]))
    refused = crm.at("run", "--as-of", "2026-01-02")
    assert refused.exit_code == 3
    assert "mend it by `crm migrate toy_stock` (runs cents)" in refused.stderr
    with pytest.raises(ContractError, match="no migration leads there from version 2"):
        lake.growth(replace(STOCK_3, migrations=[]))
    with pytest.raises(ContractError, match="cents is missing: 4 rows"):
        lake.migrate(replace(STOCK_3, migrations=[LOSES]), "run")
    before = lake.version(STOCK_3)
    assert crm.json("migrate", "toy_stock", "--dry-run")["migrations"] == ["cents"]
    assert lake.version(STOCK_3) == before

    for writes, is_half in ((2, True), (3, True), (4, False)):  # after its shape, its rows, its mark; 1 is the run log
        kill(writes)
        with pytest.raises(Killed):
            crm.at("migrate", "toy_stock")
        if is_half:
            for use in (lake.growth, lake.current, lambda stock: lake.vacuum(stock, 168)):
                with pytest.raises(ContractError, match="half migrated; `crm migrate toy_stock` finishes it"):
                    use(STOCK_3)
    kill(0)
    assert crm.json("migrate", "toy_stock")["migrations"] == []

    assert crm.rows(STOCK_3) == [("a", 100, None), ("b", 200, None), ("c", 300, None), ("d", 400, "last")]
    assert lake.read(STOCK_1, before).count() == 4, "its history stays readable"
    assert lake.growth(STOCK_3).added == []
    assert lake.contract(STOCK_3) == 3
    detail = lake.spark.sql("DESCRIBE DETAIL " + lake.name(STOCK_3)).collect()[0]
    assert (detail["description"], detail["clusteringColumns"]) == ("What is there.", ["item"])
    assert [
        (field.nullable, field.metadata["comment"]) for field in lake.spark.read.table(lake.name(STOCK_3)).schema
    ] == [(column.nullable, column.comment) for column in STOCK_3.columns]
    told = [(run["job"], run["status"]) for run in crm.json("history", "--last", "3")["runs"]]
    assert told[0] == ("migrate toy_stock", "skipped")
    assert [run["status"] for run in crm.json("run", "--as-of", "2026-01-02")["runs"]] == ["done"]


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("toy_days", "toy_days is not loaded but computed: `crm rebuild toy_days` makes it anew"),
        ("toy_dais", "no table is called 'toy_dais'; did you mean 'toy_days'?"),
    ],
)
def test_what_is_computed_is_not_migrated(empty, name, sentence):
    ended = empty.at("migrate", name)
    assert ended.exit_code == 2
    assert sentence in ended.stderr
