"""What differs between places: read from files, then the environment, then the command line.

`conf/local.yaml` holds `lake`, `zone`, `currency`, Spark's settings and what each job is told under
`jobs:`. The environment overrides it (`CRM_LAKE`, `CRM_JOBS__RFM_SCORES__BINS`), the command line both.
pydantic-settings does the layers, pydantic the types.
"""

import os
import re
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    YamlConfigSettingsSource,
)

from crm_spark.core import documents
from crm_spark.core.errors import ConfigError, near

SECRET = re.compile(
    r"secret|passw(or)?d|token|credential|(access|account|api|encryption|private|shared|storage)[._-]?key(?!size)|\bsas\b",
    re.IGNORECASE,
)
PASSWORD = re.compile(r"://[^/@:\s]*:(?!\d+/)[^@\s]*@")  # as in s3a://KEY:SECRET@bucket; a port is none
PARAMETER = re.compile(r"[?&;]([\w.-]+)=")
CURRENCY = r"^[A-Z]{3}$"


def _is_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # unknown, no name at all, a folder of the zone files
        raise ValueError(f"'{name}' is no time zone; write one like Europe/London") from None
    return name


Zone = Annotated[str, AfterValidator(_is_zone)]


def _named_once(names: list[Any]) -> list[Any]:
    if len(set(names)) < len(names):
        raise ValueError("each may be named once")
    return names


NamedOnce = AfterValidator(_named_once)  # of a list


class Settings(BaseModel):
    """What a job can be told; each job's `Config` adds its own fields."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    as_of: date = Field(description="The day the answers speak for.")


C = TypeVar("C", bound=Settings)


class Place(BaseSettings):
    """What differs between places and tenants, the same for every job."""

    model_config = SettingsConfigDict(env_prefix="CRM_", env_nested_delimiter="__", extra="forbid", frozen=True)

    lake: str = Field("./lake", description="Where the tables are: a folder, a URI, or a catalog schema.")
    zone: Zone = Field("UTC", description="The business time zone: days begin at its midnight.")
    currency: str = Field("EUR", pattern=CURRENCY, description="The one currency of all money in the lake.")
    sources: str = Field("conf/sources", description="The folder of the mapping files.")
    own_jobs: str | None = Field(None, description="A folder of job files beside the shipped ones.")
    rules: str | None = Field(None, description="A folder whose conformed.yaml takes the place of the shipped one.")
    quarantine_days: int = Field(90, ge=1, description="Days that the text of refused records is kept.")
    keep_days: int = Field(7, ge=1, description="Days that old versions stay readable after `crm clean`.")
    logs: Literal["text", "json"] = Field("text", description="How log lines are written.")
    spark: dict[str, str] = Field(default_factory=dict, description="Spark settings of a session made here.")
    jobs: dict[str, dict[str, Any]] = Field(default_factory=dict, description="What each job is told.")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Put the command line before the environment, and that before the file."""
        file = YamlConfigSettingsSource(settings_cls, yaml_file=settings_cls.model_config.get("yaml_file"))
        return init_settings, env_settings, file


def load(file: Path | None = None, **given: Any) -> Place:
    """Read the configuration of a place.

    Parameters
    ----------
    file : Path, optional
        A YAML file; default `conf/local.yaml` where there is one.
    **given
        What the command line says; None counts as not said.

    Raises
    ------
    ConfigError
        Naming every mistake at once, and never a value that may be a secret.
    """
    chosen = file if file is not None else Path("conf/local.yaml")
    if file is not None and not file.is_file():
        raise ConfigError(f"there is no configuration file {file}; write one like conf/local.yaml")
    _refuse_secrets(str(chosen), _tree(chosen))
    _refuse_secrets("the command line", given)

    class Here(Place):
        model_config = SettingsConfigDict(yaml_file=chosen if chosen.is_file() else None)

    try:
        place = Here(**{name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        raise ConfigError.listing(_whence(error, chosen), faults(error, Place)) from None
    except SettingsError as error:
        name = re.search(r'field "(\w+)"', str(error))
        variable = f"CRM_{name[1].upper()}" if name else "a variable CRM_…"
        raise ConfigError(f'{variable} of the environment must be JSON, like \'{{"name": "value"}}\'') from None
    _refuse_secrets("the configuration", place.model_dump(include={"lake", "sources", "own_jobs", "rules"}))
    return place


def _whence(error: ValidationError, file: Path) -> str:
    """Say where the settings stand that are wrong: the environment goes before the file."""
    wrong = {f"CRM_{found['loc'][0]}".upper() for found in error.errors(include_url=False) if found["loc"]}
    told = sorted(name for name in os.environ if name.upper().split("__")[0] in wrong)
    covered = {name.upper().split("__")[0] for name in told}
    return " and ".join([*([] if covered == wrong else [str(file)]), *told])


def of_job(config: type[C], name: str, place: Place, as_of: date) -> C:
    """Make a job's typed settings out of what the place tells it."""
    try:
        return config(**{**place.jobs.get(name, {}), "as_of": as_of})
    except ValidationError as error:
        raise ConfigError.listing(f"settings of {name}", faults(error, config)) from None


def shown(config: Settings) -> dict[str, Any]:
    """Give the settings as data, without the day and what may be a secret."""
    return _without_secrets(config.model_dump(mode="json", exclude={"as_of"}))


def faults(error: ValidationError, model: type[BaseModel]) -> list[str]:
    """Every mistake that pydantic found, in our words, without values that may be secrets."""
    return [_fault(dict(found), model) for found in error.errors(include_url=False)]


def _fault(found: dict[str, Any], model: type[BaseModel]) -> str:
    where = ".".join(str(part) for part in found["loc"])
    if found["type"] == "extra_forbidden":
        return f"unknown key '{where}'{near(where, model.model_fields)}"
    if found["type"] == "string_pattern_mismatch" and found["ctx"]["pattern"] == CURRENCY:
        return f"{where} must be three capital letters, like EUR"
    if found["type"] == "too_short":
        return f"{where} must have {found['ctx']['min_length']} or more, got {len(found['input'])}"
    told = found["input"]
    # What ought to be a tree may hold anything.
    is_hidden = SECRET.search(f"{where} {told}") or bears_secret(str(told)) or isinstance(told, dict | list)
    given = "" if is_hidden else f", got {found['input']!r}"
    said = found["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
    return f"{where} must be {said}{given}" if found["msg"].startswith("Input should be") else f"{where}: {said}{given}"


def _tree(file: Path) -> dict[str, Any]:
    if not file.is_file():
        return {}
    tree = documents.read(file) or {}
    if not isinstance(tree, dict):
        raise ConfigError(f"{file} must hold keys and values, found {type(tree).__name__}")
    return tree


def bears_secret(text: str) -> bool:
    """Whether an address has a password or a key in it."""
    named = PARAMETER.findall(text) if "://" in text else []
    return bool(PASSWORD.search(text)) or any(SECRET.search(name) or name == "sig" for name in named)


def _refuse_secrets(where: str, tree: dict[str, Any]) -> None:
    """A file is copied, a command line is listed by the system: secrets come from the environment or the platform."""
    found = list(_paths(tree))
    listed = [f"{name} looks like a secret" for name, _ in found if SECRET.search(name)]
    listed += [f"{name} has a password in its URI" for name, value in found if bears_secret(str(value))]
    if listed:
        raise ConfigError.listing(f"{where} must hold no secret; take it from the environment or the platform", listed)


def _without_secrets(tree: dict[str, Any]) -> dict[str, Any]:
    kept = {name: value for name, value in tree.items() if not SECRET.search(name)}
    return {name: _without_secrets(value) if isinstance(value, dict) else value for name, value in kept.items()}


def _paths(tree: dict[str, Any] | list[Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """Every key of a nested mapping, with its path, and what stands there; of a list by its place."""
    for name, value in tree.items() if isinstance(tree, dict) else enumerate(tree):
        if isinstance(value, dict | list):
            yield f"{above}{name}", None
            yield from _paths(value, f"{above}{name}.")
        else:
            yield f"{above}{name}", value
