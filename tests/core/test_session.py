"""The settings of a session that is made here."""

from pathlib import Path

import pytest

from crm_spark.core.session import ARCHIVE, COMPILED_AGAIN, JAVA_OPTIONS, READ_BY_JAVA, for_java

PATIENT = " ".join(f"-XX:Tier4{name}Threshold={times}" for name, times in COMPILED_AGAIN.items())


@pytest.fixture
def jars(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "the jars"
    folder.mkdir()
    monkeypatch.setenv("CRM_JARS", str(folder))
    return folder


def test_java_starts_from_the_archive_beside_the_jars(jars: Path) -> None:
    (jars / ARCHIVE).touch()

    options = for_java({JAVA_OPTIONS: "-XX:+UseSerialGC"})[JAVA_OPTIONS]

    assert options == f'-XX:SharedArchiveFile="{jars / ARCHIVE}" {PATIENT} -XX:+UseSerialGC'


@pytest.mark.usefixtures("jars")
def test_what_is_set_comes_last_and_so_before_all_else() -> None:
    assert for_java({JAVA_OPTIONS: "-XX:+UseSerialGC"}) == {JAVA_OPTIONS: f"{PATIENT} -XX:+UseSerialGC"}


@pytest.mark.usefixtures("jars")
def test_java_collects_with_all_its_threads_at_once() -> None:
    assert for_java({JAVA_OPTIONS: "-Xss4m"}) == {JAVA_OPTIONS: f"{PATIENT} -XX:+UseParallelGC -Xss4m"}


@pytest.mark.usefixtures("jars")
@pytest.mark.parametrize("name", READ_BY_JAVA)
def test_a_collector_that_the_environment_sets_stays(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "-Xss4m -XX:+UseZGC")

    assert for_java({}) == {JAVA_OPTIONS: PATIENT}
