"""What `crm doctor` looks at in the lake: tables against their contracts, what was left unfinished, odd days."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from crm_spark.cli.finding import Finding, ok, problem, warning
from crm_spark.core.errors import ContractError, CrmError

if TYPE_CHECKING:
    from crm_spark.cli.catalog import Known
    from crm_spark.cli.desk import Desk

MOST_RUNS = 1_000
ODD = {
    "none": "ask who sends it for what is missing; `crm ingest` loads it whenever it comes",
    "few": "ask who sends it whether a part is missing; `crm ingest` loads it whenever it comes",
    "many": "look whether something came twice; `crm ingest --replace PATH` loads a corrected file",
}
OPEN = {
    "stale": (
        "{count} files of {source} are loaded with older values of a look-up",
        "put those back that are gone, and run `crm ingest` again: it loads them anew and tells which it cannot",
    ),
    "started": (
        "loading {count} files of {source} began and did not end",
        "run `crm ingest` again: it finishes them first",
    ),
}
REPORT = "report it: what checks these rows as they are written has let them pass"
COPY = "put its folder back from a copy"


def findings(desk: Desk, values: bool) -> Iterator[Finding]:
    """Look at every table that is there, then for what was begun and never ended."""
    from crm_spark.cli.catalog import known

    if not desk.is_there():
        yield warning("lake", f"{desk.place.lake} is not there yet", "`crm ingest` makes it")
        return
    found = [entry for entry in known(desk.pipeline).values() if desk.lake.version(entry.table) is not None]
    yield ok("lake", f"{desk.place.lake}: {len(found)} tables")
    for entry in found:
        yield table(desk, entry, values)
    looks = {"ingestion": unfinished_batches, "runs": unfinished_runs, **({"days": odd_days} if values else {})}
    for what, look in looks.items():
        try:
            yield from look(desk)
        except Exception as error:  # the rest is looked at all the same
            said = f"cannot be looked at: {type(error).__name__}"
            yield problem(what, said, "mend the tables above first", CrmError.exit_code)


def table(desk: Desk, known: Known, values: bool) -> Finding:
    """Hold one table against its contract: its shape, and what stands in it."""
    what = f"table {known.table.name}"
    try:
        return _held(desk, known, values, what)
    except Exception as error:  # a damaged file may end in any, which may hold a value
        said = f"cannot be read, a file of it is damaged or missing: {type(error).__name__}"
        return problem(what, said, _remedy(known, COPY, "take its folder away, then run "), CrmError.exit_code)


def _held(desk: Desk, known: Known, values: bool, what: str) -> Finding:
    try:
        grown = desk.lake.growth(known.table).added
    except ContractError as error:
        return problem(what, str(error), "as it says", error.exit_code)
    if grown:
        return warning(what, f"lacks the new column {', '.join(grown)}", "the next run that writes it adds it")
    drifted = desk.lake.drift(known.table)
    if drifted:
        return problem(what, "; ".join(drifted), desk.lake.remedy(known.table), ContractError.exit_code)
    version = desk.lake.version(known.table)
    broken = known.table.faults(desk.lake.read(known.table, version)).collect() if values else []
    if broken:
        said = "; ".join(f"{row['fault']}: {row['rows']} rows" for row in broken)
        return problem(what, said, _remedy(known, REPORT), ContractError.exit_code)
    return ok(what, f"version {version} keeps its contract" + ("" if values else " (values not looked at)"))


def unfinished_batches(desk: Desk) -> Iterator[Finding]:
    """Look for files whose loading began and never ended, and for those that wait to be loaded anew."""
    from crm_spark.ingest.accounts import ACCOUNTS

    accounts = desk.lake.read(ACCOUNTS, desk.lake.version(ACCOUNTS))
    open_ = accounts.where("status IN ('started', 'stale')").groupBy("source", "status").count()
    for row in open_.orderBy("source", "status").collect():
        said, remedy = OPEN[row["status"]]
        yield warning("ingestion", said.format(count=row["count"], source=row["source"]), remedy)


def unfinished_runs(desk: Desk) -> Iterator[Finding]:
    """Look for runs that began and never ended, unless their job ended well since."""
    from crm_spark.cli.history import runs

    last: dict[str, str] = {}
    for run in runs(desk.lake, MOST_RUNS):
        newest = last.setdefault(run["job"], run["run_id"])
        if run["status"] == "started" and newest == run["run_id"]:
            began = f"{run['at']:%Y-%m-%d %H:%M} UTC"
            said = f"{run['job']} began at {began} and has not ended (run {run['run_id']})"
            command = f"crm run {run['job']} --as-of {run['as_of']}" if run["as_of"] else f"crm {run['job']}"
            yield warning("runs", said, f"if it is not at work, run it again: `{command}`")


def odd_days(desk: Desk) -> Iterator[Finding]:
    """Look for days that lack data or are unlike their weekday, the newest first, as the page does."""
    from crm_spark.ingest import oddities
    from crm_spark.ingest.accounts import ACCOUNTS
    from crm_spark.ingest.tables import EVENTS, ORDER_LINES

    tables = [desk.lake.read(table, desk.lake.version(table)) for table in (ORDER_LINES, EVENTS, ACCOUNTS)]
    found = oddities.odd_days(*tables).orderBy("day", "what", ascending=[False, True])
    for row in found.collect():
        said = f"{row['what']} on {row['day']:%A, %Y-%m-%d}: {row['records']:,} where {row['usual']:,.0f} are usual"
        yield warning("days", said, ODD[row["found"]])


def _remedy(known: Known, of_loaded: str, before: str = "") -> str:
    """A table that a job makes is made anew; what was loaded or logged cannot be."""
    from crm_spark.cli.catalog import INGEST, RUNNER

    is_loaded = known.maker in (INGEST, RUNNER, None)
    return of_loaded if is_loaded else f"{before}`crm rebuild {known.table.name} --as-of DATE`"
