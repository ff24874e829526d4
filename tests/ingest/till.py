"""A till whose files are loaded by one call, as a run with its entry in the run log."""

from pathlib import Path

from crm_spark.core.config import Place
from crm_spark.core.lake import Lake
from crm_spark.ingest import run
from crm_spark.ingest.mapping import Source
from tests.ingest.conftest import ORDERS

SOURCE = Source(source="till", zone="UTC", feeds={"orders": ORDERS})


def load(lake: Lake, folder: Path) -> None:
    """Load what is new in a folder."""
    run.run(lake, Place(lake=lake.location, currency="EUR", zone="UTC"), SOURCE, str(folder))
