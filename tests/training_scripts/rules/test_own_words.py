"""Texts of rules and insights speak of the run's own parameters, and of pictures and labels only where it has any."""

from __future__ import annotations

import pytest

from tests.training_scripts.rules.made_up import level, trial
from training_scripts import rules
from training_scripts.recording.trial.layout import INPUT_IMAGE
from training_scripts.recording.trial.trial import MemoryTrial
from training_scripts.rules import registry
from training_scripts.rules.own_words import Words

LOOP = {"recorder": "loop", "task": "classification"}


def words(parameters: dict[str, object] | None = None, *names: str, **facts: object) -> Words:
    return Words.of({**LOOP, "parameters": parameters or {}, **facts}, names)


def test_a_run_of_train_model_keeps_its_words() -> None:
    text = "Keep the best epoch (train_model does): set lr=0.1 and hidden (hidden) for these pictures."
    assert Words.of({"recorder": "builtin"}, ()).put(text) == text


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"lr": 0.1}, "Divide lr by 3"),
        ({"learning_rate": 0.1}, "Divide learning_rate by 3"),
        ({"BASE_LR": "1e-3"}, "Divide BASE_LR by 3"),
        ({"optimizer": "sgd"}, "Divide the learning rate by 3"),
    ],
)
def test_a_hyperparameter_has_the_name_that_its_author_gave_it(parameters: dict[str, object], said: str) -> None:
    assert words(parameters).put("Divide lr by 3") == said


def test_a_value_is_set_by_name_or_in_plain_words() -> None:
    text = "Set lr=0.003 (now 0.01) and batch-size=64."
    assert words({"max_lr": 0.01, "bs": 16}).put(text) == "Set max_lr=0.003 (now 0.01) and bs=64."
    assert words().put(text) == "Set the learning rate to 0.003 (now 0.01) and the batch size to 64."


def test_numbers_are_read_from_whatever_the_author_gave() -> None:
    assert words({"lr": "0.1", "epochs": 5, "batch_size": None, "dropout": True}).values == {"lr": 0.1, "epochs": 5.0}


def test_what_only_train_model_offers_is_left_out() -> None:
    text = "Use more augmentation (views), a smaller network (hidden), and stop early (patience)."
    assert words().put(text) == "Use more augmentation, a smaller network, and stop early."
    missing = "Record the collection relu_output (recorder=builtin does; for smdebug, include_regex '.*_(in|out)_.*')."
    assert words().put(missing) == "Record the collection relu_output."


def test_samples_are_pictures_only_where_the_recording_has_pictures() -> None:
    text = "Pictures of these classes, picture by picture."
    assert words().put(text) == "Samples of these classes, sample by sample."
    assert words({}, INPUT_IMAGE).put(text) == text
    assert words(classes=["picture frame", "vase"]).put("picture frame: 3 of 4") == "picture frame: 3 of 4"


def test_a_regression_has_targets_instead_of_labels() -> None:
    assert words(task="regression").put("Check the labels by eye.") == "Check the targets by eye."


@pytest.mark.parametrize("name", registry.names("debugging"))
def test_no_rule_tells_other_authors_of_train_models_options(name: str) -> None:
    """Its advice, in the words of a loop that has none of train_model's hyperparameters."""
    advice = words().put(registry.rule(name).advice)
    for option in ("train_model", "hidden)", "(views", "patience", " lr", "batch-size", "weight-decay", "recorder="):
        assert option not in advice


def test_rules_speak_in_the_words_of_the_run_they_judge() -> None:
    made = trial(level(60), recorder="loop", task="classification", parameters={"learning_rate": 0.1}, classes=[0] * 5)
    [found] = rules.evaluate(trial=made, only=["LossNotDecreasing"])
    assert found.status == rules.ISSUES_FOUND
    assert "learning_rate" in found.advice
    assert " lr" not in found.advice


def test_a_users_rule_keeps_its_words() -> None:
    registry.register(lambda _trial, _parameters: [rules.Finding("lr is high.")], name="Mine", advice="Lower lr.")
    try:
        [found] = rules.evaluate(trial=MemoryTrial(run={"recorder": "loop"}), only=["Mine"])
    finally:
        registry.unregister("Mine")
    assert (found.message, found.advice) == ("lr is high.", "Lower lr.")
