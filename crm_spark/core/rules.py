"""Rule files: what a place may say otherwise, shipped as YAML beside the configuration."""

from importlib.resources import files
from pathlib import Path
from typing import Any

from crm_spark.core import documents
from crm_spark.core.errors import ConfigError


def read_rules(name: str, instead: Path | None = None) -> Any:
    """Read a shipped rule file, or the one that a place has instead.

    Raises
    ------
    ConfigError
        The file is not there, or is no YAML.
    """
    file = instead if instead is not None else files("crm_spark.conf") / "rules" / name
    try:
        return documents.read(file)
    except OSError:
        raise ConfigError(f"there is no rule file {file}") from None
