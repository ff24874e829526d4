"""What the documents say is there: files, commands, options, mappings, settings, names of the library."""

import ast
import importlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from pydantic import TypeAdapter
from typer.main import get_command

from crm_spark.cli.app import app_for
from crm_spark.core import config
from crm_spark.core.config import Settings
from crm_spark.core.pipeline import discover
from crm_spark.ingest import mapping
from crm_spark.ingest.mistakes import mistakes

ROOT = Path(__file__).parents[1]
DOCUMENTS = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
OWN_DATA = ROOT / "docs/guide/own-data.md"
SEGMENTS = ("customer_segments", "customer_density")
OPERATIONS = ROOT / "docs/guide/operations.md"

FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SPAN = re.compile(r"`([^`\n]+)`")
LINK = re.compile(r"\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ +(.+)$", re.MULTILINE)
CRM = re.compile(r"(?:^|(?<=[\s/(;&]))crm +([a-z][a-z_-]*)([^\n;&|#]*)", re.MULTILINE)
SHELLS = ("", "sh", "bash", "shell", "console")
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]*")


class Example(NamedTuple):
    """A fenced block of a document."""

    document: Path
    language: str
    text: str


def fences(document: Path) -> list[Example]:
    return [Example(document, language, text) for language, text in FENCE.findall(document.read_text("utf-8"))]


def prose(document: Path) -> str:
    return FENCE.sub("", document.read_text("utf-8"))


def called(document: Path) -> Iterator[tuple[str, set[str]]]:
    """Every command of `crm` that a document writes as code, with its options."""
    lines = [example.text for example in fences(document) if example.language in SHELLS]
    for code in [*lines, *SPAN.findall(prose(document))]:
        for command, rest in CRM.findall(code.replace(" then ", "; crm ")):
            yield command, set(OPTION.findall(rest))


def anchors(document: Path) -> set[str]:
    """The headings as GitHub names them."""
    kept = [re.sub(r"[^\w\- ]", "", heading.lower()) for heading in HEADING.findall(prose(document))]
    return {heading.strip().replace(" ", "-") for heading in kept}


EXAMPLES = [example for document in DOCUMENTS for example in fences(document)]
MAPPINGS = [example.text for example in fences(OWN_DATA) if re.match(r"source:", example.text)]
SETTINGS = [example.text for example in EXAMPLES if re.match(r"(lake|zone|currency):", example.text)]
PROGRAMS = [example.text for example in EXAMPLES if example.language == "python"]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_link_leads_somewhere(document: Path) -> None:
    broken = []
    for link in LINK.findall(prose(document)):
        path, _, anchor = link.partition("#")
        target = (document.parent / path).resolve() if path else document
        if re.match(r"[a-z]+:", link):
            continue
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert broken == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_command_and_option_that_is_named_is_there(document: Path) -> None:
    commands = get_command(app_for()).commands
    unknown = []
    for command, options in called(document):
        found = commands.get(command)
        known = {name for each in found.params for name in (*each.opts, *each.secondary_opts)} if found else set()
        unknown += [f"crm {command}"] if found is None else [f"crm {command} {each}" for each in options - known]
    assert unknown == []


def test_the_readme_tells_every_room_of_the_house() -> None:
    rooms = {path.parent.name for path in (ROOT / "crm_spark").glob("*/__init__.py")}
    told = set(re.findall(r"^\| `crm_spark/(\w+)` \|", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE))
    assert told == rooms


def test_every_command_is_in_the_guide() -> None:
    told = {command for document in DOCUMENTS for command, _ in called(document)}
    assert set(get_command(app_for()).commands) - told == set()


@pytest.mark.parametrize("text", MAPPINGS, ids=lambda text: text.split("\n")[0])
def test_every_mapping_that_is_shown_can_be_read(text: str, tmp_path: Path) -> None:
    file = tmp_path / "shown.yaml"
    file.write_text(text, "utf-8")
    assert mistakes(mapping.read(file)) == []


@pytest.mark.parametrize("text", SETTINGS, ids=lambda text: text.split("\n")[0])
def test_every_configuration_that_is_shown_can_be_loaded(text: str, tmp_path: Path) -> None:
    file = tmp_path / "shown.yaml"
    file.write_text(text, "utf-8")
    assert config.load(file)


def test_the_guide_tells_every_setting_of_these_jobs_with_its_default() -> None:
    rows = re.findall(r"^\| `(\w+)` \| `(\w+)` \| `?([^|`]+)`? \|", prose(OPERATIONS), re.MULTILINE)
    settings = {
        (name, key): field.default
        for name in (
            "customer_margins",
            "value_groups",
            "value_bridge",
            "cohorts",
            "clv_drivers",
            "choice_trees",
            "choice_scores",
            "contract_values",
            "basket_rules",
            "behaviour_series",
            "behaviour_forecasts",
            "behaviour_findings",
            "next_offers",
            *SEGMENTS,
        )
        for key, field in discover().jobs[name].config.model_fields.items()
        if key not in Settings.model_fields
    }
    told = {(name, key): default.strip() for name, key, default in rows if name in {job for job, _ in settings}}
    assert set(told) == set(settings)
    for of, default in settings.items():
        if isinstance(default, int | float | str):
            assert TypeAdapter(type(default)).validate_python(told[of]) == default


@pytest.mark.parametrize("name", ["local.yaml", "cluster.yaml"])
def test_the_shipped_configurations_suit_the_sample_shop(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for key in ("CRM_LAKE", "CRM_ZONE", "CRM_CURRENCY"):
        monkeypatch.delenv(key, raising=False)
    place = config.load(ROOT / "conf" / name)
    assert (place.lake, place.zone, place.currency) == ("./lake", "Europe/Berlin", "EUR")


@pytest.mark.parametrize("text", PROGRAMS, ids=lambda text: text.split("\n")[0])
def test_every_program_that_is_shown_imports_what_is_there(text: str) -> None:
    imported = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.ImportFrom)]
    missing = [
        f"{node.module}.{name.name}"
        for node in imported
        for name in node.names
        if (node.module or "").startswith("crm_spark") and not is_there(node.module or "", name.name)
    ]
    assert missing == []


def is_there(module: str, name: str) -> bool:
    """Whether a module has that name, or a module of that name below it."""
    found = importlib.import_module(module)
    if hasattr(found, name):
        return True
    try:
        return importlib.import_module(f"{module}.{name}") is not None
    except ModuleNotFoundError:
        return False


def test_the_guide_shows_mappings_settings_and_programs() -> None:
    assert len(MAPPINGS) >= 3
    assert SETTINGS
    assert len(PROGRAMS) >= 3
