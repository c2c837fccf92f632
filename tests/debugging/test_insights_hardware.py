"""What insights say about the machine, with and without a GPU, and where they keep quiet."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dogbreed_sdk.debugging.insights import Insight, insights
from tests.debugging.insights_made_up import made_up_profile, on_two_nodes
from training_scripts import rules
from training_scripts.recording.profile.profile import (
    DATA,
    EVAL_STEP,
    GPU_MEMORY,
    IO_WAIT,
    TRAIN_STEP,
    Metric,
    Operator,
    Profile,
    Spans,
    Timeline,
)
from training_scripts.recording.profile.reader import read_profile
from training_scripts.rules.findings import ISSUES_FOUND, RuleResult
from training_scripts.rules.profiling.steps import waits_of
from training_scripts.training import hyperparameters


def said(profile: Profile) -> dict[str, Insight]:
    found = insights(None, profile, [])
    for insight in found:
        hyperparameters.validate(insight.hyperparameters, entry_point="train_model")
        assert insight.evidence and (insight.severity == "info" or insight.next_step)
    return {insight.topic: insight for insight in found}


@pytest.mark.parametrize("gpu", [None, 90.0])
def test_of_a_machine_that_is_used_nothing_is_told(gpu: float | None) -> None:
    assert said(made_up_profile(gpu=gpu)) == {}


def test_of_a_job_of_seconds_nothing_is_told() -> None:
    assert said(made_up_profile(seconds=4, gpu=1.0, cpu=99.0, gpu_memory=[0, 80], start=2, wait=0.09, gap=0.1)) == {}


def test_of_an_empty_profile_nothing_is_told() -> None:
    assert said(Profile()) == {}


def test_an_underused_gpu_gets_the_batch_that_its_memory_holds() -> None:
    found = said(made_up_profile(gpu=20.0, gpu_memory=18.0, cpu=30.0))["gpu-use"]
    assert found.severity == "problem" and "below 20%" in found.title
    assert found.hyperparameters == {"batch-size": 256}
    assert "batch-size=256 (now 64)" in found.next_step


def test_an_underused_gpu_whose_memory_is_full_is_too_large_in_another_way() -> None:
    found = said(made_up_profile(gpu=50.0, gpu_memory=80.0, cpu=30.0))["gpu-use"]
    assert found.hyperparameters == {} and "smaller GPU" in found.next_step


def test_memory_is_called_full_only_where_it_is() -> None:
    half = said(made_up_profile(gpu=[60.0, 5.0], gpu_memory=45.0))["gpu-use"]
    assert (half.hyperparameters, half.next_step) == (
        {},
        "Use an instance with a smaller GPU: 45% of the memory was used, so twice the batch may not fit.",
    )
    made = made_up_profile(gpu=[60.0, 5.0])
    metrics = {name: metric for name, metric in made.system["algo-1"].items() if name != GPU_MEMORY}
    unknown = said(replace(made, system={"algo-1": metrics}))["gpu-use"]
    assert (unknown.hyperparameters, unknown.next_step.partition(":")[0]) == (
        {},
        "Make the batch larger, as far as GPU memory allows",
    )


def test_a_gpu_waits_for_the_cores_of_its_own_node() -> None:
    idle, busy = made_up_profile(cpu=5.0, gpu=5.0), made_up_profile(cpu=95.0, gpu=90.0)
    assert "cpu-bottlenecks" not in said(on_two_nodes(idle, busy))
    both = said(on_two_nodes(made_up_profile(cpu=95.0, gpu=5.0), busy))["cpu-bottlenecks"]
    assert "(50%)" in both.title


def test_a_step_waits_for_the_data_of_its_own_node() -> None:
    made = made_up_profile(step=0.1, wait=0.001, gap=0.001)
    slow = replace(made.phases[DATA], seconds=np.full(len(made.phases[DATA]), 0.09))
    other = replace(made, phases={**made.phases, DATA: slow})
    both = on_two_nodes(made, other, apart=-5e-6)  # the other node's wait begins with each step of the first
    waits = waits_of(both, both.phases[TRAIN_STEP])
    assert waits is not None
    for node, expected in enumerate((0.001, 0.09)):
        assert np.median(waits[both.phases[TRAIN_STEP].nodes == node]) == expected


def test_heads_on_features_need_no_gpu() -> None:
    found = said(made_up_profile(gpu=3.0, gpu_memory=2.0, cpu=30.0, inputs="features"))["gpu-use"]
    assert "CPU instance" in found.next_step and found.hyperparameters == {}


def test_a_gpu_that_waits_for_the_cores_is_told_with_the_count_of_bottlenecks() -> None:
    found = said(made_up_profile(gpu=[5, 80], cpu=[95, 60], workers=2))
    assert found["cpu-bottlenecks"].hyperparameters == {"workers": 0}
    assert "CPU bottlenecks in 18" in found["cpu-bottlenecks"].title and "50" in found["cpu-bottlenecks"].title
    assert "gpu-use" not in found, "the cores are to blame"
    assert "cpu-bottlenecks" not in said(made_up_profile(gpu=[5, 80], cpu=60.0))


def test_more_workers_than_cores_ask_for_more_cores() -> None:
    found = said(made_up_profile(gpu=[5, 80], cpu=[95, 60], workers=8))["cpu-bottlenecks"]
    assert found.hyperparameters == {} and "8 workers share 4" in found.next_step


@pytest.mark.parametrize(("gpu", "what"), [([5.0, 80.0], "GPU"), (None, "CPU")])
def test_waiting_for_the_disk_is_told_of_gpus_and_of_cores(gpu: Any, what: str) -> None:
    profile = made_up_profile(gpu=gpu, cpu=60.0)
    metrics = profile.system["algo-1"]
    times = next(iter(metrics.values())).times
    waits = np.resize([70.0, 30.0], len(times))
    cores = {f"cpu{number}": waits for number in range(4)}
    found = said(replace(profile, system={"algo-1": {**metrics, IO_WAIT: Metric(times, waits, cores)}}))
    assert found["io-bottlenecks"].title == f"The {what} waits for the disk."


def test_idle_cores_of_a_job_without_gpu_name_the_smaller_instance() -> None:
    found = said(made_up_profile(cpu=15.0, cores=8, workers=8, instance_type="ml.m5.2xlarge"))["cpu-use"]
    assert "1 core" not in found.title
    assert "2 cores instead of 8" in found.next_step and "ml.m5.large instead of ml.m5.2xlarge" in found.next_step
    assert "GPU" not in found.title + found.explanation + found.next_step


def test_cores_that_a_smaller_machine_would_lack_are_no_idle_ones() -> None:
    assert "cpu-use" not in said(made_up_profile(cpu=45.0, cores=4))
    assert "2 cores instead of 4" in said(made_up_profile(cpu=35.0, cores=4))["cpu-use"].next_step


def test_idle_cores_with_fewer_decoding_threads_get_more_of_them() -> None:
    assert said(made_up_profile(cpu=20.0, workers=1))["cpu-use"].hyperparameters == {"workers": 0}


def test_gpu_memory_that_is_full_or_swings_is_told() -> None:
    full = said(made_up_profile(gpu=90.0, gpu_memory=97.0))["gpu-memory"]
    assert full.hyperparameters == {"batch-size": 32} and "97%" in full.title
    swings = said(made_up_profile(gpu=90.0, gpu_memory=[20, 75]))["gpu-memory"]
    assert swings.severity == "info" and "between 20% and 75%" in swings.title


def test_nodes_wait_for_data_at_the_same_time() -> None:
    made = made_up_profile(wait=0.06)
    alone, both = (said(one)["data-loading"].evidence[0] for one in (made, on_two_nodes(made, made)))
    assert alone.split("about ")[1] == both.split("about ")[1]


def test_waiting_for_data_is_told_as_a_share_of_each_step() -> None:
    found = said(made_up_profile(wait=0.06, workers=2))["data-loading"]
    assert found.title == "60% of each training step is spent waiting for data."
    assert found.hyperparameters == {"workers": 0} and found.severity == "problem"
    assert "data-loading" not in said(made_up_profile(wait=0.01))


def test_time_between_steps_is_told_without_that_of_evaluations() -> None:
    found = said(made_up_profile(gap=0.1))["between-steps"]
    assert found.title == "50% of training is lost between steps." and "100 ms" in found.evidence[0]
    lost = made_up_profile(gap=0.1)
    begins = lost.phases["Step:ModeKeys.TRAIN"].begins[:-1] + 0.12
    judged = Spans(np.arange(len(begins)), begins, np.full(len(begins), 0.05))
    assert "between-steps" not in said(replace(lost, phases={**lost.phases, EVAL_STEP: judged}))


def test_slow_steps_are_counted_with_what_they_cost() -> None:
    found = said(made_up_profile(slow=(100, 300, 500, 700)))["slow-steps"]
    assert found.title.startswith("4 slow steps cost 16.") and found.steps == (100, 300, 500, 700)
    assert "slow-steps" not in said(made_up_profile(slow=(0,))), "the first step may be slow"


def test_a_start_that_dominates_is_told() -> None:
    found = said(made_up_profile(start=200.0))["start-up"]
    assert found.title.startswith("66.") and found.severity == "problem"
    assert "start-up" not in said(made_up_profile(start=10.0))


def test_operators_are_told_only_where_they_copy_much() -> None:
    operators = (Operator("aten::addmm", 10, 3.0), Operator("aten::copy_", 10, 1.0))
    profile = replace(made_up_profile(), operators=operators)
    found = said(profile)["operators"]
    assert found.title == "25% of the CPU time of a step is copying, not computing." and found.next_step
    assert "operators" not in said(replace(profile, timeline=Timeline(0, 1, 2, 3)))
    assert "operators" not in said(replace(profile, operators=(*operators, Operator("aten::mm", 10, 3.0))))


def test_memory_that_a_rule_finds_growing_is_not_called_harmless() -> None:
    swings = made_up_profile(gpu=90.0, gpu_memory=[20, 75])
    grows = [RuleResult("GPUMemoryIncrease", ISSUES_FOUND, "it grows")]
    assert "gpu-memory" not in {insight.topic for insight in insights(None, swings, grows)}


def test_slow_steps_are_counted_as_the_rule_counts_them() -> None:
    profile = made_up_profile(slow=(100, 300, 500, 700))
    profile = replace(profile, facts={**profile.facts, "steps": {"TRAIN": 5000}, "kept_one_in": {"TRAIN": 5}})
    (rule,) = rules.evaluate(profile=profile, only=["StepOutlier"])
    found = said(profile)["slow-steps"]
    assert rule.findings[0].message in found.evidence[0] and "Of the 5,000 steps" in found.evidence[0]


def test_aws_own_report_is_explained_too(fixtures_folder: Path) -> None:
    found = said(read_profile(fixtures_folder / "aws-profiler-report"))
    assert "378 CPU bottlenecks in 901 samples with an idle GPU (42%)" in found["cpu-bottlenecks"].title
    assert "6 workers share 4" in found["cpu-bottlenecks"].next_step
    assert found["start-up"].title == "25.1% of the job passed before the first step."
    assert not {"operators", "gpu-memory"} & set(found), "a rule found that memory grows"
    advice = " ".join(one.next_step for one in found.values())
    assert not any(option in advice for option in ("--features", "features=", "train.save_interval"))
    assert "smaller GPU" in found["cpu-bottlenecks"].next_step, "as LowGPUUtilization advises"
