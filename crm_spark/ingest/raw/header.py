"""The columns that a file has, against those declared: by name, in any order."""

import re
from collections import Counter
from collections.abc import Sequence
from difflib import get_close_matches

from crm_spark.ingest.raw.encoding import is_valid
from crm_spark.ingest.raw.form import Format, Refused
from crm_spark.ingest.raw.quoting import grammar

NAMED = 10  # columns named in a refusal; the others are counted


def names(record: bytes, form: Format) -> tuple[str, ...]:
    """Read the names from the header of a CSV.

    Raises
    ------
    Refused
        It is no line of CSV in the declared encoding.
    """
    if not is_valid(record):
        raise Refused(f"header is not valid {form.encoding}")
    if b"\0" in record:
        raise Refused("NUL byte in the header")
    if re.search(rb"\r(?!\n)", record):
        raise Refused("CR without LF in the header: line ends must be LF or CRLF")
    if grammar(form).is_open_after(record):
        raise Refused("quote still open at the end of the header")
    return tuple(grammar(form).fields(record))


def is_one(found: Sequence[str], form: Format) -> bool:
    """Tell a header alone from one with values in it or in its place.

    It has half of the declared columns or more and no more that nobody declared, or none of these.
    """
    declared = set(form.columns)
    known = len(declared.intersection(found))
    strangers = sum(name not in declared for name in found)
    return not strangers or (2 * known >= len(declared) and strangers <= known)


def refusal(found: Sequence[str], form: Format, is_header: bool) -> str | None:
    """Say all that is wrong with the columns of a file, or nothing; what may be values is not told."""
    extra = [name for name in found if name not in form.columns]
    missing = [name for name in form.columns if name not in found and name not in form.optional]
    repeated = [name for name, times in Counter(found).items() if times > 1]
    alike = _alike(found)
    is_unsplit = form.kind == "csv" and len(extra) == len(found) == 1 < len(form.columns)
    hints = extra if is_header else []
    faults = [
        missing and f"lacks {listed([_hinted(name, hints) for name in missing])}",
        extra and form.extra == "refuse" and f"has {_told(extra, is_header)} that nobody declared",
        repeated and f"has {_told(repeated, is_header)} more than once",
        alike and f"has {_told(alike, is_header)} that differ by case alone",
        is_unsplit and f"is {form.delimiter!r} its delimiter?",
    ]
    return "; ".join(fault for fault in faults if fault) or None


def _alike(found: Sequence[str]) -> list[str]:
    """Names that SQL cannot tell apart."""
    names = dict.fromkeys(found)
    times = Counter(name.lower() for name in names)
    return [name for name in names if times[name.lower()] > 1]


def _told(columns: list[str], by_name: bool) -> str:
    if by_name:
        return listed([repr(name) for name in columns])
    return f"{len(columns)} column{'s' * (len(columns) > 1)}"


def listed(told: list[str]) -> str:
    """Name columns, not too many."""
    more = f" and {len(told) - NAMED} more" if len(told) > NAMED else ""
    return f"column{'s' * (len(told) > 1)} {', '.join(told[:NAMED])}{more}"


def _hinted(name: str, extra: list[str]) -> str:
    lower = {other.strip().lower(): other for other in extra}
    close = get_close_matches(name.lower(), lower, n=1)
    return f"{name!r} (has {lower[close[0]]!r})" if close else repr(name)
