"""A source as its YAML file says it: which raw files, how to read them, and what becomes of each column."""

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from crm_spark.core import documents
from crm_spark.core.config import CURRENCY, Zone, faults
from crm_spark.core.errors import ConfigError
from crm_spark.ingest import mistakes
from crm_spark.ingest.raw import Format

Severity = Literal["off", "warn", "quarantine", "fail"]


class Strict(BaseModel):
    """A part of a mapping; an unknown key is a mistake."""

    model_config = ConfigDict(extra="forbid", frozen=True, coerce_numbers_to_str=True)


class Rule(Strict):
    """What must hold for a record: an SQL condition; unknown counts as holding.

    It sees the feed's raw columns, the rows that the record becomes (`order_lines.kind`) and the time of loading
    (`_now`). A shipped rule is of one table and sees its row alone.
    """

    name: str
    check: str
    severity: Severity = "quarantine"
    meaning: str = ""


class Target(Strict):
    """What a record becomes in one conformed table: an SQL expression over the raw columns for each column."""

    columns: dict[str, str] = Field(min_length=1)
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
    columns: dict[str, str] = Field(min_length=1, description="Raw columns and what they are: see `declared`.")
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
    """Read a mapping file. Its names, types and expressions are still to be checked, all at once: see `check`.

    Raises
    ------
    ConfigError
        It has not the shape of a mapping, or holds a secret, which is never shown.
    """
    tree = _tree(file)
    secrets = list(mistakes.secrets(tree))
    if secrets:
        raise ConfigError.listing(f"{file} must hold no secret; take it from the environment or the platform", secrets)
    try:
        return Source.model_validate(tree)
    except ValidationError as error:
        raise ConfigError.listing(str(file), [*faults(error, Source), *mistakes.of_types(tree)]) from None


def _tree(file: Path) -> dict[Any, Any]:
    try:
        tree = documents.read(file)
    except OSError:
        raise ConfigError(f"there is no mapping file {file}") from None
    if not isinstance(tree, dict):
        raise ConfigError(f"{file} must hold keys and values, found {type(tree).__name__}")
    return tree
