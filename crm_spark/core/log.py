"""Log lines that bear the run id; JSON where a machine reads them. Python's own logging does the work."""

import json
import logging
from contextvars import ContextVar
from datetime import UTC, datetime
from pathlib import Path

from pyspark.logger import PySparkLogger

RUN_ID: ContextVar[str] = ContextVar("run_id", default="-")

log = logging.getLogger("crm_spark")


def configure(form: str = "text") -> None:
    """Send the suite's lines to standard error, as text or as JSON."""
    handler = logging.StreamHandler()
    handler.setFormatter(_Json() if form == "json" else _Text())
    log.handlers = [handler]
    log.setLevel(logging.INFO)
    log.propagate = False
    # Py4J would print where in its code a command was interrupted, by the root of all loggers.
    logging.getLogger().addFilter(_is_not_of_py4j)
    # PySpark would print every failed statement whole, values and all.
    PySparkLogger.getLogger("SQLQueryContextLogger").disabled = True
    PySparkLogger.getLogger("DataFrameQueryContextLogger").disabled = True


def _is_not_of_py4j(record: logging.LogRecord) -> bool:
    return "py4j" not in Path(record.pathname).parts


class _Text(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, UTC).strftime("%H:%M:%S")
        return f"{at} {RUN_ID.get()} {record.levelname.lower()}: {record.getMessage()}"


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line = {
            "at": at,
            "run_id": RUN_ID.get(),
            "level": record.levelname.lower(),
            "message": record.getMessage(),
        }
        return json.dumps(line)
