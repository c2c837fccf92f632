"""The facts of a run in `run.json`, checked to be of the types that our recorder writes: rules rely on them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypedDict, cast

_Check = Callable[[object], bool]
_MOST_PROBLEMS, _LONGEST_PROBLEM = 20, 500
TASKS = CLASSIFICATION, REGRESSION = "classification", "regression"
_MOST_CLASSES, _LARGEST = 1_000_000, 1 << 53


class RunFacts(TypedDict, total=False):
    """The content of `run.json`; a fact that the recorder did not know is None or missing.

    Attributes:
        format: Version of the file's format.
        recorder: builtin for train_model's, loop for `dogbreed_sdk.Recorder`.
        framework: What drives the loop: torch, lightning, transformers, timm or keras.
        task: classification, or regression for anything without classes; None if unknown.
        fingerprint: Equal for all processes of one run.
        started: When the run started, seconds since 1970.
        job: The training job's name.
        hyperparameters: Those of train_model by name, as the script received them.
        parameters: The hyperparameters of a loop that is not ours, by its own names.
        workers: Number of processes that train together.
        accumulation: TRAIN steps (micro-batches) per optimizer step.
        sizes: Pictures, or other samples, by split.
        steps_per_epoch: TRAIN steps.
        eval_steps_per_epoch: EVAL steps of one evaluation.
        batch_size: Samples per step.
        epochs: Planned epochs.
        learning_rate: The initial one.
        optimizer_stepped: Whether the optimizer took any step; missing until the run ends.
        dropout: The highest rate of dropout among the network's modules.
        weight_decay: The strongest of the optimizer's parameter groups.
        evaluated_in_training_mode: Whether dropout or batch normalization were in training mode in an evaluation.
        output_shape: That of a batch's outputs, if the loss broadcasts them and the targets to a larger shape.
        target_shape: That of the same batch's targets.
        classes: Class folders in index order.
        class_counts: Training pictures per class.
        valid_names: Names of the validation pictures, in the order of their predictions.
        inputs: features or pictures.
        backbone: Name of the backbone.
        feature_pass: The cost of computing the features.
        failure: The exception that ended the loop, if one did.
        problems: Sentences that say what is missing.
        notes: Sentences on how the run was recorded.
    """

    format: int
    recorder: str
    framework: str | None
    task: str | None
    fingerprint: str
    started: float
    job: str | None
    hyperparameters: Mapping[str, object]
    parameters: Mapping[str, object]
    workers: int | None
    accumulation: int | None
    sizes: Mapping[str, int]
    steps_per_epoch: int | None
    eval_steps_per_epoch: int | None
    batch_size: int | None
    epochs: int | None
    learning_rate: float | None
    optimizer_stepped: bool
    dropout: float
    weight_decay: float
    evaluated_in_training_mode: bool
    output_shape: list[int]
    target_shape: list[int]
    classes: list[str]
    class_counts: list[int]
    valid_names: list[str]
    inputs: str | None
    backbone: str | None
    feature_pass: Mapping[str, object] | None
    failure: str
    problems: list[str]
    notes: list[str]


def _number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < _LARGEST


def _count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _LARGEST


def _text(value: object) -> bool:
    return isinstance(value, str)


def _counts(value: object) -> bool:
    return isinstance(value, dict) and all(_count(one) for one in value.values())


def _listed(check: _Check) -> _Check:
    return lambda value: isinstance(value, list) and len(value) <= _MOST_CLASSES and all(check(one) for one in value)


_KINDS: Mapping[str, tuple[str, _Check]] = {
    "format": ("a count", _count),
    "recorder": ("a text", _text),
    "framework": ("a text", _text),
    "task": ("classification or regression", lambda value: value in TASKS),
    "fingerprint": ("a text", _text),
    "started": ("a number", _number),
    "hyperparameters": ("an object", lambda value: isinstance(value, dict)),
    "parameters": ("an object", lambda value: isinstance(value, dict)),
    "workers": ("a count", _count),
    "accumulation": ("a count", _count),
    "sizes": ("an object of counts", _counts),
    "steps_per_epoch": ("a count", _count),
    "eval_steps_per_epoch": ("a count", _count),
    "batch_size": ("a count", _count),
    "epochs": ("a count", _count),
    "learning_rate": ("a number", _number),
    "optimizer_stepped": ("true or false", lambda value: isinstance(value, bool)),
    "dropout": ("a number", _number),
    "weight_decay": ("a number", _number),
    "evaluated_in_training_mode": ("true or false", lambda value: isinstance(value, bool)),
    "output_shape": ("a list of counts", _listed(_count)),
    "target_shape": ("a list of counts", _listed(_count)),
    "classes": ("a list", _listed(lambda value: isinstance(value, (str, int)))),
    "class_counts": ("a list of counts", _listed(_count)),
    "valid_names": ("a list of texts", _listed(_text)),
    "inputs": ("a text", _text),
    "backbone": ("a text", _text),
    "feature_pass": ("an object", lambda value: isinstance(value, dict)),
    "failure": ("a text", _text),
    "problems": ("a list of texts", _listed(_text)),
    "notes": ("a list of texts", _listed(_text)),
}


def checked(found: Mapping[str, object]) -> tuple[RunFacts, list[str]]:
    """The facts without values of the wrong type, and a sentence for each value that was dropped."""
    wrong = [
        name
        for name, (_, check) in _KINDS.items()
        if name in found and found[name] is not None and not check(found[name])
    ]
    kept = {name: value for name, value in found.items() if name not in wrong}
    return cast("RunFacts", kept), [f"run.json: {name} is not {_KINDS[name][0]} and is left out" for name in wrong]


def problems(run: RunFacts) -> list[str]:
    """The problems that the recorder noted, shortened."""
    return _shortened(run.get("problems"))


def notes(run: RunFacts) -> list[str]:
    """The recorder's notes on how it recorded, shortened in the same way."""
    return _shortened(run.get("notes"))


def steps_of(facts: Mapping[str, Any]) -> int:
    """Training steps of the whole run, from the facts that `Callback.run_begins` receives; 0 if unknown."""
    epochs = int(facts.get("hyperparameters", {}).get("epochs", 0) or 0)
    return epochs * int(facts.get("steps_per_epoch", 0) or 0)


def _shortened(sentences: Sequence[str] | None) -> list[str]:
    return [sentence[:_LONGEST_PROBLEM] for sentence in (sentences or [])[:_MOST_PROBLEMS]]
