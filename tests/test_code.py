"""What the code must never hold: what breaks on Spark Connect, SQL made of strings, pickle."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILES = sorted([*(ROOT / "crm_spark").rglob("*.py"), *(ROOT / "jobs").glob("*.py")])
CLASSIC_ONLY = {"rdd", "sparkContext", "_jvm", "_jdf", "_jsparkSession", "newSession", "createOrReplaceTempView",
                "createTempView", "createGlobalTempView", "broadcast_variable"}  # fmt: skip
SQL_TEXTS = {"sql", "_sql", "expr", "selectExpr"}
MADE_BY = {"format", "join", "replace"}
# Delta's parser takes no parameters in these statements: names, literals and numbers of contracts, quoted.
STATEMENTS_OF_CONTRACTS = {
    f"crm_spark/core/lake.py:{name}"
    for name in ("_sql", "_create", "_replace", "_grow", "history", "migrate", "vacuum", "_vacuum_of_orphans")
}
SCHEMAS = {"columns", "schema", "dtypes"}
NO_DATAFRAMES = {
    "self",
    "target",
    "feed",
    "feeds",
    "looked",
    "tables",
    "form",
    "table",
}  # mappings and contracts have columns too
OF_ARROW = {"crm_spark/ingest/records.py", "crm_spark/ingest/raw/parquet.py"}  # batches in a worker, no plan to analyse
CHANGES = {"append", "add", "update", "setdefault", "pop", "clear", "extend", "remove", "insert"}


def faults(tree: ast.Module, name: str) -> list[str]:
    found = [*looped_schemas(tree, name), *changed_globals(tree, name)]
    for node, function in within_functions(tree):
        at = f"{name}:{node.lineno}" if hasattr(node, "lineno") else name
        if isinstance(node, ast.Attribute) and node.attr in CLASSIC_ONLY and name != "crm_spark/core/session.py":
            found.append(f"{at}: {node.attr} fails on Spark Connect")
        if isinstance(node, ast.Import | ast.ImportFrom):
            modules = [alias.name for alias in node.names] + [getattr(node, "module", None) or ""]
            if {"pickle", "cloudpickle", "joblib"} & {module.split(".")[0] for module in modules}:
                found.append(f"{at}: pickle")
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in SQL_TEXTS:
            made = [text for text in node.args if isinstance(text, ast.JoinedStr | ast.BinOp) or is_formatted(text)]
            if made and f"{name}:{function}" not in STATEMENTS_OF_CONTRACTS:
                found.append(f"{at}: SQL made of strings")
    return found


def within_functions(node: ast.AST, function: str = "") -> Iterator[tuple[ast.AST, str]]:
    """Every node with the name of the function around it."""
    yield node, function
    inside = node.name if isinstance(node, ast.FunctionDef) else function
    for child in ast.iter_child_nodes(node):
        yield from within_functions(child, inside)


def is_formatted(text: ast.expr) -> bool:
    return isinstance(text, ast.Call) and isinstance(text.func, ast.Attribute) and text.func.attr in MADE_BY


def looped_schemas(tree: ast.Module, name: str) -> set[str]:
    """A DataFrame asked for its columns again and again: each time a round trip to a Connect server."""
    asked = [
        node
        for loop in ast.walk(tree)
        for part in repeated(loop)
        for node in ast.walk(part)
        if isinstance(node, ast.Attribute) and node.attr in SCHEMAS and name not in OF_ARROW
    ]
    return {
        f"{name}:{node.lineno}: .{node.attr} in a loop" for node in asked if called(node.value) not in NO_DATAFRAMES
    }


def called(value: ast.expr) -> str:
    """The last name in `target`, `self.target` or `feed.tables[name]`."""
    inner = value.value if isinstance(value, ast.Subscript) else value
    return inner.id if isinstance(inner, ast.Name) else getattr(inner, "attr", "")


def repeated(loop: ast.AST) -> list[ast.AST]:
    """What a loop does more than once: all but what it goes over."""
    if isinstance(loop, ast.For):
        return list(loop.body)
    if isinstance(loop, ast.While):
        return [loop.test, *loop.body]
    if isinstance(loop, ast.ListComp | ast.SetComp | ast.GeneratorExp | ast.DictComp):
        made = [loop.key, loop.value] if isinstance(loop, ast.DictComp) else [loop.elt]
        return [*made, *[each for made in loop.generators for each in made.ifs], *[g.iter for g in loop.generators[1:]]]
    return []


def changed_globals(tree: ast.Module, name: str) -> list[str]:
    """What a function changes outside itself; a worker has its own copy, and another one in the next task."""
    named = {
        target.id
        for statement in tree.body
        if isinstance(statement, ast.Assign | ast.AnnAssign)
        for target in (statement.targets if isinstance(statement, ast.Assign) else [statement.target])
        if isinstance(target, ast.Name)
    }
    found = []
    for node, function in within_functions(tree):
        changed = node.func if isinstance(node, ast.Call) else node
        is_called = isinstance(changed, ast.Attribute) and changed is not node and changed.attr in CHANGES
        is_set = isinstance(changed, ast.Subscript) and isinstance(changed.ctx, ast.Store | ast.Del)
        is_global = (is_called or is_set) and isinstance(changed.value, ast.Name) and changed.value.id in named
        if function and (isinstance(node, ast.Global) or is_global):
            found.append(f"{name}:{node.lineno}: {function} changes a global")
    return found


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_no_file_holds_what_must_never_be(file: Path) -> None:
    assert faults(ast.parse(file.read_text(encoding="utf-8")), str(file.relative_to(ROOT))) == []


def test_the_check_itself_finds_each_kind() -> None:
    bad = 'import pickle\nspark.sql(f"SELECT {x}")\nF.expr("a" + b)\ndf.rdd.map(1)\nspark.sql("{}".format(x))\n'
    assert len(faults(ast.parse(bad), "x.py")) == 5


@pytest.mark.parametrize(
    "bad",
    [
        "for name in names:\n    rows = rows.drop(*rows.columns)",
        "[name for name in names if name in rows.columns]",
        "while rows.schema: pass",
        "{a: 1 for b in c for a in b.columns}",
        "SEEN = {}\ndef read(x):\n    SEEN[x] = 1",
        "SEEN: list = []\ndef read(x):\n    SEEN.append(x)",
        "def read(x):\n    global seen\n    seen = x",
        'spark.sql(statement.replace("{table}", name))',
    ],
)
def test_each_loop_and_each_changed_global_is_found(bad: str) -> None:
    assert len(faults(ast.parse(bad), "x.py")) == 1


def test_what_a_loop_goes_over_is_asked_for_once_and_statements_of_contracts_are_known_by_function() -> None:
    good = "[name for name in rows.columns]\nfor name in rows.columns:\n    print(name)\nSEEN = []\nSEEN.append(1)"
    assert faults(ast.parse(good), "x.py") == []
    made = 'def {}(self):\n    self._sql(f"VACUUM {{x}}")'
    lake = "crm_spark/core/lake.py"
    assert [len(faults(ast.parse(made.format(name)), lake)) for name in ("vacuum", "read")] == [0, 1]
