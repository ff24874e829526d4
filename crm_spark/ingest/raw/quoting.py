"""Quotes of CSV: is one open at the end of a line, and what are the fields of a record.

A field that begins with a quote ends at the first delimiter after its closing quote; a quote inside a field
that does not begin with one is a character like any other (`5" pipe`).
"""

import re
from functools import lru_cache

from crm_spark.ingest.raw.form import Format


class Grammar:
    """The shape of a record, as patterns over bytes that never go back."""

    def __init__(self, form: Format) -> None:
        quote, escape, delimiter = form.quote.encode(), form.escape.encode(), form.delimiter.encode()
        self.quote, self.escape, self.delimiter = quote, escape, delimiter
        body, rest = _inside(quote, escape), _until(delimiter)
        self._unescape = re.compile(re.escape(escape or b"\0") + b"(.)", re.DOTALL)
        if not quote:
            self._field = re.compile(b"(?P<plain>%b)" % rest, re.DOTALL)
            return

        mark, between = re.escape(quote), re.escape(delimiter)
        closing = b"%b%b%b" % (body, mark, rest)
        field = b"(?:%b%b|(?!%b)%b)" % (mark, closing, mark, rest)
        more = b"(?:%b%b)*+" % (between, field)
        self._closed = re.compile(field + more, re.DOTALL)
        self._closes = re.compile(closing + more, re.DOTALL)
        quoted = b"%b(?P<quoted>%b)%b(?P<rest>%b)" % (mark, body, mark, rest)
        self._field = re.compile(b"(?:%b|(?P<plain>%b))" % (quoted, rest), re.DOTALL)

    def is_open_after(self, line: bytes, is_open: bool = False) -> bool:
        """Tell whether a quote is open at the end of a line, given whether one was at its beginning."""
        if not self.quote or self.quote not in line:
            return is_open
        return not (self._closes if is_open else self._closed).fullmatch(line)

    def fields(self, record: bytes) -> list[str]:
        """Give the fields of a record, unquoted."""
        fields, at = [], 0
        while at <= len(record) and (found := self._field.match(record, at)):
            fields.append(self._value(found).decode())
            at = found.end() + len(self.delimiter)
        return fields

    def _value(self, field: re.Match[bytes]) -> bytes:
        if field["plain"] is not None:
            return field["plain"]
        inner = self._unescape.sub(rb"\1", field["quoted"]) if self.escape else field["quoted"]
        return inner + field["rest"]


@lru_cache(maxsize=16)
def grammar(form: Format) -> Grammar:
    """Give the grammar of a format, compiled once a process."""
    return Grammar(form)


def _inside(quote: bytes, escape: bytes) -> bytes:
    mark = re.escape(quote)
    if not escape:
        return b"[^%b]*+" % mark
    if escape == quote:
        return b"(?:[^%b]++|%b%b)*+" % (mark, mark, mark)
    return b"(?:[^%b%b]++|%b.)*+" % (mark, re.escape(escape), re.escape(escape))


def _until(delimiter: bytes) -> bytes:
    if len(delimiter) == 1:
        return b"[^%b]*+" % re.escape(delimiter)
    return b"(?:(?!%b).)*+" % re.escape(delimiter)
