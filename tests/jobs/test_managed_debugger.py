"""The managed Debugger: what is asked of AWS, what an account's refusal becomes."""

from __future__ import annotations

from typing import Any

import pytest

from dogbreed_sdk import BreedDataset, BreedTrainer, ConfigurationError, Debugger, JobError, Session
from dogbreed_sdk._util.progress import JobProgress, no_progress
from dogbreed_sdk.aws.requests import debugging
from dogbreed_sdk.jobs.managed_debugger import debugging_members
from tests.aws.account import RecordedSageMaker, refusal

pytestmark = pytest.mark.extras

Account = tuple[Session, RecordedSageMaker]
PYTORCH_1 = "763104351884.dkr.ecr.us-east-1.amazonaws.com/pytorch-training:1.13-cpu-py39"


def sent(account: Account, shapes: BreedDataset, debugger: Debugger, **options: Any) -> dict[str, Any]:
    session, aws = account
    BreedTrainer(session, features="in-job", debugger=debugger, **options).train(shapes, progress=no_progress)
    [request] = aws.sent("CreateTrainingJob")
    return request


def test_the_defaults_are_in_the_request(account: Account, shapes: BreedDataset) -> None:
    request = sent(account, shapes, Debugger.managed())
    hook = request["DebugHookConfig"]
    assert hook["HookParameters"] == {"train.save_interval": "100", "eval.save_interval": "10"}
    assert {entry["CollectionName"] for entry in hook["CollectionConfigurations"]} == {"losses", "weights", "gradients"}
    assert [rule["RuleConfigurationName"] for rule in request["DebugRuleConfigurations"]] == [
        "VanishingGradient",
        "Overfit",
        "Overtraining",
        "PoorWeightInitialization",
        "LossNotDecreasing",
    ]
    assert [rule["RuleParameters"]["rule_to_invoke"] for rule in request["ProfilerRuleConfigurations"]] == [
        "LowGPUUtilization",
        "ProfilerReport",
    ]
    assert request["ProfilerConfig"]["ProfilingIntervalInMilliseconds"] == 500
    outputs = {request[key]["S3OutputPath"] for key in ("DebugHookConfig", "ProfilerConfig", "OutputDataConfig")}
    assert len(outputs) == 1


def test_the_evaluator_image_is_the_regions(account: Account, shapes: BreedDataset) -> None:
    rules = sent(account, shapes, Debugger.managed())["DebugRuleConfigurations"]
    images = {rule["RuleEvaluatorImage"] for rule in rules}
    assert images == {"503895931360.dkr.ecr.us-east-1.amazonaws.com/sagemaker-debugger-rules:latest"}


def test_a_region_without_rule_containers_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="no rule container in xx-nowhere-1"):
        debugging_members(
            Debugger.managed(),
            "job",
            output_uri="s3://b/x",
            image_uri=PYTORCH_1,
            region="xx-nowhere-1",
            progress=no_progress,
        )


def test_it_can_be_in_a_set_like_other_values() -> None:
    chosen = {"Overfit": {"patience": 3}}
    assert len({Debugger.managed(), Debugger.managed(), Debugger.managed(rule_parameters=chosen)}) == 2


def test_framework_profiling_is_asked_of_the_last_images_that_have_it(account: Account, shapes: BreedDataset) -> None:
    request = sent(account, shapes, Debugger.managed(), image_uri=PYTORCH_1)
    assert '"NumSteps": 10' in request["ProfilerConfig"]["ProfilingParameters"]["DetailedProfilingConfig"]


def test_newer_images_get_none_and_a_note_says_so(account: Account, shapes: BreedDataset) -> None:
    session, aws = account
    steps: list[JobProgress] = []
    trainer = BreedTrainer(session, features="in-job", debugger=Debugger.managed())
    trainer.train(shapes, progress=steps.append)
    assert "ProfilingParameters" not in aws.sent("CreateTrainingJob")[0]["ProfilerConfig"]
    assert any("framework profiling of 10 steps is omitted" in step.message for step in steps)


@pytest.mark.parametrize(
    ("image", "has"),
    [
        (PYTORCH_1, True),
        ("763104351884.dkr.ecr.us-east-1.amazonaws.com/pytorch-training:2.0.0-cpu-py310", False),
        ("123456789012.dkr.ecr.us-east-1.amazonaws.com/my-own:1.0", False),
    ],
)
def test_only_pytorch_images_before_2_0_profile_the_framework(image: str, has: bool) -> None:
    assert debugging.has_framework_profiling(image) is has


def test_rules_and_parameters_can_be_chosen(account: Account, shapes: BreedDataset) -> None:
    chosen = Debugger.managed(
        rules=["dead_relu"], profiler_rules=(), rule_parameters={"DeadRelu": {"threshold_layer": 60}}
    )
    request = sent(account, shapes, chosen)
    [rule] = request["DebugRuleConfigurations"]
    assert rule["RuleParameters"] == {"rule_to_invoke": "DeadRelu", "threshold_layer": "60"}
    assert request["DebugHookConfig"]["CollectionConfigurations"] == [{"CollectionName": "relu_output"}]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rules": ["vanishing_gradients"]}, "did you mean VanishingGradient"),
        ({"rules": ["Overfit", "overfit"]}, "each rule once"),
        ({"profiler_rules": ["Overfit"]}, "Unknown profiling rule 'Overfit'"),
        ({"system_monitor_interval_ms": 250}, "SageMaker accepts 100, 200"),
        ({"train_save_interval": 0}, "at least 1"),
        ({"rule_parameters": {"DeadRelu": {}}}, "Unknown chosen rule 'DeadRelu'"),
    ],
)
def test_a_wrong_choice_is_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        Debugger.managed(**options)


def test_an_accounts_refusal_explains_the_closure_and_names_the_way_without(
    account: Account, shapes: BreedDataset
) -> None:
    session, aws = account
    aws.refusals["CreateTrainingJob"] = refusal(
        "ValidationException", "Amazon SageMaker Debugger is not available for this account."
    )
    trainer = BreedTrainer(session, features="in-job", debugger=Debugger.managed())
    with pytest.raises(ConfigurationError, match="closed Debugger to new customers on 2026-07-30") as raised:
        trainer.train(shapes, progress=no_progress)
    assert "dogbreed report" in str(raised.value)
    assert raised.value.request_id == "a-request-id"


def test_other_refusals_stay_what_they_are(account: Account, shapes: BreedDataset) -> None:
    session, aws = account
    aws.refusals["CreateTrainingJob"] = refusal("ValidationException", "Invalid role.")
    trainer = BreedTrainer(session, features="in-job", debugger=Debugger.managed())
    with pytest.raises(JobError, match="Invalid role") as raised:
        trainer.train(shapes, progress=no_progress)
    assert "2026-07-30" not in str(raised.value)


def test_a_search_carries_nothing_of_it(account: Account, shapes: BreedDataset) -> None:
    session, aws = account
    BreedTrainer(session, features="in-job", debugger=Debugger.managed()).tune(shapes, progress=no_progress)
    [request] = aws.sent("CreateHyperParameterTuningJob")
    assert "Debug" not in str(request)
