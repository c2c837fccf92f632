"""The reference of the recording format names what recordings contain."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest
from torch.nn import functional

from tests.recording.loops import line, train, trial_of
from training_scripts.recording.trial.reductions import REDUCTIONS
from training_scripts.recording.trial.trial import Trial

reference = importlib.import_module("_generate.recording")


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_every_recorded_tensor_is_listed_with_its_collection(task: str, tmp_path: Path) -> None:
    of_a_regression = {"of": line, "criterion": functional.mse_loss, "outputs": 1}
    train(tmp_path / "run", epochs=1, **(of_a_regression if task == "regression" else {}))
    trial = trial_of(tmp_path / "run")
    collections = {name: collection for collection, names in trial.collections.items() for name in names}
    assert {name for name in trial.tensor_names() if not is_listed(name, collections[name])} == set()
    assert kinds_of(trial) <= set(reference.REDUCTIONS)


def is_listed(name: str, collection: str) -> bool:
    for listed, (collections, _) in reference.TENSORS.items():
        pattern = re.escape(listed).replace("<parameter>", r"\w+\.(weight|bias)").replace("<layer>", r"\w+")
        if re.fullmatch(re.sub(r"<\w+>", r"\\w+", pattern), name) and collection in collections.split(", "):
            return True
    return False


def kinds_of(trial: Trial) -> set[str]:
    return {kind for name in trial.tensor_names() for kind in trial.tensor(name).reductions("TRAIN")}


def test_every_reduction_that_is_computed_from_values_is_listed() -> None:
    assert set(REDUCTIONS) <= set(reference.REDUCTIONS)
