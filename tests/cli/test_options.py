"""What the options of `train` and `tune` become in the requests to SageMaker."""

from __future__ import annotations

from typing import Any

import pytest

from dogbreed_sdk import BreedDataset, ConfigurationError, Session
from dogbreed_sdk._util.progress import no_progress
from dogbreed_sdk.cli import options as read
from dogbreed_sdk.cli.parser import parse
from tests.aws.account import RecordedSageMaker

Account = tuple[Session, RecordedSageMaker]


def sent(account: Account, shapes: BreedDataset, *arguments: str) -> dict[str, Any]:
    session, aws = account
    options = parse(["train", str(shapes.root), "--features", "in-job", *arguments])
    trainer, given = read.trainer(options, session)
    trainer.train(shapes, given, progress=no_progress)
    [request] = aws.sent("CreateTrainingJob")
    return request


@pytest.mark.extras
def test_variables_reach_the_job(account: Account, shapes: BreedDataset) -> None:
    request = sent(account, shapes, "--environment", "A=1", "--environment", "B=x=y")
    assert {"A": "1", "B": "x=y"}.items() <= request["Environment"].items()
    assert "DebugRuleConfigurations" not in request


@pytest.mark.extras
def test_the_managed_rules_are_those_that_were_chosen(account: Account, shapes: BreedDataset) -> None:
    request = sent(
        account,
        shapes,
        *("--managed-rule", "overfit", "--managed-rule", "cpu-bottleneck"),
        *("--managed-set", "Overfit.patience=3"),
    )
    [rule] = request["DebugRuleConfigurations"]
    assert rule["RuleConfigurationName"] == "Overfit"
    assert rule["RuleParameters"]["patience"] == "3"
    [profiling] = request["ProfilerRuleConfigurations"]
    assert profiling["RuleParameters"]["rule_to_invoke"] == "CPUBottleneck"


@pytest.mark.extras
def test_a_parameter_alone_leaves_the_usual_rules(account: Account, shapes: BreedDataset) -> None:
    rules = sent(account, shapes, "--managed-set", "overfit.patience=3")["DebugRuleConfigurations"]
    assert len(rules) == 5
    assert [rule["RuleParameters"].get("patience") for rule in rules if "Overfit" in str(rule)] == ["3"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--managed-rule", "vanishing_gradients"], "did you mean VanishingGradient?"),
        (["--managed-rule", "LowGpuUtilisation"], "did you mean LowGPUUtilization?"),
        (["--managed-set", "Overfit.patience"], "--managed-set Overfit.patience: write RULE.PARAMETER=VALUE"),
    ],
)
def test_what_the_managed_debugger_does_not_have_is_refused(arguments: list[str], says: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        read.trainer(parse(["train", "d", *arguments]), Session.aws(region="us-east-1"))
    assert says in str(caught.value)
