"""Training jobs over the API: real scripts, AWS's answers, AWS's refusals."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.waiting import script_until, wait_for

Request = Callable[..., dict[str, Any]]
Pack = Callable[[str], dict[str, str]]
Ended = Callable[[str], dict[str, Any]]

TRAIN = """
import json, os, pathlib
print("loss=0.75", flush=True)
print("loss=0.25", flush=True)
pathlib.Path(os.environ["SM_MODEL_DIR"], "weights").write_text("w")
"""
WAIT = """
import time
print("waiting", flush=True)
time.sleep(60)
"""
METRICS = [{"Name": "loss", "Regex": "loss=([0-9.]+)"}]
ALGORITHM = {"TrainingImage": "i", "TrainingInputMode": "File", "MetricDefinitions": METRICS}
RUNNING = {"AlgorithmSpecification": {**ALGORITHM, "ContainerEntrypoint": ["true"]}}


def refused(sagemaker: Any, request: dict[str, Any]) -> str:
    with pytest.raises(ClientError) as caught:
        sagemaker.create_training_job(**request)
    return f"{caught.value.response['Error']['Code']}: {caught.value.response['Error']['Message']}"


def test_a_job_tells_what_came_of_it(
    sagemaker: Any, training_request: Request, script: Pack, ended: Ended, tmp_path: Path
) -> None:
    request = training_request(
        "dogs", script(TRAIN), AlgorithmSpecification=ALGORITHM, Tags=[{"Key": "a", "Value": "b"}]
    )
    arn = sagemaker.create_training_job(**request)["TrainingJobArn"]
    assert arn == "arn:aws:sagemaker:us-east-1:000000000000:training-job/dogs"
    job = ended("dogs")
    assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("Completed", "Completed")
    assert job["TrainingJobArn"] == arn
    assert job["HyperParameters"] == request["HyperParameters"]
    assert job["EnableManagedSpotTraining"] is False
    assert "Tags" not in job
    assert sagemaker.list_tags(ResourceArn=arn)["Tags"] == [{"Key": "a", "Value": "b"}]
    transitions = job["SecondaryStatusTransitions"]
    assert transitions[0]["Status"] == "Starting"
    assert all(transition["StatusMessage"] for transition in transitions)
    (metric,) = job["FinalMetricDataList"]
    assert (metric["MetricName"], metric["Value"]) == ("loss", 0.25)
    assert job["ModelArtifacts"]["S3ModelArtifacts"] == (tmp_path / "output/dogs/output/model.tar.gz").as_uri()
    assert job["TrainingTimeInSeconds"] == job["BillableTimeInSeconds"] >= 1
    assert job["CreationTime"] <= job["TrainingStartTime"] <= job["TrainingEndTime"]


def test_a_job_that_was_just_accepted_can_be_described(
    sagemaker: Any, training_request: Request, script: Pack, ended: Ended
) -> None:
    sagemaker.create_training_job(**training_request("dogs", script(WAIT)))
    job = sagemaker.describe_training_job(TrainingJobName="dogs")
    assert job["TrainingJobStatus"] == "InProgress"
    assert job["SecondaryStatusTransitions"]
    sagemaker.stop_training_job(TrainingJobName="dogs")
    assert sagemaker.describe_training_job(TrainingJobName="dogs")["TrainingJobStatus"] in ("Stopping", "Stopped")
    assert ended("dogs")["TrainingJobStatus"] == "Stopped"


def test_stopping_twice_is_fine_and_stopping_the_finished_is_not(
    sagemaker: Any, training_request: Request, script: Pack, ended: Ended, tmp_path: Path
) -> None:
    begun, go = tmp_path / "begun", tmp_path / "go"
    stubborn = f"import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nopen({str(begun)!r}, 'w')\n"
    sagemaker.create_training_job(**training_request("dogs", script(stubborn + script_until(go))))
    wait_for(begun.exists)
    sagemaker.stop_training_job(TrainingJobName="dogs")
    assert sagemaker.describe_training_job(TrainingJobName="dogs")["TrainingJobStatus"] == "Stopping"
    sagemaker.stop_training_job(TrainingJobName="dogs")
    go.touch()
    ended("dogs")
    with pytest.raises(ClientError, match="rejected because the training job is in status Stopped"):
        sagemaker.stop_training_job(TrainingJobName="dogs")


def test_a_missing_channel_fails_the_job_and_not_the_request(
    sagemaker: Any, training_request: Request, script: Pack, ended: Ended, tmp_path: Path
) -> None:
    source = {"S3DataType": "S3Prefix", "S3Uri": (tmp_path / "nowhere").as_uri()}
    channel = {"ChannelName": "train", "DataSource": {"S3DataSource": source}}
    sagemaker.create_training_job(**training_request("dogs", script(TRAIN), InputDataConfig=[channel]))
    job = ended("dogs")
    assert job["TrainingJobStatus"] == "Failed"
    assert "nowhere" in job["FailureReason"]


def test_boto3s_own_waiter_works(sagemaker: Any, training_request: Request, script: Pack) -> None:
    sagemaker.create_training_job(**training_request("dogs", script(TRAIN)))
    waiter = sagemaker.get_waiter("training_job_completed_or_stopped")
    waiter.wait(TrainingJobName="dogs", WaiterConfig={"Delay": 1, "MaxAttempts": 60})


def test_a_name_is_used_once(sagemaker: Any, training_request: Request, script: Pack, ended: Ended) -> None:
    request = training_request("dogs", script(TRAIN))
    sagemaker.create_training_job(**request)
    with pytest.raises(sagemaker.exceptions.ResourceInUse, match="Training job names must be unique within an AWS"):
        sagemaker.create_training_job(**request)
    ended("dogs")


@pytest.mark.parametrize("call", ["describe_training_job", "stop_training_job"])
def test_a_job_that_is_not_there(empty_sagemaker: Any, call: str) -> None:
    with pytest.raises(empty_sagemaker.exceptions.ResourceNotFound, match="Requested resource not found"):
        getattr(empty_sagemaker, call)(TrainingJobName="missing")


def channel(name: str) -> dict[str, Any]:
    return {"ChannelName": name, "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://b/k"}}}


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"TrainingJobName": "under_score"}, "regular expression"),
        ({"StoppingCondition": {"MaxRuntimeInSeconds": 2419201}}, "28 days"),
        ({"StoppingCondition": None}, "'stoppingCondition' .* must not be null"),
        ({"ResourceConfig": None}, "'resourceConfig' .* must not be null"),
        ({"AlgorithmSpecification": {"TrainingInputMode": "File"}}, "either TrainingImage or AlgorithmName"),
        ({"AlgorithmSpecification": {**ALGORITHM, "TrainingInputMode": "Fast"}}, "enum value set: .Pipe, File"),
        ({"AlgorithmSpecification": {**ALGORITHM, "MetricDefinitions": [{"Name": "a", "Regex": "("}]}}, "'a'"),
        ({"AlgorithmSpecification": {**ALGORITHM, "MetricDefinitions": [{"Name": "a", "Regex": "b"}]}}, "no group"),
        ({"InputDataConfig": [channel("train"), channel("train")]}, "'train' is used more than once"),
        ({"InputDataConfig": [{"ChannelName": "train", "DataSource": {}}]}, "'train' has no S3DataSource"),
        ({"ResourceConfig": {"InstanceType": "ml.huge", "InstanceCount": 1, "VolumeSizeInGB": 1}}, "instanceType"),
        ({"ResourceConfig": {"InstanceType": "ml.m5.large", "VolumeSizeInGB": 1}}, "'resourceConfig.instanceCount'"),
        ({"ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 0, "VolumeSizeInGB": 1}}, "at least 1"),
        ({"HyperParameters": {"sagemaker_mpi_enabled": "true"}}, "asks for MPI, with which local SageMaker can't"),
        ({"EnableManagedSpotTraining": True}, "Invalid MaxWaitTimeInSeconds"),
        ({"OutputDataConfig": {"S3OutputPath": "/plain/path"}}, "outputDataConfig.s3OutputPath"),
        ({**RUNNING, "Tags": [{"Key": "a", "Value": "1"}, {"Key": "a", "Value": "2"}]}, "Duplicate tag key"),
        ({"HyperParameters": {"lr": "x" * 2501}}, "'hyperParameters.lr.member' .* less than or equal to 2500"),
    ],
)  # fmt: skip
def test_what_aws_would_refuse_is_refused(
    empty_sagemaker: Any, training_request: Request, changes: dict[str, Any], complaint: str
) -> None:
    message = refused(empty_sagemaker, training_request("dogs", **changes))
    assert message.startswith("ValidationException")
    assert re.search(complaint, message), message
    assert empty_sagemaker.list_training_jobs()["TrainingJobSummaries"] == []


def test_more_machines_than_there_are(empty_sagemaker: Any, training_request: Request) -> None:
    resources = {"InstanceType": "ml.m5.large", "InstanceCount": 9, "VolumeSizeInGB": 1}
    message = refused(empty_sagemaker, training_request("dogs", ResourceConfig=resources))
    limit = "'ml.m5.large for training job usage' is 8 Instances"
    assert message.startswith(f"ResourceLimitExceeded: The account-level service limit {limit}")


def test_the_log_is_in_cloudwatch(
    sagemaker: Any, client: Any, training_request: Request, script: Pack, ended: Ended
) -> None:
    sagemaker.create_training_job(**training_request("dogs", script(TRAIN)))
    ended("dogs")
    logs, group = client("logs"), "/aws/sagemaker/TrainingJobs"
    (stream,) = logs.describe_log_streams(logGroupName=group, logStreamNamePrefix="dogs/")["logStreams"]
    assert stream["logStreamName"].startswith("dogs/algo-1-")
    events = logs.get_log_events(logGroupName=group, logStreamName=stream["logStreamName"], startFromHead=True)
    assert [e["message"] for e in events["events"] if "loss" in e["message"]] == ["loss=0.75", "loss=0.25"]


def test_json_encoded_names_reach_the_script(
    sagemaker: Any, training_request: Request, script: Pack, ended: Ended
) -> None:
    packed = script("import sys\nassert sys.argv[1:] == ['--lr', '0.5', '--optimizer', 'sgd'], sys.argv")
    sagemaker.create_training_job(**training_request("dogs", {**packed, "lr": "0.5", "optimizer": json.dumps("sgd")}))
    job = ended("dogs")
    assert job["TrainingJobStatus"] == "Completed", job.get("FailureReason")
