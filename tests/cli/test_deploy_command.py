"""`dogbreed deploy`: every option reaches the library, and none is ignored."""

from __future__ import annotations

from typing import Any

import pytest

from dogbreed_sdk import Asynchronous, Autoscaling, ConfigurationError, DataCapture, Serverless, Session, TrainingJob
from dogbreed_sdk.cli import deploy_command
from dogbreed_sdk.cli import options as read
from dogbreed_sdk.cli.parser import parse
from dogbreed_sdk.endpoints import left_behind
from dogbreed_sdk.endpoints.creation import DeployOptions
from dogbreed_sdk.endpoints.deployment import Deployment
from tests.aws.account import RecordedSageMaker

pytestmark = pytest.mark.extras

Account = tuple[Session, RecordedSageMaker]


@pytest.fixture
def deployed(account: Account, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs the command, and returns the options with which it deploys."""
    session, aws = account
    aws.requests.append(("CreateEndpoint", {}))

    def run(*words: str) -> dict[str, Any]:
        passed: dict[str, Any] = {}
        monkeypatch.setattr(read, "sagemaker", lambda _: session)
        monkeypatch.setattr(TrainingJob, "deploy", lambda _, **given: passed.update(given) or Deployment("e", session))
        outcome = deploy_command.run(parse(["deploy", "job", *words]))
        assert outcome.document == {
            "name": "e",
            "endpoint": "e",
            "kind": _kind(passed),
            "status": "InService",
            "job": "job",
            "model_uri": "s3://my-bucket/dogbreed/jobs/job/output/model.tar.gz",
            "usd_per_hour": 0.0,  # nothing was deployed
            "expires_at": None,
        }
        return passed

    return run


def _kind(passed: dict[str, Any]) -> str:
    if passed["serverless"] is not None:
        return "serverless"
    return "real-time" if passed["asynchronous"] is None else "asynchronous"


@pytest.mark.parametrize("is_scheduled", [False, True])
def test_the_end_of_an_endpoint_that_expires(
    is_scheduled: bool, account: Account, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    session, aws = account
    aws.requests.append(("CreateEndpoint", {}))

    def made(_: TrainingJob, **_given: object) -> Deployment:
        config = {"ProductionVariants": [{"InstanceType": "ml.m5.large", "InitialInstanceCount": 1}]}
        left_behind.note(session, "e", config, expiry="2999-01-01T00:00:00Z")
        if is_scheduled:
            left_behind.note_schedule(session, "e")
        return Deployment("e", session)

    monkeypatch.setattr(read, "sagemaker", lambda _: session)
    monkeypatch.setattr(TrainingJob, "deploy", made)
    outcome = deploy_command.run(parse(["deploy", "job", "--ttl", "2h", "--aws", "--profile", "dogs"]))
    outcome.print_text()
    assert outcome.document["expires_at"] == "2999-01-01T00:00:00Z"
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("it expires at 2999-01-01T00:00")]
    assert len(lines) == 1
    assert ("AWS deletes it then" in lines[0]) == is_scheduled
    assert lines[0].endswith("cleanup --expired --aws --profile dogs") != is_scheduled


def test_instances(deployed: Any) -> None:
    words = (
        "--name dogs --instance-type ml.c5.xlarge --instance-count 2 --volume-size-gb 9 --download-timeout 60 "
        "--startup-timeout 61 --image-uri mine --environment A=b --tag team=dogs --network-isolation --capture 10 "
        "--capture-uri s3://b/c --ttl 2h --scheduler-role arn --entry-point my.py --source-dir code --no-wait"
    )
    given = deployed(*words.split())
    assert callable(given.pop("progress"))
    assert given == {
        "endpoint_name": "dogs",
        "instance_type": "ml.c5.xlarge",
        "instance_count": 2,
        "serverless": None,
        "asynchronous": None,
        "data_capture": DataCapture(10, uri="s3://b/c"),
        "autoscaling": None,
        "image_uri": "mine",
        "framework_version": None,
        "environment": {"A": "b"},
        "entry_point": "my.py",
        "source_dir": "code",
        "network_isolation": True,
        "volume_size_gb": 9,
        "download_timeout": 60,
        "startup_timeout": 61,
        "tags": {"team": "dogs"},
        "ttl": "2h",
        "scheduler_role": "arn",
        "wait": False,
    }


def test_autoscaling(deployed: Any) -> None:
    given = deployed("--max-instances", "4", "--invocations-per-instance", "600")
    assert given["autoscaling"] == Autoscaling(1, 4, invocations_per_instance=600)
    given = deployed("--asynchronous", "--min-instances", "0", "--max-instances", "2", "--backlog-per-instance", "5")
    assert given["autoscaling"] == Autoscaling(0, 2, backlog_per_instance=5)
    with pytest.raises(ConfigurationError, match="--concurrent-requests needs --max-instances: add --max-instances"):
        deployed("--concurrent-requests", "5")
    with pytest.raises(ConfigurationError, match="give one of invocations_per_instance"):
        deployed("--max-instances", "4")


def test_other_kinds(deployed: Any) -> None:
    serverless = deployed("--serverless-memory-mb", "4096", "--max-concurrency", "7", "--provisioned-concurrency", "1")
    assert serverless["serverless"] == Serverless(4096, max_concurrency=7, provisioned_concurrency=1)
    given = deployed("--asynchronous", "--output-uri", "s3://b/o", "--max-concurrent-invocations", "3")
    assert given["asynchronous"] == Asynchronous(output_uri="s3://b/o", max_concurrent_invocations=3)


def test_everything_that_the_library_accepts_can_be_said(deployed: Any) -> None:
    assert DeployOptions.__annotations__.keys() == deployed().keys()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--max-concurrency", "3"], "--max-concurrency needs --serverless-memory-mb"),
        (["--success-topic", "arn:x"], "--success-topic needs --asynchronous"),
        (["--capture-uri", "s3://b/c"], "--capture-uri needs --capture"),
    ],
)
def test_an_option_that_would_be_ignored_is_refused(deployed: Any, words: list[str], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        deployed(*words)
