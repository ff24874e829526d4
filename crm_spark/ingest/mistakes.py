"""What cannot be in a mapping, told without Spark: names that lead nowhere, keys that order nothing, secrets."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from crm_spark.core.config import bears_secret
from crm_spark.core.errors import near
from crm_spark.ingest import declared
from crm_spark.ingest.tables import CONFORMED, HISTORIES, MADE_NAMES

if TYPE_CHECKING:  # mappings are held against this when they are read
    from crm_spark.ingest.mapping import Feed, Rates, Source, Target

UNORDERED = ("string", "boolean")


def secrets(tree: Any, where: str = "") -> Iterator[str]:
    """Name the places of a tree that hold an address with its key or password."""
    if isinstance(tree, dict | list):
        inner = tree.items() if isinstance(tree, dict) else enumerate(tree)
        for name, value in inner:
            yield from secrets(value, f"{where}.{name}" if where else f"{name}")
    elif isinstance(tree, str) and bears_secret(tree):
        yield f"{where} looks like a secret"


def mistakes(source: Source) -> list[str]:
    """Every mistake of a source whose shape is right."""
    found = [fault for name, feed in source.feeds.items() for fault in _of_feed(source, name, feed)]
    return found + (_of_rates(source, source.rates) if source.rates else [])


def of_types(tree: Any) -> list[str]:
    """Name the types that cannot be in a tree that may be anything."""
    feeds = tree.get("feeds")
    return [
        fault
        for name, feed in (feeds.items() if isinstance(feeds, dict) else ())
        if isinstance(feed, dict) and isinstance(feed.get("columns"), dict)
        for fault in _of_types(name, feed["columns"])
    ]


def _of_types(name: str, columns: Mapping[str, Any]) -> list[str]:
    told = ((column, declared.fault(kind)) for column, kind in columns.items() if isinstance(kind, str))
    return [f"{name}: column '{column}': {fault}" for column, fault in told if fault]


def _of_feed(source: Source, name: str, feed: Feed) -> list[str]:
    wrong = [*_of_types(name, feed.columns), *_of_columns(name, feed), *_of_version(name, feed)]
    if not feed.tables and not feed.key:
        wrong.append(f"{name}: feeds no table; name one under `tables`, or a `key` if it is a look-up")
    try:
        feed.form  # noqa: B018 - it refuses what cannot be read that way
    except ValueError as error:
        wrong.append(f"{name}: {error}")
    wrong += ground(source, name, feed)
    for table, target in feed.tables.items():
        wrong += _of_target(name, table, target)
    return wrong


def ground(source: Source, name: str, feed: Feed) -> list[str]:
    """What is wrong with the columns that a feed's expressions are to find: these cannot be judged then."""
    counted = Counter(column.lower() for column in feed.columns)
    alike = [column for column in feed.columns if counted[column.lower()] > 1]
    wrong = [f"{name}: columns {', '.join(alike)} differ by case alone, which Spark ignores"] if alike else []
    for alias, look in feed.lookups.items():
        wrong += _of_look_up(source, f"{name}.{alias}", look.feed, list(look.by))
        if alias.lower() in counted:
            wrong.append(f"{name}.{alias}: a raw column is called so too; give the look-up another name")
    return wrong


def _of_columns(name: str, feed: Feed) -> list[str]:
    """References to raw columns that are not declared."""
    return [
        f"{name}: {what} names no column '{column}'{near(column, feed.columns)}"
        for what, columns in (("optional", feed.optional), ("key", feed.key), ("version", [feed.version or ""]))
        for column in columns
        if column and column not in feed.columns
    ]


def _of_version(name: str, feed: Feed) -> list[str]:
    kind = feed.columns.get(feed.version or "")
    if kind not in UNORDERED:
        return []
    return [f"{name}: version '{feed.version}' is a {kind}, which orders nothing; make it a time, a day or a number"]


def _of_look_up(source: Source, where: str, feed: str, on: Sequence[str]) -> list[str]:
    looked = source.feeds.get(feed)
    if looked is None:
        return [f"{where}: looks up '{feed}', which is no feed{near(feed, source.feeds)}"]
    if sorted(looked.key) != sorted(on):
        return [
            f"{where}: finds rows of {feed} by {', '.join(on)}, but its key is {', '.join(looked.key) or 'not named'}"
        ]
    return []


def _of_rates(source: Source, rates: Rates) -> list[str]:
    feed = source.feeds.get(rates.feed)
    if feed is None:
        return [f"rates: '{rates.feed}' is no feed{near(rates.feed, source.feeds)}"]
    wrong = _of_look_up(source, "rates", rates.feed, [rates.currency, rates.day])
    if rates.rate not in feed.columns:
        wrong.append(f"rates: rate names no column '{rates.rate}' of {rates.feed}{near(rates.rate, feed.columns)}")
    return wrong


def _of_target(feed: str, table: str, target: Target) -> list[str]:
    if table not in CONFORMED:
        return [f"{feed}: '{table}' is no conformed table{near(table, CONFORMED)}"]
    where, names = f"{feed}.{table}", HISTORIES.get(table, CONFORMED[table]).names
    allowed = [name for name in names if name not in MADE_NAMES]
    wrong = [
        f"{where}: '{column}' is written by the ingestion itself"
        if column in MADE_NAMES
        else f"{where}: '{column}' is no column of it{near(column, allowed)}"
        for column in (*target.columns, *target.key)
        if column not in allowed
    ]
    wrong += [
        f"{where}: key '{column}' is not among its columns: say what it is"
        for column in target.key
        if column in allowed and column not in target.columns
    ]
    return wrong + _of_key(where, table, target)


def _of_key(where: str, table: str, target: Target) -> list[str]:
    """An id is said once: by its column, or by a natural key that it is made from."""
    own = CONFORMED[table].key[0]
    if table in HISTORIES and (target.key or target.version):
        return [f"{where}: its key is {own} and `known_at` orders what is said; leave out `key` and `version`"]
    if target.key and own in target.columns and target.key != [own]:
        return [f"{where}: {own} is said by its column and by `key`; leave out one of them"]
    return []
