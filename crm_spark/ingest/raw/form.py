"""How the files of a feed are to be read, and what one look at a file tells."""

import codecs
from dataclasses import dataclass

KINDS = ("csv", "jsonl", "parquet")
EXTRAS = ("refuse", "ignore")
LONGEST = 1 << 30  # what Arrow's text can hold in one batch, and more than memory should
KEPT = 65_536  # bytes of an overlong record that are kept as its raw text


@dataclass(frozen=True)
class Format:
    """How the files of a feed are to be read.

    `columns` are the raw columns declared, `optional` those of them that a file may lack; `extra` tells what
    becomes of a file with columns that nobody declared: "refuse" or "ignore". Lines end with LF or CRLF. A
    record is a line, unless `multiline` lets a quoted field of a CSV span lines. An empty `quote` means that
    nothing is quoted; an `escape` other than the quote goes before a quote that is meant as it is.
    """

    kind: str
    header: bool = True
    delimiter: str = ","
    quote: str = '"'
    escape: str = '"'
    encoding: str = "utf-8"
    multiline: bool = False
    max_record_bytes: int = 1_048_576
    columns: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    extra: str = "refuse"

    def __post_init__(self) -> None:
        """Refuse what cannot be meant, all of it at once."""
        if faults := [*self._faults()]:
            raise ValueError("; ".join(faults))

    def _faults(self) -> list[str]:
        wrong = {
            f"kind must be one of {', '.join(KINDS)}, got '{self.kind}'": self.kind not in KINDS,
            f"extra must be one of {', '.join(EXTRAS)}, got '{self.extra}'": self.extra not in EXTRAS,
            f"unknown encoding '{self.encoding}'": not _is_text_encoding(self.encoding),
            f"delimiter must be text without line ends, got {self.delimiter!r}": not _fits_line(self.delimiter),
            f"quote must be one ASCII character or empty, got {self.quote!r}": not _is_mark(self.quote),
            f"escape must be one ASCII character or empty, got {self.escape!r}": not _is_mark(self.escape),
            f"delimiter and quote must differ, got {self.quote!r} twice": self.delimiter == self.quote,
            f"max_record_bytes must be 1 to {LONGEST}, got {self.max_record_bytes}": not 1
            <= self.max_record_bytes
            <= LONGEST,
            "multiline is for csv only": self.multiline and self.kind != "csv",
        }
        strangers = [f"optional column '{name}' is not declared" for name in self.optional if name not in self.columns]
        return [fault for fault, is_wrong in wrong.items() if is_wrong] + strangers

    @property
    def is_utf8(self) -> bool:
        """True where the bytes are read as they are; other encodings are turned into UTF-8 first."""
        return codecs.lookup(self.encoding).name in ("utf-8", "utf-8-sig")


@dataclass(frozen=True)
class Inspection:
    """What one look at a whole file tells; nothing is loaded from a refused file.

    `content` is the SHA-256 of the uncompressed bytes in hex, None where they cannot be read to the end.
    `header` has the column names in file order (CSV with a header, Parquet), those declared for a CSV without
    one or an empty one, none for JSON lines. `records` counts neither header nor blank lines. `refusal` is a
    part of a sentence and holds no value of a row.
    """

    content: str | None
    header: tuple[str, ...]
    records: int
    refusal: str | None


class Refused(Exception):
    """The file as a whole is not what was declared; its message is the refusal."""


class Unreadable(Exception):
    """The bytes of the file cannot be read to their end."""


def _is_text_encoding(name: str) -> bool:
    try:
        codecs.getincrementaldecoder(name)().decode(b"", final=True)
        return isinstance("".encode(name), bytes)
    except (LookupError, TypeError, ValueError):
        return False


def _fits_line(delimiter: str) -> bool:
    return bool(delimiter) and not {"\n", "\r", "\0"} & set(delimiter)


def _is_mark(text: str) -> bool:
    return not text or (len(text) == 1 and text.isascii() and text.isprintable())
