"""One look at a whole file: each way in which it can be refused, and what is told of it."""

import bz2
import gzip
import io
import tracemalloc
from hashlib import sha256
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from crm_spark.ingest.raw import Format, Inspection, inspect, streams

ONLINE_RETAIL = Path(__file__).parents[4] / "shared/data/online_retail/by-day"
GOOD = b"a,b\n1,2\n3,4\n"


def parquet(**columns):
    file = io.BytesIO()
    pq.write_table(pa.table(columns), file)
    return file.getvalue()


def damaged(whole):
    """Overwrite the first pages."""
    return whole[:8] + b"\xff" * 60 + whole[68:]


REFUSED = {
    "a cut gzip": (gzip.compress(GOOD)[:-3], "file.csv.gz", {}, "gzip ends early"),
    "a gzip cut between members": (gzip.compress(GOOD) + b"\x1f\x8b", "file.csv.gz", {}, "gzip ends early"),
    "a damaged gzip": (gzip.compress(GOOD)[:-8] + bytes(8), "file.csv.gz", {}, "gzip is damaged"),
    "gzip with rubbish after it": (gzip.compress(GOOD) + b"rubbish", "file.csv.gz", {}, "gzip is damaged"),
    "a name that lies": (GOOD, "file.csv.gz", {}, "named .gz, but is not gzip"),
    "another packing by name": (GOOD, "file.csv.bz2", {}, "named .bz2, but only gzip is unpacked"),
    "another packing by magic": (bz2.compress(GOOD), "file.csv", {}, "looks like bzip2, not csv: export it as csv"),
    "gzip in gzip": (
        gzip.compress(gzip.compress(GOOD)),
        "f.gz",
        {},
        "looks like gzip within gzip, not csv: export it as csv",
    ),
    "a zip": (b"PK\x03\x04rest", "file.csv", {}, "looks like a zip archive, not csv: export it as csv"),
    "Parquet as CSV": (parquet(a=[1]), "file.csv", {}, "looks like Parquet, not csv: export it as csv"),
    "Parquet as JSON": (
        parquet(a=[1]),
        "file.json",
        {"kind": "jsonl"},
        "looks like Parquet, not jsonl: export it as jsonl",
    ),
    "UTF-16 as UTF-8": (
        GOOD.decode().encode("utf-16"),
        "file.csv",
        {},
        "has the byte-order mark of UTF-16, but utf-8 is declared",
    ),
    "UTF-8 as Latin-1": (
        b"\xef\xbb\xbf" + GOOD,
        "file.csv",
        {"encoding": "latin-1"},
        "has the byte-order mark of UTF-8, but latin-1 is declared",
    ),
    "a missing column": (b"a,c\n1,2\n", "file.csv", {"extra": "ignore"}, "lacks column 'b'"),
    "a misspelt column": (
        b"a,quantities\n1,2\n",
        "file.csv",
        {"columns": ("a", "Quantity")},
        "lacks column 'Quantity' (has 'quantities'); has column 'quantities' that nobody declared",
    ),
    "extra columns": (b"a,b,c,d\n", "file.csv", {}, "has columns 'c', 'd' that nobody declared"),
    "a column twice": (b"a,b,a\n1,2,3\n", "file.csv", {}, "has column 'a' more than once"),
    "columns alike but for case": (
        b"a,b,A\n1,2,3\n",
        "file.csv",
        {"extra": "ignore"},
        "has columns 'a', 'A' that differ by case alone",
    ),
    "a row in place of the header": (
        b"17,ann@example.org\n18,bob@example.org\n",
        "file.csv",
        {},
        "lacks columns 'a', 'b'; has 2 columns that nobody declared",
    ),
    "a row with a value like a column's name": (
        b"emails,ann,bath\n",
        "file.csv",
        {"columns": ("email", "name", "town")},
        "lacks columns 'email', 'name', 'town'; has 3 columns that nobody declared",
    ),
    "a header and a row in one line": (
        b"a,b17,ann@example.org\n18,bob@example.org\n",
        "file.csv",
        {},
        "lacks column 'b'; has 2 columns that nobody declared",
    ),
    "a header of no more than half": (
        b"a,b,x,ann@example.org,17\n",
        "file.csv",
        {},
        "has 3 columns that nobody declared",
    ),
    "line ends of CR": (
        b"a,b\rc1,ann@example.org\rc2,bob@example.org\r",
        "file.csv",
        {},
        "CR without LF in the header: line ends must be LF or CRLF",
    ),
    "the wrong delimiter": (
        b"a;b\n1;2\n",
        "file.csv",
        {},
        "lacks columns 'a', 'b'; has 1 column that nobody declared; is ',' its delimiter?",
    ),
    "an open quote in the header": (
        b'a,"b\n1,2\n',
        "file.csv",
        {},
        "quote still open at the end of the header",
    ),
    "a header that is no text": (b"a,b\xff\n", "file.csv", {}, "header is not valid utf-8"),
    "a NUL in the header": (b"a,b\0\n", "file.csv", {}, "NUL byte in the header"),
    "a header without end": (
        b"a,b" * 99,
        "file.csv",
        {"max_record_bytes": 9},
        "header is longer than the 9 bytes allowed",
    ),
    "a quote open to the end": (
        b'a,b\n1,2\n3,"4\n5,6\n',
        "file.csv",
        {"multiline": True},
        "quote still open at the end of the file, opened in the record at line 3",
    ),
    "an empty Parquet": (
        b"",
        "file",
        {"kind": "parquet"},
        "is no Parquet: the magic bytes at its beginning are missing",
    ),
    "CSV as Parquet": (
        GOOD,
        "file",
        {"kind": "parquet"},
        "is no Parquet: the magic bytes at its beginning are missing",
    ),
    "Parquet without footer": (
        parquet(a=[1])[:-9],
        "file",
        {"kind": "parquet"},
        "is Parquet without a footer: it was cut or never finished",
    ),
    "Parquet with a damaged footer": (
        parquet(a=[1])[:-60] + bytes(52) + parquet(a=[1])[-8:],
        "file",
        {"kind": "parquet"},
        "is Parquet with a damaged footer",
    ),
    "Parquet with a column missing": (parquet(a=[1]), "file", {"kind": "parquet"}, "lacks column 'b'"),
    "Parquet with other columns": (
        parquet(c=[1]),
        "file",
        {"kind": "parquet"},
        "lacks columns 'a', 'b'; has column 'c' that nobody declared",
    ),
    "Parquet with columns alike but for case": (
        parquet(a=[1], b=[1], B=[1]),
        "file",
        {"kind": "parquet", "extra": "ignore"},
        "has columns 'b', 'B' that differ by case alone",
    ),
    "Parquet with a damaged page": (
        damaged(parquet(a=["some text"], b=["more text"])),
        "file",
        {"kind": "parquet"},
        "is Parquet with a damaged page",
    ),
    "Parquet with nested columns": (
        parquet(a=[[1]], b=[{"x": 1}], c=pa.array([1], pa.duration("s"))),
        "file",
        {"kind": "parquet"},
        "has columns 'a' (nested), 'b' (nested), 'c' (duration[s]) of a type that is not read",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_file_that_is_not_what_was_declared_is_refused_as_a_whole(look, case):
    data, name, form, refusal = REFUSED[case]
    assert look(data, name, **form).refusal == refusal


TAKEN = {
    "plain": (GOOD, {}, ("a", "b"), 2),
    "any order": (b"b,a\n1,2\n", {}, ("b", "a"), 1),
    "optional column missing": (b"a\n1\n", {"optional": ("b",)}, ("a",), 1),
    "extra column ignored": (b"a,x,b\n1,2,3\n", {"extra": "ignore"}, ("a", "x", "b"), 1),
    "many extra columns ignored": (
        b"a,x,y,z,b\n1,2,3,4,5\n",
        {"extra": "ignore"},
        ("a", "x", "y", "z", "b"),
        1,
    ),
    "no header": (GOOD, {"header": False}, ("a", "b"), 3),
    "no bytes": (b"", {}, ("a", "b"), 0),
    "only a mark": (b"\xef\xbb\xbf", {}, ("a", "b"), 0),
    "only blank lines": (b"\n\r\n\n", {}, ("a", "b"), 0),
    "header only": (b"a,b\n", {}, ("a", "b"), 0),
    "header without line end": (b"a,b", {}, ("a", "b"), 0),
    "byte-order mark": (b"\xef\xbb\xbf" + GOOD, {}, ("a", "b"), 2),
    "CRLF": (GOOD.replace(b"\n", b"\r\n"), {}, ("a", "b"), 2),
    "blank lines": (b"\n\na,b\r\n\r\n1,2\n\n\n3,4\n\n", {}, ("a", "b"), 2),
    "blank first line": (b"\r\na,b\r\n1,2\r\n", {}, ("a", "b"), 1),
    "no last line end": (b"a,b\n1,2\n3,4", {}, ("a", "b"), 2),
    "quoted header": (b'"a";"b"\n1;2\n', {"delimiter": ";"}, ("a", "b"), 1),
    "long delimiter": (b'"a"~|~b\n1~|~2\n', {"delimiter": "~|~"}, ("a", "b"), 1),
    "odd names": (b'"a ""1""",b\n', {"columns": ('a "1"', "b")}, ('a "1"', "b"), 0),
    "escaped names": (b'"a \\"1\\"",b\n', {"columns": ('a "1"', "b"), "escape": "\\"}, ('a "1"', "b"), 0),
    "UTF-16": (GOOD.decode().encode("utf-16"), {"encoding": "utf-16"}, ("a", "b"), 2),
    "UTF-16 without mark": (GOOD.decode().encode("utf-16-be"), {"encoding": "utf-16-be"}, ("a", "b"), 2),
    "Latin-1": ("a,b\né,ü\n".encode("latin-1"), {"encoding": "latin-1"}, ("a", "b"), 1),
    "records over lines": (b'a,b\n"1\n\n2",3\n4,5\n', {"multiline": True}, ("a", "b"), 2),
    "header over lines": (
        b'"a\n1",b\n4,5\n',
        {"multiline": True, "columns": ("a\n1", "b")},
        ("a\n1", "b"),
        1,
    ),
    "JSON lines": (b'{"a":1}\n\n{"a":2}\n', {"kind": "jsonl"}, (), 2),
    "no JSON lines": (b"", {"kind": "jsonl"}, (), 0),
    "Parquet": (parquet(a=[1, 2], b=["x", "y"]), {"kind": "parquet"}, ("a", "b"), 2),
    "lines without end": (b"a,b\n" + b"x" * 99 + b"\n1,2\n", {"max_record_bytes": 9}, ("a", "b"), 2),
}


@pytest.mark.parametrize("case", TAKEN)
def test_a_file_as_declared_tells_its_columns_and_how_many_records_it_holds(look, case):
    data, form, header, holds = TAKEN[case]
    assert look(data, **form) == Inspection(sha256(data).hexdigest(), header, holds, None)


@pytest.mark.parametrize("name", ["file.csv.gz", "file.csv"])
def test_a_gzip_of_several_members_is_known_by_its_magic_and_hashed_unpacked(look, name):
    packed = gzip.compress(GOOD[:5]) + gzip.compress(b"") + gzip.compress(GOOD[5:]) + bytes(20)
    assert look(packed, name) == Inspection(sha256(GOOD).hexdigest(), ("a", "b"), 2, None)


def test_a_refused_file_is_hashed_where_it_can_be_read_to_its_end(look):
    assert look(b"a,c\n1,2\n3,4\n") == Inspection(
        sha256(b"a,c\n1,2\n3,4\n").hexdigest(),
        ("a", "c"),
        2,
        "lacks column 'b'; has column 'c' that nobody declared",
    )
    assert look(b"PK\x03\x04rest").content == sha256(b"PK\x03\x04rest").hexdigest()
    assert look(gzip.compress(GOOD)[:-3]).content is None


def test_what_stands_in_place_of_a_header_is_told_nowhere(look):
    assert "example.org" not in repr(look(b"17,ann@example.org\n17,ann@example.org\n"))


def test_a_file_that_vanished_or_is_a_folder_cannot_be_read(tmp_path):
    for kind in ("csv", "jsonl", "parquet"):
        form = Format(kind)
        gone = Inspection(None, (), 0, "cannot be read: FileNotFoundError")
        assert inspect(str(tmp_path / "gone"), form) == gone
        assert inspect(str(tmp_path), form).refusal == "cannot be read: OSError"


@pytest.mark.parametrize("name", ["plain.csv", "a b%20c#d?é.csv"])
def test_local_paths_and_file_uris_as_hadoop_and_as_others_write_them_are_read(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(GOOD)
    form = Format("csv", columns=("a", "b"))
    for place in (str(path), f"file:{path}", f"file://{path}", path.as_uri()):
        assert inspect(place, form).records == 2


@pytest.mark.parametrize(
    ("uri", "store", "place"),
    [
        ("s3a://bucket/a b/c%20d.csv", "s3://bucket/", "bucket/a b/c%20d.csv"),
        ("s3://bucket/c.csv", "s3://bucket/", "bucket/c.csv"),
        ("gs://bucket/a/c.csv", "gs://bucket/", "bucket/a/c.csv"),
        ("hdfs://node:8020/a/c.csv", "hdfs://node:8020/", "/a/c.csv"),
    ],
)
def test_a_uri_is_a_store_and_a_place_in_it(monkeypatch, uri, store, place):
    class Store:
        @staticmethod
        def from_uri(root):
            return root, "/" if root.startswith("hdfs") else "bucket"

    monkeypatch.setattr(streams, "FileSystem", Store)
    streams._store.cache_clear()
    assert streams.located(uri) == (store, place)
    streams._store.cache_clear()


def test_a_file_is_never_in_memory_as_a_whole(tmp_path):
    long = tmp_path / "long.csv.gz"
    long.write_bytes(gzip.compress(b"x" * 40_000_000, compresslevel=1))
    tracemalloc.start()
    seen = inspect(str(long), Format("csv", header=False, columns=("a",)))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert seen.records == 1
    assert peak < 12_000_000


def test_a_format_that_cannot_be_meant_tells_all_its_faults():
    with pytest.raises(ValueError, match="kind must be one of csv, jsonl, parquet, got 'xml'") as fault:
        Format("xml", delimiter="", quote="''", encoding="klingon", columns=("a",), optional=("b",))
    for part in (
        "delimiter must",
        "quote must",
        "unknown encoding 'klingon'",
        "optional column 'b' is not declared",
    ):
        assert part in str(fault.value)


@pytest.mark.skipif(not ONLINE_RETAIL.is_dir(), reason="the folder with the Online Retail files is not there")
def test_online_retail_holds_541909_records_in_305_files():
    columns = (
        "InvoiceNo",
        "StockCode",
        "Description",
        "Quantity",
        "InvoiceDate",
        "UnitPrice",
        "CustomerID",
        "Country",
    )
    files = sorted(ONLINE_RETAIL.glob("*.csv.gz"))
    seen = [inspect(str(path), Format("csv", columns=columns)) for path in files]
    assert len(seen) == 305
    assert {each.refusal for each in seen} == {None}
    assert sum(each.records for each in seen) == 541_909
