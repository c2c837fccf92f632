"""A stand-in for SageMaker on AWS: records what is sent, checks it as AWS would, and says what AWS says.

S3, IAM and STS are moto's. Only SageMaker's own answers are given here, because no account can be reached.
"""

from __future__ import annotations

import datetime
import io
import json
from typing import Any

import boto3
from botocore.awsrequest import AWSResponse

from dogbreed_sdk import Session
from dogbreed_sdk.local.api.validation import operation_model, problems

REGION = "us-east-1"
BUCKET = "my-bucket"

EMPTY_LISTS = {
    "ListHyperParameterTuningJobs": "HyperParameterTuningJobSummaries",
    "ListTrainingJobs": "TrainingJobSummaries",
    "ListTransformJobs": "TransformJobSummaries",
}


# In ARNs, and in the names of operations.
KINDS = {"endpoint": "Endpoint", "endpoint-config": "EndpointConfig", "model": "Model"}
PARTS = {"DescribeEndpointConfig": "EndpointConfig", "DescribeModel": "Model"}


class RecordedSageMaker:
    """The requests that clients of a session sent to SageMaker, each valid by botocore's model to the letter."""

    def __init__(self, boto3_session: boto3.Session) -> None:
        self.requests: list[tuple[str, dict[str, Any]]] = []
        self.refusals: dict[str, dict[str, Any]] = {}
        self.ended_tuning_jobs: set[str] = set()
        self.answers: dict[str, dict[str, Any]] = {"ListTrainingJobs": {"TrainingJobSummaries": []}}
        boto3_session.events.register("before-call.sagemaker", self._answer)

    def sent(self, operation: str) -> list[dict[str, Any]]:
        return [body for name, body in self.requests if name == operation]

    def _answer(self, model: Any, params: dict[str, Any], **_: Any) -> tuple[AWSResponse, dict[str, Any]]:
        body = json.loads(params["body"] or b"{}")
        assert list(problems(operation_model("sagemaker", model.name).input_shape, body)) == []
        assert "file://" not in json.dumps(body)
        self.requests.append((model.name, body))
        if model.name in self.refusals:
            return response(400), self.refusals[model.name]
        if model.name == "DescribeEndpoint" and not self.sent("CreateEndpoint"):
            return response(400), refusal("ValidationException", 'Could not find endpoint "arn:aws:sagemaker:…".')
        if model.name in PARTS and self._created(PARTS[model.name], next(iter(body.values()))) is None:
            return response(400), refusal("ValidationException", 'Could not find "arn:aws:sagemaker:…".')
        if model.name == "DescribeHyperParameterTuningJob" and not self._knows_tuning_job(body):
            return response(400), refusal("ResourceNotFound", "Requested resource not found.")
        return response(200), {**self._content(model.name, body), "ResponseMetadata": {"HTTPStatusCode": 200}}

    def _created(self, kind: str, name: str) -> dict[str, Any] | None:
        """The request that created an endpoint, a configuration or a model; None if there is none, or it is deleted."""
        made, gone = f"Create{kind}", f"Delete{kind}"
        changes = [
            (operation, body)
            for operation, body in self.requests
            if operation in (made, gone) and operation not in self.refusals and body.get(f"{kind}Name") == name
        ]
        return changes[-1][1] if changes and changes[-1][0] == made else None

    def _knows_tuning_job(self, body: dict[str, Any]) -> bool:
        name = body["HyperParameterTuningJobName"]
        created = [sent["HyperParameterTuningJobName"] for sent in self.sent("CreateHyperParameterTuningJob")]
        return name in {*self.ended_tuning_jobs, *created}

    def _content(self, operation: str, body: dict[str, Any]) -> dict[str, Any]:
        if operation in self.answers:
            return self.answers[operation]
        now = datetime.datetime.now(datetime.timezone.utc)
        name = next((value for key, value in body.items() if key.endswith("Name")), "")
        if operation == "DescribeTrainingJob":
            return {
                "TrainingJobName": name,
                "TrainingJobArn": f"arn:aws:sagemaker:{REGION}:123456789012:training-job/{name}",
                "TrainingJobStatus": "Completed",
                "SecondaryStatus": "Completed",
                "CreationTime": now,
                "TrainingEndTime": now,
                "OutputDataConfig": {"S3OutputPath": f"s3://{BUCKET}/dogbreed/jobs"},
                "ModelArtifacts": {"S3ModelArtifacts": f"s3://{BUCKET}/dogbreed/jobs/{name}/output/model.tar.gz"},
                "SecondaryStatusTransitions": [{"Status": "Completed", "StartTime": now, "StatusMessage": "done"}],
            }
        if operation == "DescribeEndpoint":
            return {
                "EndpointName": name,
                "EndpointArn": arn("endpoint", name),
                "EndpointConfigName": (self._created("Endpoint", name) or {}).get("EndpointConfigName", name),
                "EndpointStatus": "InService",
                "CreationTime": now,
                "LastModifiedTime": now,
            }
        if operation == "DescribeEndpointConfig":
            return {**(self._created("EndpointConfig", name) or {}), "EndpointConfigArn": arn("endpoint-config", name)}
        if operation == "DescribeHyperParameterTuningJob":
            if name in self.ended_tuning_jobs:
                return {
                    "HyperParameterTuningJobName": name,
                    "HyperParameterTuningJobConfig": {"Strategy": "Bayesian"},
                    "HyperParameterTuningJobStatus": "Completed",
                }
            created = self.sent("CreateHyperParameterTuningJob")[-1]
            return {**created, "HyperParameterTuningJobStatus": "InProgress", "CreationTime": now}
        if operation in EMPTY_LISTS:
            return {EMPTY_LISTS[operation]: []}
        if operation == "DescribeModel":
            return {**(self._created("Model", name) or {}), "ModelArn": arn("model", name), "CreationTime": now}
        if operation == "ListTags":
            kind, _, name = body["ResourceArn"].rpartition(":")[2].partition("/")
            created = self._created(KINDS[kind], name) if kind in KINDS else None
            return {"Tags": (created or {}).get("Tags", [])}
        if operation in ("ListEndpointConfigs", "ListModels"):
            return {operation.removeprefix("List"): []}
        return {}


def arn(kind: str, name: str) -> str:
    """The ARN of a resource in the account."""
    return f"arn:aws:sagemaker:{REGION}:123456789012:{kind}/{name}"


def refusal(code: str, message: str) -> dict[str, Any]:
    """AWS's answer when it refuses."""
    return {
        "Error": {"Code": code, "Message": message},
        "ResponseMetadata": {"HTTPStatusCode": 400, "RequestId": "a-request-id"},
    }


def response(status: int) -> AWSResponse:
    return AWSResponse("https://sagemaker", status, {}, io.BytesIO())


def open_session() -> tuple[Session, RecordedSageMaker]:
    """A session in an account with a role and a bucket; call it where moto is at work."""
    iam = boto3.client("iam", region_name=REGION)
    role = iam.create_role(RoleName="SageMakerRole", AssumeRolePolicyDocument="{}")["Role"]["Arn"]
    boto3.client("s3", region_name=REGION).create_bucket(Bucket=BUCKET)
    boto3_session = boto3.Session(region_name=REGION)
    recorded = RecordedSageMaker(boto3_session)
    return Session.aws(boto3_session=boto3_session, role=role, bucket=BUCKET), recorded
