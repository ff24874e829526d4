"""Configuration: what must never stand in it, and a secret that comes by the environment."""

from datetime import date
from pathlib import Path

import pytest

from crm_spark.core import config
from crm_spark.core.errors import ConfigError
from crm_spark.core.job import job

AS_OF = date(2025, 1, 31)
SECRETS = ["fs.s3a.secret.key", "fs.azure.account.key.shop.dfs", "api_key", "spark.ssl.keyPassword", "sas"]


@pytest.mark.parametrize("name", SECRETS)
def test_a_secret_is_refused_in_a_file_and_on_the_command_line_without_its_value(tmp_path: Path, name: str) -> None:
    file = tmp_path / "place.yaml"
    file.write_text(f"spark:\n  '{name}': hidden\n")
    for given in ({"file": file}, {"file": None, "jobs": {"rfm_scores": {name: "hidden"}}}):
        with pytest.raises(ConfigError, match="must hold no secret") as told:
            config.load(**given)
        assert name in str(told.value)
        assert "hidden" not in str(told.value)


def test_a_size_of_keys_is_no_secret(tmp_path: Path) -> None:
    file = tmp_path / "place.yaml"
    file.write_text("spark:\n  spark.io.encryption.keySizeBits: '256'\n")
    assert config.load(file).spark == {"spark.io.encryption.keySizeBits": "256"}


class Config(config.Settings):
    bins: int = 5
    api_key: str = ""


@job(reads=[], writes=[])
def secretive(config: Config) -> None: ...


def test_a_fingerprint_tells_settings_apart_but_not_secrets() -> None:
    plain = secretive.fingerprint(Config(as_of=AS_OF))
    assert secretive.fingerprint(Config(as_of=AS_OF, api_key="hidden")) == plain
    assert secretive.fingerprint(Config(as_of=AS_OF, bins=4)) != plain


@pytest.mark.parametrize("zone", ["Mars/Olympus", "", "../etc", "Europe"])
def test_a_zone_that_is_none_is_told(tmp_path: Path, zone: str) -> None:
    file = tmp_path / "place.yaml"
    file.write_text(f"zone: '{zone}'\n")
    with pytest.raises(ConfigError, match="is no time zone; write one like Europe/London"):
        config.load(file)
