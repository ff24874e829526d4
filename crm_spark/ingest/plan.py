"""What one run does with the files of a source: which contents' rows come, which go, and who holds them.

A file is known by the hash of its content. A path whose size and time are unchanged is not read again; a
changed file waits for `--replace`. A content's rows stand in the tables once, whichever paths hold it: one
path bears their counts in the accounts, the others are `repeated`. So a run is planned over all paths of a
feed at once: what each holds afterwards decides which contents are loaded, and which go.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from crm_spark.ingest.files import Found, Inspected

Row = dict[str, Any]  # of the accounts
Rows = Mapping[str, Row]  # by path
Known = dict[str, dict[str, Row]]  # by feed and path
BEARS = ("loaded", "changed", "stale")  # a file of such a status bears the counts of rows in the tables
NOTHING = {
    "records": 0,
    "loaded": 0,
    "quarantined": 0,
    "duplicates": 0,
    "warnings": {},
    "replaces": None,
    "reason": None,
}
COUNTS = ("records", "loaded", "quarantined", "duplicates", "warnings")


@dataclass(frozen=True)
class BatchFile:
    """A file of a feed."""

    feed: str
    inspected: Inspected

    @property
    def path(self) -> str:
        """Where it is, below the source's folder."""
        return self.inspected.found.path

    @property
    def seen(self) -> Row:
        """By what it is taken for unchanged."""
        return {"bytes": self.inspected.found.bytes, "modified_at": self.inspected.found.modified_at}

    def row(self, status: str, **told: Any) -> Row:
        """One row of the accounts for the file as it lies there."""
        named = {"feed": self.feed, "path": self.path, "status": status, "batch": 0}
        return {**NOTHING, **named, **self.seen, "file_hash": self.inspected.content, **told}


@dataclass
class Plan:
    """What one run does.

    Parameters
    ----------
    batch : list of BatchFile
        Whose rows are written.
    removed : list of str
        Contents whose rows go, in the same commit of each table.
    refused : list of BatchFile
        Put into quarantine whole.
    settled : list of (feed, path)
        Which may stand in quarantine as whole files from before.
    opened, closed : list of Row
        Written to the accounts before the tables are, and after them; of the batch, only when it is counted.
    forgotten : list of (feed, path)
        Whose rows leave the accounts.
    notes : list of str
        What a person should know.
    """

    batch: list[BatchFile] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    refused: list[BatchFile] = field(default_factory=list)
    settled: list[tuple[str, str]] = field(default_factory=list)
    opened: list[Row] = field(default_factory=list)
    closed: list[Row] = field(default_factory=list)
    forgotten: list[tuple[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to write."""
        return not (self.is_wide or self.closed or self.forgotten)

    @property
    def is_wide(self) -> bool:
        """Whether more than the accounts is written: then they say so before."""
        return bool(self.batch or self.removed or self.refused or self.settled)


def to_inspect(found: Sequence[Found], known: Rows, replace: Collection[str], retry: bool) -> list[Found]:
    """Files that must be read to know what they are, or because what they hold is loaded anew."""
    stale = _stale(known)
    return [file for file in found if file.path in replace or _is_in_doubt(file, known.get(file.path), stale, retry)]


def _is_in_doubt(file: Found, row: Row | None, stale: Collection[str], retry: bool) -> bool:
    if row is None or row["file_hash"] in stale or (row["status"] == "refused" and retry):
        return True
    return bool(file.bytes != row["bytes"] or file.modified_at != row["modified_at"])


def _stale(known: Rows) -> set[str]:
    return {row["file_hash"] for row in known.values() if row["status"] == "stale"}


def plan(
    made: Plan,
    feed: str,
    found: Sequence[Found],
    inspected: Sequence[Inspected],
    known: Rows,
    replace: Collection[str],
) -> None:
    """Say what becomes of the files of a feed, of which those in doubt were inspected."""
    stale = _stale(known)
    taking = _Taking(made, feed, known)
    for one in sorted(inspected, key=lambda seen: seen.found.path):
        file, row = BatchFile(feed, one), known.get(one.found.path)
        is_asked = file.path in replace
        if row is None or row["status"] not in BEARS:
            taking.take(file, is_anew=is_asked or one.content in stale)
        elif one.content != row["file_hash"] and (one.refusal is not None or not is_asked):
            # A replacement that cannot be read leaves what was loaded in its place.
            taking.keep({**row, **file.seen, "status": "changed", "reason": one.refusal})
        elif one.content == row["file_hash"] and not is_asked and row["status"] != "stale":
            taking.keep({**row, **file.seen, "status": "loaded", "reason": None})
        elif one.refusal is not None:
            made.notes.append(f"{file.path} is not loaded anew, its rows stay as they are: {one.refusal}")
        else:
            taking.take(file, is_anew=True)
    taking.settle()
    made.notes += _waiting(taking.rows, {file.path for file in found}, {file.inspected.content for file in made.batch})


def _waiting(rows: Rows, there: Collection[str], brought: Collection[str]) -> Iterable[str]:
    """Tell, in every call, which files are not in the tables as they lie there."""
    for path, row in sorted(rows.items()):
        if row["file_hash"] in brought:
            continue
        if row["status"] == "changed" and path in there:
            swap = f"`crm ingest --replace {path}` swaps its rows"
            yield f"{path} changed since it was loaded; " + (
                f"it cannot be read, so its rows stay: {row['reason']}" if row["reason"] else swap
            )
        if row["status"] == "stale" and path not in there:
            yield f"{path} is loaded with older values of a look-up and is gone: put it back, and it is loaded anew"


def resume(made: Plan, feed: str, inspected: Sequence[Inspected], known: Rows) -> None:
    """Say how a batch that died is finished: with its own files; what is no longer what it was is withdrawn."""
    seen = {one.found.path: one for one in inspected}
    taking = _Taking(made, feed, known)
    for path, row in sorted(known.items()):
        if row["status"] != "started":
            continue
        made.settled.append((feed, path))  # what it was before, nobody knows
        one = seen.get(path)
        is_same = one is not None and one.content == row["file_hash"]
        if row["reason"]:
            taking.forget(path)  # it was no file of the batch: it is looked at again as a new one
        elif one is not None and is_same and one.refusal is None:
            taking.take(BatchFile(feed, one), is_anew=True)
        elif row["replaces"] == row["file_hash"]:
            # It was loaded anew: whether or not that was done, its rows are there.
            taking.keep({**row, "status": "stale", "replaces": None})
        elif one is not None and is_same:
            made.notes.append(f"{path} cannot be read any more, its rows are withdrawn: {one.refusal}")
            taking.take(BatchFile(feed, one), is_anew=False)
        else:
            made.notes.append(f"{path} changed or went before its batch was finished: its rows are withdrawn")
            taking.forget(path)
    taking.settle()


class _Taking:
    """The paths of a feed, and what each holds when the run is done."""

    def __init__(self, made: Plan, feed: str, known: Rows) -> None:
        self.made, self.feed, self.known = made, feed, known
        self.rows: dict[str, Row] = dict(known)
        self.taken: dict[str, BatchFile] = {}
        self.anew: set[str] = set()
        self.borne = {row["file_hash"]: row for row in known.values() if row["status"] in BEARS}
        started = [row for row in known.values() if row["status"] == "started"]
        self.borne |= {row["replaces"]: row for row in started if row["replaces"]}
        self.begun = {row["file_hash"] for row in started}

    def take(self, file: BatchFile, is_anew: bool) -> None:
        """Let a path hold what lies there."""
        self.taken[file.path] = file
        if is_anew:
            self.anew.add(file.path)

    def keep(self, row: Row) -> None:
        """Let a path hold what its row says."""
        self.rows[row["path"]] = row
        if row["status"] in BEARS:
            self.borne[row["file_hash"]] = row

    def forget(self, path: str) -> None:
        """Let a path hold nothing, as if it was never seen."""
        del self.rows[path]
        self.made.forgotten.append((self.feed, path))

    def settle(self) -> None:
        """Compare what is held before and after, all paths together."""
        after = self._after()
        brought = self._brought(after)
        stays = set(after.values())
        # What a batch that died began to write goes and comes by key: nobody knows how far it came.
        perhaps = {*self.borne, *self.begun}
        self.made.removed += sorted(one for one in perhaps if one not in stays or one in brought)
        self.made.batch += [self.taken[path] for path in sorted(brought.values())]
        self.made.opened += [self._opened(file) for file in self.taken.values()]
        self.made.settled += [(self.feed, path) for path in self.taken if self._was_refused(path)]
        bearers = self._bearers(after) | brought
        for path in sorted({*after, *self.taken} - {*brought.values()}):
            self._close(path, after.get(path), bearers)

    def _after(self) -> dict[str, str]:
        holding = {path: row["file_hash"] for path, row in self.rows.items() if row["status"] in (*BEARS, "repeated")}
        for path, file in self.taken.items():
            holding.pop(path, None)
            if file.inspected.refusal is None:
                holding[path] = file.inspected.content
        return holding

    def _brought(self, after: Mapping[str, str]) -> dict[str, str]:
        """Contents that are loaded, each by one path: those that no row bears, and those that are loaded anew."""
        brought: dict[str, str] = {}
        for path in sorted(self.taken):
            content = after.get(path)
            if content is not None and (content not in self.borne or path in self.anew):
                brought.setdefault(content, path)
        return brought

    def _bearers(self, after: Mapping[str, str]) -> dict[str, str]:
        """For each content that is held, the path that bears its counts from now on: the one that did, if it may."""
        bearers = {content: path for path, content in sorted(after.items(), reverse=True)}
        for content, row in self.borne.items():
            if after.get(row["path"]) == content:
                bearers[content] = row["path"]
        return bearers

    def _opened(self, file: BatchFile) -> Row:
        """The row of a file whose batch begins; it keeps the counts of what it replaces until that is done."""
        row = self.rows.get(file.path)
        if row is None or row["status"] not in BEARS:
            return file.row("started", reason=file.inspected.refusal)
        return file.row("started", replaces=row["file_hash"], **{name: row[name] for name in COUNTS})

    def _was_refused(self, path: str) -> bool:
        return path in self.rows and self.rows[path]["status"] == "refused"

    def _close(self, path: str, content: str | None, bearers: Mapping[str, str]) -> None:
        """Write down what a path holds now, where that is not what stands there already."""
        file, row = self.taken.get(path), self.rows.get(path)
        if content is None:
            self._refuse(self.taken[path])
            return
        if file is None and row is not None and row["status"] == "changed" and bearers[content] != path:
            self.forget(path)  # another file bears what it held: what lies there now is new
            return
        if file is not None and (row is None or row["file_hash"] != content):
            self.made.notes.append(f"{path} holds what another file held: it is not loaded again")
        told = file.row("") if file is not None else dict(self.rows[path])
        end = told | self._held(path, content, bearers)
        if file is not None or end != self.known.get(path):
            self.made.closed.append(end)

    def _held(self, path: str, content: str, bearers: Mapping[str, str]) -> Row:
        """What a row says of a content that is in the tables."""
        if bearers[content] != path:
            return {**NOTHING, "status": "repeated", "batch": 0}
        borne = self.borne[content]
        if borne["path"] == path and borne["status"] in BEARS:
            return {}
        status = "stale" if borne["status"] == "stale" else "loaded"
        return {**NOTHING, "status": status, **{name: borne[name] for name in (*COUNTS, "batch")}}

    def _refuse(self, file: BatchFile) -> None:
        self.made.refused.append(file)
        self.made.closed.append(file.row("refused", reason=file.inspected.refusal, records=1, quarantined=1))
