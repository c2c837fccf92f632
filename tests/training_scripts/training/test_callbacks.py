"""Callbacks are told what happens in a run, in order; one that fails costs a line of warning and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.training_scripts.small_datasets import same_weights
from tests.training_scripts.training.test_trainer import trainer
from training_scripts.training.callbacks import Callback, Callbacks


class Diary(Callback):
    """Writes down every hook, with its mode or split."""

    def __init__(self) -> None:
        self.pages: list[str] = []
        self.facts: dict[str, Any] = {}

    def run_begins(self, network: Any, facts: Any) -> None:
        self.pages.append("run_begins")
        self.facts = dict(facts)

    def step_begins(self, mode: str) -> None:
        self.pages.append(f"step_begins {mode}")

    def batch_ready(self, mode: str, inputs: Any, labels: Any) -> None:
        self.pages.append(f"batch_ready {mode} {len(inputs)}")

    def forward_done(self, mode: str, logits: Any) -> None:
        self.pages.append(f"forward_done {mode} {tuple(logits.shape)}")

    def backward_done(self, mode: str) -> None:
        self.pages.append(f"backward_done {mode}")

    def step_ends(self, mode: str, loss: Any, correct: Any, size: int) -> None:
        self.pages.append(f"step_ends {mode} {size}")

    def evaluation_ends(self, split: str, answers: Any) -> None:
        self.pages.append(f"evaluation_ends {split} {len(answers)}")

    def epoch_ends(self, epoch: int, values: Any) -> str | None:
        self.pages.append(f"epoch_ends {epoch} {','.join(values)}")
        return None

    def run_ends(self) -> None:
        self.pages.append("run_ends")


HOOKS = ["run_begins", "step_begins", "batch_ready", "forward_done", "backward_done", "step_ends", "evaluation_ends"]


def failing_at(hook: str) -> Callback:
    """A callback of the name Camera that fails at a hook, and knows no other than `run_ends`."""

    def fail(self: Any, *_: Any) -> None:
        self.calls.append(hook)
        raise RuntimeError("no room left\nand more")

    kind = type(
        "Camera", (Callback,), {"calls": [], hook: fail, "run_ends": lambda self: self.calls.append("run_ends")}
    )
    made: Callback = kind()
    return made


def test_an_epoch_as_callbacks_see_it(tmp_path: Path) -> None:
    diary = Diary()
    trainer(tmp_path, epochs=1, batch_size=48, callbacks=Callbacks([diary])).run()
    assert diary.pages == [
        "run_begins",
        "step_begins TRAIN",
        "batch_ready TRAIN 48",
        "forward_done TRAIN (48, 4)",
        "backward_done TRAIN",
        "step_ends TRAIN 48",
        "step_begins TRAIN",
        "batch_ready TRAIN 16",
        "forward_done TRAIN (16, 4)",
        "backward_done TRAIN",
        "step_ends TRAIN 16",
        "step_begins TRAIN",
        "step_begins EVAL",
        "batch_ready EVAL 64",
        "forward_done EVAL (64, 4)",
        "step_ends EVAL 64",
        "step_begins EVAL",
        "evaluation_ends valid 64",
        "epoch_ends 1 train:loss,train:accuracy,valid:loss,valid:accuracy",
    ]
    assert diary.facts["sizes"] == {"train": 64, "valid": 64, "test": 64}
    assert (diary.facts["steps_per_epoch"], diary.facts["epoch"]) == (2, 0)
    assert diary.facts["hyperparameters"]["batch-size"] == "48"


def test_only_the_run_is_watched_not_what_is_judged_afterward(tmp_path: Path) -> None:
    diary = Diary()
    run = trainer(tmp_path, epochs=1, callbacks=Callbacks([diary]))
    run.run()
    pages = len(diary.pages)
    run.evaluate("test")
    assert len(diary.pages) == pages


@pytest.mark.parametrize("hook", [*HOOKS, "epoch_ends"])
def test_a_callback_that_fails_is_left_out_with_one_warning_and_changes_nothing(tmp_path: Path, hook: str) -> None:
    diary, failing, lines = Diary(), failing_at(hook), []
    alone = trainer(tmp_path / "alone", epochs=2)
    watched = trainer(
        tmp_path / "watched", epochs=2, callbacks=Callbacks([failing, diary], report=lines.append), lines=[]
    )
    assert alone.run().history == watched.run().history
    assert same_weights(alone.network.learned(), watched.network.learned())
    assert lines == ["warning: Camera failed and was dropped; training continues without it: no room left"]
    assert failing.calls == [hook, "run_ends"]
    assert diary.pages[-1].startswith("epoch_ends 2")


def test_a_callback_that_fails_is_told_why_it_is_left_out() -> None:
    class Told(Callback):
        def step_begins(self, mode: str) -> None:
            raise ValueError

        def abandoned(self, reason: str) -> None:
            reasons.append(reason)

    reasons: list[str] = []
    callbacks = Callbacks([Told()], report=lambda _: None)
    callbacks.step_begins("TRAIN")
    callbacks.run_ends()
    assert reasons == ["ValueError"]
    assert not callbacks


def test_a_callback_ends_the_run_as_patience_does_and_a_restart_trains_no_further(tmp_path: Path) -> None:
    class Judge(Callback):
        def epoch_ends(self, epoch: int, values: Any) -> str | None:
            return "rule Overfit: enough" if epoch == 2 else None

    lines: list[str] = []
    outcome = trainer(tmp_path, epochs=5, lines=lines, callbacks=Callbacks([Judge(), Diary()])).run()
    assert (len(outcome.history), outcome.stopped) == (2, False)
    assert lines[-1] == "stopping after epoch 2: rule Overfit: enough"
    again = trainer(tmp_path, epochs=5, callbacks=Callbacks([Judge()])).run()
    assert (again.history, again.epoch) == (outcome.history, outcome.epoch)


def test_nobody_watching_is_false_and_somebody_is_true() -> None:
    assert not Callbacks()
    assert Callbacks([Diary()])
