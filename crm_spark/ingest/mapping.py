"""A source as its YAML file says it: which raw files, how to read them, and what becomes of each column."""

import re
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from crm_spark.core.config import CURRENCY, Zone, faults
from crm_spark.core.errors import ConfigError, near
from crm_spark.ingest.raw import Format
from crm_spark.ingest.tables import CONFORMED

RAW_TYPE = re.compile(r"(string|int|bigint|double|boolean|decimal\(\d+,\s*\d+\)|(date|timestamp|instant)( .+)?)")
Severity = Literal["off", "warn", "quarantine", "fail"]


def _is_raw_type(text: str) -> str:
    if not RAW_TYPE.fullmatch(text):
        raise ValueError(
            f"type '{text}' cannot be; allowed: string, int, bigint, double, boolean, decimal(p,s), "
            "date [pattern], timestamp [pattern], instant [pattern]"
        )
    return text


RawType = Annotated[str, AfterValidator(_is_raw_type)]


class Strict(BaseModel):
    """A part of a mapping; an unknown key is a mistake."""

    model_config = ConfigDict(extra="forbid", frozen=True, coerce_numbers_to_str=True)


class Rule(Strict):
    """What must hold for a record: an SQL condition over the feed's raw columns; unknown counts as holding."""

    name: str
    check: str
    severity: Severity = "quarantine"
    meaning: str = ""


class Target(Strict):
    """What a record becomes in one conformed table: an SQL expression over the raw columns for each column."""

    columns: dict[str, str]
    where: str | None = Field(None, description="Which records become a row at all.")
    key: list[str] = Field(default_factory=list, description="The natural key: columns of the table.")
    version: str | None = Field(None, description="What orders versions of a row: a time, a day or a number.")

    @model_validator(mode="after")
    def _key_has_version(self) -> "Target":
        if self.key and self.version is None:
            raise ValueError("a natural key needs `version`: what orders the versions of a row")
        return self


class LookUp(Strict):
    """Columns of another feed of the source, found by its key."""

    feed: str
    by: dict[str, str] = Field(description="For each key column of that feed an expression over this one's.")


class Rates(Strict):
    """Where the rates of exchange are: a look-up feed with a rate for a currency and a day."""

    feed: str
    currency: str = "currency"
    day: str = "date"
    rate: str = "rate"


class Feed(Strict):
    """Raw files of one kind."""

    files: str = Field(description="A pattern below the source's folder.")
    format: Literal["csv", "jsonl", "parquet"] = "csv"
    header: bool = True
    delimiter: str = Field(",", min_length=1, max_length=1)
    quote: str = Field('"', max_length=1)
    escape: str = Field('"', max_length=1)
    encoding: str = "utf-8"
    multiline: bool = False
    max_record_bytes: int = Field(1_048_576, ge=1)
    columns: dict[str, RawType] = Field(min_length=1)
    optional: list[str] = Field(default_factory=list, description="Columns that a file may lack.")
    extra: Literal["refuse", "ignore"] = "refuse"
    duplicates: Literal["keep", "drop"] = "keep"
    currency: str | None = Field(None, description="Of its amounts: an SQL expression, or a code in quotes.")
    key: list[str] = Field(default_factory=list, description="Of a look-up feed: the columns that find a row.")
    version: str | None = Field(None, description="Of a look-up feed: the column that orders versions.")
    lookups: dict[str, LookUp] = Field(default_factory=dict)
    tables: dict[str, Target] = Field(default_factory=dict)
    rules: list[Rule] = Field(default_factory=list)
    severities: dict[str, Severity] = Field(default_factory=dict, description="Of the shipped rules, by name.")

    @property
    def main(self) -> str | None:
        """The table whose refusal refuses the record: the first."""
        return next(iter(self.tables), None)

    @property
    def form(self) -> Format:
        """How the files are read."""
        return Format(
            kind=self.format,
            header=self.header,
            delimiter=self.delimiter,
            quote=self.quote,
            escape=self.escape,
            encoding=self.encoding,
            multiline=self.multiline,
            max_record_bytes=self.max_record_bytes,
            columns=tuple(self.columns),
            optional=tuple(self.optional),
            extra=self.extra,
        )


class Source(Strict):
    """One source of raw files: one clock, one currency unless a feed says otherwise."""

    source: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    folder: str | None = Field(None, description="The folder or URI of the raw files; `--from` goes before it.")
    zone: Zone
    currency: str | None = Field(None, pattern=CURRENCY)
    rates: Rates | None = None
    feeds: dict[str, Feed] = Field(min_length=1)

    @property
    def order(self) -> list[str]:
        """The feeds, those that others look up first."""
        used = {look.feed for feed in self.feeds.values() for look in feed.lookups.values()}
        used |= {self.rates.feed} if self.rates else set()
        return sorted(self.feeds, key=lambda name: (name not in used, list(self.feeds).index(name)))

    def uses(self, feed: str) -> list[str]:
        """Feeds that a feed looks up."""
        looked = [look.feed for look in self.feeds[feed].lookups.values()]
        rated = [self.rates.feed] if self.rates and self.rates.feed != feed else []
        return [*looked, *rated]


def read(file: Path) -> Source:
    """Read a mapping file.

    Raises
    ------
    ConfigError
        Naming every mistake that can be told without Spark: shape, names, types, references.
    """
    try:
        tree = yaml.safe_load(file.read_text(encoding="utf-8"))
    except OSError:
        raise ConfigError(f"there is no mapping file {file}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file} is not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(tree, dict):
        raise ConfigError(f"{file} must hold keys and values, found {type(tree).__name__}")
    try:
        source = Source(**tree)
    except ValidationError as error:
        raise ConfigError.listing(str(file), faults(error, Source)) from None
    wrong = [fault for name, feed in source.feeds.items() for fault in _wrong(source, name, feed)]
    if source.rates is not None and source.rates.feed not in source.feeds:
        wrong.append(f"rates: '{source.rates.feed}' is no feed{near(source.rates.feed, source.feeds)}")
    if wrong:
        raise ConfigError.listing(str(file), wrong)
    return source


def _wrong(source: Source, name: str, feed: Feed) -> list[str]:
    """References of one feed that lead nowhere."""
    wrong = [
        f"{name}: {what} names no column '{column}'{near(column, feed.columns)}"
        for what, columns in (
            ("optional", feed.optional),
            ("key", feed.key),
            ("version", [feed.version or ""]),
        )
        for column in columns
        if column and column not in feed.columns
    ]
    if not feed.tables and not feed.key:
        wrong.append(f"{name}: feeds no table; name one under `tables`, or a `key` if it is a look-up")
    try:
        feed.form  # noqa: B018 - it refuses what cannot be read that way
    except ValueError as error:
        wrong.append(f"{name}: {error}")
    for alias, look in feed.lookups.items():
        wrong += _wrong_look_up(source, f"{name}.{alias}", look.feed, list(look.by))
    if source.rates and name == source.rates.feed:
        wrong += _wrong_look_up(source, "rates", name, [source.rates.currency, source.rates.day])
    for table, target in feed.tables.items():
        wrong += _wrong_target(name, table, target)
    return wrong


def _wrong_look_up(source: Source, where: str, feed: str, on: list[str]) -> list[str]:
    looked = source.feeds.get(feed)
    if looked is None:
        return [f"{where}: looks up '{feed}', which is no feed{near(feed, source.feeds)}"]
    if sorted(looked.key) != sorted(on):
        return [
            f"{where}: finds rows of {feed} by {', '.join(on)}, but its key is {', '.join(looked.key) or 'not named'}"
        ]
    return []


def _wrong_target(feed: str, table: str, target: Target) -> list[str]:
    if table not in CONFORMED:
        return [f"{feed}: '{table}' is no conformed table{near(table, CONFORMED)}"]
    allowed = [*CONFORMED[table].names, "known_at"] if table in ("customers", "products") else CONFORMED[table].names
    strange = [
        f"{feed}.{table}: '{column}' is no column of it{near(column, allowed)}"
        for column in (*target.columns, *target.key)
        if column not in allowed
    ]
    return strange + [
        f"{feed}.{table}: key '{column}' is not among its columns: say what it is"
        for column in target.key
        if column in allowed and column not in target.columns
    ]
