"""Insights as a whole: their order, that none contradicts another, real recordings, and how they are written."""

from __future__ import annotations

import doctest
import json
from pathlib import Path

import pytest

from dogbreed_sdk.debugging.insights import Insight, insights, statistics, words
from dogbreed_sdk.debugging.insights.resolve import resolve
from tests.debugging.insights_made_up import made_up_profile, made_up_run
from training_scripts import rules
from training_scripts.recording.file_trial import FileTrial
from training_scripts.recording.trial import EVAL, MemoryTrial


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


def test_no_next_step_contradicts_another_whatever_is_wrong() -> None:
    valid = [0.9, 0.5, 0.36, 0.31, 0.29, 0.283, 0.38, 0.31, 0.42, 0.35, 0.44]
    trial = made_up_run(valid, size=60, batch=4, train_accuracy=0.99, valid_accuracy=0.6, scheduler="none")
    profile = made_up_profile(gpu=30.0, gpu_memory=99.0, wait=0.06, gap=0.1, workers=1, cpu=[95, 20], start=90)
    wanted: dict[str, object] = {}
    for one in insights(trial, profile, []):
        for name, value in one.hyperparameters.items():
            assert wanted.setdefault(name, value) == value, name
    assert wanted


def test_insights_are_plain_values_for_json() -> None:
    written = json.loads(json.dumps([one.to_dict() for one in insights(made_up_run(), made_up_profile(cpu=9.0), [])]))
    assert [one["topic"] for one in written] == ["cpu-use", "result"]
    assert set(written[0]) == {
        "topic", "title", "explanation", "evidence", "confidence", "next_step", "severity", "hyperparameters", "steps",
    }  # fmt: skip


@pytest.mark.parametrize("name", ["healthy", "healthy_reductions"])
def test_smdebugs_own_recording_of_a_healthy_run_gives_its_result_alone(fixtures_folder: Path, name: str) -> None:
    (found,) = insights(FileTrial(fixtures_folder / "smdebug-trials" / name), None, [])
    assert found.topic == "result" and "The best of 6 epochs is 6" in found.title


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


@pytest.mark.parametrize("module", [statistics, words])
def test_the_examples_hold(module: object) -> None:
    outcome = doctest.testmod(module)  # type: ignore[arg-type]
    assert outcome.attempted and not outcome.failed


def test_a_long_run_is_explained_within_a_second() -> None:
    trial = made_up_run([1 / (1 + epoch) + 0.2 for epoch in range(500)])
    assert insights(trial, None, [])
