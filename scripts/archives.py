"""Make dist/crm_spark.zip of the wheel in dist/, and dist/environment.tar.gz of build/environment.

Entries are sorted and bear one date: the same files give the same bytes.
"""

import gzip
import tarfile
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

DIST = Path("dist")
ENVIRONMENT = Path("build/environment")

# These tell where the environment was made, not what is in it.
LEFT_OUT = {"RECORD", "direct_url.json", "__pycache__"}


def main() -> None:
    """Make both archives and say what there is."""
    (wheel,) = DIST.glob("crm_spark-*.whl")
    library = zip_library(wheel)
    environment = tar_environment()
    say(wheel, "the library, its jobs and the crm command: pip install it")
    say(library, "for spark-submit --py-files, where the cluster has what requirements/runtime.txt lists")
    say(environment, f"for spark-submit --archives …#environment, where every node has {interpreter()}")


def zip_library(wheel: Path) -> Path:
    """Copy the wheel's package without its metadata: executors import from a .zip, not from a .whl."""
    path = DIST / "crm_spark.zip"
    with ZipFile(wheel) as source, ZipFile(path, "w", ZIP_DEFLATED) as target:
        for name in sorted(source.namelist()):
            if name.startswith("crm_spark/"):
                target.writestr(ZipInfo(name), source.read(name), ZIP_DEFLATED)
    return path


def tar_environment() -> Path:
    """Pack the environment so that it runs wherever it is unpacked."""
    path = DIST / "environment.tar.gz"
    forget_place(ENVIRONMENT / "pyvenv.cfg")
    with (
        path.open("wb") as raw,
        gzip.GzipFile("", "wb", mtime=0, fileobj=raw) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as target,
    ):
        for file in sorted(ENVIRONMENT.rglob("*")):
            if belongs(file.relative_to(ENVIRONMENT)):
                target.add(file, file.relative_to(ENVIRONMENT), recursive=False, filter=plain)
    return path


def forget_place(settings: Path) -> None:
    """Drop the line that tells by which command, and so where, the environment was made."""
    lines = settings.read_text().splitlines(keepends=True)
    settings.write_text("".join(line for line in lines if not line.startswith("command")))


def belongs(name: Path) -> bool:
    """Scripts in bin/ name the place where they were made: only the interpreter goes along."""
    is_script = name.parts[0] == "bin" and len(name.parts) > 1 and not name.name.startswith("python")
    return not is_script and LEFT_OUT.isdisjoint(name.parts)


def plain(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    """Forget who made a file, and when."""
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    entry.mtime = 0
    return entry


def interpreter() -> Path:
    """Find the interpreter that the environment points to; it is not packed."""
    return (ENVIRONMENT / "bin" / "python3").resolve()


def say(path: Path, purpose: str) -> None:
    """Print one line for a file."""
    print(f"{path} ({path.stat().st_size / 1e6:.1f} MB): {purpose}")


if __name__ == "__main__":
    main()
