"""Set-up, by stand-ins: a Python that makes no environment, a Java that fetches a file of three letters."""

import hashlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

PYTHON = f"""#!/bin/bash
case "$*" in
    *_base_executable*) echo "$STAND_INS/python3" ;;
    "-m venv"*)
        rm -rf .venv
        mkdir -p .venv/bin .venv/lib/python3/site-packages/pyspark/jars
        touch .venv/lib/python3/site-packages/pyspark/jars/ivy-2.jar
        cp "$0" .venv/bin/python ;;
    "-m pip"*)
        echo "$*" >>pip.log
        echo "$PIP_SAYS"
        [[ -z $PIP_SAYS ]] ;;
    scripts/archive_classes.py)
        echo "$*" >>archive.log
        [[ -z $ARCHIVE_FAILS ]] ;;
    *) exec {sys.executable} "$@" ;;
esac
"""

JAVA = """#!/bin/bash
if [[ $1 == -version ]]; then
    echo "openjdk version \\"${JAVA_VERSION:-17.0.15}\\"" >&2
    exit
fi
echo "$*" >>ivy.log
echo "$IVY_SAYS"
[[ -z $IVY_SAYS ]] || exit 1
while [[ $1 != -dependency ]]; do shift; done
printf jar >".jars/fetching/$3-$4.jar"
"""


class Checkout:
    """A copy of what set-up reads, and a PATH on which stand-ins come first."""

    def __init__(self, place: Path) -> None:
        self.root = place / "check out"  # a blank in the path, as on a user's machine
        self.bin = place / "bin"
        self.bin.mkdir()
        for name in ("scripts", "requirements"):
            shutil.copytree(ROOT / name, self.root / name)
        for name in ("pyproject.toml", "setup.py"):
            shutil.copy(ROOT / name, self.root)
        checksum = hashlib.sha256(b"jar").hexdigest()
        self.pins = self.root / "requirements" / "jars.txt"
        self.pins.write_text(f"# pins\norg.example:letters:1.0 sha256:{checksum}\n")
        self.provide("python3", PYTHON)
        self.provide("java", JAVA)

    def provide(self, command: str, script: str) -> None:
        (self.bin / command).write_text(script)
        (self.bin / command).chmod(0o755)

    def set_up(self, **environment: str) -> subprocess.CompletedProcess[str]:
        path = f"{self.bin}{os.pathsep}/usr/bin{os.pathsep}/bin"
        return subprocess.run(
            ["bash", self.root / "scripts" / "setup"],
            env={
                "PATH": path,
                "STAND_INS": str(self.bin),
                "PIP_SAYS": "",
                "IVY_SAYS": "",
                "ARCHIVE_FAILS": "",
                **environment,
            },
            capture_output=True,
            text=True,
            check=False,
        )

    def refusal(self, **environment: str) -> str:
        """Set up, see it refused, and return the one sentence said."""
        done = self.set_up(**environment)
        assert done.returncode == 1
        (sentence,) = done.stderr.splitlines()
        return sentence

    def log(self, name: str) -> list[str]:
        return (self.root / name).read_text().splitlines()


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)


def test_the_first_set_up_installs_by_hash_and_fetches_the_jars(checkout: Checkout) -> None:
    done = checkout.set_up()

    assert (done.returncode, done.stderr) == (0, "")
    assert (checkout.root / ".jars" / "letters-1.0.jar").read_text() == "jar"
    build, packages, project = checkout.log("pip.log")
    assert "--require-hashes" in build
    assert "--require-hashes" in packages
    assert "--no-build-isolation" in packages
    assert "--no-deps" in project
    assert "-notransitive" in checkout.log("ivy.log")[0]


def test_the_second_set_up_finds_nothing_to_do(checkout: Checkout) -> None:
    checkout.set_up()
    before = checkout.log("pip.log"), checkout.log("ivy.log")

    done = checkout.set_up(PIP_SAYS="no network", IVY_SAYS="no network")

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert (checkout.log("pip.log"), checkout.log("ivy.log")) == before


def test_classes_are_archived_once_for_a_java(checkout: Checkout) -> None:
    for version in ("17.0.15", "17.0.15", "21.0.1"):
        checkout.set_up(JAVA_VERSION=version)

    assert len(checkout.log("archive.log")) == 2


def test_without_an_archive_of_classes_set_up_goes_on(checkout: Checkout) -> None:
    done = checkout.set_up(ARCHIVE_FAILS="yes")

    assert (done.returncode, done.stderr) == (0, "")
    assert "Java could not archive them: sessions will start more slowly" in done.stdout


def test_a_changed_pin_is_installed(checkout: Checkout) -> None:
    checkout.set_up()
    with (checkout.root / "requirements" / "dev.txt").open("a") as pins:
        pins.write("# changed\n")

    checkout.set_up()

    assert len(checkout.log("pip.log")) == 6


def test_an_install_that_broke_off_is_made_anew(checkout: Checkout) -> None:
    assert checkout.set_up(PIP_SAYS="the disk is full").returncode == 1

    assert checkout.set_up().returncode == 0


def test_no_java_is_one_sentence(checkout: Checkout) -> None:
    sentence = checkout.refusal(JAVA_HOME="/nowhere")

    assert sentence == (
        "setup: no Java found ('/nowhere/bin/java' does not run): install Java 17 or 21 and set JAVA_HOME to it"
    )


@pytest.mark.parametrize(("version", "named"), [("1.8.0_412", "8"), ("11.0.2", "11"), ("25", "25")])
def test_another_java_is_one_sentence(checkout: Checkout, version: str, named: str) -> None:
    sentence = checkout.refusal(JAVA_VERSION=version)

    assert sentence == (
        f"setup: Spark needs Java 17 or 21, but 'java' is Java {named}: install one of them and set JAVA_HOME to it"
    )


@pytest.mark.parametrize("version", ["17", "21.0.1", "21-ea"])
def test_java_17_and_21_will_do(checkout: Checkout, version: str) -> None:
    assert checkout.set_up(JAVA_VERSION=version).returncode == 0


@pytest.mark.parametrize("version", ["2.7", "3.10"])
def test_an_older_python_is_one_sentence(checkout: Checkout, version: str) -> None:
    checkout.provide("python3", f"#!/bin/bash\necho {version}\n")

    assert checkout.refusal() == (
        f"setup: Python 3.11 or newer is needed, but 'python3' is Python {version}: install one and set PYTHON to it"
    )


def test_no_python_is_one_sentence(checkout: Checkout) -> None:
    assert checkout.refusal(PYTHON="nowhere/python") == (
        "setup: no Python found ('nowhere/python' does not run): install Python 3.11 or newer, or set PYTHON to one"
    )


def test_no_network_for_pip_is_one_sentence(checkout: Checkout) -> None:
    said = "WARNING: Retrying after connection broken by 'NewConnectionError(failed to connect)'"

    assert checkout.refusal(PIP_SAYS=said) == (
        "setup: no network: the Python packages could not be fetched; "
        "connect, or point pip at a mirror (PIP_INDEX_URL), and run scripts/setup again"
    )


def test_no_network_for_the_jars_is_one_sentence(checkout: Checkout) -> None:
    assert checkout.refusal(IVY_SAYS="Host jars.example.org not found.") == (
        "setup: no network: org.example:letters:1.0 could not be fetched; connect, or name a mirror by "
        "IVY_SETTINGS, or put the file into .jars, and run scripts/setup again"
    )


def test_another_package_than_the_pinned_one_is_one_sentence(checkout: Checkout) -> None:
    said = "ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE."

    assert "is not the one pinned in requirements/" in checkout.refusal(PIP_SAYS=said)


def test_another_jar_than_the_pinned_one_is_one_sentence(checkout: Checkout) -> None:
    checkout.set_up()
    (checkout.root / ".jars" / "letters-1.0.jar").write_text("another")

    assert checkout.refusal() == (
        "setup: .jars/letters-1.0.jar is not the file pinned in requirements/jars.txt (its SHA-256 differs): "
        "delete it and run scripts/setup again"
    )


@pytest.mark.parametrize("name", ["build", "dev", "runtime", "bench"])
def test_every_requirement_is_pinned_with_hashes(name: str) -> None:
    text = (ROOT / "requirements" / f"{name}.txt").read_text()
    requirements = re.sub(r"^ *#.*\n", "", text, flags=re.MULTILINE).replace("\\\n", "").splitlines()

    assert requirements
    for requirement in requirements:
        assert re.fullmatch(r"[\w.\[\]-]+==\S+ .*--hash=sha256:[0-9a-f]{64}", requirement), requirement


def test_no_file_bears_a_registry_or_a_download_address() -> None:
    registry = r"://[^/\s]*(index|maven|mirror|packag|p[y]pi|registry|repo|artifact)"
    download = r"://\S+\.(whl|jar|zip|tar\.gz|tgz)\b"

    for path in files_of_the_repository():
        found = re.search(f"{registry}|{download}", path.read_text(errors="replace"))
        assert found is None, f"{path.relative_to(ROOT)} bears {found}"


def files_of_the_repository() -> list[Path]:
    """List the files that git knows, or would take up; in a copy without git, all that are not made."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode == 0:
        return [path for name in listed.stdout.splitlines() if (path := ROOT / name).is_file()]
    made = {".venv", ".jars", "dist", "build"}
    return [path for path in ROOT.rglob("*") if path.is_file() and made.isdisjoint(path.relative_to(ROOT).parts)]
