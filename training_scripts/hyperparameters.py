"""The hyperparameters of every entry point: one table says their names, kinds, defaults and bounds.

Values arrive as SageMaker sends them: `--name value` pairs in which everything is a string. Nothing here
imports torch, so the SDK checks hyperparameters with the same table before a job is sent.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from training_scripts import ScriptError

TRAINING = ("train_model", "hpo")
EVERYWHERE = (*TRAINING, "extract_features")
_TRUE = ("true", "1", "yes", "on")
_FALSE = ("false", "0", "no", "off")


class HyperparameterError(ScriptError):
    """Hyperparameters that cannot be used; the message lists every problem and what is allowed."""


@dataclass(frozen=True)
class Parameter:
    """One row of the table.

    Attributes:
        name: As written in a job (`batch-size`); underscores are accepted too.
        kind: How the string is read: `number`, `integer`, `true|false`, `text`, or `widths` (`512,256`).
        default: The value used where none is given.
        help: What it does, in one line.
        minimum: Smallest value allowed, or None.
        maximum: Largest value allowed, or None.
        open_minimum: Whether the minimum itself is excluded.
        open_maximum: Whether the maximum itself is excluded.
        choices: The only values allowed, where not empty.
        entry_points: The scripts that read it.
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

    def allowed(self) -> str:
        """What may be written for it, in words."""
        if self.choices:
            return "one of " + ", ".join(self.choices)
        if self.kind == "widths":
            return "whole numbers from 1 separated by commas, such as 512 or 512,256, or nothing"
        words = {"number": "a number", "integer": "a whole number", "text": "text"}.get(self.kind, self.kind)
        if self.minimum is not None:
            words += f" {'above' if self.open_minimum else 'from'} {self.minimum:g}"
        if self.maximum is not None:
            words += f" {'below' if self.open_maximum else 'up to'} {self.maximum:g}"
        return words


def _row(default: Any, kind: str, explanation: str, **limits: Any) -> Any:
    return field(default=default, metadata={"kind": kind, "help": explanation, **limits})


@dataclass(frozen=True)
class Hyperparameters:
    """The settings of one run, checked. `Hyperparameters()` is every default."""

    model: str = _row("efficientnet_lite0", "text", "the backbone, by name", entry_points=EVERYWHERE)
    weights: str = _row(
        "pretrained", "text", "pretrained, none (random), or a state-dict file", entry_points=EVERYWHERE
    )
    hidden: tuple[int, ...] = _row((), "widths", "widths of the head's hidden layers; nothing for a linear head")
    dropout: float = _row(
        0.0, "number", "dropout before the head's last layer", minimum=0, maximum=1, open_maximum=True
    )
    lr: float = _row(2e-3, "number", "learning rate of the head", minimum=0, open_minimum=True, maximum=100)
    batch_size: int = _row(64, "integer", "pictures per step", minimum=1, maximum=65536, entry_points=EVERYWHERE)
    epochs: int = _row(10, "integer", "passes over the train split", minimum=1, maximum=100_000)
    optimizer: str = _row("adamw", "text", "the optimiser", choices=("adamw", "adam", "sgd"))
    weight_decay: float = _row(1e-2, "number", "weight decay", minimum=0, maximum=100)
    momentum: float = _row(0.9, "number", "momentum of sgd", minimum=0, maximum=1, open_maximum=True)
    label_smoothing: float = _row(
        0.0, "number", "label smoothing of the training loss", minimum=0, maximum=1, open_maximum=True
    )
    scheduler: str = _row(
        "cosine", "text", "how the learning rate changes over the run", choices=("cosine", "none", "step")
    )
    seed: int = _row(0, "integer", "seed of everything random", minimum=0, maximum=2**32 - 1)
    patience: int = _row(0, "integer", "stop after so many epochs without a better valid loss; 0 never", minimum=0)
    views: str = _row(
        "plain,flip",
        "text",
        "views of a train picture: plain, flip, crops:K, separated by commas",
        entry_points=EVERYWHERE,
    )
    features: str = _row(
        "auto",
        "text",
        "auto: heads train on stored features; off: every epoch runs the backbone",
        choices=("auto", "off"),
    )
    unfreeze: int = _row(0, "integer", "how many of the backbone's last blocks to fine-tune", minimum=0)
    backbone_lr: float = _row(
        1e-5, "number", "learning rate of unfrozen blocks", minimum=0, open_minimum=True, maximum=100
    )
    amp: bool = _row(True, "true|false", "mixed precision where there is a GPU")
    workers: int = _row(
        0,
        "integer",
        "threads that decode pictures; 0: one per core",
        minimum=0,
        maximum=256,
        entry_points=EVERYWHERE,
    )

    def to_dict(self) -> dict[str, str]:
        """Name to value in SageMaker's string form; `validate` reads it back."""
        return {parameter.name: _write(getattr(self, _attribute(parameter.name))) for parameter in table()}

    def fingerprint(self) -> str:
        """SHA-256 (hex) of everything that changes a run's result; where it was computed does not count."""
        values = {name: value for name, value in self.to_dict().items() if name != "workers"}
        return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def table(entry_point: str | None = None) -> tuple[Parameter, ...]:
    """The rows, in order; with `entry_point` (train_model, hpo, extract_features) only those it reads."""
    rows = tuple(
        Parameter(name=row.name.replace("_", "-"), default=row.default, **row.metadata)
        for row in fields(Hyperparameters)
    )
    return tuple(row for row in rows if entry_point is None or entry_point in row.entry_points)


def names(entry_point: str | None = None) -> tuple[str, ...]:
    """The names that an entry point accepts, dashed; without one, all names."""
    return tuple(parameter.name for parameter in table(entry_point))


def describe(entry_point: str | None = None) -> str:
    """One line per hyperparameter: name, default, what is allowed, what it does."""
    return "\n".join(
        f"  --{parameter.name:<16} {_write(parameter.default) or '(nothing)':<20} "
        f"{parameter.help} ({parameter.allowed()})"
        for parameter in table(entry_point)
    )


def validate(values: Mapping[str, object], *, entry_point: str | None = None) -> Hyperparameters:
    """The hyperparameters that a mapping of names to values stands for, strings or Python's own values.

    Args:
        values: Names with dashes or underscores.
        entry_point: Accept only the names this script reads; None accepts all.

    Raises:
        HyperparameterError: Names or values are wrong; the message has all of them.
    """
    return _check([(str(name), value) for name, value in values.items()], [], entry_point)


def parse(arguments: Sequence[str], *, entry_point: str | None = None) -> Hyperparameters:
    """The hyperparameters of a command line: `--name value` (as SageMaker sends it) or `--name=value`.

    Raises:
        HyperparameterError: Names or values are wrong; the message has all of them.
    """
    pairs: list[tuple[str, object]] = []
    problems: list[str] = []
    waiting = list(arguments)
    while waiting:
        token = waiting.pop(0)
        if not _is_name(token):
            problems.append(f"{token!r} stands where a --name was expected")
            continue
        name, equals, value = token.lstrip("-").partition("=")
        if equals:
            pairs.append((name, value))
        elif waiting and not _is_name(waiting[0]):
            pairs.append((name, waiting.pop(0)))
        else:
            problems.append(f"{name}: the value is missing")
    return _check(pairs, problems, entry_point)


def _is_name(token: str) -> bool:
    """`--lr` and SageMaker's one-letter `-n` are names; `-1` and `-inf` are values."""
    if token.startswith("--"):
        return token[2:3].isalpha() or token[2:3] == "_"
    return len(token) == 2 and token[0] == "-" and token[1].isalpha()


def _check(pairs: Sequence[tuple[str, object]], problems: list[str], entry_point: str | None) -> Hyperparameters:
    rows = {parameter.name: parameter for parameter in table(entry_point)}
    settled: dict[str, Any] = {}
    for written, value in pairs:
        parameter = rows.get(written.replace("_", "-"))
        if parameter is None:
            problems.append(_unknown(written, tuple(rows), entry_point))
            continue
        try:
            read = _read(parameter, value)
        except ValueError as problem:
            problems.append(f"{parameter.name}: {problem}")
            continue
        if settled.setdefault(_attribute(parameter.name), read) != read:
            problems.append(f"{parameter.name}: given twice, with different values")
    if problems:
        wrong_name = any(written.replace("_", "-") not in rows for written, _ in pairs)
        raise HyperparameterError(_message(problems, tuple(rows) if wrong_name else ()))
    return Hyperparameters(**settled)


def _message(problems: Sequence[str], allowed: Sequence[str]) -> str:
    """The problems, and the names there are where `allowed` has them."""
    heading = "this hyperparameter is" if len(problems) == 1 else f"{len(problems)} hyperparameters are"
    listing = "".join(f"\n  {problem}" for problem in problems)
    names_there_are = f"\nallowed names: {', '.join(allowed)}" if allowed else ""
    return f"{heading} wrong:{listing}{names_there_are}"


def _unknown(name: str, allowed: Sequence[str], entry_point: str | None) -> str:
    dashed = name.replace("_", "-")
    if dashed in names():
        return f"{name}: {entry_point} does not use it"
    close = difflib.get_close_matches(dashed.lower(), _ALIASES | {known: known for known in allowed}, n=1)
    hint = f"; did you mean {_ALIASES.get(close[0], close[0])}?" if close else ""
    return f"{name}: there is no such hyperparameter{hint}"


# What other tools call the same thing: close in meaning, too far in letters to be suggested otherwise.
_ALIASES = {
    "learning-rate": "lr",
    "arch": "model",
    "backbone": "model",
    "num-epochs": "epochs",
    "early-stopping": "patience",
    "wd": "weight-decay",
}


def _read(parameter: Parameter, value: object) -> Any:
    """The value of one parameter; ValueError says what is allowed."""
    text = _write(value).strip()
    try:
        read = _READERS[parameter.kind](text)
    except (ValueError, OverflowError):
        raise ValueError(f"{text!r} is not allowed; write {parameter.allowed()}") from None
    if not _within(parameter, read):
        raise ValueError(f"{text!r} is not allowed; write {parameter.allowed()}")
    if parameter.name == "views":
        _check_views(text)
    return read


def _check_views(text: str) -> None:
    """The views' grammar belongs to the pictures module, which needs Pillow: read only where it is used."""
    from training_scripts.pictures import parse_views  # noqa: PLC0415

    parse_views(text)


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
    """Tuners and JSON turn 64 into 64.0; that is still a whole number."""
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
    """`512,256`, and the list forms that JSON and Python write: `[512, 256]`, `(512,)`."""
    parts = [part.strip() for part in text.strip("[]()").split(",")]
    widths = tuple(_integer(part) for part in parts if part)
    if any(not 1 <= width <= 65536 for width in widths):
        raise ValueError(text)
    return widths


_READERS: dict[str, Callable[[str], Any]] = {
    "number": _number,
    "integer": _integer,
    "true|false": _boolean,
    "text": _text,
    "widths": _widths,
}


def _write(value: object) -> str:
    """A value in string form: what SageMaker would carry."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (tuple, list)):
        return ",".join(str(part) for part in value)
    return str(value)


def _attribute(name: str) -> str:
    return name.replace("-", "_")
