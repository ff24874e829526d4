"""Classic sets of decision trees, as ARFF files, and Weka's results."""

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from crm_spark.kernels import c45

DATA = Path(__file__).parents[2] / "shared" / "data" / "decision_trees"


@dataclass(frozen=True)
class Classics:
    """A set of UCI with its names."""

    rows: np.ndarray
    of_class: np.ndarray
    levels: np.ndarray
    names: Sequence[str]
    values: Sequence[Sequence[str]]
    classes: Sequence[str]

    def counts(self, chosen: np.ndarray | None = None) -> c45.Rows:
        at = slice(None) if chosen is None else chosen
        return c45.Rows(self.rows[at], self.of_class[at], self.levels, len(self.classes))


def classics(name: str) -> Classics:
    """Read an ARFF file; the class is the attribute of that name, else the last."""
    if not DATA.is_dir():
        pytest.skip("the published data are not beside the checkout")
    text = (DATA / f"{name}.arff").read_text(encoding="utf-8")
    head, body = re.split(r"@data", text, maxsplit=1, flags=re.IGNORECASE)
    told = re.findall(r"^@attribute\s+('[^']*'|\S+)\s+(.*?)\s*$", head, flags=re.IGNORECASE | re.MULTILINE)
    names = [name.strip("'") for name, _ in told]
    levels = [re.findall(r"'[^']*'|[^\s,{}]+", kind) if kind.startswith("{") else [] for _, kind in told]
    levels = [[level.strip("'") for level in each] for each in levels]
    lines = [line for line in body.splitlines() if line.strip() and not line.startswith("%")]
    cells = [[cell.strip().strip("'") for cell in line.split(",")] for line in lines]
    target = names.index("class") if "class" in names else len(names) - 1

    def number(cell: str, of: list[str]) -> float:
        return np.nan if cell == "?" else float(of.index(cell) if of else cell)

    others = [at for at in range(len(names)) if at != target]
    return Classics(
        rows=np.array([[number(row[at], levels[at]) for at in others] for row in cells]),
        of_class=np.array([levels[target].index(row[target]) for row in cells]),
        levels=np.array([len(levels[at]) for at in others]),
        names=[names[at] for at in others],
        values=[levels[at] for at in others],
        classes=levels[target],
    )


def reference() -> list[dict[str, str]]:
    if not DATA.is_dir():
        return []
    with (DATA / "reference_j48.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))
