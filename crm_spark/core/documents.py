"""YAML as people write it: a key that stands twice is a mistake, and so is one that YAML does not read as text."""

from collections.abc import Hashable
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

import yaml

from crm_spark.core.errors import ConfigError

LARGEST = 100_000  # values, each counted as often as anchors repeat it


class _Loader(yaml.SafeLoader):
    """Reads plain data; of a mapping it refuses what YAML itself would take in silence."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen = set()
        for key_node, _ in node.value:
            if key_node.tag.endswith(":merge"):
                continue
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str):
                told = f"the key {key_node.value} is no text as it stands, so write it in quotes"
                raise yaml.constructor.ConstructorError(problem=told, problem_mark=key_node.start_mark)
            if key in seen:
                told = "a key stands twice in one place"
                raise yaml.constructor.ConstructorError(problem=told, problem_mark=key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep)


def parse(text: str) -> Any:
    """Read a YAML document.

    Raises
    ------
    ValueError
        It is none, or holds what cannot be. It says what and in which line, and shows no value: one may be a secret.
    """
    try:
        tree = yaml.load(text, _Loader)  # noqa: S506 - it is a SafeLoader
        size = _size(tree, {})
    except yaml.MarkedYAMLError as error:
        line = f" (line {error.problem_mark.line + 1})" if error.problem_mark else ""
        raise ValueError(f"{error.problem}{line}") from None
    except yaml.YAMLError:
        raise ValueError("it holds characters that are no text") from None
    except RecursionError:
        raise ValueError("it is nested too deeply, or a part of it is named within itself") from None
    except (ValueError, LookupError, AttributeError, TypeError, OverflowError):
        raise ValueError("a date, a number or a tag in it cannot be; write it in quotes if it is text") from None
    if size > LARGEST:
        raise ValueError("its anchors repeat it beyond all measure")
    return tree


def read(file: Path | Traversable) -> Any:
    """Read a YAML file.

    Raises
    ------
    OSError
        It is not there.
    ConfigError
        It is no text in UTF-8, or cannot be parsed.
    """
    try:
        return parse(file.read_text(encoding="utf-8"))
    except UnicodeDecodeError:
        raise ConfigError(f"{file} is not UTF-8; save it as UTF-8") from None
    except ValueError as error:
        raise ConfigError(f"{file} cannot be read as YAML: {error}") from None


def _size(tree: Any, known: dict[int, int]) -> int:
    """Count the values of a tree, each as often as it is repeated, though a part is looked at once."""
    if not isinstance(tree, dict | list):
        return 1
    if id(tree) not in known:
        inner = tree.values() if isinstance(tree, dict) else tree
        known[id(tree)] = 1 + sum(_size(value, known) for value in inner)
    return known[id(tree)]
