"""What is installed and what is sent to a cluster: everything that runs, and nothing else."""

import shutil
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel and the zip in a copy, so that the checkout stays as it is."""
    copy = tmp_path_factory.mktemp("built")
    for name in ("crm_spark", "jobs", "conf", "scripts"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "setup.py", "README.md"):
        shutil.copy(ROOT / name, copy)
    python("from setuptools import build_meta; build_meta.build_wheel('dist')", cwd=copy)
    code = "import archives, pathlib; archives.zip_library(*pathlib.Path('dist').glob('*.whl'))"
    python(code, cwd=copy, PYTHONPATH=str(copy / "scripts"))
    return copy


def python(code: str, cwd: Path, **environment: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", code], cwd=cwd, env=environment, capture_output=True, text=True, check=True
    ).stdout


def test_the_wheel_holds_every_module_and_every_file_of_data(built: Path) -> None:
    expected = {
        place + path.relative_to(ROOT / folder).as_posix()
        for folder, place in (
            ("crm_spark", "crm_spark/"),
            ("jobs", "crm_spark/jobs/"),
            ("conf", "crm_spark/conf/"),
        )
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }

    (wheel,) = (built / "dist").glob("*.whl")
    held = {name for name in ZipFile(wheel).namelist() if ".dist-info/" not in name}

    assert held == expected


def test_the_zip_is_the_wheel_without_its_metadata(built: Path) -> None:
    (wheel,) = (built / "dist").glob("*.whl")

    zipped = ZipFile(built / "dist" / "crm_spark.zip").namelist()

    assert sorted(zipped) == sorted(name for name in ZipFile(wheel).namelist() if ".dist-info/" not in name)


@pytest.mark.parametrize("pattern", ["*.whl", "crm_spark.zip"])
def test_jobs_and_configuration_are_imported_from_inside_crm_spark(built: Path, pattern: str) -> None:
    (archive,) = (built / "dist").glob(pattern)
    code = "import crm_spark.jobs as jobs, crm_spark.conf as conf; print(jobs.__file__, conf.__file__)"

    where = python(f"import sys; sys.path.insert(0, {str(archive)!r}); {code}", cwd=built / "dist")

    assert where.split() == [f"{archive}/crm_spark/{folder}/__init__.py" for folder in ("jobs", "conf")]


def test_every_folder_of_modules_is_a_package() -> None:
    folders = {path.parent for name in ("crm_spark", "jobs") for path in (ROOT / name).rglob("*.py")}

    assert [folder for folder in folders if not (folder / "__init__.py").exists()] == []
