"""The shop's mapping against the shop's files: it declares the columns that they have."""

import csv
import gzip
import json
from datetime import date
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from crm_spark.ingest import mapping
from crm_spark.ingest.tables import CONFORMED
from crm_spark.sample import shop
from crm_spark.sample.setting import Setting

SHOP = mapping.read(Path(__file__).parents[2] / "conf/sources/shop.yaml")


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shop")
    shop.write(str(folder), Setting(customers=60, days=70, seed=1, start=date(2025, 1, 1)))
    return folder


def columns(path: Path) -> list[str]:
    if path.suffix == ".parquet":
        return list(pq.read_schema(path).names)
    text = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    first = text.decode().splitlines()[0]
    return list(json.loads(first)) if "jsonl" in path.name else next(csv.reader([first]))


@pytest.mark.parametrize("name", SHOP.feeds)
def test_a_feed_declares_the_columns_of_its_files(out: Path, name: str) -> None:
    feed = SHOP.feeds[name]
    paths = sorted(out.glob(feed.files))
    assert paths
    for path in paths:
        found = columns(path)
        assert set(feed.columns) - set(feed.optional) <= set(found) <= set(feed.columns)
        assert found == [column for column in feed.columns if column in found]


def test_every_file_belongs_to_one_feed(out: Path) -> None:
    taken = [path for feed in SHOP.feeds.values() for path in out.glob(feed.files)]
    raw = [path for path in out.rglob("*") if path.is_file() and "truth" not in path.parts]
    assert sorted(taken) == sorted(raw)


def test_every_conformed_table_gets_something() -> None:
    of_analysts = {"verdicts"}  # about what was found in the shop
    assert {table for feed in SHOP.feeds.values() for table in feed.tables} == set(CONFORMED) - of_analysts
