"""Which run may continue which: other data and other models may not, and what else changes is named."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.training_scripts.training.test_trainer import trainer
from training_scripts.training.resume import RunIdentity, compare
from training_scripts.training.trainer import TrainingError

RUN = RunIdentity({"lr": "0.1"}, data="1" * 64, classes=("Boxer", "Pug"), weights="w" * 64)


def other(**values: str) -> RunIdentity:
    return replace(RUN, hyperparameters={"lr": "0.1", **values})


def test_what_changes_no_result_makes_the_same_run() -> None:
    watched = other(workers="3", recorder="off", profiler="off", **{"train.save_interval": "1", "full-tensors": "true"})
    assert watched.fingerprint == RUN.fingerprint
    assert compare(RUN, watched).changes == {}
    assert other(seed="1").fingerprint != RUN.fingerprint != replace(RUN, data="2" * 64).fingerprint
    assert other(**{"on-finding": "stop"}).fingerprint != RUN.fingerprint


@pytest.mark.parametrize(
    ("now", "conflict"),
    [
        (other(model="resnet18"), "model is resnet18 (was efficientnet_lite2)"),
        (other(hidden="512,256"), "hidden is 512,256 (was none)"),
        (other(unfreeze="2"), "unfreeze is 2 (was 0)"),
        (other(optimizer="sgd"), "optimizer is sgd (was adamw)"),
        (other(views="plain"), "views is plain (was plain,flip)"),
        (other(dropout="0.2"), "dropout is 0.2 (was 0.0)"),
        (replace(RUN, data="2" * 64), "the pictures differ: the data set's fingerprint begins with 22222222, and "),
        (replace(RUN, classes=("Boxer", "Poodle")), "the classes differ: without Pug and with Poodle"),
        (replace(RUN, classes=("Pug", "Boxer")), "the classes are in another order"),
        (replace(RUN, weights="v" * 64), "the backbone's weights differ"),
    ],
)
def test_other_data_and_other_models_are_conflicts(now: RunIdentity, conflict: str) -> None:
    [said] = compare(RUN, now).conflicts
    assert said.startswith(conflict)


def test_everything_else_is_a_change() -> None:
    found = compare(other(dropout="0.1"), other(dropout="0.2", epochs="20", **{"batch-size": "8"}))
    assert found.conflicts == ()
    assert str(found) == "dropout 0.2 (was 0.1), batch-size 8 (was 64), epochs 20 (was 10)"


def test_what_is_not_known_is_no_conflict() -> None:
    assert compare(RUN, RunIdentity(RUN.hyperparameters)).conflicts == ()


def test_more_epochs_continue_with_the_schedule_restated(tmp_path: Path) -> None:
    trainer(tmp_path, epochs=3).run()
    lines: list[str] = []
    again = trainer(tmp_path, lines=lines, epochs=6)
    rates: list[float] = []
    set_rate = again._set_rate

    def noted(done: float) -> None:
        set_rate(done)
        rates.append(again._optimizer.param_groups[0]["lr"])

    again._set_rate = noted  # type: ignore[method-assign]
    outcome = again.run()
    assert lines[0] == (
        f"continuing after epoch 3 from {tmp_path / 'checkpoint.pth'}, with epochs 6 (was 3); the cosine schedule now "
        "spans 6 epochs, and the learning rate continues at 0.025"
    )
    assert [line.split()[1] for line in lines[1:] if line.startswith("epoch")] == ["4/6", "5/6", "6/6"]
    assert len(outcome.history) == 6
    assert rates[0] == pytest.approx(0.05 / 2)  # half way down a cosine from 0.05


def test_another_rate_is_really_used(tmp_path: Path) -> None:
    trainer(tmp_path, epochs=3, scheduler="none", weight_decay=0.1).run()
    again = trainer(tmp_path, epochs=4, scheduler="none", lr=0.001, weight_decay=0.2)
    moments = torch.load(tmp_path / "checkpoint.pth", weights_only=True)["state"]["optimizer"]["state"]
    again._resume()
    [group] = again._optimizer.param_groups
    assert (group["initial_lr"], group["weight_decay"]) == (0.001, 0.2)
    assert torch.equal(again._optimizer.state_dict()["state"][0]["exp_avg"], moments[0]["exp_avg"])


@pytest.mark.parametrize("changes", [{"epochs": 2}, {"epochs": 3, "lr": 0.001}])
def test_a_checkpoint_that_leaves_nothing_to_train_is_refused(tmp_path: Path, changes: dict[str, float]) -> None:
    trainer(tmp_path, epochs=3).run()
    with pytest.raises(TrainingError, match="has 3 epochs already"):
        trainer(tmp_path, **changes).run()


def test_the_same_run_again_ends_with_the_same_model(tmp_path: Path) -> None:
    first = trainer(tmp_path, epochs=3).run()
    assert trainer(tmp_path, epochs=3).run().metrics == first.metrics
