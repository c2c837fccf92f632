"""What `run.json` says of a run, as far as it is of the kinds that our recorder writes: rules rely on them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

_Check = Callable[[Any], bool]
_MOST_PROBLEMS, _LONGEST_PROBLEM = 20, 500
_MOST_CLASSES, _LARGEST = 1_000_000, 1 << 53


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < _LARGEST


def _count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _LARGEST


def _text(value: Any) -> bool:
    return isinstance(value, str)


def _counts(value: Any) -> bool:
    return isinstance(value, dict) and all(_count(one) for one in value.values())


def _listed(check: _Check) -> _Check:
    return lambda value: isinstance(value, list) and len(value) <= _MOST_CLASSES and all(check(one) for one in value)


_KINDS: Mapping[str, tuple[str, _Check]] = {
    "format": ("a count", _count),
    "recorder": ("a text", _text),
    "fingerprint": ("a text", _text),
    "started": ("a number", _number),
    "hyperparameters": ("an object", lambda value: isinstance(value, dict)),
    "sizes": ("an object of counts", _counts),
    "steps_per_epoch": ("a count", _count),
    "eval_steps_per_epoch": ("a count", _count),
    "batch_size": ("a count", _count),
    "epochs": ("a count", _count),
    "learning_rate": ("a number", _number),
    "classes": ("a list", _listed(lambda value: isinstance(value, (str, int)))),
    "class_counts": ("a list of counts", _listed(_count)),
    "valid_names": ("a list of texts", _listed(_text)),
    "inputs": ("a text", _text),
    "backbone": ("a text", _text),
    "feature_pass": ("an object", lambda value: isinstance(value, dict)),
    "problems": ("a list of texts", _listed(_text)),
    "notes": ("a list of texts", _listed(_text)),
}


def checked(found: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """What was read of a run without values of other kinds, and a sentence for each of those."""
    wrong = [
        name
        for name, (_, check) in _KINDS.items()
        if name in found and found[name] is not None and not check(found[name])
    ]
    kept = {name: value for name, value in found.items() if name not in wrong}
    return kept, [f"run.json: {name} is not {_KINDS[name][0]} and is left out" for name in wrong]


def problems(run: Mapping[str, Any]) -> list[str]:
    """What the recorder itself said is missing, shortened; of a run as `checked` gives it."""
    return _shortened(run.get("problems"))


def notes(run: Mapping[str, Any]) -> list[str]:
    """What the recorder said of how it recorded where that is not what a reader would expect, shortened likewise."""
    return _shortened(run.get("notes"))


def steps_of(facts: Mapping[str, Any]) -> int:
    """Training steps of a whole run whose facts `Watcher.run_begins` gets; 0 where they do not tell."""
    epochs = int(facts.get("hyperparameters", {}).get("epochs", 0) or 0)
    return epochs * int(facts.get("steps_per_epoch", 0) or 0)


def _shortened(sentences: Sequence[str] | None) -> list[str]:
    return [sentence[:_LONGEST_PROBLEM] for sentence in (sentences or [])[:_MOST_PROBLEMS]]
