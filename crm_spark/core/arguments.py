"""What a command line says, read: a day, and settings. Quick to import, as `--help` should be."""

from collections.abc import Sequence
from datetime import date
from typing import Any

from crm_spark.core.errors import ConfigError

FIRST, LAST = date(1900, 1, 1), date(2999, 12, 31)  # jobs look decades back and ahead


def day(text: str | None, option: str = "--as-of") -> date:
    """Read a day as the command line gives it.

    Raises
    ------
    ConfigError
        It is missing, or no day.
    """
    if text is None:
        raise ConfigError(f"{option} is missing: say which day, like {option} 2026-01-31")
    try:
        told = date.fromisoformat(text)
    except ValueError:
        raise ConfigError(f"{option} must be a day like 2026-01-31, got '{text}'") from None
    if not FIRST <= told <= LAST:
        raise ConfigError(f"{option} must be a day from {FIRST} to {LAST}, got '{text}'")
    return told


def settings(pairs: Sequence[str], form: str = "NAME=VALUE") -> dict[str, Any]:
    """Read settings by name; values as YAML reads them.

    Parameters
    ----------
    form : str
        How a pair is written; with a dot in its name where there is one.

    Raises
    ------
    ConfigError
        Naming every pair that is none.
    """
    dots = form.count(".")
    wrong = [pair for pair in pairs if "=" not in pair or pair.split("=")[0].count(".") < dots]
    if wrong:
        raise ConfigError.listing(f"--set takes {form}", [f"got '{pair}'" for pair in wrong])
    return {name: _value(name, text) for name, text in (pair.split("=", 1) for pair in pairs)}


def _value(name: str, text: str) -> Any:
    from crm_spark.core import documents  # noqa: PLC0415 - as above

    try:
        return documents.parse(text)
    except ValueError:
        raise ConfigError(f"--set {name}: the value is no YAML; quote it") from None
