"""The commands, put together, and what becomes of their errors: one sentence and an exit code."""

from __future__ import annotations

import inspect
import json
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import typer
from typer.core import TyperGroup

from crm_spark import __version__
from crm_spark.cli import (
    backfill,
    clean,
    dictionary,
    doctor,
    history,
    ingest,
    listing,
    migrate,
    page,
    plan,
    rebuild,
    run,
    sample,
    tables,
)
from crm_spark.cli.desk import Desk, Given, anywhere, at_a_lake, at_a_place
from crm_spark.cli.say import complain
from crm_spark.core.errors import INTERRUPTED, ConfigError, CrmError, ending

if TYPE_CHECKING:
    from crm_spark.core.pipeline import Pipeline

HELP = {"--help", "-h"}
THEN = "then"  # stands between the commands of one call
EPILOG = (
    f"`{THEN}` puts several commands into one call, which share one Spark: crm ingest shop {THEN} run --as-of DATE. "
    "Exit codes: 0 done, 2 bad usage or configuration, 3 input breaks its contract, 4 a job failed, "
    "5 the lake is busy, 130 stopped."
)


@dataclass(frozen=True)
class Command:
    """One command: its function takes a desk first, then its own options."""

    name: str
    function: Callable[..., int | None]
    panel: str
    options: Callable[..., Given] = at_a_lake


COMMANDS = [
    Command("list", listing.list_jobs, "See"),
    Command("plan", plan.plan, "See"),
    Command("tables", tables.tables, "See"),
    Command("history", history.history, "See"),
    Command("ingest", ingest.ingest, "Work"),
    Command("run", run.run, "Work"),
    Command("backfill", backfill.backfill, "Work"),
    Command("report", page.report, "Work"),
    Command("doctor", doctor.doctor, "Look after"),
    Command("clean", clean.clean, "Look after"),
    Command("rebuild", rebuild.rebuild, "Look after"),
    Command("migrate", migrate.migrate, "Look after"),
    Command("sample", sample.sample, "Make", anywhere),
    Command("dictionary", dictionary.dictionary, "Make", at_a_place),
]


class Commands(TyperGroup):
    """Commands whose errors end in a sentence on standard error, or in one JSON object on standard output.

    Of several in one call all are held against their usage before the first is run; the first that fails is the last.
    """

    def main(self, args: Sequence[str] | None = None, *_: Any, standalone_mode: bool = True, **more: Any) -> Any:
        """Run a command line and end with its exit code."""
        told = list(sys.argv[1:] if args is None else args)
        more["standalone_mode"] = False
        parts = _parts(told)
        code = _code_of(partial(self._refuse_misspelt, parts), told) if len(parts) > 1 else 0
        for at, part in enumerate(parts if not code else []):
            code = _code_of(partial(super().main, part, **more), part)
            if code:
                _say_not_run(parts[at + 1 :])
                break
        return sys.exit(code) if standalone_mode else code

    def _refuse_misspelt(self, parts: Sequence[Sequence[str]]) -> None:
        """Read each command and its options, as is done again when it is run."""
        for part in parts:
            if not part:
                raise ConfigError(f"`{THEN}` stands between two commands")
            with self.make_context("crm", []) as context:
                name, command, rest = self.resolve_command(context, list(part))
                if command is not None and not HELP.intersection(rest):
                    command.make_context(name, rest, parent=context)


def _say_not_run(parts: Sequence[Sequence[str]]) -> None:
    if parts:
        complain(f"not run: {', '.join(part[0] for part in parts)}")


def _parts(told: Sequence[str]) -> list[list[str]]:
    """Take the commands of one call apart."""
    parts: list[list[str]] = [[]]
    for word in told:
        if word == THEN:
            parts.append([])
        else:
            parts[-1].append(word)
    return parts


def app_for(pipeline: Pipeline | None = None) -> typer.Typer:
    """Make the command line of a pipeline.

    Parameters
    ----------
    pipeline : Pipeline, optional
        Default: all jobs of the suite and the user's own, found when first needed.
    """
    app = typer.Typer(
        cls=Commands,
        help="Data-driven CRM on Spark: raw customer data in, Delta tables to act on out.",
        epilog=EPILOG,
        add_completion=False,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": sorted(HELP)},
    )
    app.callback(invoke_without_command=True)(_top)
    for command in COMMANDS:
        app.command(command.name, rich_help_panel=command.panel)(_with_desk(command, pipeline))
    return app


def _top(
    context: typer.Context,
    version: bool = typer.Option(False, "--version", help="Say which version this is."),
) -> None:
    if version:
        typer.echo(f"crm_spark {__version__}")
    elif context.invoked_subcommand is None:
        typer.echo(context.get_help())


def _with_desk(command: Command, pipeline: Pipeline | None) -> Callable[..., int | None]:
    """Give a command the options that all of its kind have: Typer reads them from the signature."""
    own = list(inspect.signature(command.function, eval_str=True).parameters.values())[1:]
    common = list(inspect.signature(command.options, eval_str=True).parameters.values())

    def called(**given: Any) -> int | None:
        told = command.options(**{option.name: given.pop(option.name) for option in common})
        return command.function(Desk(pipeline, told), **given)

    called.__doc__ = inspect.getdoc(command.function)
    called.__annotations__ = {option.name: option.annotation for option in [*own, *common]}
    called.__signature__ = inspect.Signature([*own, *common])  # type: ignore[attr-defined]
    return called


def _code_of(work: Callable[[], int | None], told: Sequence[str]) -> int:
    """Do the work; say what went wrong, and give the exit code."""
    try:
        code = work() or 0
        # Typer makes a silent end of an interruption.
        return _fail(told, *ending(KeyboardInterrupt())) if code == INTERRUPTED else code
    except typer.TyperException as error:
        # Typer's own words for a wrong usage; its base class does not promise them.
        said, code = getattr(error, "format_message", lambda: "see `crm --help`")(), CrmError.exit_code
        return _fail(told, _sentence(said), getattr(error, "exit_code", code))
    except (Exception, KeyboardInterrupt) as error:
        return _fail(told, *ending(error), error)


def _sentence(said: str) -> str:
    """Bring Typer's words into ours."""
    return (said[:1].lower() + said[1:].rstrip(".")).replace(". Did you mean", "; did you mean")


def _fail(told: Sequence[str], said: str, code: int, error: BaseException | None = None) -> int:
    if error is not None and "--debug" in told:
        traceback.print_exception(error)
    if "--json" in told:
        print(json.dumps({"error": said, "code": code}, ensure_ascii=False))  # noqa: T201 - standard output is the answer
    else:
        complain(said)
    return code
