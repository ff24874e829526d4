"""Configuration: what must never stand in it, and a secret that comes by the environment."""

import re
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


@pytest.mark.parametrize(
    "store", ["s3a://KEY:hidden@bucket/crm", "s3a://KEY:hid/den@bucket", "https://me:hidden@host/x"]
)
def test_a_password_in_a_uri_is_refused_wherever_it_comes_from_and_not_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, store: str
) -> None:
    file = tmp_path / "place.yaml"
    file.write_text(f"zone: '{store}'\n")
    refused = []
    for given in ({"file": file}, {"lake": store}, {"jobs": {"a": {"source": store}}}, {}):
        monkeypatch.setenv("CRM_LAKE", store if not given else "./lake")
        with pytest.raises(ConfigError, match="has a password in its URI") as told:
            config.load(**given)
        refused.append(str(told.value))
    assert not [said for said in refused if "hid" in said]


@pytest.mark.parametrize("store", ["abfss://crm@shop.dfs.core.windows.net/lake", "hdfs://name:8020/user@shop/lake"])
def test_a_container_or_a_port_is_no_password(store: str) -> None:
    assert config.load(lake=store).lake == store


def test_the_environment_goes_before_the_file_and_the_command_line_before_both(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "place.yaml"
    file.write_text("lake: file\nzone: Europe/London\ncurrency: GBP\njobs: {rfm_scores: {bins: 3, net: true}}\n")
    told = {"CRM_LAKE": "environment", "CRM_ZONE": "Europe/Berlin", "CRM_JOBS__RFM_SCORES__BINS": "4"}
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    place = config.load(file, lake="command line")
    assert (place.lake, place.zone, place.currency) == ("command line", "Europe/Berlin", "GBP")
    assert {name: str(value) for name, value in place.jobs["rfm_scores"].items()} == {"bins": "4", "net": "True"}


def test_what_cannot_be_read_is_told_in_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "place.yaml"
    file.write_bytes("zone: Europe/Zürich".encode("latin-1"))
    with pytest.raises(ConfigError, match="place.yaml is not UTF-8; save it as UTF-8"):
        config.load(file)
    monkeypatch.setenv("CRM_SPARK", "foo")
    with pytest.raises(ConfigError, match="CRM_SPARK of the environment must be JSON"):
        config.load()


def test_settings_are_shown_without_secrets_however_deep() -> None:
    class Deep(Config):
        store: dict[str, str]

    told = Deep(as_of=AS_OF, api_key="hidden", store={"token": "hidden", "name": "shop"})
    assert config.shown(told) == {"bins": 5, "store": {"name": "shop"}}


def test_a_wrong_setting_is_told_of_where_it_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "local.yaml"
    file.write_text("zone: Europe/London\ncurrency: xxEURxx\n")
    with pytest.raises(ConfigError) as told:
        config.load(file)
    assert str(told.value).splitlines() == [f"{file}:", "  currency must be three capital letters, like EUR"]
    monkeypatch.setenv("CRM_ZONE", "Europe/Berln")
    with pytest.raises(ConfigError, match=f"^{re.escape(str(file))} and CRM_ZONE:"):
        config.load(file)
    monkeypatch.setenv("CRM_CURRENCY", "Euro")
    with pytest.raises(ConfigError, match="^CRM_CURRENCY and CRM_ZONE:"):
        config.load(file)


@pytest.mark.parametrize("value", ['"spark.secret=HUNTER2"', '["spark.password=HUNTER2"]', '[{"password": "HUNTER2"}]'])
def test_what_ought_to_be_a_tree_shows_no_value(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("CRM_SPARK", value)
    with pytest.raises(ConfigError, match="CRM_SPARK") as told:
        config.load()
    assert "HUNTER2" not in str(told.value)


@pytest.mark.parametrize("text", ["jobs: [{password: HUNTER2}]", "lake: s3a://b/?secret_key=HUNTER2"])
def test_a_secret_in_a_list_or_in_a_parameter_of_an_address_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "local.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError, match="must hold no secret") as told:
        config.load(file)
    assert "HUNTER2" not in str(told.value)
