"""A scratch source for the tests of ingestion: raw files as text, a mapping as data, one call to load.

Each table that a load feeds costs its commits: orders name customers and products where a test asks for them.
"""

import gzip
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from crm_spark.core.config import Place
from crm_spark.core.contracts import Table
from crm_spark.core.lake import Lake
from crm_spark.ingest.accounts import ACCOUNTS, QUARANTINE
from crm_spark.ingest.load import Asked, Told, ingest
from crm_spark.ingest.mapping import Source

ORDERS: dict[str, Any] = {
    "files": "orders/*",
    "columns": {
        "order": "string",
        "line": "int",
        "customer": "string",
        "product": "string",
        "pieces": "decimal(18,4)",
        "price": "decimal(18,4)",
        "at": "timestamp yyyy-MM-dd HH:mm:ss",
    },
    "tables": {
        "order_lines": {
            "columns": {
                "order_id": "order",
                "line_number": "line",
                "quantity": "pieces",
                "unit_price": "price",
                "ordered_at": "at",
            }
        }
    },
}
BUYERS: dict[str, Any] = {
    **ORDERS,
    "tables": {"order_lines": {"columns": {**ORDERS["tables"]["order_lines"]["columns"], "customer_id": "customer"}}},
}
PRICES: dict[str, Any] = {
    "files": "prices/*",
    "columns": {"product": "string", "off": "decimal(18,4)", "day": "date"},
    "key": ["product"],
    "version": "day",
}
HEADER = "order,line,customer,product,pieces,price,at\n"


def priced(orders: dict[str, Any]) -> dict[str, Any]:
    """Give a feed of orders its discounts, by product, from the feed `prices`."""
    columns = {**orders["tables"]["order_lines"]["columns"], "discount": "listed.off"}
    lookups = {"listed": {"feed": "prices", "by": {"product": "product"}}}
    return {**orders, "lookups": lookups, "tables": {"order_lines": {"columns": columns}}}


@dataclass
class Raw:
    """A folder of raw files with the mapping of its source, loaded into a lake."""

    lake: Lake
    folder: Path
    place: Place
    feeds: dict[str, Any] = field(default_factory=lambda: {"orders": ORDERS})
    source: dict[str, Any] = field(default_factory=dict)
    begun: int = 0

    def write(self, path: str, content: str | bytes) -> Path:
        """Write one raw file; a name that ends in .gz is packed."""
        file = self.folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        data = content.encode() if isinstance(content, str) else content
        file.write_bytes(gzip.compress(data, mtime=0) if path.endswith(".gz") and isinstance(content, str) else data)
        return file

    def orders(self, path: str, *lines: str) -> Path:
        """Write a file of order lines, without spelling out its header."""
        return self.write(f"orders/{path}", HEADER + "".join(f"{line}\n" for line in lines))

    def load(self, **options: Any) -> Told:
        """Load what is new."""
        source = Source(**{"source": "till", "zone": "UTC", "feeds": self.feeds, **self.source})
        return ingest(
            self.lake, self.place, source, str(self.folder), uuid.uuid4().hex[:12], Asked(**options), self._begin
        )

    def _begin(self) -> None:
        self.begun += 1

    def rows(self, table: Table, *columns: str) -> list[tuple[Any, ...]]:
        """Read some columns of a table, sorted."""
        found = self.lake.current(table).select(*columns).collect()
        return sorted((tuple(row) for row in found), key=str)

    def accounts(self) -> dict[str, tuple[Any, ...]]:
        """Read for each file what became of it: status, records, loaded, quarantined, duplicates."""
        columns = ["path", "status", "records", "loaded", "quarantined", "duplicates"]
        return {row[0]: row[1:] for row in self.rows(ACCOUNTS, *columns)}

    def reasons(self) -> list[tuple[Any, ...]]:
        """Read where each refused record stands and why it was refused."""
        return self.rows(QUARANTINE, "path", "position", "reason")


@pytest.fixture
def raw(lake: Lake, tmp_path: Path) -> Raw:
    folder = tmp_path / "raw"
    folder.mkdir()
    return Raw(lake, folder, Place(lake=lake.location, currency="EUR", zone="UTC"))
