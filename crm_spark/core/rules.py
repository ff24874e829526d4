"""Rule files: what a place may say otherwise, shipped as YAML beside the configuration."""

from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml

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
        return yaml.safe_load(file.read_text(encoding="utf-8"))
    except OSError:
        raise ConfigError(f"there is no rule file {file}") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{file} is no YAML: {' '.join(str(error).split())}") from None
