"""What the options of `train` and `tune` become in the requests to SageMaker."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from dogbreed_sdk import BreedDataset, ConfigurationError, Session, Vpc
from dogbreed_sdk._util.progress import no_progress
from dogbreed_sdk.cli import options as read
from dogbreed_sdk.cli import trainer_options, training_commands, training_options
from dogbreed_sdk.cli.parser import parse
from tests.aws.account import RecordedSageMaker

Account = tuple[Session, RecordedSageMaker]


def sent(account: Account, shapes: BreedDataset, *arguments: str) -> dict[str, Any]:
    session, aws = account
    options = parse(["train", str(shapes.root), "--features", "in-job", *arguments])
    trainer, given = trainer_options.trainer(options, session)
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
        trainer_options.trainer(parse(["train", "d", *arguments]), Session.aws(region="us-east-1"))
    assert says in str(caught.value)


@pytest.mark.extras
def test_spot_instances_and_limits_reach_the_job(account: Account, shapes: BreedDataset) -> None:
    request = sent(
        account,
        shapes,
        *("--spot", "--max-wait", "6h", "--max-runtime", "90min", "--instance-count", "2", "--volume-size-gb", "50"),
        *("--framework-version", "2.8", "--tag", "team=dogs", "--input-mode", "fastfile", "--retries", "2"),
        *("--network-isolation", "--encrypt-traffic"),
    )
    assert request["StoppingCondition"] == {"MaxRuntimeInSeconds": 5400, "MaxWaitTimeInSeconds": 21600}
    assert request["ResourceConfig"] == {"InstanceType": "ml.m5.xlarge", "InstanceCount": 2, "VolumeSizeInGB": 50}
    assert request["AlgorithmSpecification"]["TrainingImage"].endswith("pytorch-training:2.8-cpu-py312")
    assert {"Key": "team", "Value": "dogs"} in request["Tags"]
    assert request["InputDataConfig"][0]["InputMode"] == "FastFile"
    assert request["RetryStrategy"] == {"MaximumRetryAttempts": 2}
    assert request["EnableManagedSpotTraining"]
    assert request["EnableNetworkIsolation"]
    assert request["EnableInterContainerTrafficEncryption"]


@pytest.mark.extras
def test_a_warm_pool_reaches_the_job(account: Account, shapes: BreedDataset) -> None:
    request = sent(account, shapes, "--keep-alive", "10min", "--max-pending", "1h")
    assert request["ResourceConfig"]["KeepAlivePeriodInSeconds"] == 600
    assert request["StoppingCondition"]["MaxPendingTimeInSeconds"] == 3600


@pytest.mark.extras
def test_the_end_of_a_search_reaches_the_tuning_job(account: Account, shapes: BreedDataset) -> None:
    session, aws = account
    aws.ended_tuning_jobs = {"dogs-1"}
    options = parse(
        [
            *("tune", str(shapes.root), "--features", "in-job", "--no-wait", "--strategy", "hyperband"),
            *("--min-epochs", "2", "--search-seed", "0", "--max-search-time", "2h", "--target", "0.5"),
            *("--trials-without-improvement", "4", "--until-convergence", "--transfer-from", "dogs-1"),
            *("--search", "dropout=0.1:0.9:reverse-log"),
        ]
    )
    trainer, shared = trainer_options.trainer(options, session)
    training_commands.start_search(options, trainer, shared, progress=no_progress)
    [request] = aws.sent("CreateHyperParameterTuningJob")
    config = request["HyperParameterTuningJobConfig"]
    assert config["StrategyConfig"]["HyperbandStrategyConfig"] == {"MinResource": 2, "MaxResource": 10}
    assert (config["RandomSeed"], config["ResourceLimits"]["MaxRuntimeInSeconds"]) == (0, 7200)
    assert config["ParameterRanges"]["ContinuousParameterRanges"][0]["ScalingType"] == "ReverseLogarithmic"
    assert config["TuningJobCompletionCriteria"] == {
        "TargetObjectiveMetricValue": 0.5,
        "BestObjectiveNotImproving": {"MaxNumberOfTrainingJobsNotImproving": 4},
        "ConvergenceDetected": {"CompleteOnConvergence": "Enabled"},
    }
    assert request["WarmStartConfig"]["WarmStartType"] == "TransferLearning"


@pytest.mark.extras
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--max-wait", "6h"], "--max-wait is for spot capacity"),
        (["--keep-alive", "soon"], "'soon' is not a time with a unit; write 90s, 10min, 2h or 1d"),
        (["--max-runtime", "5"], "'5' is not a time with a unit; write 90s, 10min, 2h or 1d"),
        (["--retries", "-1"], "-1 is below 0"),
    ],
)
def test_options_that_mean_nothing_are_refused(
    account: Account, shapes: BreedDataset, arguments: list[str], message: str
) -> None:
    with pytest.raises(ConfigurationError, match=message):
        sent(account, shapes, *arguments)


def test_one_kind_of_warm_start_at_a_time() -> None:
    options = parse(["tune", "dogs", "--warm-start", "a", "--transfer-from", "b"])
    with pytest.raises(ConfigurationError, match="exclude each other"):
        training_options.warm_start(options)


def test_the_key_and_the_network_of_a_session_are_options_of_all_its_commands() -> None:
    network = ["--subnet", "subnet-1", "--subnet", "subnet-2", "--security-group", "sg-1"]
    for command in (["train", "d"], ["plan", "d"], ["deploy", "j"], ["transform", "j", "d"]):
        given = parse([*command, "--aws", "--kms-key", "alias/dogs", *network])
        session = read.aws_session(given)
        assert session.kms_key == "alias/dogs"
        assert session.vpc == Vpc(subnets=["subnet-1", "subnet-2"], security_groups=["sg-1"])


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--aws", "--subnet", "subnet-1"], "pass --subnet and --security-group"),
        (["--security-group", "sg-1"], "--security-group needs --aws"),
        (["--kms-key", "alias/dogs"], "--kms-key needs --aws"),
    ],
)
def test_half_a_network_or_one_without_aws_is_refused(arguments: list[str], says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        read.session(parse(["jobs", *arguments]))


@pytest.mark.extras
def test_a_data_set_that_does_not_exist_fails_before_slow_imports(tmp_path: Path) -> None:
    program = (
        "import sys; from dogbreed_sdk.cli.program import main;"
        f"status = main(['tune', 'nothere', '--root', {str(tmp_path / 'root')!r}]);"
        "sys.exit('sagemaker was loaded' if 'sagemaker' in sys.modules else status)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.stderr.splitlines()[0] == "Checking the data set …"
    assert (done.returncode, "nothere does not exist" in done.stderr) == (1, True)
