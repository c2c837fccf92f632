"""What a trial is asked wrongly it answers in a sentence: names, modes and expressions that there are not."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from training_scripts.recording.trial.trial import TRAIN, MemoryTrial, RecordingError, Tensor


@pytest.fixture(scope="module")
def trial() -> MemoryTrial:
    made = MemoryTrial(name="job")
    made.add_step(0, TRAIN, global_step=0)
    made.add("loss", 0, TRAIN, 1.0)
    return made


def test_an_expression_that_is_none(trial: MemoryTrial) -> None:
    with pytest.raises(RecordingError, match=r"'\(' is not a valid regular expression: missing \)"):
        trial.tensor_names(regex="(")
    assert trial.tensor_names(regex="^lo") == ["loss"]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("los", "job has no tensor 'los'; did you mean loss? tensor_names() lists all of them."),
        ("weights", "job has no tensor 'weights'. tensor_names() lists all of them."),
    ],
)
def test_a_tensor_that_was_not_recorded(trial: MemoryTrial, name: str, said: str) -> None:
    with pytest.raises(RecordingError, match=f"^{re.escape(said)}$"):
        trial.tensor(name)


@pytest.mark.parametrize(
    "ask",
    [
        lambda tensor: tensor.steps("TRAINN"),
        lambda tensor: tensor.value(0, "TRAINN"),
        lambda tensor: tensor.values("TRAINN"),
        lambda tensor: tensor.series("TRAINN"),
        lambda tensor: tensor.reductions("TRAINN"),
    ],
)
def test_a_mode_that_there_is_not(trial: MemoryTrial, ask: Callable[[Tensor], object]) -> None:
    with pytest.raises(RecordingError, match="Unknown mode 'TRAINN'; valid modes: TRAIN, EVAL, PREDICT, GLOBAL"):
        ask(trial.tensor("loss"))


def test_a_trial_says_what_it_is_and_not_all_that_it_holds() -> None:
    assert repr(MemoryTrial(name="job", run={"classes": ["a"] * 1000})) == "MemoryTrial('job')"
