"""Parquet files: is the footer there, and what does it say. Their rows are read by others."""

from collections.abc import Iterable

import pyarrow as pa
from pyarrow.parquet import read_metadata

from crm_spark.ingest.raw.form import Refused
from crm_spark.ingest.raw.streams import located

MAGIC = b"PAR1"
ENCRYPTED = b"PARE"


def look(path: str, chunks: Iterable[bytes]) -> tuple[tuple[str, ...], int]:
    """Give the column names and the number of rows of a Parquet file.

    Raises
    ------
    Refused
        It has no magic bytes or no footer, or a damaged one.
    """
    first = last = b""
    for chunk in chunks:
        first = first or chunk[:4]
        last = (last + chunk)[-4:]
    if ENCRYPTED in (first, last):
        raise Refused("encrypted Parquet is not read")
    if first != MAGIC:
        raise Refused("is no Parquet: the magic bytes at its beginning are missing")
    if last != MAGIC:
        raise Refused("is Parquet without a footer: it was cut or never finished")
    return _footer(path)


def _footer(path: str) -> tuple[tuple[str, ...], int]:
    files, place = located(path)
    try:
        with files.open_input_file(place) as file:
            footer = read_metadata(file)
            return tuple(footer.schema.to_arrow_schema().names), footer.num_rows
    except (OSError, pa.ArrowException):  # its bytes were read a moment ago
        raise Refused("is Parquet with a damaged footer") from None
