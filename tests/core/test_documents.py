"""YAML that people write wrong: each fault in a sentence, and no value in it."""

from pathlib import Path

import pytest

from crm_spark.core.documents import parse, read
from crm_spark.core.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: 1\nb: 2\na: 3", r"a key stands twice in one place \(line 3\)"),
        ("no: string", r"the key no is no text as it stands, so write it in quotes \(line 1\)"),
        ("when: 2025-02-30", "a date, a number or a tag in it cannot be"),
        ("many: " + "9" * 6_000, "a date, a number or a tag in it cannot be"),
        ("one: !!int secret", "a date, a number or a tag in it cannot be"),
        ("one: !!bool secret", "a date, a number or a tag in it cannot be"),
        ("deep: " + "[" * 3_000 + "]" * 3_000, "nested too deeply"),
        ("feeds: &a {x: *a}", "named within itself"),
        ("a: \x00", "no text"),
        ("a: [secret", "expected"),
    ],
)
def test_what_cannot_be_read_is_told_in_a_sentence_without_its_values(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said) as told:
        parse(text)
    assert "secret" not in str(told.value)
    assert "\n" not in str(told.value)


def test_anchors_that_repeat_without_measure_are_refused_at_once() -> None:
    layers = ["a0: &a0 [1, 2, 3, 4, 5, 6, 7, 8, 9, 0]"]
    layers += [f"a{at}: &a{at} [{', '.join([f'*a{at - 1}'] * 10)}]" for at in range(1, 12)]
    with pytest.raises(ValueError, match="repeat it beyond all measure"):
        parse("\n".join(layers))


def test_what_is_sound_is_read_as_yaml_reads_it() -> None:
    text = 'base: &base {zone: UTC, on: "x"}\nshop: {<<: *base, zone: CET}\nlist: [1, 2.5, null, 2026-01-31]'
    with pytest.raises(ValueError, match="the key on is no text"):
        parse(text)
    told = parse(text.replace("on:", "'on':"))
    assert told["shop"] == {"zone": "CET", "on": "x"}
    assert str(told["list"]) == "[1, 2.5, None, datetime.date(2026, 1, 31)]"


def test_a_file_that_is_no_text_is_told_by_its_name(tmp_path: Path) -> None:
    file = tmp_path / "rules.yaml"
    file.write_bytes("a: ü".encode("latin-1"))
    with pytest.raises(ConfigError, match=rf"{file} is not UTF-8; save it as UTF-8"):
        read(file)
    file.write_text("a: [", "utf-8")
    with pytest.raises(ConfigError, match=rf"{file} cannot be read as YAML: .*line 1"):
        read(file)
