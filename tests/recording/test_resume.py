"""A folder that contains a recording: refused, replaced, or continued as if the run had never been interrupted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

from dogbreed_sdk import ConfigurationError, DebugReport, Recorder
from tests.recording.loops import STEPS, clouds, loaders, network, train, trial_of, values
from training_scripts.recording.profile.profile import TRAIN_STEP
from training_scripts.recording.trial.trial import Trial

pytestmark = pytest.mark.extras
EPOCHS = 4


class KilledError(Exception):
    """Stands for the end of a process."""


def run_epochs(folder: Path, checkpoint: Path, *, killed_at: int = -1, resume: bool | int = False) -> None:
    """Trains from the checkpoint, if there is one, and writes one after each epoch."""
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0625, momentum=0.5)
    done = steps = 0
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        done, steps = state["epoch"], state["steps"]
    rows = clouds(160, 1).tensors
    _, valid = loaders()
    kept = steps if resume else False
    with Recorder(folder, model=model, optimizer=optimizer, rules=False, resume=kept) as run:
        for epoch in range(done, EPOCHS):
            order = torch.randperm(160, generator=torch.Generator().manual_seed(epoch)).split(16)
            for rows_of_step in order:
                inputs, labels = (part[rows_of_step] for part in rows)
                scores = model(inputs)
                loss = functional.cross_entropy(scores, labels)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                run.step(loss, outputs=scores, labels=labels)
                if run.steps_done == killed_at:
                    raise KilledError
            run.validate(valid, functional.cross_entropy)
            run.epoch()
            torch.save(
                {
                    "model": model.state_dict(),
                    "optimizer": optimizer.state_dict(),
                    "epoch": epoch + 1,
                    "steps": run.steps_done,
                },
                checkpoint,
            )


def contents(trial: Trial) -> dict[str, object]:
    """Everything a trial has, in a form that can be compared."""
    found: dict[str, object] = {mode: trial.steps(mode).global_steps.tolist() for mode in ("TRAIN", "EVAL")}
    for name in trial.tensor_names():
        for mode in trial.modes(name):
            whole = [(step, value.tolist()) for step, value in trial.tensor(name).values(mode)]
            reduced = {
                kind: (series.steps.tolist(), series.values.tolist())
                for kind, series in trial.recorded_reductions(name, mode).items()
            }
            found[f"{name} {mode}"] = whole, reduced
    return found


@pytest.mark.parametrize("killed_at", [2 * STEPS, 2 * STEPS + 3])
def test_a_resumed_run_has_the_recording_of_an_uninterrupted_one(tmp_path: Path, killed_at: int) -> None:
    run_epochs(tmp_path / "whole", tmp_path / "a.pt")
    with pytest.raises(KilledError):
        run_epochs(tmp_path / "run", tmp_path / "b.pt", killed_at=killed_at)
    run_epochs(tmp_path / "run", tmp_path / "b.pt", resume=True)
    whole, resumed = trial_of(tmp_path / "whole"), trial_of(tmp_path / "run")
    assert contents(resumed) == contents(whole)
    changing = ("fingerprint", "started")
    facts = [{key: value for key, value in trial.run.items() if key not in changing} for trial in (whole, resumed)]
    assert facts[1] == facts[0] | {"notes": []}
    profile = DebugReport.load(tmp_path / "run").profile
    assert profile is not None
    assert sorted(set(profile.phases[TRAIN_STEP].steps.tolist())) == list(range(EPOCHS * STEPS))


def test_resume_true_continues_after_the_last_step(tmp_path: Path) -> None:
    train(tmp_path, epochs=2, profile=True)
    train(tmp_path, epochs=1, profile=True, resume=True)
    trial, profile = trial_of(tmp_path), DebugReport.load(tmp_path).profile
    assert len(values(trial, "loss_output_0")) == 3 * STEPS
    assert trial.tensor("loss_output_0").steps() == list(range(3 * STEPS))
    assert trial.tensor("loss_output_0").steps("EVAL") == list(range(6))
    assert np.diff(np.sort(np.r_[trial.steps("TRAIN").global_steps, trial.steps("EVAL").global_steps])).min() == 1
    assert profile is not None
    assert profile.phases[TRAIN_STEP].steps.tolist() == list(range(3 * STEPS))


def test_resume_in_an_empty_folder_begins_a_recording(tmp_path: Path) -> None:
    train(tmp_path / "new", epochs=1, resume=True)
    assert len(values(trial_of(tmp_path / "new"), "loss_output_0")) == STEPS


def test_steps_that_were_not_written_are_named(tmp_path: Path) -> None:
    train(tmp_path, epochs=1)
    with Recorder(tmp_path, resume=STEPS + 5, rules=False, profile=False) as run:
        run.step(1.0)
    trial = DebugReport.load(tmp_path).trial
    assert trial is not None
    assert trial.tensor("loss_output_0").steps()[-1] == STEPS + 5
    assert list(trial.problems) == [
        f"TRAIN steps {STEPS} to {STEPS + 4} were lost: their process ended before it wrote them"
    ]


def test_a_folder_with_a_recording_is_refused_with_what_to_do(tmp_path: Path) -> None:
    train(tmp_path, epochs=1)
    before = contents(trial_of(tmp_path))
    with pytest.raises(ConfigurationError) as refused:
        Recorder(tmp_path)
    assert str(refused.value).startswith(f"{tmp_path} already contains a recording, started at 20")
    assert "Pass resume=True to continue it, overwrite=True to replace it, or the path of another" in str(refused.value)
    assert contents(trial_of(tmp_path)) == before


def test_overwrite_replaces_trial_and_profile_and_leaves_other_files(tmp_path: Path) -> None:
    train(tmp_path, epochs=3, profile=True)
    (tmp_path / "checkpoint.pt").write_text("mine")
    train(tmp_path, epochs=1, profile=True, overwrite=True)
    trial, profile = trial_of(tmp_path), DebugReport.load(tmp_path).profile
    assert len(values(trial, "loss_output_0")) == STEPS
    assert profile is not None
    assert profile.phases[TRAIN_STEP].steps.tolist() == list(range(STEPS))
    assert (tmp_path / "checkpoint.pt").read_text() == "mine"


def test_resume_and_overwrite_exclude_each_other(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="has both resume and overwrite"):
        Recorder(tmp_path, resume=True, overwrite=True)


def test_a_file_is_not_a_folder(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("")
    with pytest.raises(ConfigurationError, match="is a file; pass the path of a directory"):
        Recorder(tmp_path / "run")
