"""The programs of the notebook guide run, one after the other, as they stand there."""

import re
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

GUIDE = Path(__file__).parents[1] / "docs" / "guide" / "notebook.md"


def test_the_programs_of_the_guide_run(spark: SparkSession, request: pytest.FixtureRequest) -> None:
    known: dict[str, Any] = {"date": date}
    is_slow = request.config.getoption("--slow")
    for number, text in enumerate(re.findall(r"```python\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)):
        if "scores.learn" in text and not is_slow:  # forests, each judged five times
            continue
        exec(compile(text, f"{GUIDE.name}, program {number + 1}", "exec"), known)
    assert known["spark"] is spark
    assert {tuple(row["antecedent"]): tuple(row["consequent"]) for row in known["found"].collect()} == {
        ("butter",): ("bread",), ("jam",): ("bread",), ("bread",): ("butter",),
    }  # fmt: skip
    assert len(known["nodes"]) > 1
    assert not is_slow or known["quality"].where("auc > 0.9").count() >= 1
    assert known["models"].select("reason").collect() == [(None,)]
    assert known["fits"].is_fitted.all()
    assert known["judged"].count() >= 1
