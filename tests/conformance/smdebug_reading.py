"""Reads a trial with smdebug and prints all of it as JSON; runs in smdebug's environment.

Usage: smdebug_reading.py TRIAL OUTPUT [TRIAL OUTPUT ...]
An output is {"collections": {name: [tensor, ...]}, "steps": {mode: [step, ...]}, "tensors": {name: {mode: {step:
{"value": ..., "dtype": ..., "reductions": {kind: number}}}}}, "workers": {worker: tensors likewise}}.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from smdebug import modes
from smdebug.exceptions import TensorUnavailableForStep
from smdebug.trials import create_trial

# To smdebug, GLOBAL is all steps of a trial with modes, and the only mode of one without.
MODES = {"TRAIN": modes.TRAIN, "EVAL": modes.EVAL}
WITHOUT = {"GLOBAL": modes.GLOBAL}


def at(tensor: Any, step: int, mode: Any, worker: str | None) -> dict[str, Any]:
    """What smdebug has of a tensor at a step, from a worker; by default the first one."""
    found: dict[str, Any] = {}
    try:
        value = tensor.value(step, mode=mode, worker=worker)
        found |= {"value": value.tolist(), "dtype": str(value.dtype)}
    except TensorUnavailableForStep:
        pass
    kinds = tensor.reduction_values(step, mode=mode, worker=worker)
    found["reductions"] = {
        f"{'abs_' if absolute else ''}{kind}": float(value) for (kind, absolute), value in kinds.items()
    }
    return found


def recorded(trial: Any, found: dict[str, Any], worker: str | None = None) -> dict[str, Any]:
    """All tensors, as one worker recorded them."""
    tensors: dict[str, Any] = {}
    for name in trial.tensor_names():
        tensor = trial.tensor(name)
        for mode, key in found.items():
            steps = [step for step in tensor.steps(mode=key) if worker in {None, *tensor.workers(step, mode=key)}]
            if steps:
                tensors.setdefault(name, {})[mode] = {step: at(tensor, step, key, worker) for step in steps}
    return tensors


def read(folder: str) -> dict[str, Any]:
    """All of a trial."""
    trial = create_trial(folder)
    found = MODES if any(trial.steps(mode=key) for key in MODES.values()) else WITHOUT
    return {
        "collections": {name: trial.tensor_names(collection=name) for name in trial.collections()},
        "steps": {mode: trial.steps(mode=key) for mode, key in found.items()},
        "tensors": recorded(trial, found),
        "workers": {worker: recorded(trial, found, worker) for worker in trial.workers()},
    }


def main() -> None:
    for folder, output in zip(sys.argv[1::2], sys.argv[2::2], strict=True):
        Path(output).write_text(json.dumps(read(folder)))


if __name__ == "__main__":
    main()
