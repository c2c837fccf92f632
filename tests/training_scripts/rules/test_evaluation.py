"""Rules by name: which there are, how they are evaluated and set, and how users add their own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pytest

from tests.training_scripts.rules.made_up import falling, full, level, trial
from training_scripts import rules
from training_scripts.recording.profile.profile import Profile
from training_scripts.recording.trial.trial import MemoryTrial, Trial

DEBUGGING = [
    "VanishingGradient", "ExplodingTensor", "AllZero", "TensorVariance", "LossNotDecreasing", "Overfit", "Overtraining",
    "PoorWeightInitialization", "DeadRelu", "SaturatedActivation", "WeightUpdateRatio", "UnchangedTensor",
    "ClassImbalance", "Confusion", "CheckInputImages", "SimilarAcrossRuns", "StalledTraining",
]  # fmt: skip


@pytest.fixture
def mine() -> Iterator[str]:
    """A name for a rule of the test's own, which is taken back at the end."""
    yield "Mine"
    if "Mine" in rules.names():
        rules.unregister("Mine")


def one(name: str, made: Trial | None = None, **options: Any) -> rules.RuleResult:
    [result] = rules.evaluate(trial=made or trial(falling()), only=[name], **options)
    return result


def test_there_are_all_of_awss_rules() -> None:
    assert rules.names("debugging") == DEBUGGING
    assert len(rules.names("profiling")) == 11
    assert rules.names() == DEBUGGING + rules.names("profiling")
    described = rules.describe()
    assert "VanishingGradient (debugging): " in described
    assert "    threshold_layer: default 80.0, aws 50.0" in described


def test_importing_the_rules_imports_no_numpy() -> None:
    code = "import sys; from training_scripts import rules; assert 'numpy' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_every_rule_has_a_result_even_without_anything_to_judge() -> None:
    results = rules.evaluate()
    assert [result.name for result in results] == rules.names()
    assert {result.status for result in results} == {"NotEvaluated"}
    assert "recorder=builtin" in results[0].message
    assert "profiler=on" in results[-1].message


@pytest.mark.parametrize("parameters", rules.PARAMETER_SETS)
def test_results_are_plain_json_whatever_the_run_holds(parameters: str) -> None:
    made = trial([*falling(20), np.nan, np.inf, np.nan], [1.0, np.nan])
    full(made, "Net_0.weight", {0: np.ones(3, dtype=np.float32), 1: np.full(3, np.nan), 2: np.full(3, np.inf)})
    results = rules.evaluate(trial=made, parameters=parameters)
    read = json.loads(json.dumps([result.to_dict() for result in results], allow_nan=False))
    assert {"name", "status", "steps", "message", "advice", "parameters"} <= set(read[0])
    assert not [result["message"] for result in read if result["status"] == "Error"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"only": ["VanishingGradients"]}, r"Unknown rule 'VanishingGradients'; did you mean VanishingGradient\?"),
        ({"only": ["vanishing_gradient"]}, r"did you mean VanishingGradient\?"),
        ({"parameters": "amazon"}, "Unknown parameter set 'amazon'; valid sets: default, aws"),
        ({"overrides": {"Overfit": {"patient": 2}}}, r"no parameter 'patient' .*did you mean patience\?"),
        ({"overrides": {"Overfit": {"patience": "two"}}}, "Overfit.patience must be a number, not 'two'"),
        ({"overrides": {"ExplodingTensor": {"only_nan": "maybe"}}}, "must be true or false"),
        ({"overrides": {"Nonsense": {}}}, "Rules: VanishingGradient, "),
    ],
)
def test_names_that_there_are_not_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(rules.RuleError, match=message):
        rules.evaluate(trial=trial([1.0]), **options)


def test_single_parameters_may_be_given_as_text() -> None:
    options = {"Overfit": {"patience": "2", "tensor_regex": "loss", "ratio_threshold": "0.5", "start_step": 3}}
    used = one("Overfit", parameters="aws", overrides=options).parameters
    assert used == {"patience": 2, "tensor_regex": "loss", "ratio_threshold": 0.5, "start_step": 3}
    assert one("ExplodingTensor", overrides={"ExplodingTensor": {"only_nan": "True"}}).parameters["only_nan"] is True


def test_a_function_becomes_a_rule(mine: str) -> None:
    @rules.register(name=mine, parameters={"limit": 1.0}, advice="Lower lr.")
    def high_loss(made: Trial, parameters: Mapping[str, Any]) -> list[rules.Finding]:
        """The loss is high."""
        series = made.tensor("CrossEntropyLoss_output_0").series("TRAIN")
        high = series.steps[series.values > parameters["limit"]]
        return [rules.Finding("High.", steps=tuple(high), numbers={"n": np.float32(len(high))})] if len(high) else []

    assert rules.rule(mine).description == "The loss is high."
    found = one(mine, overrides={mine: {"limit": "1.5"}})
    assert (found.status, found.advice, found.parameters) == ("IssuesFound", "Lower lr.", {"limit": 1.5})
    assert one(mine, overrides={mine: {"limit": 5}}).status == "NoIssuesFound"
    assert json.dumps(found.to_dict())
    assert high_loss(trial([2.0]), {"limit": 1.0})


def test_a_class_becomes_a_rule(mine: str) -> None:
    @rules.register
    class Picky:
        """Never content."""

        name = mine
        parameters: Mapping[str, Any] = {}

        def judge(self, made: Trial, parameters: Mapping[str, Any]) -> Sequence[rules.Finding]:
            return [rules.Finding(f"{made.name} again.")]

    assert one(mine).message == "made up again."
    assert Picky.name == mine


def test_a_profiling_rule_gets_the_profile(mine: str) -> None:
    rules.register(lambda profile, _: [rules.Finding(profile.source)], name=mine, kind="profiling")
    [result] = rules.evaluate(profile=Profile(source="profiler"), only=[mine])
    assert (result.message, result.kind) == ("profiler", "profiling")
    assert mine in rules.names("profiling")


def test_a_rule_that_fails_disturbs_no_other(mine: str) -> None:
    rules.register(lambda *_: 1 / 0, name=mine)
    results = rules.evaluate(trial=trial(falling()), only=["LossNotDecreasing", mine])
    assert [result.status for result in results] == ["NoIssuesFound", "Error"]
    assert results[1].message == "The rule failed: ZeroDivisionError: division by zero"


def test_a_rule_may_say_that_it_cannot_judge(mine: str) -> None:
    def judge(*_: Any) -> list[rules.Finding]:
        raise rules.NotEvaluated("Nothing to look at; record more.")

    rules.register(judge, name=mine)
    assert one(mine).status == "NotEvaluated"
    assert one(mine).message == "Nothing to look at; record more."


def test_built_in_rules_cannot_be_replaced_and_no_rules_cannot_be_registered() -> None:
    with pytest.raises(rules.RuleError, match="built-in"):
        rules.register(lambda *_: [], name="Overfit")
    with pytest.raises(rules.RuleError, match="is not a rule"):
        rules.register(7)
    with pytest.raises(rules.RuleError, match="is not a rule: a class needs name"):
        rules.register(MemoryTrial)
    with pytest.raises(rules.RuleError, match="kind must be"):
        rules.register(lambda *_: [], name="Odd", kind="odd")


def test_two_hundred_tensors_with_the_same_fault_are_told_in_a_few_sentences() -> None:
    made = trial(level())
    for place in range(200):
        full(made, f"layer.{place}.weight", {0: [np.nan], 10: [np.nan]}, collection="weights")
    found = one("ExplodingTensor", made)
    assert found.message.startswith(
        "200 tensors contain NaN or infinity, first at step 0: layer.0.weight, layer.1.weight"
    )
    assert len(found.message) < 500
    assert len(found.findings) == 201


@pytest.mark.parametrize(
    ("rule", "parameter"),
    [
        ("ExplodingTensor", "tensor_regex"),
        ("DeadRelu", "tensor_regex"),
        ("SaturatedActivation", "tensor_regex"),
        ("ClassImbalance", "labels_regex"),
        ("Confusion", "predictions"),
        ("CheckInputImages", "regex"),
    ],
)
def test_a_pattern_that_is_none_is_told(rule: str, parameter: str) -> None:
    made = full(trial(falling(20)), "tanh_input_0", {0: np.ones((2, 3))})
    found = one(rule, made, overrides={rule: {parameter: "("}})
    assert found.status == "Error"
    assert "is not a valid regular expression" in found.message


@pytest.mark.parametrize(
    ("rule", "parameter", "value", "message"),
    [
        ("Overfit", "patience", "nan", "must be a whole number of 1 or more, not nan"),
        ("Overfit", "patience", -3, "must be a whole number of 1 or more, not -3"),
        ("Overfit", "patience", 0, "of 1 or more"),
        ("Overfit", "patience", 2.5, "a whole number"),
        ("Overfit", "patience", "inf", "of 1 or more"),
        ("Overfit", "patience", None, "must be a number, not None"),
        ("Overfit", "gap_of_chance", float("nan"), "must be a finite number of 0 or more, not nan"),
        ("AllZero", "threshold", 101, "must be a finite number from 0 to 100, not 101"),
        ("TensorVariance", "max_threshold", "-1", "a finite number of 0 or more"),
        ("SaturatedActivation", "threshold_tanh_min", "-inf", "must be a finite number, not -inf"),
    ],
)
def test_parameters_out_of_bounds_are_refused_with_what_is_allowed(
    rule: str, parameter: str, value: Any, message: str
) -> None:
    with pytest.raises(rules.RuleError, match=message):
        one(rule, overrides={rule: {parameter: value}})


@pytest.mark.parametrize("parameters", rules.PARAMETER_SETS)
def test_every_default_is_within_its_bounds(parameters: str) -> None:
    values = {name: getattr(rules.rule(name), parameters) for name in rules.names()}
    used = {result.name: result.parameters for result in rules.evaluate(parameters=parameters, overrides=values)}
    assert used == values


def test_negative_limits_are_allowed_where_the_default_is_negative() -> None:
    used = one("SaturatedActivation", overrides={"SaturatedActivation": {"threshold_tanh_min": "-3"}}).parameters
    assert used["threshold_tanh_min"] == -3
