"""The shop's files: what happened in it as raw feeds, untidy as real ones, and the truth beside them.

Everything follows from the arguments: the same ones give the same bytes. Customers are drawn in chunks, each
from streams of its own; what a chunk adds to a file is a piece, and a file is put together from its pieces.
A shop of one chunk is made in this process, a larger one by Spark, in two steps with one shuffle between
them: draw the chunks, write the files. Dirt is drawn for each file and only adds lines, so that a dirtier
shop is the same shop.
"""

import json
from collections.abc import Iterator
from functools import partial, reduce
from operator import add
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.sql import SparkSession

from crm_spark.core.errors import ConfigError
from crm_spark.sample import (
    accounts,
    bundles,
    campaigns,
    contracts,
    feeds,
    files,
    parameters,
    products,
    rates,
    receipts,
    trade,
    truth,
    writing,
)
from crm_spark.sample.accounts import Account
from crm_spark.sample.setting import Setting
from crm_spark.sample.world import World

PARAMETERS = "truth/parameters.json"
DAYS = "truth/days"
PIECES = "path string, chunk long, rows binary"
WRITTEN = "path string, told string"


def write(out: str, setting: Setting, spark: SparkSession | None = None) -> dict[str, Any]:
    """Write a shop's raw daily files and, in `truth/`, what was planted in them.

    Parameters
    ----------
    out : str
        A folder or URI that is new, empty, or holds the shop of the same setting.
    setting : Setting
    spark : SparkSession, optional
        Draws the chunks and writes the files; workers must reach `out`. Without one this process does.

    Returns
    -------
    dict
        `parameters`, `accounts` (what a right ingestion comes to, file by file) and `totals`, as written.

    Raises
    ------
    ConfigError
        The folder holds something else.
    """
    world = World(setting)
    planted = parameters.told(world)
    claim(out, planted)
    told = spread(spark, out, setting) if spark else alone(out, setting)
    counts = told.pop(DAYS)
    book = accounts.book(
        {path: one for file in told.values() for path, one in file["accounts"].items()} | once(out, world)
    )
    sums = truth.totals(world, (file["sums"] for file in told.values() if file["sums"]), sum(counts["new_buyers"]))
    days = truth.day_table(world, pd.DataFrame(counts))
    files.save(out, "truth/days.csv", files.as_csv(days))
    files.save(out, "truth/products.csv", files.as_csv(truth.product_table(world)))
    files.save(out, "truth/bundles.csv", files.as_csv(bundles.table(setting, world.products)))
    files.save(out, "truth/accounts.json", files.as_json(book))
    files.save(out, "truth/totals.json", files.as_json(sums))
    return {"parameters": planted, "accounts": book, "totals": sums}


def claim(out: str, planted: dict[str, Any]) -> None:
    """Mark the folder with the shop's parameters, unless it holds anything but this very shop."""
    marked = files.as_json(planted)
    if files.load(out, PARAMETERS) != marked and files.holds_anything(out):
        raise ConfigError(f"{out} holds something else than this shop: name a new folder, or empty it")
    files.save(out, PARAMETERS, marked)


def alone(out: str, setting: Setting) -> dict[str, Any]:
    """Draw all chunks and write all files in this process; give what is told of each file."""
    world, gathered = World(setting), dict[str, list[pa.Table]]()
    for chunk in range(setting.chunks):
        for path, rows in draw(out, world, chunk):
            gathered.setdefault(path, []).append(rows)
    return {path: tell(out, setting, path, rows) for path, rows in gathered.items()}


def spread(spark: SparkSession, out: str, setting: Setting) -> dict[str, Any]:
    """Draw all chunks and write all files by Spark; give what is told of each file.

    A piece goes through the shuffle as one row, packed: some hundred thousand rows for a million customers.
    """
    chunks = spark.range(0, setting.chunks, 1, setting.chunks)
    pieces = chunks.mapInArrow(partial(_drawn, out=out, setting=setting), PIECES)

    def tell_of(pieces: pa.Table) -> pa.Table:  # Spark asks a function of its own for its types
        path = pieces["path"][0].as_py()
        rows = [_unpacked(packed) for packed in pieces.sort_by("chunk")["rows"].to_pylist()]
        return pa.table({"path": [path], "told": [json.dumps(tell(out, setting, path, rows))]})

    written = pieces.groupBy("path").applyInArrow(tell_of, WRITTEN)
    return {row["path"]: json.loads(row["told"]) for row in written.collect()}


def draw(out: str, world: World, chunk: int) -> feeds.Pieces:
    """Draw a chunk, write its own truth, and give its pieces."""
    life = trade.draw(world, chunk)
    part = f"{chunk + 1:04d}.csv"
    files.save(out, f"truth/customers/{part}", files.as_csv(truth.customer_table(life)))
    files.save(out, f"truth/orders/{part}", files.as_csv(truth.order_table(life)))
    files.save(out, f"truth/contracts/{part}", files.as_csv(contracts.table(life.contracts, life.numbers)))
    yield DAYS, pa.Table.from_pandas(truth.day_counts(life), preserve_index=False)
    yield from feeds.pieces(life)


def tell(out: str, setting: Setting, path: str, rows: list[pa.Table]) -> dict[str, Any]:
    """Write a file, and give its accounts and sums; of the days' counts only give the sums."""
    if path == DAYS:
        total = reduce(add, [counts.to_pandas() for counts in rows])
        return {name: total[name].tolist() for name in total}
    return writing.write(out, setting, path, pa.concat_tables(rows))


def _drawn(batches: Iterator[pa.RecordBatch], out: str, setting: Setting) -> Iterator[pa.RecordBatch]:
    world = World(setting)
    for batch in batches:
        for chunk in batch.column(0).to_pylist():
            for path, rows in draw(out, world, chunk):
                yield pa.RecordBatch.from_pylist([{"path": path, "chunk": chunk, "rows": _packed(rows)}])


def _packed(rows: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, rows.schema, options=pa.ipc.IpcWriteOptions(compression="lz4")) as stream:
        stream.write_table(rows)
    return bytes(sink.getvalue().to_pybytes())


def _unpacked(packed: bytes) -> pa.Table:
    return pa.ipc.open_stream(packed).read_all()


def once(out: str, world: World) -> dict[str, Account]:
    """Write the feeds that no customer fills; give their accounts."""
    setting, booked = world.setting, {}
    for day in range(0, setting.days, products.EVERY):
        catalogue = products.table(world.products, setting.start, day)
        sink = pa.BufferOutputStream()
        pq.write_table(catalogue, sink)
        path = f"products/{files.names(setting.start, np.array([day]))[0]}.parquet"
        files.save(out, path, sink.getvalue().to_pybytes())
        booked[path] = accounts.clean("products", catalogue.num_rows)
    tables = {
        "rates/rates.csv": rates.table(world.rates, setting.start),
        "stores/stores.csv": receipts.store_table(),
        "categories/categories.csv": products.categories(),
        "campaigns/campaigns.csv": campaigns.campaign_table(world.campaigns, setting.start),
    }
    for path, rows in tables.items():
        files.save(out, path, files.as_csv(rows))
        booked[path] = accounts.clean(path.partition("/")[0], len(rows))
    return booked
