"""The identity of a run, and whether a run with other settings may resume from its checkpoint. Does not need torch."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from training_scripts.training.hyperparameters import Hyperparameters, table

# Stored beside the checkpoint: the run that it belongs to, for readers without torch.
DESCRIPTION_NAME = "checkpoint.json"
_SHOWN_DIGITS = 8
_SHOWN_CLASSES = 5


@dataclass(frozen=True)
class RunIdentity:
    """Everything that determines a run's result.

    Attributes:
        hyperparameters: Name to value, in string form.
        data: SHA-256 of the data set; empty if unknown.
        classes: Class folders in index order; empty if unknown.
        weights: SHA-256 of the backbone's initial weights; empty if unknown.
    """

    hyperparameters: Mapping[str, str] = field(default_factory=dict)
    data: str = ""
    classes: tuple[str, ...] = ()
    weights: str = ""

    @property
    def fingerprint(self) -> str:
        """SHA-256 (hex) of everything that determines the result; recording and `workers` do not."""
        values = {name: self.value(name) for name in _rows()}
        parts = (json.dumps(values, sort_keys=True), self.data, self.classes, self.weights)
        return hashlib.sha256(repr(parts).encode("utf-8", "surrogateescape")).hexdigest()

    def value(self, name: str) -> str:
        """A hyperparameter's value, or its default if none is given."""
        return self.hyperparameters.get(name, _DEFAULTS[name])

    def to_dict(self) -> dict[str, object]:
        """The values as JSON types; `from_dict` reads them back."""
        return {
            "hyperparameters": dict(self.hyperparameters),
            "data": self.data,
            "classes": list(self.classes),
            "weights": self.weights,
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> RunIdentity:
        """Reads what `to_dict` returned.

        Raises:
            KeyError: A value is missing.
        """
        return cls(values["hyperparameters"], values["data"], tuple(values["classes"]), values["weights"])


@dataclass(frozen=True)
class Comparison:
    """How a run differs from the one whose checkpoint it resumes.

    Attributes:
        conflicts: Why it cannot resume, one phrase per reason.
        changes: The settings that change when it resumes: hyperparameter -> (value before, value now).
    """

    conflicts: tuple[str, ...]
    changes: Mapping[str, tuple[str, str]]

    def __str__(self) -> str:
        """The changes in words."""
        return ", ".join(f"{name} {now} (was {before})" for name, (before, now) in self.changes.items())


def compare(before: RunIdentity, now: RunIdentity) -> Comparison:
    """Compares a run with the one whose checkpoint it resumes; unknown values count as equal.

    Args:
        before: The run that wrote the checkpoint.
        now: The run that resumes from it.
    """
    differing = {
        name: (before.value(name), now.value(name)) for name in _rows() if before.value(name) != now.value(name)
    }
    conflicts = [
        f"{name} is {new or 'none'} (was {old or 'none'})"
        for name, (old, new) in differing.items()
        if _is_fixed(name, old, new)
    ]
    if before.classes and now.classes and before.classes != now.classes:
        conflicts.append(_other_classes(before.classes, now.classes))
    elif before.data and now.data and before.data != now.data:
        conflicts.append(
            f"the pictures differ: the data set's fingerprint begins with {now.data[:_SHOWN_DIGITS]}, and began "
            f"with {before.data[:_SHOWN_DIGITS]}"
        )
    if not conflicts and before.weights and now.weights and before.weights != now.weights:
        conflicts.append("the backbone's weights differ, although their name is the same")
    changes = {name: pair for name, pair in differing.items() if not _is_fixed(name, *pair)}
    return Comparison(tuple(conflicts), changes)


def _is_fixed(name: str, before: str, now: str) -> bool:
    """Whether a run with one value cannot use the state of a run with the other."""
    if name == "dropout":  # without dropout, the head has one layer fewer
        return (float(before) == 0) != (float(now) == 0)
    return _rows()[name]


def _other_classes(before: Sequence[str], now: Sequence[str]) -> str:
    parts = [
        f"{verb} {', '.join(names[:_SHOWN_CLASSES])}{' …' if len(names) > _SHOWN_CLASSES else ''}"
        for verb, names in (
            ("without", [name for name in before if name not in now]),
            ("with", [name for name in now if name not in before]),
        )
        if names
    ]
    return f"the classes differ: {' and '.join(parts)}" if parts else "the classes are in another order"


def _rows() -> dict[str, bool]:
    """The hyperparameters that decide a run's result, and whether a resumed run must keep them."""
    return {row.name: row.fixed for row in table() if row.name != "workers" and not row.recording}


_DEFAULTS = Hyperparameters().to_dict()
