"""What the code must never hold: what breaks on Spark Connect, SQL made of strings, pickle."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILES = sorted([*(ROOT / "crm_spark").rglob("*.py"), *(ROOT / "jobs").glob("*.py")])
CLASSIC_ONLY = {"rdd", "sparkContext", "_jvm", "_jdf", "_jsparkSession", "newSession", "createOrReplaceTempView",
                "createTempView", "createGlobalTempView", "broadcast_variable"}  # fmt: skip
SQL_TEXTS = {"sql", "expr", "selectExpr"}
STATEMENTS_OF_CONTRACTS = {"crm_spark/core/lake.py"}  # Delta's parser takes no parameters: text of contracts, quoted


def faults(tree: ast.AST, name: str) -> list[str]:
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr in CLASSIC_ONLY and name != "crm_spark/core/session.py":
            found.append(f"{name}:{node.lineno}: {node.attr} fails on Spark Connect")
        if isinstance(node, ast.Import | ast.ImportFrom):
            modules = [alias.name for alias in node.names] + [getattr(node, "module", None) or ""]
            if {"pickle", "cloudpickle", "joblib"} & {module.split(".")[0] for module in modules}:
                found.append(f"{name}:{node.lineno}: pickle")
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in SQL_TEXTS:
            made = [text for text in node.args if isinstance(text, ast.JoinedStr | ast.BinOp) or _formats(text)]
            if made and name not in STATEMENTS_OF_CONTRACTS:
                found.append(f"{name}:{node.lineno}: SQL made of strings")
    return found


def _formats(text: ast.expr) -> bool:
    return isinstance(text, ast.Call) and isinstance(text.func, ast.Attribute) and text.func.attr in ("format", "join")


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_no_file_holds_what_must_never_be(file: Path) -> None:
    assert faults(ast.parse(file.read_text(encoding="utf-8")), str(file.relative_to(ROOT))) == []


def test_the_check_itself_finds_each_kind() -> None:
    bad = 'import pickle\nspark.sql(f"SELECT {x}")\nF.expr("a" + b)\ndf.rdd.map(1)\nspark.sql("{}".format(x))\n'
    assert len(faults(ast.parse(bad), "x.py")) == 5
