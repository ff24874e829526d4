"""Small files, looked at and read in one go."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from crm_spark.ingest.raw import Format, Inspection, inspect, records

Row = dict[str, Any]
Look = Callable[..., Inspection]
Read = Callable[..., list[Row]]


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("raw")


@pytest.fixture(scope="session")
def look(folder: Path) -> Look:
    """Write bytes to a file and inspect it: a CSV with the columns a and b unless told otherwise."""

    def looked(data: bytes, name: str = "file.csv", **form: Any) -> Inspection:
        path = folder / name
        path.write_bytes(data)
        return inspect(str(path), Format(**{"kind": "csv", "columns": ("a", "b"), **form}))

    return looked


@pytest.fixture(scope="session")
def read(folder: Path, look: Look) -> Read:
    """Write bytes to a file and give its records: of a CSV without header unless told otherwise."""

    def rows(data: bytes, name: str = "file.csv", **form: Any) -> list[Row]:
        given = {"kind": "csv", "columns": ("a", "b"), "header": False, **form}
        seen = look(data, name, **given)
        assert seen.content is not None
        batches = [*records(str(folder / name), Format(**given), seen.content)]
        found = [row for batch in batches for row in batch.to_pylist()]
        assert len(found) == seen.records
        return found

    return rows
