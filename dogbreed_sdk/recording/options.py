"""What a caller of `Recorder` asked for, and the facts of `run.json` that follow from it."""

from __future__ import annotations

import dataclasses
import math
import re
import time
import uuid
from argparse import Namespace
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dogbreed_sdk.errors import ConfigurationError
from training_scripts.recording.trial.run_facts import TASKS, RunFacts

_SECRET = re.compile(r"(api|access|secret|private)_?key|token|password|passwd|secret|credential", re.IGNORECASE)
_LONGEST_VALUE = 500


@dataclass(frozen=True)
class Options:
    """The arguments of `Recorder`, checked.

    Attributes:
        resume: None for a new recording, True to continue after its last step, or the number of steps to keep.
        others: As `Recorder` documents them.
    """

    folder: Path
    model: Any
    optimizer: Any
    parameters: Mapping[str, object]
    epochs: int | None
    steps_per_epoch: int | None
    classes: Sequence[str] | None
    task: str | None
    save_interval: int
    profile: bool
    resume: bool | int | None
    framework: str

    def facts(self, *, workers: int = 1) -> RunFacts:
        """The facts of a new run of some workers, as far as they are known before its first step."""
        groups = getattr(self.optimizer, "param_groups", None) or [{}]
        rate = float(groups[0].get("lr", math.nan))
        return {
            "format": 1,
            "recorder": "loop",
            "framework": self.framework,
            "task": self.task,
            "fingerprint": uuid.uuid4().hex,
            "started": time.time(),
            "hyperparameters": {},
            "parameters": dict(self.parameters),
            "workers": workers,
            "sizes": {},
            "steps_per_epoch": self.steps_per_epoch,
            "epochs": self.epochs,
            "learning_rate": rate if math.isfinite(rate) else None,
            "classes": [str(name) for name in self.classes or ()],
        }


def plain_parameters(hyperparameters: object) -> dict[str, object]:
    """Hyperparameters as plain values for JSON; values whose names sound like secrets are left out.

    Args:
        hyperparameters: A mapping, an `argparse.Namespace` or an instance of a dataclass; None for none.

    Raises:
        ConfigurationError: It is something else.

    >>> plain_parameters({"lr": 0.1, "schedule": ["cosine"], "wandb_api_key": "k"})
    {'lr': 0.1, 'schedule': "['cosine']"}
    """
    if hyperparameters is None:
        return {}
    found = hyperparameters
    if isinstance(found, Namespace):
        found = vars(found)
    elif dataclasses.is_dataclass(found) and not isinstance(found, type):
        found = {field.name: getattr(found, field.name) for field in dataclasses.fields(found)}
    if not isinstance(found, Mapping):
        raise ConfigurationError(
            f"hyperparameters is a {type(found).__name__}; pass the run's hyperparameters as a dictionary, an "
            "argparse.Namespace or a dataclass."
        )
    return {str(name): _plain(value) for name, value in found.items() if not _SECRET.search(str(name))}


def check_numbers(*, epochs: int | None, steps_per_epoch: int | None, save_interval: int, task: str | None) -> None:
    """Checks the arguments that are numbers or one of a few words.

    Raises:
        ConfigurationError: One of them is invalid.
    """
    for name, value in (("epochs", epochs), ("steps_per_epoch", steps_per_epoch)):
        if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
            raise ConfigurationError(f"{name} is {value!r}; pass a positive integer, or None if it is unknown.")
    if not isinstance(save_interval, int) or isinstance(save_interval, bool) or save_interval < 0:
        raise ConfigurationError(f"save_interval is {save_interval!r}; pass a number of steps, or 0 for the default.")
    if task is not None and task not in TASKS:
        raise ConfigurationError(f"task is {task!r}; pass {' or '.join(map(repr, TASKS))}, or None to infer it.")


def _plain(value: object) -> object:
    if value is None or isinstance(value, (bool, int, str)):
        return value[:_LONGEST_VALUE] if isinstance(value, str) else value
    if isinstance(value, float) and math.isfinite(value):
        return value
    return str(value)[:_LONGEST_VALUE]
