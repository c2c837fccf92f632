"""Autoscaling against servers: SageMaker is ours, Application Auto Scaling and CloudWatch are moto's."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError

from dogbreed_sdk import AccessError, Autoscaling, ConfigurationError, EndpointError, Session
from dogbreed_sdk._util.progress import no_progress
from dogbreed_sdk.aws.requests.tags import AUTOSCALED, CREATED_BY
from dogbreed_sdk.endpoints.creation import deploy
from dogbreed_sdk.endpoints.deployment import Deployment
from dogbreed_sdk.endpoints.kinds import Asynchronous, Serverless
from tests.aws.server import AwsServer
from tests.endpoints.small_models import LABELS, model

pytestmark = [pytest.mark.slow, pytest.mark.extras]

BY_REQUESTS = Autoscaling(1, 4, invocations_per_instance=600)


@pytest.fixture
def aws(aws_server: AwsServer, monkeypatch: pytest.MonkeyPatch) -> AwsServer:
    monkeypatch.setenv("AWS_ENDPOINT_URL_CLOUDWATCH", aws_server.url)  # alarms are moto's
    monkeypatch.setattr("dogbreed_sdk.defaults.AWS_POLL_SECONDS", 0.1)
    return aws_server


@pytest.fixture
def model_uri(aws: AwsServer, tmp_path: Path) -> str:
    s3 = aws.client("s3")
    s3.create_bucket(Bucket="models")
    s3.upload_file(model(tmp_path, LABELS[0]).removeprefix("file://"), "models", "model.tar.gz")
    return "s3://models/model.tar.gz"


def targets(aws: AwsServer) -> list[dict[str, Any]]:
    found = aws.client("application-autoscaling").describe_scalable_targets(ServiceNamespace="sagemaker")
    return list(found["ScalableTargets"])


def policies(aws: AwsServer) -> list[dict[str, Any]]:
    found = aws.client("application-autoscaling").describe_scaling_policies(ServiceNamespace="sagemaker")
    return list(found["ScalingPolicies"])


def alarms(aws: AwsServer) -> list[str]:
    return [each["AlarmName"] for each in aws.client("cloudwatch").describe_alarms()["MetricAlarms"]]


@pytest.fixture
def deployment(aws: AwsServer, model_uri: str) -> Iterator[Deployment]:
    made = deploy(
        model_uri,
        session=aws.session(),
        endpoint_name="dogs",
        autoscaling=BY_REQUESTS,
        tags={"team": "vision"},
        progress=no_progress,
    )
    yield made
    made.delete()


def test_it_is_set_up_with_the_endpoint_and_ends_with_it(aws: AwsServer, deployment: Deployment) -> None:
    (target,) = targets(aws)
    assert (target["ResourceId"], target["MinCapacity"], target["MaxCapacity"]) == (
        "endpoint/dogs/variant/AllTraffic",
        1,
        4,
    )
    (policy,) = policies(aws)
    assert policy["TargetTrackingScalingPolicyConfiguration"]["TargetValue"] == 600.0

    deployment.autoscale(Autoscaling(2, 8, concurrent_requests=3))
    (target,), (policy,) = targets(aws), policies(aws)
    assert (target["MinCapacity"], target["MaxCapacity"]) == (2, 8)
    metric = policy["TargetTrackingScalingPolicyConfiguration"]["PredefinedMetricSpecification"]
    assert metric["PredefinedMetricType"] == "SageMakerVariantConcurrentRequestsPerModelHighResolution"

    with pytest.raises(EndpointError, match=r"autoscaled.*stop_autoscaling\(\) before the update"):
        deployment.update("s3://models/model.tar.gz", instance_type="ml.c5.xlarge", progress=no_progress)
    deployment.delete()
    assert (targets(aws), alarms(aws)) == ([], [])


def test_an_existing_target_is_changed_as_aws_wants_it_and_survives_a_failure(
    aws: AwsServer, deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = deployment.session.client("application-autoscaling")
    register = client.register_scalable_target

    def strict(**request: Any) -> Any:
        """As AWS, and not as moto, which takes the tags of an existing target."""
        if "Tags" in request:
            message = "The scalable target that you tried to tag already exists."
            raise client.exceptions.ValidationException(
                {"Error": {"Code": "ValidationException", "Message": message}}, "RegisterScalableTarget"
            )
        return register(**request)

    def refuse(**_: Any) -> None:
        raise client.exceptions.LimitExceededException(
            {"Error": {"Code": "LimitExceededException", "Message": "too many policies"}}, "PutScalingPolicy"
        )

    tagged: dict[str, dict[str, str]] = {}
    monkeypatch.setattr(client, "register_scalable_target", strict)
    # moto has no TagResource of this service.
    monkeypatch.setattr(client, "tag_resource", lambda *, ResourceARN, Tags: tagged.update({ResourceARN: Tags}))  # noqa: N803
    deployment.autoscale(Autoscaling(2, 8, concurrent_requests=3))
    (target,) = targets(aws)
    assert (target["MinCapacity"], target["MaxCapacity"]) == (2, 8)
    assert tagged[target["ScalableTargetARN"]]["team"] == "vision"
    assert CREATED_BY in tagged[target["ScalableTargetARN"]]

    monkeypatch.setattr(client, "put_scaling_policy", refuse)
    with pytest.raises(EndpointError, match="too many policies"):
        deployment.autoscale(BY_REQUESTS)
    assert len(targets(aws)) == len(policies(aws)) == 1


def test_every_scaled_variant_is_remembered_until_the_endpoint_is_deleted(
    aws: AwsServer, deployment: Deployment, model_uri: str
) -> None:
    deployment.canary(model_uri, progress=no_progress)
    deployment.autoscale(Autoscaling(1, 2, invocations_per_instance=600), variant="canary")
    assert {target["ResourceId"].rpartition("/")[2] for target in targets(aws)} == {"AllTraffic", "canary"}
    deployment.promote(progress=no_progress)  # SageMaker would remove no variant that is still scaled
    (target,) = targets(aws)
    assert target["ResourceId"] == "endpoint/dogs/variant/AllTraffic"
    deployment.delete()
    assert (targets(aws), alarms(aws)) == ([], [])


def test_it_can_be_stopped(aws: AwsServer, deployment: Deployment) -> None:
    deployment.stop_autoscaling()
    assert targets(aws) == []
    client = aws.client("sagemaker")
    arn = client.describe_endpoint(EndpointName="dogs")["EndpointArn"]
    tags = {tag["Key"] for tag in client.list_tags(ResourceArn=arn)["Tags"]}
    assert CREATED_BY in tags
    assert AUTOSCALED not in tags
    deployment.stop_autoscaling()


def test_an_asynchronous_endpoint_scales_to_zero_and_wakes_up(aws: AwsServer, model_uri: str) -> None:
    scaling = Autoscaling(0, 2, backlog_per_instance=5)
    with deploy(
        model_uri,
        session=aws.session(),
        endpoint_name="dogs",
        asynchronous=Asynchronous(),
        autoscaling=scaling,
        progress=no_progress,
    ):
        assert {policy["PolicyType"] for policy in policies(aws)} == {"TargetTrackingScaling", "StepScaling"}
        assert "dogs-AllTraffic-wake" in alarms(aws)
        waking = next(policy for policy in policies(aws) if policy["PolicyType"] == "StepScaling")
        (alarm,) = aws.client("cloudwatch").describe_alarms(AlarmNames=["dogs-AllTraffic-wake"])["MetricAlarms"]
        assert alarm["AlarmActions"] == [waking["PolicyARN"]]
    assert (targets(aws), alarms(aws)) == ([], [])


def test_what_was_set_up_before_an_error_is_removed(
    aws: AwsServer, deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    deployment.stop_autoscaling()
    client = deployment.session.client("application-autoscaling")

    def refuse(**_: Any) -> None:
        raise client.exceptions.LimitExceededException(
            {"Error": {"Code": "LimitExceededException", "Message": "too many policies"}}, "PutScalingPolicy"
        )

    monkeypatch.setattr(client, "put_scaling_policy", refuse)
    with pytest.raises(EndpointError, match="too many policies"):
        deployment.autoscale(BY_REQUESTS)
    assert targets(aws) == []


def test_what_was_never_set_up_is_not_said_to_remain(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    deployment.stop_autoscaling()
    client = deployment.session.client("application-autoscaling")
    refused = client.exceptions.ClientError(
        {"Error": {"Code": "AccessDeniedException", "Message": "no"}, "ResponseMetadata": {"HTTPStatusCode": 400}},  # type: ignore[typeddict-item]
        "RegisterScalableTarget",
    )
    for error in (refused, EndpointConnectionError(endpoint_url="https://autoscaling")):

        def refuse(error: Exception = error, **_: Any) -> None:
            raise error

        for operation in ("register_scalable_target", "deregister_scalable_target"):
            monkeypatch.setattr(client, operation, refuse)
        with pytest.raises((AccessError, EndpointError)):
            deployment.autoscale(BY_REQUESTS)
        assert AUTOSCALED not in deployment._tags()
    assert "may remain" not in caplog.text


def test_targets_that_do_not_fit_are_refused_before_anything_is_created(session: Session) -> None:
    def refused(message: str, scaling: Autoscaling, **kind: Any) -> None:
        with pytest.raises(ConfigurationError, match=message):
            deploy("s3://m/m.tar.gz", session=session, autoscaling=scaling, **kind)

    by_use = Autoscaling(1, 20, provisioned_utilization=0.7)
    refused("not asynchronous", Autoscaling(0, 2, backlog_per_instance=5))
    refused("not serverless", by_use)
    refused("must be provisioned_utilization", BY_REQUESTS, serverless=Serverless(2048))
    refused("no provisioned concurrency", by_use, serverless=Serverless(2048))
    kind = Serverless(2048, max_concurrency=10, provisioned_concurrency=2)
    refused("cannot grow to max_instances=20", by_use, serverless=kind)
    assert session.client("sagemaker").list_models()["Models"] == []


def test_targets_that_do_not_fit_the_endpoint(deployment: Deployment) -> None:
    with pytest.raises(ConfigurationError, match="not asynchronous"):
        deployment.autoscale(Autoscaling(0, 2, backlog_per_instance=5))
    with pytest.raises(ConfigurationError, match="not serverless"):
        deployment.autoscale(Autoscaling(1, 2, provisioned_utilization=0.7))
    with pytest.raises(ConfigurationError, match=r"no variant canary; its variants are \['AllTraffic'\]"):
        deployment.autoscale(BY_REQUESTS, variant="canary")
    with pytest.raises(ConfigurationError, match="omit wait=False"):
        deploy("s3://m/m", session=deployment.session, autoscaling=BY_REQUESTS, wait=False)


def test_on_local_sagemaker_it_has_no_effect_and_says_so(
    session: Session, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    uri = model(tmp_path, LABELS[0])
    caplog.set_level(logging.WARNING, "dogbreed_sdk")
    with deploy(uri, session=session, autoscaling=BY_REQUESTS, progress=no_progress) as deployment:
        assert deployment.status == "InService"
    assert "has no effect here" in caplog.text


def test_serverless_endpoints_scale_provisioned_concurrency(session: Session, tmp_path: Path) -> None:
    uri = model(tmp_path, LABELS[0])
    with deploy(uri, session=session, serverless=Serverless(2048), progress=no_progress) as deployment:
        with pytest.raises(ConfigurationError, match="its target must be provisioned_utilization"):
            deployment.autoscale(BY_REQUESTS)
        with pytest.raises(ConfigurationError, match="no provisioned concurrency to scale"):
            deployment.autoscale(Autoscaling(1, 2, provisioned_utilization=0.7))
        with pytest.raises(EndpointError, match="is serverless, and such endpoints capture no data"):
            deployment.captured()
