"""The fields of records, against Python's csv module and against the pattern that reads headers."""

import csv
import io

import pyarrow as pa
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from crm_spark.ingest.raw import Format, fields
from crm_spark.ingest.raw.quoting import grammar

WIDTH = 3
TOKENS = ["a", "é", " ", ",", '"', '",', ',"', "\\", "\t", ";"]
FORMS = {
    "usual": {},
    "unquoted": {"quote": ""},
    "escaped": {"escape": "\\"},
    "never escaped": {"escape": ""},
    "long delimiter": {"delimiter": ",;"},
    "other marks": {"delimiter": ";", "quote": "'", "escape": "'"},
}


def split(records: list[str], **form: object) -> list[list[str | None] | None]:
    """Give the fields of each record, blank ones as None; None for a record of another width."""
    found = fields(pa.array(records, pa.string()), Format("csv", **form), WIDTH, range(WIDTH))
    rows = [list(row.values()) for row in found.to_pylist()]
    assert all(row[0] or row[1:] == [None] * WIDTH for row in rows)
    return [row[1:] if row[0] else None for row in rows]


def blank_is_none(expected: list[str]) -> list[str | None] | None:
    return [text or None for text in expected] if len(expected) == WIDTH else None


def is_sound(record: str, **form: object) -> bool:
    return bool(record) and not grammar(Format("csv", **form)).is_open_after(record.encode())


@settings(deadline=None)
@given(st.lists(st.lists(st.sampled_from(TOKENS), max_size=9).map("".join), min_size=1, max_size=4))
def test_fields_are_those_of_pythons_csv_module(records: list[str]) -> None:
    sound = [record for record in records if is_sound(record)]
    assume(sound)
    assert split(sound) == [blank_is_none(next(csv.reader(io.StringIO(record)))) for record in sound]


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
@settings(deadline=None)
@given(records=st.lists(st.lists(st.sampled_from([*TOKENS, "'", "\r", "\ufeff"]), max_size=9).map("".join), min_size=1))
def test_fields_are_read_as_headers_are(form: dict[str, str], records: list[str]) -> None:
    sound = [record for record in records if is_sound(record, **form)]
    assume(sound)
    expected = [blank_is_none(grammar(Format("csv", **form)).fields(record.encode())) for record in sound]
    assert split(sound, **form) == expected


def test_a_field_that_spans_lines_is_whole() -> None:
    assert split(['1,"two\nlines",3', "1,2", '"\r\n",,'], multiline=True) == [
        ["1", "two\nlines", "3"],
        None,
        ["\r\n", None, None],
    ]


def test_only_the_wanted_fields_are_given_and_records_that_are_all_broken_keep_their_rows() -> None:
    batch = pa.array(["1,2,3", "4", "5,6,7"])
    found = fields(batch, Format("csv"), WIDTH, [2])
    assert found.to_pydict() == {"is_whole": [True, False, True], "field_2": ["3", None, "7"]}
    assert fields(batch, Format("csv"), 5, [0]).to_pydict() == {"is_whole": [False] * 3, "field_0": [None] * 3}
    assert fields(batch, Format("csv"), WIDTH, []).to_pydict() == {"is_whole": [True, False, True]}
