"""Insights as a whole: their order, that none contradicts another, real recordings, and how they are written."""

from __future__ import annotations

import doctest
import json
import math
from pathlib import Path

import pytest

from dogbreed_sdk._util import formatting
from dogbreed_sdk.debugging.insights import Insight, insights
from dogbreed_sdk.debugging.insights.resolve import resolve
from tests.debugging.insights_made_up import HEALTHY, made_up_profile, made_up_run
from tests.waiting import least_cpu_seconds
from training_scripts import rules
from training_scripts.recording.trial.file_trial import FileTrial
from training_scripts.recording.trial.trial import EVAL, MemoryTrial
from training_scripts.rules.evidence import learning_rate, statistics


def insight(topic: str, severity: str = "hint", **new: object) -> Insight:
    return Insight(topic, f"{topic}.", "why", ("1",), next_step="do", severity=severity, hyperparameters=new)  # type: ignore[arg-type]


def test_problems_come_first_then_curves_before_hardware() -> None:
    found = resolve(
        [insight("gpu-use"), insight("result", "info"), insight("overfitting"), insight("labels", "problem")]
    )
    assert [one.topic for one in found] == ["labels", "overfitting", "gpu-use", "result"]


def test_of_two_values_for_one_hyperparameter_the_more_important_one_is_kept() -> None:
    first, second = resolve([insight("too-many-epochs", epochs=5), insight("not-converged", epochs=20)])
    assert first.hyperparameters == {"epochs": 20}
    assert second.hyperparameters == {} and "not converged" in second.next_step and "epochs=20" in second.next_step


def test_the_same_value_twice_is_no_contradiction() -> None:
    found = resolve([insight("data-loading", workers=0), insight("cpu-bottlenecks", workers=0)])
    assert all(one.hyperparameters == {"workers": 0} for one in found)


def test_a_run_that_needs_more_steps_is_not_told_to_make_larger_ones() -> None:
    falling = made_up_run([2.0, 1.75, 1.55, 1.38, 1.24, 1.12, 1.02, 0.94, 0.88, 0.84], scheduler="none")
    found = {one.topic: one for one in insights(falling, made_up_profile(gpu=20.0, gpu_memory=18.0, cpu=30.0), [])}
    assert found["not-converged"].hyperparameters == {"epochs": 20}
    assert found["gpu-use"].hyperparameters == {} and "fewer steps" in found["gpu-use"].next_step


def test_a_shorter_run_and_slower_learning_are_not_advised_together() -> None:
    valid = [0.9, 0.5, 0.36, 0.31, 0.29, 0.3, 0.32, 0.34, 0.36, 0.38, 0.4, 0.42]
    falling = [0.9 / 2**epoch for epoch in range(12)]
    trial = made_up_run(valid, falling, train_accuracy=0.995, valid_accuracy=0.75, hidden=(512,))
    found = {one.topic: one for one in insights(trial, None, [])}
    assert found["overfitting"].hyperparameters == {"epochs": 9}
    assert found["generalization-gap"].hyperparameters == {}
    assert (
        "dropout" not in found["generalization-gap"].next_step
        and "overfitting" in found["generalization-gap"].next_step
    )
    assert not any("epochs may have to grow" in one.next_step for one in found.values())


@pytest.mark.parametrize("slower", [{"lr": 0.001}, {"dropout": 0.5}, {"batch-size": 256}])
def test_what_slows_learning_yields_to_a_shorter_run_and_the_reverse(slower: dict[str, object]) -> None:
    had = {"epochs": 12, "lr": 0.01, "dropout": 0.0, "batch-size": 64}
    first, second = resolve([insight("overfitting", epochs=6), insight("training-fluctuations", **slower)], had)
    assert first.hyperparameters == {"epochs": 6}
    assert second.hyperparameters == {} and "shortens the run" in second.next_step
    first, second = resolve([insight("generalization-gap", **slower), insight("too-many-epochs", epochs=6)], had)
    assert first.hyperparameters == slower
    assert second.hyperparameters == {} and "the epochs are needed" in second.next_step
    faster = resolve([insight("overfitting", epochs=6), insight("underfitting", lr=0.1)], had)
    assert all(one.hyperparameters for one in faster)


def test_insights_are_plain_values_for_json() -> None:
    written = json.loads(json.dumps([one.to_dict() for one in insights(made_up_run(), made_up_profile(cpu=9.0), [])]))
    assert [one["topic"] for one in written] == ["cpu-use", "result"]
    assert set(written[0]) == {
        "topic", "title", "explanation", "evidence", "confidence", "next_step", "severity", "hyperparameters", "steps",
        "cause", "alternatives",
    }  # fmt: skip


@pytest.mark.parametrize("name", ["healthy", "healthy_reductions"])
def test_smdebugs_own_recording_of_a_healthy_run_gives_its_result_alone(fixtures_folder: Path, name: str) -> None:
    (found,) = insights(FileTrial(fixtures_folder / "smdebug-trials" / name), None, [])
    assert found.topic == "result" and "The epoch with the lowest validation loss is 6 of 6" in found.title


def test_a_network_that_cannot_learn_is_explained_by_the_rules(fixtures_folder: Path) -> None:
    trial = FileTrial(fixtures_folder / "smdebug-trials" / "vanishing")
    found = insights(trial, None, rules.evaluate(trial=trial))[0]
    assert found.topic == "nothing-learned" and "vanishing gradients" in found.explanation


def test_what_a_running_job_has_recorded_so_far_is_enough() -> None:
    trial = MemoryTrial(run={"recorder": "builtin", "classes": ["a", "b"], "batch_size": 2, "sizes": {"train": 8}})
    for step in range(3):
        trial.add_step(step, "TRAIN", global_step=step)
        trial.add("CrossEntropyLoss_output_0", step, "TRAIN", 0.7, collection="losses")
        for one in insights(trial, None, []):
            assert one.topic == "not-converged"
    trial.add_step(0, EVAL, global_step=3)
    trial.add("CrossEntropyLoss_output_0", 0, EVAL, 0.69, collection="losses")
    assert insights(trial, None, [])


@pytest.mark.parametrize("module", [learning_rate, statistics, formatting])
def test_the_examples_hold(module: object) -> None:
    outcome = doctest.testmod(module)  # type: ignore[arg-type]
    assert outcome.attempted and not outcome.failed


def test_a_long_run_is_explained_within_a_second() -> None:
    trial = made_up_run([1 / (1 + epoch) + 0.2 for epoch in range(500)])
    assert insights(trial, None, [])
    assert least_cpu_seconds(lambda: insights(trial, None, [])) < 1


def test_a_run_whose_end_is_unknown_is_not_said_to_have_ended() -> None:
    trial = made_up_run([2.0, 1.75, 1.55, 1.38, 1.24, 1.12, 1.02, 0.94, 0.88, 0.84], scheduler="none")
    trial.ended = False
    for one in insights(trial, None, []):
        assert "ended" not in one.title + one.explanation + "".join(one.evidence)


def test_a_last_epoch_without_a_number_is_told_once() -> None:
    trial = made_up_run([*HEALTHY[:9], math.nan], HEALTHY)
    evidence = " ".join(next(one for one in insights(trial, None, []) if one.topic == "result").evidence)
    assert evidence.count("not a number") == 1 and "more" not in evidence


def test_the_likely_cause_of_spikes_is_named_in_the_title() -> None:
    valid = [2.2, 1.9, 1.44, 1.24, 1.16, 1.132, 1.52, 1.124, 1.44, 1.12]
    trial = made_up_run(valid, scheduler="none", valid_accuracy=0.5, train_accuracy=0.5)
    (found,) = [one for one in insights(trial, None, []) if one.topic == "validation-spikes"]
    assert found.title.endswith("; likely cause: learning rate too large late in training.")
