"""The records of a text file: what each is known by, and each way in which one can be refused."""

import csv
import gzip
import io
from collections import Counter
from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crm_spark.ingest.raw import Format, Refused, Unreadable, inspect, records, streams

OPEN = "quote still open at the end of the line"
NOT_JSON = "not a JSON object"
AFTER = "text after its JSON object"
JSON = {"kind": "jsonl"}
DEEP = b'{"a":' + b"[" * 100 + b"]" * 100 + b"}"
LEVELS = b'{"a":' + b"[" * 99 + b"]" * 99 + b"}"
BRACKETS = b'{"a":"' + b"[{" * 200 + b'\\"[[","b":[' + b"[],".join([b""] * 200) + b"1]}"

CASES = {
    "sound": (b"1,2\n", {}, [(1, "1,2", None)]),
    "NUL": (b"1,\x002\n3,4\n", {}, [(1, "1,\\x002", "NUL byte"), (2, "3,4", None)]),
    "Latin-1 among UTF-8": (
        "é,1\n".encode() + "é,2\n".encode("latin-1"),
        {},
        [(1, "é,1", None), (2, "\\xe9,2", "not valid utf-8")],
    ),
    "Latin-1": ("é,2\n".encode("latin-1"), {"encoding": "latin-1"}, [(1, "é,2", None)]),
    "cp1252": (
        b"\x80,1\n\x81,2\n",
        {"encoding": "cp1252"},
        [(1, "€,1", None), (2, "\\x81,2", "not valid cp1252")],
    ),
    "UTF-16": (
        "é,1\r\n".encode("utf-16") + b"\x00\xd8,\x002\x00\n\x00" + "3,4".encode("utf-16-le"),
        {"encoding": "utf-16"},
        [(1, "é,1", None), (2, "\\x00\\xd8,2", "not valid utf-16"), (3, "3,4", None)],
    ),
    "byte-order mark": (b"\xef\xbb\xbf1,2\n", {}, [(1, "1,2", None)]),
    "mark and header": (b"\xef\xbb\xbfa,b\r\n1,2\r\n", {"header": True}, [(2, "1,2", None)]),
    "blank lines": (
        b"\n\r\n1,2\n\n3,4\r\n \n5,6",
        {},
        [(3, "1,2", None), (5, "3,4", None), (6, " ", None), (7, "5,6", None)],
    ),
    "a CR inside": (b"1\r,2\r\r\n3,4\r", {}, [(1, "1\r,2\r", None), (2, "3,4", None)]),
    "open quote": (b'1,"2\n3,4\n', {}, [(1, '1,"2', OPEN), (2, "3,4", None)]),
    "open quote after two": (b'a"b,"c\n', {}, [(1, 'a"b,"c', OPEN)]),
    "stray quote": (b'5" pipe,1\n', {}, [(1, '5" pipe,1', None)]),
    "doubled quotes": (
        b'"MIRROR 12"" ",1\n"",""""\n',
        {},
        [(1, '"MIRROR 12"" ",1', None), (2, '"",""""', None)],
    ),
    "three quotes": (b'1,"""\n', {}, [(1, '1,"""', OPEN)]),
    "text after a closing quote": (b'"a"b "c,1\n', {}, [(1, '"a"b "c,1', None)]),
    "escaped quote": (
        b'"a\\"",1\n"a\\",1\n',
        {"escape": "\\"},
        [(1, '"a\\"",1', None), (2, '"a\\",1', OPEN)],
    ),
    "escaped escape": (b'"a\\\\",1\n', {"escape": "\\"}, [(1, '"a\\\\",1', None)]),
    "another quote": (
        b"'a;1\n\"a;1\n",
        {"quote": "'", "delimiter": ";"},
        [(1, "'a;1", OPEN), (2, '"a;1', None)],
    ),
    "no quotes": (b'"a,1\n', {"quote": ""}, [(1, '"a,1', None)]),
    "long delimiter": (b'"a|1||2"||"3\n', {"delimiter": "||"}, [(1, '"a|1||2"||"3', OPEN)]),
    "long line": (
        b"123456789\n1234567890\r\n12345678901\n1,2\n",
        {"max_record_bytes": 10},
        [
            (1, "123456789", None),
            (2, "1234567890", None),
            (3, "1234567890", "line of 11 bytes, longer than the 10 allowed; its first 10 kept"),
            (4, "1,2", None),
        ],
    ),
    "long line full of CR": (
        b"x\r" * 9 + b"\r\n1,2\n",
        {"max_record_bytes": 10},
        [(1, "x\r" * 5, "line of 18 bytes, longer than the 10 allowed; its first 10 kept"), (2, "1,2", None)],
    ),
    "long line cut in a character": (
        "ééééé".encode(),
        {"max_record_bytes": 5},
        [(1, "éé", "line of 10 bytes, longer than the 5 allowed; its first 5 kept")],
    ),
    "over lines": (
        b'1,"2\r\n\n3"\r\n\r\n4,5\r\n',
        {"multiline": True},
        [(1, '1,"2\r\n\n3"', None), (5, "4,5", None)],
    ),
    "long over lines": (
        b'1,"2345\n\n\n67890"\r\n4,5\n"\n",""\n',
        {"multiline": True, "max_record_bytes": 9},
        [
            (1, '1,"2345\n\n', "record of 16 bytes, longer than the 9 allowed; its first 9 kept"),
            (5, "4,5", None),
            (6, '"\n",""', None),
        ],
    ),
    "JSON": (b'{"a":1}\r\n {"a":"\\""}\n', JSON, [(1, '{"a":1}', None), (2, ' {"a":"\\""}', None)]),
    "no JSON": (b"[1]\n17\n \n", JSON, [(1, "[1]", NOT_JSON), (2, "17", NOT_JSON), (3, " ", NOT_JSON)]),
    "deep JSON": (
        DEEP + b"\n" + LEVELS + b"\n",
        JSON,
        [(1, DEEP.decode(), "nested deeper than 100 levels"), (2, LEVELS.decode(), None)],
    ),
    "text after an object": (
        b'{"a":1}{"a":2}\n{"a":1} rubbish\n{"a":1},\n{"a":1} }\n{"a":{"b":[{},{}]}} \t\n{"a":"}{"}\n',
        JSON,
        [
            (1, '{"a":1}{"a":2}', AFTER),
            (2, '{"a":1} rubbish', AFTER),
            (3, '{"a":1},', AFTER),
            (4, '{"a":1} }', AFTER),
            (5, '{"a":{"b":[{},{}]}} \t', None),
            (6, '{"a":"}{"}', None),
        ],
    ),
    "a key twice": (
        b'{"a":1,"b":2,"\\u0061":3}\n{"a":{"a":1,"b":2},"b":{"b":1}}\n',
        JSON,
        [
            (1, '{"a":1,"b":2,"\\u0061":3}', "a key twice in its JSON object"),
            (2, '{"a":{"a":1,"b":2},"b":{"b":1}}', None),
        ],
    ),
    "nearly JSON": (
        b'{\'a\':1}\n{"a":\n{"a":' + b"9" * 5000 + b"}\n",
        JSON,
        [(1, "{'a':1}", NOT_JSON), (2, '{"a":', NOT_JSON), (3, '{"a":' + "9" * 5000 + "}", None)],
    ),
    "brackets that do not nest": (BRACKETS, JSON, [(1, BRACKETS.decode(), None)]),
}


@pytest.mark.parametrize("case", CASES)
def test_every_record_comes_with_its_line_its_text_and_why_it_is_refused(read, case):
    data, form, expected = CASES[case]
    assert [(row["position"], row["raw"], row["refusal"]) for row in read(data, **form)] == expected


@pytest.mark.parametrize("case", CASES)
def test_chunks_of_any_size_and_gzip_give_the_same_records(read, case, monkeypatch):
    data, form, _ = CASES[case]
    expected = read(data, **form)
    packed = gzip.compress(data[:1]) + gzip.compress(data[1:])
    for size in (1, 2, 3, 7, 1000):
        monkeypatch.setattr(streams, "CHUNK", size)
        assert read(data, **form) == expected
        assert read(packed, "file.csv.gz", **form) == expected


def test_equal_records_are_numbered_and_known_by_content_record_and_number(read):
    data = b"1,2\n3,4\n1,2\n"
    content = sha256(data).hexdigest()
    one, three = sha256(b"1,2").hexdigest()[:32], sha256(b"3,4").hexdigest()[:32]
    expected = [(one, 1), (three, 1), (one, 2)]

    rows = read(data)
    assert [(row["row_hash"], row["copy"]) for row in rows] == expected
    assert [row["row_id"] for row in rows] == [
        sha256(f"{content}{row_hash}{copy}".encode()).hexdigest()[:32] for row_hash, copy in expected
    ]


def test_a_refused_record_is_known_by_all_its_bytes(read):
    rows = read(b"x" * 20 + b"\r\n" + b"x" * 21 + b"\n\xff\n", max_record_bytes=10)
    assert [row["row_hash"] for row in rows] == [
        sha256(record).hexdigest()[:32] for record in (b"x" * 20, b"x" * 21, b"\xff")
    ]


def test_of_a_line_of_ten_megabytes_the_beginning_is_kept(read):
    long = b"x" * 10_000_000
    rows = read(b"1,2\n" + long + b"\r\n" + long + b"\n3,4\n")
    reason = "line of 10000000 bytes, longer than the 1048576 allowed; its first 65536 kept"
    assert [(row["position"], len(row["raw"]), row["copy"], row["refusal"]) for row in rows] == [
        (1, 3, 1, None),
        (2, 65_536, 1, reason),
        (3, 65_536, 2, reason),
        (4, 3, 1, None),
    ]
    assert rows[1]["row_hash"] == sha256(long).hexdigest()[:32]


def test_batches_hold_16384_records_at_most(tmp_path):
    path = tmp_path / "short.csv"
    path.write_bytes(b"1\n" * 40_000)
    form = Format("csv", header=False, columns=("a",))
    batches = [*records(str(path), form, inspect(str(path), form).content)]
    assert [len(batch) for batch in batches] == [16_384, 16_384, 7_232]
    assert [copy for batch in batches for copy in batch["copy"].to_pylist()] == [*range(1, 40_001)]


def test_a_file_that_changed_since_it_was_inspected_is_not_loaded(tmp_path):
    path = tmp_path / "file.csv"
    path.write_bytes(b"a,b\n1,2\n")
    form = Format("csv", columns=("a", "b"))
    content = inspect(str(path), form).content
    path.write_bytes(b"a,b\n1,3\n")
    with pytest.raises(Unreadable, match="changed since it was inspected"):
        list(records(str(path), form, content))


def test_a_multiline_file_with_a_quote_open_at_its_end_gives_no_last_record(tmp_path):
    path = tmp_path / "file.csv"
    path.write_bytes(b'1,2\n3,"4\n')
    with pytest.raises(Refused, match="opened in the record at line 2"):
        list(records(str(path), Format("csv", header=False, multiline=True), ""))


def is_left_open(line: str) -> bool:
    """Walk over a line of CSV, character by character."""
    state, i = "start", 0
    while i < len(line):
        if state == "start" and line[i] == '"':
            state = "quoted"
        elif state == "quoted" and line[i] == '"':
            if line[i + 1 : i + 2] == '"':
                i += 1
            else:
                state = "plain"
        elif state != "quoted":
            state = "start" if line[i] == "," else "plain"
        i += 1
    return state == "quoted"


def by_hand(data: bytes, limit: int):
    """The records of lines of CSV, one by one."""
    seen = Counter()
    for number, line in enumerate(data.split(b"\n"), 1):
        record = line.removesuffix(b"\r")
        if not record:
            continue
        seen[record] += 1
        text = record.decode(errors="backslashreplace")
        if len(record) > limit:
            refusal = f"line of {len(record)} bytes, longer than the {limit} allowed; its first {limit} kept"
        elif b"\0" in record:
            refusal = "NUL byte"
        elif "\\x" in text:
            refusal = "not valid utf-8"
        else:
            refusal = OPEN if is_left_open(text) else None
        yield number, seen[record], sha256(record).hexdigest()[:32], refusal


@settings(deadline=None)
@given(
    st.lists(st.sampled_from([b"a", b",", b'"', b"\n", b"\r", b"\0", "é".encode(), b"\xff"])).map(b"".join),
    st.sampled_from([3, 8, 100]),
    st.sampled_from([1, 3, 1000]),
)
def test_any_lines_give_what_a_walk_over_the_file_gives(read, data, limit, chunk):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(streams, "CHUNK", chunk)
        rows = read(data, max_record_bytes=limit)
    found = [(row["position"], row["copy"], row["row_hash"], row["refusal"]) for row in rows]
    assert found == list(by_hand(data, limit))
    assert len({row["row_id"] for row in rows}) == len(rows)


@settings(deadline=None)
@given(
    st.lists(st.sampled_from(["a", ",", '"', "\n", '"a\n', '",'])).map("".join),
    st.sampled_from([1, 3, 1000]),
)
def test_any_multiline_text_is_split_as_pythons_csv_module_does(look, read, text, chunk):
    form = {"multiline": True, "header": False}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(streams, "CHUNK", chunk)
        seen = look(text.encode(), **form)
        rows = read(text.encode(), **form) if seen.refusal is None else None

    *expected, last = filter(None, csv.reader(io.StringIO(f"{text}\nend\n", newline="")))
    assert (last == ["end"]) is (seen.refusal is None)
    if rows is None:
        return
    assert [next(csv.reader(io.StringIO(row["raw"], newline=""))) for row in rows] == expected
    lines = [""] * len(text.split("\n"))
    for row in rows:
        spanned = row["raw"].split("\n")
        lines[row["position"] - 1 : row["position"] - 1 + len(spanned)] = spanned
    assert lines == text.split("\n")
