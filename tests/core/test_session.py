"""The settings of a session that is made here."""

from pathlib import Path

import pytest

from crm_spark.core.session import ARCHIVE, JAVA_OPTIONS, archived


@pytest.fixture
def jars(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "the jars"
    folder.mkdir()
    monkeypatch.setenv("CRM_JARS", str(folder))
    return folder


def test_java_starts_from_the_archive_beside_the_jars(jars: Path) -> None:
    (jars / ARCHIVE).touch()

    options = archived({JAVA_OPTIONS: "-XX:+UseSerialGC"})[JAVA_OPTIONS]

    assert options == f'-XX:SharedArchiveFile="{jars / ARCHIVE}" -XX:+UseSerialGC'


@pytest.mark.usefixtures("jars")
def test_where_there_is_no_archive_java_options_stay_as_they_are() -> None:
    assert archived({JAVA_OPTIONS: "-XX:+UseSerialGC"}) == {}
