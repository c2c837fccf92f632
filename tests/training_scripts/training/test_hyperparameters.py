"""Hyperparameters: what SageMaker sends is read, and everything wrong is said at once."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training_scripts.training import hyperparameters
from training_scripts.training.hyperparameters import HyperparameterError, Hyperparameters, parse, validate


def test_no_arguments_are_the_defaults() -> None:
    settings = parse([])
    assert settings == Hyperparameters()
    assert (settings.model, settings.lr, settings.batch_size, settings.epochs) == (
        "efficientnet_lite2",
        2e-3,
        64,
        10,
    )


@pytest.mark.parametrize(
    "arguments",
    [
        ["--batch-size", "32", "--label-smoothing", "0.1"],
        ["--batch_size", "32", "--label_smoothing", "0.1"],
        ["--batch-size=32", "--label_smoothing=0.1"],
        ["--batch-size", "32.0", "--label-smoothing", "1e-1"],
    ],
)
def test_dashes_underscores_and_both_ways_to_give_a_value(arguments: list[str]) -> None:
    assert parse(arguments) == Hyperparameters(batch_size=32, label_smoothing=0.1)


@pytest.mark.parametrize("text", ["512,256", "[512, 256]", "(512, 256)", " 512 , 256 "])
def test_hidden_widths_in_every_form_that_json_and_python_write(text: str) -> None:
    assert parse(["--hidden", text]).hidden == (512, 256)


@pytest.mark.parametrize("text", ["", "[]", "()"])
def test_no_hidden_width_is_a_linear_head(text: str) -> None:
    assert parse(["--hidden", text]).hidden == ()


@pytest.mark.parametrize(
    ("text", "value"), [("true", True), ("True", True), ("1", True), ("false", False), ("False", False), ("0", False)]
)
def test_the_words_for_true_and_false(text: str, value: bool) -> None:
    assert parse(["--amp", text]).amp is value


def test_every_problem_is_in_one_message_with_what_is_allowed() -> None:
    with pytest.raises(HyperparameterError) as caught:
        parse(["--learning_rte", "0.1", "--epochs", "zero", "--optimizer", "lion", "--hidden", "--dropout", "1", "7"])
    message = str(caught.value)
    assert message.startswith("6 hyperparameters are wrong:")
    assert "learning_rte: unknown hyperparameter; did you mean lr?" in message
    assert "epochs: 'zero' is not allowed; write a whole number from 1" in message
    assert "optimizer: 'lion' is not allowed; write one of adamw, adam, sgd" in message
    assert "hidden: the value is missing" in message
    assert "dropout: '1' is not allowed; write a number from 0 below 1" in message
    assert "'7' is not a --name" in message
    assert message.endswith("allowed names: " + ", ".join(hyperparameters.names()))


def test_names_are_listed_only_where_a_name_was_wrong() -> None:
    with pytest.raises(HyperparameterError) as caught:
        parse(["--epochs", "zero"])
    assert str(caught.value) == (
        "this hyperparameter is wrong:\n  epochs: 'zero' is not allowed; write a whole number from 1 up to 100,000"
    )
    with pytest.raises(HyperparameterError, match=r"allowed names: model, weights, .*, profile-steps$"):
        parse(["--lr", "1"], entry_point="extract_features")


@pytest.mark.parametrize(
    ("name", "meant"),
    [("batchsiez", "batch-size"), ("weight_decy", "weight-decay"), ("early_stopping", "patience")],
)
def test_a_typo_names_what_was_meant(name: str, meant: str) -> None:
    with pytest.raises(HyperparameterError, match=f"did you mean {meant}"):
        parse([f"--{name}", "1"])


@pytest.mark.parametrize("name", ["lr", "LR", "learning_rate", "learning-rate", "Learning Rate"])
def test_a_name_is_known_in_its_usual_spellings(name: str) -> None:
    assert validate({name: 0.1}) == Hyperparameters(lr=0.1)
    with pytest.raises(HyperparameterError, match="lr: given twice"):
        validate({name: 0.1, "-lr": 0.2})


@pytest.mark.parametrize("written", ["AdamW", "adam_w", "ADAMW", "adamw"])
def test_a_choice_is_known_in_its_usual_spellings(written: str) -> None:
    assert validate({"optimizer": written}).optimizer == "adamw"
    assert validate({"optimizer": written}).to_dict()["optimizer"] == "adamw"


@pytest.mark.parametrize("value", ["-0.1", "nan", "inf", "-inf", "0", "1e400", "", "abc"])
def test_a_rate_must_be_a_positive_finite_number(value: str) -> None:
    with pytest.raises(HyperparameterError, match=r"lr: .* a number above 0"):
        parse(["--lr", value])


@pytest.mark.parametrize("value", ["1.5", "nan", "inf", "1e400", "-1", "4294967296"])
def test_a_seed_must_be_a_whole_number_within_bounds(value: str) -> None:
    with pytest.raises(HyperparameterError, match=r"seed: .* a whole number from 0 up to 4,294,967,295$"):
        parse(["--seed", value])


def test_save_intervals_are_spelled_as_the_managed_debugger_spells_them() -> None:
    settings = parse(["--train.save_interval", "5", "--eval.save_interval", "2", "--save_interval", "7"])
    assert (settings.train_save_interval, settings.eval_save_interval, settings.save_interval) == (5, 2, 7)
    assert settings.to_dict()["train.save_interval"] == "5"
    with pytest.raises(HyperparameterError, match=r"did you mean train\.save_interval"):
        parse(["--train.save_intervl", "5"])


@pytest.mark.parametrize("other", [{"features": "off"}, {"unfreeze": 1}])
def test_rounded_features_are_stored_features(other: dict[str, object]) -> None:
    assert validate({"precision": "bf16"}).precision == "bf16"
    with pytest.raises(HyperparameterError, match="precision: bf16 is for stored features"):
        validate({"precision": "bf16", **other})


def test_names_are_never_abbreviated() -> None:
    with pytest.raises(HyperparameterError, match="e: unknown hyperparameter"):
        parse(["--e", "3"])


def test_one_name_in_two_spellings_must_agree() -> None:
    with pytest.raises(HyperparameterError, match="batch-size: given twice"):
        validate({"batch-size": 1, "batch_size": 2})
    assert validate({"batch-size": 8, "batch_size": "8"}).batch_size == 8


def test_python_values_are_taken_as_they_are() -> None:
    settings = validate({"hidden": [64], "amp": False, "lr": 0.5, "epochs": 3})
    assert settings == Hyperparameters(hidden=(64,), amp=False, lr=0.5, epochs=3)


def test_a_test_time_view_must_be_trained_on() -> None:
    assert validate({"tta": "Flip", "views": "plain,flip,crops:2"}).tta == "flip"
    with pytest.raises(HyperparameterError, match=r"tta is flip, but the views plain,crops:2 lack it"):
        validate({"tta": "flip", "views": "plain,crops:2"})


def test_an_entry_point_accepts_only_what_it_uses() -> None:
    assert "lr" not in hyperparameters.names("extract_features")
    assert set(hyperparameters.names("hpo")) < set(hyperparameters.names("train_model"))
    with pytest.raises(HyperparameterError, match="recorder: hpo does not use it"):
        validate({"recorder": "off"}, entry_point="hpo")
    with pytest.raises(HyperparameterError, match="lr: extract_features does not use it"):
        validate({"lr": 0.1}, entry_point="extract_features")


def test_the_description_has_every_name() -> None:
    description = hyperparameters.describe()
    assert all(f"--{name} " in description for name in hyperparameters.names())


@given(
    st.builds(
        Hyperparameters,
        hidden=st.lists(st.integers(1, 4096), max_size=3).map(tuple),
        lr=st.floats(1e-9, 10),
        dropout=st.floats(0, 0.99),
        epochs=st.integers(1, 1000),
        amp=st.booleans(),
        optimizer=st.sampled_from(["adamw", "adam", "sgd"]),
    )
)
def test_the_string_form_is_read_back_exactly(settings: Hyperparameters) -> None:
    arguments = [part for name, value in settings.to_dict().items() for part in (f"--{name}", value)]
    assert parse(arguments) == settings
    assert validate(settings.to_dict()) == settings


def test_checking_needs_no_torch() -> None:
    code = (
        "import sys; from training_scripts.training import hyperparameters, metrics\n"
        "hyperparameters.validate({'lr': 1})\n"
        "print(sorted({'torch', 'numpy', 'PIL'} & set(sys.modules)))"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"


def test_rules_that_end_a_job_must_exist_before_it_is_sent() -> None:
    assert validate({"stop-rules": "Overfit, ExplodingTensor"}).stop_rules == "Overfit, ExplodingTensor"
    with pytest.raises(HyperparameterError, match="did you mean ExplodingTensor"):
        validate({"stop-rules": "Explodingtensor"})
