"""The recorder: what it records, that it changes nothing of the training, and that only it suffers from a full disk."""

from __future__ import annotations

import copy
import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from tests.passing_time import set_time
from tests.training_scripts.recording.loops import STEPS, train
from tests.training_scripts.small_datasets import REPOSITORY
from tests.waiting import wait_for
from training_scripts import rules
from training_scripts.recording.recorder import recorder as recorder_module
from training_scripts.recording.recorder import step_buffer, torch_reductions
from training_scripts.recording.recorder.recorder import Recorder
from training_scripts.recording.recorder.save_interval import planned
from training_scripts.recording.trial import layout
from training_scripts.recording.trial.file_trial import FileTrial
from training_scripts.recording.trial.records import Step
from training_scripts.recording.trial.trial import EVAL, TRAIN, MemoryTrial, Trial
from training_scripts.recording.trial.writer import TrialWriter
from training_scripts.training.answers import Answers
from training_scripts.training.callbacks import Callback, Callbacks


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 5), nn.Sigmoid(), nn.Linear(5, 3))


def recorded(folder: Path | None, **settings: object) -> tuple[MemoryTrial, list[float]]:
    memory = MemoryTrial()
    losses = train(network(), Recorder(folder, memory=memory, **settings), epochs=3)  # type: ignore[arg-type]
    return memory, losses


def contents(trial: Trial) -> dict[str, object]:
    """Everything a trial has, in a form that can be compared."""
    found: dict[str, object] = {}
    for name in trial.tensor_names():
        tensor = trial.tensor(name)
        for mode in tensor.modes:
            found[f"{name} {mode}"] = [
                *((step, value.tolist()) for step, value in tensor.values(mode)),
                *(
                    (kind, series.steps.tolist(), np.float32(series.values).tolist())
                    for kind, series in sorted(trial.recorded_reductions(name, mode).items())
                ),
            ]
    for mode in (TRAIN, EVAL):
        found[mode] = [trial.steps(mode).steps.tolist(), trial.steps(mode).global_steps.tolist()]
    return found


def test_losses_and_accuracies_of_every_step_in_both_modes(tmp_path: Path) -> None:
    _, losses = recorded(tmp_path)
    trial = FileTrial(tmp_path)
    series = trial.tensor("CrossEntropyLoss_output_0").series(TRAIN)
    assert series.steps.tolist() == list(range(3 * STEPS))
    np.testing.assert_array_equal(series.values, np.float32(losses))
    assert trial.tensor("CrossEntropyLoss_output_0").series(EVAL).steps.tolist() == list(range(6))
    accuracies = trial.tensor("accuracy").series(TRAIN).values
    assert set((16 * accuracies).tolist()) <= set(range(17))
    assert trial.tensor_names(collection="losses") == ["CrossEntropyLoss_output_0"]
    assert trial.tensor_names(collection="metrics") == ["accuracy"]
    # Eight steps of training, two of judging, and again.
    assert trial.steps(EVAL).global_steps.tolist() == [8, 9, 18, 19, 28, 29]
    assert trial.ended
    assert list(trial.problems) == []


def test_the_learning_rate_of_every_training_step_and_the_size_of_every_step(tmp_path: Path) -> None:
    one, two = nn.Linear(8, 3), nn.Linear(8, 3)
    groups = [{"params": one.parameters(), "lr": 0.4}, {"params": two.parameters(), "lr": torch.tensor(0.2)}]
    optimizer = torch.optim.SGD(groups)
    memory = MemoryTrial()
    recorder = Recorder(tmp_path, memory=memory)
    recorder.run_begins(nn.ModuleList([one, two]), {"optimizer": optimizer})
    for step, size in enumerate((16, 16, 5)):
        optimizer.param_groups[0]["lr"] = 0.4 / (step + 1)
        recorder.batch_ready("TRAIN", torch.zeros(size, 8), torch.zeros(size, dtype=torch.int64))
        recorder.step_ends("TRAIN", torch.tensor(1.0), torch.tensor(size), size)
        optimizer.param_groups[1]["lr"].mul_(0.5)  # changed in place, as schedulers do to a tensor
    recorder.step_ends("EVAL", torch.tensor(1.0), torch.tensor(7), 7)
    recorder.run_ends()
    for trial in (memory, FileTrial(tmp_path)):
        assert trial.tensor("learning_rate").series().values == pytest.approx([0.4, 0.2, 0.4 / 3])
        assert trial.tensor("learning_rate/1").series().values == pytest.approx([0.2, 0.1, 0.05])
        assert trial.tensor("step_size").series().values.tolist() == [16, 16, 5]
        assert trial.tensor("step_size").series("EVAL").values.tolist() == [7]
        assert trial.tensor("learning_rate").modes == ("TRAIN",)
        assert {"learning_rate", "learning_rate/1", "step_size"} <= set(trial.collections["scalars"])


def test_how_far_apart_the_losses_of_a_training_batch_are(tmp_path: Path) -> None:
    memory = MemoryTrial()
    recorder = Recorder(tmp_path, memory=memory)
    recorder.run_begins(nn.Linear(8, 3), {})
    expected = []
    for size in (16, 5, 1):
        logits, labels = torch.randn(size, 3), torch.arange(size) % 3
        each = nn.functional.cross_entropy(logits, labels, reduction="none")
        for mode in (TRAIN, EVAL):
            recorder.batch_ready(mode, torch.zeros(size, 8), labels)
            recorder.forward_done(mode, logits)
            recorder.step_ends(mode, each.mean(), torch.tensor(size), size)
        expected.append(float(each.std(correction=0)))
    recorder.run_ends()
    for trial in (memory, FileTrial(tmp_path)):
        spread = trial.tensor(layout.LOSS_STD)
        assert spread.modes == (TRAIN,)
        assert spread.series().steps.tolist() == [0, 1], "one picture has no spread"
        assert spread.series().values == pytest.approx(expected[:2], rel=1e-4)
        assert layout.LOSS_STD in trial.collections["scalars"]


def test_the_numbers_that_describe_a_step_are_not_judged_as_tensors() -> None:
    memory, _ = recorded(None)
    results = rules.evaluate(trial=memory, parameters="aws", only=["UnchangedTensor", "AllZero"])
    tensors = {finding.tensor for result in results for finding in result.findings}
    assert not any(name in finding for finding in tensors for name in ("learning_rate", "step_size"))


def test_tensors_are_recorded_as_numbers_at_the_save_interval(tmp_path: Path) -> None:
    train(network(), Recorder(tmp_path, train_interval=5), epochs=3, hyperparameters={"epochs": 100})
    trial = FileTrial(tmp_path)
    assert "notes" not in trial.run
    assert trial.tensor_names(collection="weights") == [f"Sequential_{layer}.weight" for layer in (0, 2, 4)]
    assert trial.tensor_names(collection="biases") == [f"Sequential_{layer}.bias" for layer in (0, 2, 4)]
    assert len(trial.tensor_names(collection="gradients")) == 6
    weight = trial.tensor("Sequential_0.weight")
    assert weight.steps() == [0, 5, 10, 15, 20]
    first = network()[0].weight.detach().numpy()
    assert weight.reduction("l2").values[0] == pytest.approx(np.linalg.norm(first), rel=1e-6)
    assert weight.reduction("zero_fraction").values.tolist() == [0.0] * 5
    ratio, gradient = weight.reduction("update_ratio").values, trial.tensor("gradient/Sequential_0.weight")
    # Plain gradient descent moves the weights by rate times gradient.
    assert ratio[0] == pytest.approx(0.0625 * gradient.reduction("l2").values[0] / np.linalg.norm(first), rel=1e-4)
    assert 0 <= trial.tensor("1_relu_output_0").reduction("inactive_fraction").values[0] <= 1
    assert trial.tensor_names(collection="sigmoid_output") == ["3_sigmoid_output_0"]
    assert trial.tensor("3_sigmoid_output_0").reduction("saturated_fraction").values.tolist() == [0.0] * 5


def test_small_tensors_of_the_run_are_recorded_whole(tmp_path: Path) -> None:
    train(network(), Recorder(tmp_path, train_interval=8), epochs=3, hyperparameters={"epochs": 100})
    trial = FileTrial(tmp_path)
    assert trial.tensor("class_counts").value(0).tolist() == [43, 43, 42]
    assert trial.tensor("labels").steps(TRAIN) == [0, 8, 16]
    assert trial.tensor("labels").value(0).tolist() == [row % 3 for row in range(16)]
    assert trial.tensor("labels").value(0).dtype == np.int32
    # Of the whole valid split, with the evaluation's last step.
    assert trial.tensor("predictions").steps(EVAL) == [1, 3, 5]
    assert trial.tensor("predictions").value(5, EVAL).shape == (32,)
    by_picture = trial.tensor("valid_losses").value(5, EVAL)
    by_batch = trial.tensor("CrossEntropyLoss_output_0").series(EVAL).values[-2:]
    assert by_picture.mean() == pytest.approx(by_batch.mean(), rel=1e-5)
    # Of a right answer, the loss is that of its probability.
    sure = trial.tensor("valid_probabilities").value(5, EVAL)
    right = trial.tensor("predictions").value(5, EVAL) == trial.tensor("labels").value(5, EVAL)
    assert sure[right] == pytest.approx(np.exp(-by_picture[right]), rel=1e-5)
    assert (sure[~right] >= np.exp(-by_picture[~right])).all()


def test_an_interval_takes_no_losses_and_no_answers_away(tmp_path: Path) -> None:
    recorded(tmp_path, train_interval=100, eval_interval=10)
    trial = FileTrial(tmp_path)
    for name in ("labels", "predictions", "valid_losses", "valid_probabilities"):
        assert trial.tensor(name).steps(EVAL) == [1, 3, 5], name
    assert len(trial.tensor("accuracy").series(EVAL)) == 6
    assert trial.tensor("CrossEntropyLoss_output_0").steps(TRAIN) == list(range(24))


def test_a_short_run_has_fifteen_saves_whatever_the_interval_and_says_so(tmp_path: Path) -> None:
    memory = MemoryTrial()
    train(network(), Recorder(tmp_path, memory=memory, train_interval=100), epochs=6)
    trial = FileTrial(tmp_path)
    assert trial.tensor("Sequential_0.weight").steps() == list(range(0, 48, 3))
    [note] = trial.run["notes"]
    assert note.startswith("Weights, gradients and activations were recorded every 3 training steps instead of every")
    assert memory.run["notes"] == [note]


def test_whole_tensors_are_never_taken_more_often_than_was_asked_for(tmp_path: Path) -> None:
    train(network(), Recorder(tmp_path, train_interval=20, full_tensors=True), epochs=6)
    weight = FileTrial(tmp_path).tensor("Sequential_0.weight")
    assert [step for step, _ in weight.values()] == [0, 21, 42]
    assert len(weight.reduction("l2")) == 16


@pytest.mark.parametrize(("steps", "points"), [(15, 12), (60, 20), (1000, 36)])
def test_a_run_of_unknown_length_is_saved_often_at_first(steps: int, points: int) -> None:
    saving = planned(100, 0)
    assert sum(map(saving.at, range(steps))) == points
    assert [step for step in range(19_000, 19_500) if saving.at(step)] == [19_000, 19_100, 19_200, 19_300, 19_400]


def test_the_channel_means_of_pictures_are_recorded_and_no_picture(tmp_path: Path) -> None:
    recorder = Recorder(None, memory=(memory := MemoryTrial()))
    convolution = nn.Sequential(nn.Conv2d(3, 2, 1), nn.Flatten(), nn.Linear(2 * 4 * 4, 3))
    recorder.run_begins(convolution, {})
    pictures = torch.arange(2 * 3 * 16, dtype=torch.float32).reshape(2, 3, 4, 4)
    recorder.batch_ready(TRAIN, pictures, torch.tensor([0, 1]))
    recorder.forward_done(TRAIN, convolution(pictures))
    recorder.backward_done(TRAIN)
    recorder.step_ends(TRAIN, torch.tensor(1.0), torch.tensor(1), 2)
    recorder.run_ends()
    assert memory.tensor("input_image").value(0).tolist() == [[7.5, 23.5, 39.5], [55.5, 71.5, 87.5]]


def test_full_tensors_only_when_asked(tmp_path: Path) -> None:
    recorded(tmp_path / "numbers")
    recorded(tmp_path / "whole", full_tensors=True)
    assert not FileTrial(tmp_path / "numbers").tensor("Sequential_0.weight").values()
    whole = FileTrial(tmp_path / "whole")
    np.testing.assert_array_equal(whole.tensor("Sequential_0.weight").value(0), network()[0].weight.detach().numpy())
    assert whole.tensor("gradient/Sequential_0.weight").value(0).shape == (6, 8)
    assert whole.tensor("1_relu_output_0").value(0).shape == (16, 6)
    assert whole.tensor("3_sigmoid_input_0").value(0).shape == (16, 5)


def test_the_trial_in_memory_has_what_the_one_on_disk_has(tmp_path: Path) -> None:
    memory, _ = recorded(tmp_path, train_interval=3)
    trial = FileTrial(tmp_path)
    assert contents(memory) == contents(trial)
    assert {name: sorted(members) for name, members in memory.collections.items()} == trial.collections
    assert memory.run["class_counts"] == trial.run["class_counts"] == [43, 43, 42]
    assert memory.ended


def test_what_the_run_was_is_written_down(tmp_path: Path) -> None:
    recorded(tmp_path)
    run = FileTrial(tmp_path).run
    assert (run["format"], run["recorder"], run["fingerprint"]) == (1, "builtin", "f")
    assert (run["batch_size"], run["epochs"], run["learning_rate"]) == (16, 3, 0.0625)
    assert (run["steps_per_epoch"], run["sizes"], run["classes"]) == (STEPS, {"train": 128, "valid": 32}, list("abc"))


@pytest.mark.parametrize(("epochs", "interval"), [(1, 1), (20, 10), (1000, 100)])
def test_short_runs_are_saved_some_fifteen_times_and_long_ones_every_hundred_steps(epochs: int, interval: int) -> None:
    recorder = Recorder(None)
    recorder.run_begins(network(), {"steps_per_epoch": STEPS, "hyperparameters": {"epochs": epochs}})
    assert recorder._saving.interval == interval


def test_of_very_long_runs_some_losses_are_kept_and_all_steps_counted() -> None:
    recorder = Recorder(None, memory=(memory := MemoryTrial()), train_interval=10)
    train(network(), recorder, epochs=3, hyperparameters={"epochs": 5000})
    assert memory.tensor("accuracy").steps(TRAIN) == list(range(0, 24, 2))
    assert memory.steps(EVAL).global_steps.tolist() == [8, 9, 18, 19, 28, 29]


def test_of_very_many_evaluations_some_losses_are_kept_that_stand_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorder_module, "LOSSES_OF_A_RUN", 4 * 5)
    memory = MemoryTrial()
    recorder = Recorder(None, memory=memory, train_interval=10)
    recorder.run_begins(network(), {"hyperparameters": {"epochs": 4}})
    for epoch in range(4):
        for step in range(11):
            batch = torch.zeros(16 if step < 10 else 4, 8)
            recorder.batch_ready(EVAL, batch, batch[:, 0].long())
            recorder.step_ends(EVAL, torch.tensor(float(step)), torch.tensor(2), len(batch))
        recorder.evaluation_ends("valid", Answers.of_logits(torch.zeros(164, 3), torch.zeros(164, dtype=torch.int64)))
        recorder.epoch_ends(epoch + 1, {})
    recorder.run_ends()
    # The first evaluation tells how many steps there are; of the others every third, and the last one always.
    kept = [1, 4, 7, 10]
    assert memory.steps(EVAL).steps.tolist() == [
        *range(11),
        *(11 * epoch + step for epoch in (1, 2, 3) for step in kept),
    ]
    losses = memory.tensor("CrossEntropyLoss_output_0").series(EVAL).values[11:15]
    assert losses.tolist() == pytest.approx([0.5, 3.0, 6.0, (16 * 8 + 16 * 9 + 4 * 10) / 36])
    assert memory.tensor("accuracy").series(EVAL).values[11:15].tolist() == pytest.approx(
        [4 / 32, 6 / 48, 6 / 48, 6 / 36]
    )
    assert memory.tensor("predictions").steps(EVAL) == [10, 21, 32, 43]
    assert memory.run["eval_steps_per_epoch"] == 11
    assert memory.steps(EVAL).global_steps.tolist()[-1] == 43


def test_answers_to_every_picture_are_kept_of_some_evaluations_and_the_last(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorder_module, "PREDICTIONS_OF_A_RUN_BYTES", 9 * 32 * recorder_module.PREDICTION_BYTES // 3)
    train(network(), Recorder(None, memory=(trial := MemoryTrial())), epochs=9)
    for name in ("labels", "predictions", "valid_losses", "valid_probabilities"):
        assert trial.tensor(name).steps(EVAL) == [2 * epoch + 1 for epoch in (0, 3, 6, 8)], name
    assert len(trial.tensor("accuracy").series(EVAL)) == 18
    [note] = trial.run["notes"]
    assert "predictions for the 32 validation pictures were recorded at one evaluation in 3 and at the last" in note
    train(network(), Recorder(None, memory=(dense := MemoryTrial()), eval_interval=2), epochs=9)
    assert dense.tensor("valid_losses").steps(EVAL) == list(range(1, 18, 2))


def test_a_long_epoch_is_written_as_it_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a minute after the last time, without a wait for the disk."""
    clock = 1e9

    def tick() -> float:
        nonlocal clock
        clock += 1.0
        return clock

    set_time(monkeypatch, step_buffer, time=tick)
    recorder = Recorder(tmp_path, memory=(memory := MemoryTrial()), train_interval=1000)
    recorder.run_begins(network(), {})
    batch, labels = torch.zeros(4, 8), torch.zeros(4, dtype=torch.int64)
    for _ in range(70):
        recorder.batch_ready(TRAIN, batch, labels)
        recorder.step_ends(TRAIN, torch.tensor(1.0), torch.tensor(2), 4)
    assert memory.tensor("accuracy").steps(TRAIN)[-1] >= 50
    assert recorder._buffer is not None
    assert recorder._buffer._background.wait(120.0)
    assert FileTrial(tmp_path).tensor("accuracy").steps(TRAIN) == memory.tensor("accuracy").steps(TRAIN)
    recorder.run_ends()
    assert FileTrial(tmp_path).tensor("accuracy").steps(TRAIN) == list(range(70))


def test_whole_tensors_are_written_as_they_fill_the_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(step_buffer, "_FLUSH_BYTES", 6_000)
    recorded(tmp_path, full_tensors=True, train_interval=1)
    assert len(list((tmp_path / "events").iterdir())) > 6
    trial = FileTrial(tmp_path)
    assert trial.tensor("Sequential_0.weight").steps() == list(range(3 * STEPS))
    assert trial.tensor("predictions").steps(EVAL) == [1, 3, 5]
    assert list(trial.problems) == []


def test_a_disk_slower_than_training_loses_whole_tensors_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(step_buffer, "_BACKLOG_BYTES", -1)
    recorded(tmp_path, full_tensors=True, train_interval=1)
    trial = FileTrial(tmp_path)
    assert len(trial.tensor("Sequential_0.weight").reduction("l2")) == 3 * STEPS
    assert not trial.tensor("Sequential_0.weight").values()
    assert trial.tensor("predictions").steps(EVAL) == [1, 3, 5]
    assert list(trial.problems) == ["the disk was slower than training: full tensors of some steps were left out"]


class Silent(Callback):
    """Listens to nothing."""


@pytest.mark.parametrize("full_tensors", [False, True])
def test_recording_changes_nothing_of_the_training(tmp_path: Path, full_tensors: bool) -> None:
    alone, watched = network(), network()
    losses = train(alone, Silent())
    recorder = Recorder(tmp_path, memory=MemoryTrial(), train_interval=1, full_tensors=full_tensors)
    assert train(watched, recorder) == losses
    assert all(torch.equal(one, other) for one, other in zip(alone.parameters(), watched.parameters(), strict=True))
    assert not any(module._forward_hooks for module in watched.modules())


def test_only_what_is_trained_is_recorded() -> None:
    frozen = nn.Sequential(nn.Linear(8, 6), nn.ReLU()).requires_grad_(False)
    whole = nn.Sequential(frozen, nn.Sequential(nn.Linear(6, 3), nn.Tanh()))
    train(whole, Recorder(None, memory=(memory := MemoryTrial())), epochs=1)
    assert memory.tensor_names(collection="weights") == ["Sequential_1.0.weight"]
    assert memory.tensor_names(collection="tanh_output") == ["1.1_tanh_output_0"]
    assert "relu_output" not in memory.collections


def test_leaky_activations_are_not_recorded_as_relus_that_may_die() -> None:
    leaky = nn.Sequential(nn.Linear(8, 6), nn.LeakyReLU(), nn.Linear(6, 3), nn.ReLU())
    train(leaky, Recorder(None, memory=(memory := MemoryTrial())), epochs=1)
    assert memory.tensor_names(collection="relu_output") == ["3_relu_output_0"]


def test_an_activation_that_is_passed_twice_has_two_names() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.relu, self.layer = nn.ReLU(), nn.Linear(8, 3)

        def forward(self, inputs: torch.Tensor) -> torch.Tensor:
            return self.relu(self.layer(self.relu(inputs)))

    train(Twice(), Recorder(None, memory=(memory := MemoryTrial())), epochs=1)
    assert memory.collections["relu_output"] == ["relu_relu_output_0", "relu_relu_output_1"]


class Odd(nn.Module):
    """A layer and an activation that is called in an unusual way."""

    def __init__(self, activation: nn.Module, *, named: bool = False) -> None:
        super().__init__()
        self.layer, self.activation, self.named = nn.Linear(8, 3), activation, named

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        hidden = self.layer(inputs)
        found = self.activation(input=hidden) if self.named else self.activation(hidden)
        return found[0] if isinstance(found, tuple) else found  # type: ignore[no-any-return]


class Pair(nn.ReLU):
    """Gives more than a tensor."""

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return super().forward(inputs), inputs  # type: ignore[return-value]


def test_an_activation_that_is_called_by_keyword_is_recorded() -> None:
    train(Odd(nn.Sigmoid(), named=True), Recorder(None, memory=(memory := MemoryTrial())), epochs=1)
    assert memory.tensor_names(collection="sigmoid_output") == ["activation_sigmoid_output_0"]


def test_an_activation_whose_output_is_no_tensor_is_left_out_alone() -> None:
    lines: list[str] = []
    watched = Callbacks([Recorder(None, memory=(memory := MemoryTrial()))], report=lines.append)
    train(Odd(Pair()), watched, epochs=1)
    assert lines == []
    assert "relu_output" not in memory.collections
    assert memory.tensor_names(collection="weights") == ["Odd_layer.weight"]


def test_an_activation_that_cannot_be_looked_at_ends_recording_and_not_the_forward_pass(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls = []

    def fail(*_: object) -> None:
        calls.append(1)
        raise MemoryError("no memory left")

    monkeypatch.setattr(torch_reductions, "inactive_fraction", fail)
    lines: list[str] = []
    alone, watched = network(), network()
    losses = train(alone, Silent(), epochs=1)
    assert train(watched, Callbacks([Recorder(None, memory=MemoryTrial())], report=lines.append), epochs=1) == losses
    assert lines == ["warning: Recorder failed and was dropped; training continues without it: no memory left"]
    assert len(calls) == 1
    assert not any(module._forward_hooks for module in watched.modules())


def test_a_parameter_without_elements_is_left_out_alone() -> None:
    class Empty(nn.Linear):
        def __init__(self) -> None:
            super().__init__(8, 3)
            self.none = nn.Parameter(torch.empty(0))

    lines: list[str] = []
    watched = Callbacks([Recorder(None, memory=(memory := MemoryTrial()), train_interval=1)], report=lines.append)
    train(Empty(), watched, epochs=1)
    assert lines == []
    assert len(memory.tensor("Empty_weight").reduction("update_ratio")) == STEPS
    assert not memory.has("Empty_none")


def test_what_is_kept_of_a_step_holds_no_memory_of_the_training(tmp_path: Path) -> None:
    """A small tensor that is kept pins the large freed piece of the heap that it was put into."""
    kept: list[object] = []

    class Listening(Recorder):
        def step_ends(self, mode: str, *rest: object) -> None:
            taken = self._snapshot
            super().step_ends(mode, *rest)  # type: ignore[arg-type]
            if taken is not None:
                kept.extend(taken.full.values())
                kept.extend(value for kinds in taken.reduced.values() for value in kinds.values())

    train(network(), Listening(tmp_path, train_interval=1, full_tensors=True), epochs=1)
    assert {type(value) for value in kept} == {np.ndarray, float}
    assert all(value.base is None for value in kept if isinstance(value, np.ndarray))


def test_a_recorder_that_fails_says_so_in_its_recording_which_has_not_ended(tmp_path: Path) -> None:
    class Failing(Recorder):
        def backward_done(self, mode: str) -> None:
            if self._steps[TRAIN] == 20:
                raise MemoryError("no memory left")
            super().backward_done(mode)

    lines: list[str] = []
    memory = MemoryTrial()
    train(network(), Callbacks([Failing(tmp_path, memory=memory)], report=lines.append), epochs=3)
    assert len(lines) == 1
    # Training waits for a slow disk only a moment.
    said = "recording stopped after 24 steps, and training continued: no memory left"
    wait_for(lambda: list(FileTrial(tmp_path).problems) == [said], state=lambda: FileTrial(tmp_path).problems)
    trial = FileTrial(tmp_path)
    assert trial.tensor("accuracy").steps(TRAIN) == list(range(20))
    assert not trial.ended
    assert not memory.ended
    assert memory.problems == [said]


@pytest.mark.filterwarnings("ignore")
def test_tensors_full_of_nan_are_recorded_as_such(tmp_path: Path) -> None:
    broken = network()
    with torch.no_grad():
        broken[2].weight.fill_(float("nan"))
    train(broken, Recorder(tmp_path))
    trial = FileTrial(tmp_path)
    assert trial.tensor("Sequential_2.weight").reduction("nonfinite_fraction").values[0] == 1.0
    assert np.isnan(trial.tensor("CrossEntropyLoss_output_0").series().values).all()


def test_a_tensor_that_cannot_be_looked_at_ends_recording_with_one_warning(tmp_path: Path) -> None:
    class Odd(nn.Sequential):
        def named_parameters(self, *args, **kwargs):  # type: ignore[no-untyped-def]
            yield from super().named_parameters(*args, **kwargs)
            yield "odd", torch.nn.Parameter(torch.empty(3, device="meta"))

    lines: list[str] = []
    odd = Odd(nn.Linear(8, 3))
    plain = copy.deepcopy(nn.Sequential(*odd))
    watched = Callbacks([Recorder(tmp_path)], report=lines.append)
    assert train_modules(odd, watched) == train_modules(plain, Callbacks())
    assert len(lines) == 1
    assert lines[0].startswith("warning: Recorder failed and was dropped; training continues without it: ")
    assert FileTrial(tmp_path).tensor_names() == []


def train_modules(module: nn.Sequential, callback: Callback) -> list[float]:
    """As `train`, for a network whose list of parameters no optimizer could take."""
    module.parameters = lambda *_: nn.Sequential(*module).parameters()  # type: ignore[method-assign,assignment]
    return train(module, callback)


def test_an_unwritable_folder_costs_one_warning_and_rules_still_have_their_trial(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    lines: list[str] = []
    memory, losses = recorded(tmp_path / "file" / "debug-output", report=lines.append)
    assert len(lines) == 1
    assert lines[0].startswith(f"warning: recording stops: cannot write to {tmp_path}/file/debug-output: Not a dir")
    np.testing.assert_allclose(memory.tensor("CrossEntropyLoss_output_0").series().values, losses)


def test_a_disk_that_fills_up_stops_recording_with_one_warning_and_leaves_whole_files(tmp_path: Path) -> None:
    def small_files() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (9000, 9000))

    code = (
        "import sys; from tests.training_scripts.recording.recorder.test_recorder import *;"
        "print(recorded(Path(sys.argv[1]), train_interval=2)[1])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        cwd=REPOSITORY,
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"},
        preexec_fn=small_files,
    )
    assert done.returncode == 0, done.stderr
    warning, losses = done.stdout.splitlines()
    assert warning == f"warning: recording stops: cannot write to {tmp_path}: File too large; training continues"
    assert losses == str(recorded(None)[1])
    assert list(FileTrial(tmp_path).problems) == []
    assert not list(tmp_path.rglob("*.partial"))


def resumed(folder: Path, *, killed_after: int, checkpoint: int, fingerprint: str = "f") -> MemoryTrial:
    """A run that was killed after some epochs, and went on from the checkpoint of an earlier one."""
    trained = network()
    train(trained, Recorder(folder, train_interval=3), epochs=4, last=killed_after)
    memory = MemoryTrial()
    again = network()
    train(again, Silent(), epochs=4, last=checkpoint)
    recorder = Recorder(folder, memory=memory, train_interval=3)
    train(again, recorder, epochs=4, first=checkpoint, fingerprint=fingerprint)
    return memory


@pytest.mark.parametrize("killed_after", [1, 2, 3])
def test_a_restarted_run_has_the_recording_of_an_unbroken_one(tmp_path: Path, killed_after: int) -> None:
    train(network(), Recorder(tmp_path / "whole", train_interval=3), epochs=4)
    memory = resumed(tmp_path / "broken", killed_after=killed_after, checkpoint=1)
    whole, broken = FileTrial(tmp_path / "whole"), FileTrial(tmp_path / "broken")
    assert contents(broken) == contents(whole) == contents(memory)
    assert broken.collections == whole.collections
    assert list(broken.problems) == []
    assert {path.name for path in (tmp_path / "broken" / "index").rglob("*.json")} == {
        path.name for path in (tmp_path / "whole" / "index").rglob("*.json")
    }


def test_the_memory_of_a_restarted_run_has_the_reductions_of_full_tensors_and_not_these(tmp_path: Path) -> None:
    settings = {"train_interval": 3, "full_tensors": True}
    unbroken, _ = recorded(tmp_path / "whole", **settings)
    trained = network()
    train(trained, Recorder(tmp_path / "broken", train_interval=3, full_tensors=True), epochs=3, last=1)
    memory = MemoryTrial()
    train(trained, Recorder(tmp_path / "broken", memory=memory, train_interval=3, full_tensors=True), epochs=3, first=1)
    assert contents(memory) == contents(unbroken)


def test_index_files_that_a_killed_process_left_half_written_are_mended(tmp_path: Path) -> None:
    train(network(), Recorder(tmp_path / "whole", train_interval=3), epochs=4)
    train(network(), Recorder(tmp_path / "broken", train_interval=3), epochs=4)
    (tmp_path / "broken" / layout.END_FILE).unlink()
    empty, cut, lost = (tmp_path / "broken" / layout.index_path(step) for step in (3, 9, 12))
    empty.write_bytes(b"")
    cut.write_bytes(cut.read_bytes()[:50])
    lost.unlink()
    strange = cut.with_name("000000000011_worker_9.json")
    strange.write_text("{}")
    trained = network()
    train(trained, Silent(), epochs=4, last=3)
    train(trained, Recorder(tmp_path / "broken", train_interval=3), epochs=4, first=3)
    indexed = [
        {path.name: json.loads(path.read_text()) for path in (tmp_path / which / "index").rglob("*.json")}
        for which in ("whole", "broken")
    ]
    assert sorted(indexed[0]) == sorted(indexed[1])
    for name, entry in indexed[1].items():
        assert entry["tensor_payload"], name
        assert (tmp_path / "broken" / entry["meta"]["event_file_name"]).is_file()


def test_steps_that_an_ended_process_had_not_written_are_named_and_numbered_over(tmp_path: Path) -> None:
    train(network(), Recorder(tmp_path, train_interval=3), epochs=6, last=2)
    trained, memory = network(), MemoryTrial()
    train(trained, Silent(), epochs=6, last=4)
    train(trained, Recorder(tmp_path, memory=memory, train_interval=3), epochs=6, first=4)
    trial = FileTrial(tmp_path)
    for read in (trial, memory):
        assert read.steps(TRAIN).steps.tolist() == [*range(16), *range(32, 48)]
        assert read.steps(EVAL).steps.tolist() == [0, 1, 2, 3, 8, 9, 10, 11]
        assert read.steps(EVAL).global_steps.tolist() == [8, 9, 18, 19, 48, 49, 58, 59]
        assert list(read.problems) == ["TRAIN steps 16 to 31 were lost: their process ended before it wrote them"]
    again = network()
    train(again, Recorder(tmp_path, train_interval=3), epochs=6, first=5)
    assert list(FileTrial(tmp_path).problems) == list(trial.problems)


def test_another_runs_recording_is_replaced(tmp_path: Path) -> None:
    resumed(tmp_path, killed_after=3, checkpoint=2, fingerprint="another")
    trial = FileTrial(tmp_path)
    assert trial.tensor("accuracy").steps(TRAIN) == list(range(2 * STEPS, 4 * STEPS))
    assert trial.run["fingerprint"] == "another"
    assert list(trial.problems) == []


def test_a_run_from_the_beginning_replaces_what_lies_there(tmp_path: Path) -> None:
    train(network(), Recorder(tmp_path), epochs=3)
    (tmp_path / "notes.txt").write_text("mine")
    train(network(), Recorder(tmp_path), epochs=1)
    assert FileTrial(tmp_path).tensor("accuracy").steps(TRAIN) == list(range(STEPS))
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_what_was_recorded_is_on_disk_when_an_epoch_has_ended(tmp_path: Path) -> None:
    train(network(), Recorder(tmp_path), epochs=3, last=2)
    trial = FileTrial(tmp_path)
    assert trial.tensor("accuracy").steps(TRAIN) == list(range(2 * STEPS))
    assert not trial.ended
    assert list(trial.problems) == []


def test_an_index_is_written_at_once_where_steps_take_their_time(tmp_path: Path) -> None:
    writer = TrialWriter(tmp_path)
    writer.write([Step(TRAIN, 0, 0, 0.0, [("loss", 1.0)])], seconds=0.001)
    assert not (tmp_path / layout.index_path(0)).exists()
    writer.write([Step(TRAIN, 1, 1, 0.0, [("loss", 1.0)])], seconds=1.0)
    assert (tmp_path / layout.index_path(0)).exists()
    assert (tmp_path / layout.index_path(1)).exists()
