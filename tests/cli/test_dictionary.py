"""`crm dictionary`: docs/tables.md is made from the contracts."""

from pathlib import Path

from crm_spark.cli.dictionary import render
from crm_spark.core.pipeline import discover

COMMITTED = Path(__file__).parents[2] / "docs/tables.md"


def test_the_committed_dictionary_is_up_to_date():
    assert COMMITTED.read_text(encoding="utf-8") == render(discover()), "write it anew: crm dictionary"


def test_the_dictionary_is_written_once_and_then_left_alone(nowhere, tmp_path):
    written = nowhere("dictionary")
    assert written.stdout == "docs/tables.md is written\n"
    text = (tmp_path / "docs/tables.md").read_text(encoding="utf-8")
    assert "| `ordered_on` | date | day | when |" in text
    assert "| `customer_id` | string |  | who bought (personal) |" in text
    assert "Made by `toy_days`" in text
    assert nowhere("dictionary").stdout == "docs/tables.md is up to date\n"
    assert nowhere("dictionary", "--check").exit_code == 0


def test_a_check_writes_nothing_and_ends_with_3(nowhere, files):
    ended = nowhere("dictionary", "--check")
    assert ended.exit_code == 3
    assert "docs/tables.md is not what the contracts say: write it anew with `crm dictionary`" in ended.stderr
    assert files() == []
