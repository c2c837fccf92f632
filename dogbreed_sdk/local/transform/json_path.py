"""The subset of JSONPath that batch transform jobs filter their data with.

Source: developer guide, "Associate Prediction Results with Input Records", Supported JSONPath Operators. Its table and
its examples differ on the end of a slice; here it is exclusive, as in JSONPath and in the programs that people run.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from dogbreed_sdk.errors import ConfigurationError

_NAME = re.compile(r"\.([^.\[\]'*\s]+)")
_BRACKET = re.compile(r"\.?\[\s*((?:'(?:[^'\\]|\\.)*'|[^'\]])*)\s*\]")
_QUOTED = re.compile(r"\s*'((?:[^'\\]|\\.)*)'\s*(?:,|$)")
_NUMBER = re.compile(r"(-?\d{1,9})")
_SLICE = re.compile(r"(-?\d{1,9})?\s*:\s*(-?\d{1,9})?")

_Selection = int | slice


class JsonPathError(Exception):
    """A path selects something that a document does not have."""


@dataclass(frozen=True)
class _Names:
    """Selects one member of an object, or several as an object."""

    names: tuple[str, ...]


@dataclass(frozen=True)
class _Elements:
    """Selects one element of an array, or several as an array."""

    selections: tuple[_Selection, ...]


@dataclass(frozen=True)
class _All:
    """Selects all members or elements, as an array."""


_Step = _Names | _Elements | _All


@dataclass(frozen=True)
class JsonPath:
    """A parsed path.

    Attributes:
        text: The path as given.
    """

    text: str
    _steps: tuple[_Step, ...]

    @classmethod
    def parse(cls, text: str) -> JsonPath:
        """Read a path.

        Raises:
            ConfigurationError: It is not in the subset.
        """
        if not text.startswith("$"):
            raise ConfigurationError(f"The JSONPath {text!r} must begin with $, which stands for the whole record.")
        steps: list[_Step] = []
        position = 1
        while position < len(text):
            step, position = _step_at(text, position)
            steps.append(step)
        return cls(text, tuple(steps))

    @property
    def is_root(self) -> bool:
        """Whether it selects the whole document."""
        return not self._steps

    @property
    def selects_by_position(self) -> bool:
        """Whether it has no names, so that it can be applied to the columns of a CSV row."""
        return not any(isinstance(step, _Names) for step in self._steps)

    def select(self, document: Any) -> Any:
        """The selected part of a document.

        Raises:
            JsonPathError: The document does not have it.

        >>> JsonPath.parse("$[1:]").select([7, 8, 9]), JsonPath.parse("$[0,-1]").select([7, 8, 9])
        ([8, 9], [7, 9])
        >>> JsonPath.parse("$['id','SageMakerOutput']").select({"id": 1, "age": 3, "SageMakerOutput": 0.5})
        {'id': 1, 'SageMakerOutput': 0.5}
        """
        return _selected(document, self._steps, self.text)


def _step_at(text: str, position: int) -> tuple[_Step, int]:
    if text.startswith((".*", "[*]"), position):
        return _All(), position + (2 if text[position] == "." else 3)
    name = _NAME.match(text, position)
    if name:
        return _Names((name.group(1),)), name.end()
    bracket = _BRACKET.match(text, position)
    inside = bracket.group(1).strip() if bracket else ""
    if bracket is None or not inside:
        raise _unsupported(text)
    if inside.startswith("'"):
        return _Names(_names(text, inside)), bracket.end()
    return _Elements(tuple(_selection(text, part.strip()) for part in inside.split(","))), bracket.end()


def _names(text: str, inside: str) -> tuple[str, ...]:
    found, position = [], 0
    while position < len(inside):
        quoted = _QUOTED.match(inside, position)
        if quoted is None:
            raise _unsupported(text)
        found.append(re.sub(r"\\(.)", r"\1", quoted.group(1)))
        position = quoted.end()
    return tuple(found)


def _selection(text: str, part: str) -> _Selection:
    if _NUMBER.fullmatch(part):
        return int(part)
    bounds = _SLICE.fullmatch(part)
    if bounds is None:
        raise _unsupported(text)
    start, end = (None if bound is None else int(bound) for bound in bounds.groups())
    return slice(start, end)


def _unsupported(text: str) -> ConfigurationError:
    return ConfigurationError(
        f"The JSONPath {text!r} is not supported: use $, .name, ['name','name'], [number,number], [start:end] and *."
    )


def _selected(value: Any, steps: Sequence[_Step], text: str) -> Any:
    if not steps:
        return value
    step, rest = steps[0], steps[1:]
    if isinstance(step, _All):
        return [_selected(item, rest, text) for item in _items(value, text)]
    if isinstance(step, _Names):
        if len(step.names) == 1:
            return _selected(_member(value, step.names[0], text), rest, text)
        return {name: _selected(_member(value, name, text), rest, text) for name in step.names}
    if len(step.selections) == 1 and isinstance(step.selections[0], int):
        return _selected(_elements(value, step.selections[0], text)[0], rest, text)
    chosen = [item for selection in step.selections for item in _elements(value, selection, text)]
    return [_selected(item, rest, text) for item in chosen]


def _items(value: Any, text: str) -> Sequence[Any]:
    if isinstance(value, dict):
        return list(value.values())
    if isinstance(value, list):
        return value
    raise JsonPathError(f"The JSONPath {text} has a * where the record has neither an object nor an array.")


def _member(value: Any, name: str, text: str) -> Any:
    if not isinstance(value, dict):
        raise JsonPathError(f"The JSONPath {text} selects {name!r} where the record has no object.")
    if name not in value:
        raise JsonPathError(f"The JSONPath {text} selects {name!r}, which the record does not have.")
    return value[name]


def _elements(value: Any, selection: _Selection, text: str) -> list[Any]:
    if not isinstance(value, list):
        raise JsonPathError(f"The JSONPath {text} selects elements where the record has no array.")
    if isinstance(selection, slice):
        return value[selection]
    if not -len(value) <= selection < len(value):
        raise JsonPathError(f"The JSONPath {text} selects element {selection} of {len(value)}.")
    return [value[selection]]
