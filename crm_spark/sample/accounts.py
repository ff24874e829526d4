"""The accounts that a right ingestion must come to: for every file its records and what becomes of them."""

from collections import Counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crm_spark.sample.dirt import CLEAN, outcome

Account = dict[str, Any]
COUNTS = {"quarantined": "quarantined", "duplicate": "duplicates", "warned": "warned"}


def account(feed: str, kinds: NDArray[np.str_]) -> Account:
    """Count what becomes of a file's records; a warned one is loaded and counted as warned beside."""
    defects = Counter(kinds[kinds != CLEAN].tolist())
    become = dict.fromkeys(COUNTS.values(), 0)
    for kind, count in defects.items():
        become[COUNTS[outcome(kind)]] += count
    return {
        "feed": feed,
        "records": len(kinds),
        "loaded": len(kinds) - become["quarantined"] - become["duplicates"],
        **become,
        "defects": dict(sorted(defects.items())),
    }


def clean(feed: str, records: int) -> Account:
    """Account for a file without dirt."""
    return account(feed, np.full(records, CLEAN))


def repeated(feed: str, of: str) -> Account:
    """Account for a file whose content came under another name already: nothing of it is read."""
    return {**clean(feed, 0), "repeats": of}


def defects(file: str, kinds: NDArray[np.str_], header: int) -> bytes:
    """Tell as CSV where the dirt of a file lies: file, line (from 1, the header included), kind, outcome."""
    where = np.flatnonzero(kinds != CLEAN)
    rows = [f"{file},{line + header + 1},{kinds[line]},{outcome(kinds[line])}\n" for line in where.tolist()]
    return "".join(["file,line,kind,outcome\n", *rows]).encode() if rows else b""


def book(files: dict[str, Account]) -> dict[str, Any]:
    """Put the accounts of all files together with their sums."""
    keys = ["records", "loaded", *COUNTS.values()]
    kinds = sorted({kind for file in files.values() for kind in file["defects"]})
    return {
        "total": {key: sum(file[key] for file in files.values()) for key in keys},
        "outcomes": {kind: outcome(kind) for kind in kinds},
        "files": dict(sorted(files.items())),
    }
