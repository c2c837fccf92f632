"""A script that never sets smdebug's mode records everything as GLOBAL: its run is judged as training."""

from __future__ import annotations

import numpy as np
import pytest

from training_scripts import rules
from training_scripts.recording.trial.trial import EVAL, GLOBAL, TRAIN, MemoryTrial
from training_scripts.rules.evidence.evidence import Evidence


def trial(*modes: str) -> MemoryTrial:
    """30 steps with vanishing gradients in each mode."""
    made = MemoryTrial()
    for mode in modes:
        for step in range(30):
            made.add_step(step, mode, global_step=step)
            made.add("loss_output_0", step, mode, np.float32(1.0), collection="losses")
            made.add("gradient/Net_a.weight", step, mode, np.full(4, 1e-12, np.float32), collection="gradients")
            made.add("gradient/Net_b.weight", step, mode, np.full(4, 1.0, np.float32), collection="gradients")
    return made


@pytest.mark.parametrize("modes", [(GLOBAL,), (GLOBAL, EVAL)])
def test_steps_without_a_mode_are_those_of_training(modes: tuple[str, ...]) -> None:
    run = Evidence(trial(*modes))
    assert run.steps(TRAIN).steps.tolist() == list(range(30))
    assert run.steps(GLOBAL).steps.tolist() == []
    assert set(run.modes("loss_output_0")) == {TRAIN, *modes} - {GLOBAL}
    assert run.tensor("loss_output_0").value(3, TRAIN) == 1.0


def test_a_run_with_modes_keeps_them() -> None:
    run = Evidence(trial(TRAIN, GLOBAL))
    assert set(run.modes("loss_output_0")) == {TRAIN, GLOBAL}
    assert len(run.steps(GLOBAL).steps) == 30


@pytest.mark.parametrize("parameters", ["default", "aws"])
def test_rules_judge_a_run_without_modes(parameters: str) -> None:
    results = rules.evaluate(
        trial=trial(GLOBAL), only=["VanishingGradient", "LossNotDecreasing"], parameters=parameters
    )
    with_modes = rules.evaluate(
        trial=trial(TRAIN), only=["VanishingGradient", "LossNotDecreasing"], parameters=parameters
    )
    assert [result.status for result in results] == [result.status for result in with_modes]
    assert results[0].status == "IssuesFound"


def test_the_mode_that_a_rule_is_asked_for_is_the_recordings() -> None:
    [asked] = rules.evaluate(
        trial=trial(GLOBAL),
        only=["LossNotDecreasing"],
        parameters="aws",
        overrides={"LossNotDecreasing": {"mode": "GLOBAL"}},
    )
    assert asked.status == "IssuesFound"
