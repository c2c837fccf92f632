"""Numbers that are computed for many steps at once are those of each step."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from dogbreed_sdk import DebugReport, Recorder
from training_scripts.recording.recorder import bulk
from training_scripts.recording.recorder.bulk import Bulk

STEPS = 150  # more than fit in one block


def test_each_step_gets_its_own_numbers_whatever_the_shapes() -> None:
    steps: list[dict[str, float]] = []
    waiting, generator = Bulk(), np.random.default_rng(0)
    arrays = [generator.normal(step, 1 + step, size=(step % 3 + 1, 4)).astype(np.float32) for step in range(STEPS)]
    for array in arrays:
        steps.append({})
        waiting.add(("mean", "std"), bulk.mean_and_std, (array,), steps[-1])  # type: ignore[arg-type]
        waiting.add(("low", "high", "middle"), bulk.bounds_and_mean, (array,), steps[-1])  # type: ignore[arg-type]
    waiting.finish()
    for numbers, array in zip(steps, arrays, strict=True):
        assert numbers["mean"] == pytest.approx(array.mean(), rel=1e-4, abs=1e-4)
        assert numbers["std"] == pytest.approx(array.std(), rel=1e-3)
        assert (numbers["low"], numbers["high"]) == (array.min(), array.max())
        assert numbers["middle"] == pytest.approx(array.mean(), rel=1e-4, abs=1e-4)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_number_that_is_not_finite_shows_at_its_step_alone(bad: float) -> None:
    waiting = Bulk()
    steps: list[dict[str, float]] = [{} for _ in range(3)]
    for number, numbers in enumerate(steps):
        array = np.array([1.0, bad if number == 1 else 2.0], np.float32)
        waiting.add(("mean", "std"), bulk.mean_and_std, (array,), numbers)  # type: ignore[arg-type]
    waiting.finish()
    assert [np.isfinite(numbers["mean"]) for numbers in steps] == [True, False, True]


def test_accuracy_and_class_counts_of_every_step(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = nn.Linear(4, 3)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    right, counts, means = [], np.zeros(3, int), []
    with Recorder(tmp_path / "run", model=model, optimizer=optimizer, rules=False) as run:
        for step in range(STEPS):
            inputs, labels = torch.randn(7, 4), torch.randint(0, 3, (7,))
            outputs = model(inputs)
            loss = nn.functional.cross_entropy(outputs, labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            run.step(loss, outputs=outputs, labels=labels)
            right.append((outputs.argmax(1) == labels).double().mean().item())
            means.append(inputs.mean().item())
            counts += np.bincount(labels, minlength=3)
            labels.fill_(0)
            outputs.detach().fill_(0)
            assert step < 100 or run.steps_done == step + 1
    trial = DebugReport.load(tmp_path / "run").trial
    assert trial is not None
    assert trial.tensor("accuracy").series().values == pytest.approx(right)
    assert trial.tensor("input_mean").series().values == pytest.approx(means, abs=1e-6)
    assert trial.run["class_counts"] == counts.tolist()


def test_copies_of_a_recorded_model_record_nothing_and_work_without_the_package(tmp_path: Path) -> None:
    model = nn.Linear(4, 3)
    with Recorder(tmp_path / "run", model=model, rules=False) as run:
        run.step(1.0)
        content = pickle.dumps(model)
        assert b"dogbreed" not in content
        for other in (copy.deepcopy(model), pickle.loads(content)):
            assert torch.equal(other(torch.ones(2, 4)), model(torch.ones(2, 4)))
    assert not model._forward_pre_hooks
