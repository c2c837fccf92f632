"""One hyperparameter: its kind, its bounds, and the conversion from the string that SageMaker sends to a value."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from training_scripts._util.number_text import number_text
from training_scripts._util.suggestions import known_as
from training_scripts.models.heads import MAX_LAYERS, MAX_WIDTH

TRAINING = ("train_model", "hpo")
_TRUE = ("true", "1", "yes", "on")
_FALSE = ("false", "0", "no", "off")


@dataclass(frozen=True)
class Parameter:
    """One row of the table.

    Attributes:
        name: As written in a job (`batch-size`); other spellings are accepted too.
        kind: How the string is read: `number`, `integer`, `true|false`, `text`, or `widths` (`512,256`).
        default: The value to use if none is given.
        help: A one-line description.
        minimum: Smallest value allowed, or None.
        maximum: Largest value allowed, or None.
        open_minimum: Whether the minimum itself is excluded.
        open_maximum: Whether the maximum itself is excluded.
        choices: The only allowed values, unless empty; case, dashes and underscores do not matter.
        entry_points: The scripts that read it.
        recording: Whether it only controls recording, which does not change the result of a run.
        fixed: Whether a run that resumes from a checkpoint must have the same value.
    """

    name: str
    kind: str
    default: Any
    help: str
    minimum: float | None = None
    maximum: float | None = None
    open_minimum: bool = False
    open_maximum: bool = False
    choices: tuple[str, ...] = ()
    entry_points: tuple[str, ...] = TRAINING
    recording: bool = False
    fixed: bool = False

    def allowed(self) -> str:
        """The allowed values, in words."""
        if self.choices:
            return "one of " + ", ".join(self.choices)
        if self.kind == "widths":
            return f"up to {MAX_LAYERS} whole numbers from 1 separated by commas, such as 512 or 512,256, or nothing"
        words = {"number": "a number", "integer": "a whole number", "text": "text"}.get(self.kind, self.kind)
        if self.minimum is not None:
            words += f" {'above' if self.open_minimum else 'from'} {number_text(self.minimum)}"
        if self.maximum is not None:
            words += f" {'below' if self.open_maximum else 'up to'} {number_text(self.maximum)}"
        return words


def read(parameter: Parameter, value: object) -> Any:
    """Reads the value of one parameter; a ValueError lists the allowed values."""
    text = write(value).strip()
    try:
        found = _READERS[parameter.kind](known_as(text, parameter.choices) or text)
    except (ValueError, OverflowError):
        raise ValueError(f"{text!r} is not allowed; write {parameter.allowed()}") from None
    if not _within(parameter, found):
        raise ValueError(f"{text!r} is not allowed; write {parameter.allowed()}")
    if parameter.name == "views":
        _check_views(text)
    if parameter.name == "stop-rules" and text != parameter.default:
        _check_rules(text)
    return found


def _check_views(text: str) -> None:
    """Checks a list of views. The module with its grammar needs Pillow, so it is imported only here."""
    from training_scripts.data.preprocessing import parse_views  # noqa: PLC0415

    parse_views(text)


def _check_rules(text: str) -> None:
    """Checks names of rules. The rules need NumPy, so they are imported only if the names are not the defaults."""
    from training_scripts import rules  # noqa: PLC0415

    for name in text.split(","):
        rules.rule(name.strip())


def _within(parameter: Parameter, value: Any) -> bool:
    if parameter.choices:
        return value in parameter.choices
    if parameter.minimum is not None and (
        value < parameter.minimum or (parameter.open_minimum and value == parameter.minimum)
    ):
        return False
    return parameter.maximum is None or not (
        value > parameter.maximum or (parameter.open_maximum and value == parameter.maximum)
    )


def _number(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(text)
    return value


def _integer(text: str) -> int:
    """Reads a whole number. Tuners and JSON turn 64 into 64.0, which is accepted."""
    try:
        return int(text)
    except ValueError:
        value = _number(text)
        if value != int(value):
            raise
        return int(value)


def _boolean(text: str) -> bool:
    if text.lower() in _TRUE:
        return True
    if text.lower() in _FALSE:
        return False
    raise ValueError(text)


def _text(text: str) -> str:
    if not text:
        raise ValueError(text)
    return text


def _widths(text: str) -> tuple[int, ...]:
    """Reads widths: `512,256`, or a list as JSON and Python write it, such as `[512, 256]` or `(512,)`."""
    parts = [part.strip() for part in text.strip("[]()").split(",")]
    widths = tuple(_integer(part) for part in parts if part)
    if len(widths) > MAX_LAYERS or any(not 1 <= width <= MAX_WIDTH for width in widths):
        raise ValueError(text)
    return widths


_READERS: dict[str, Callable[[str], Any]] = {
    "number": _number,
    "integer": _integer,
    "true|false": _boolean,
    "text": _text,
    "widths": _widths,
}


def write(value: object) -> str:
    """A value in string form, as SageMaker sends it."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (tuple, list)):
        return ",".join(str(part) for part in value)
    return str(value)
