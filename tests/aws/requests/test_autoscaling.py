"""What autoscaling asks of Application Auto Scaling; every request is checked against AWS's own model."""

from __future__ import annotations

from collections.abc import Mapping

import boto3
import pytest
from botocore.validate import validate_parameters

from dogbreed_sdk import Autoscaling, ConfigurationError, CustomMetric
from dogbreed_sdk.aws.requests import autoscaling as requests
from tests.aws.requests.golden import check_golden

WHERE = {"endpoint": "dogs", "variant": "AllTraffic"}
TAGS = {"team": "vision"}


def checked(service: str, operation: str, request: Mapping[str, object]) -> Mapping[str, object]:
    """The request itself, which AWS's model of the operation accepts."""
    shape = boto3.client(service, region_name="eu-west-1").meta.service_model.operation_model(operation).input_shape
    validate_parameters(request, shape)
    return request


def test_a_target_of_requests_per_instance() -> None:
    wanted = Autoscaling(1, 4, invocations_per_instance=600, scale_in_seconds=600, scale_out_seconds=60)
    target = checked(
        "application-autoscaling",
        "RegisterScalableTarget",
        requests.scalable_target(wanted, **WHERE, tags=TAGS),
    )
    policy = checked("application-autoscaling", "PutScalingPolicy", requests.scaling_policy(wanted, **WHERE))
    where = {
        "ServiceNamespace": "sagemaker",
        "ResourceId": "endpoint/dogs/variant/AllTraffic",
        "ScalableDimension": "sagemaker:variant:DesiredInstanceCount",
    }
    assert target == {**where, "MinCapacity": 1, "MaxCapacity": 4, "Tags": TAGS}
    assert policy == {
        **where,
        "PolicyName": "dogs-AllTraffic-target-tracking",
        "PolicyType": "TargetTrackingScaling",
        "TargetTrackingScalingPolicyConfiguration": {
            "TargetValue": 600.0,
            "PredefinedMetricSpecification": {"PredefinedMetricType": "SageMakerVariantInvocationsPerInstance"},
            "ScaleInCooldown": 600,
            "ScaleOutCooldown": 60,
        },
    }


@pytest.mark.parametrize(
    ("wanted", "dimension", "metric"),
    [
        (
            Autoscaling(1, 3, concurrent_requests=5),
            "sagemaker:variant:DesiredInstanceCount",
            {
                "TargetValue": 5.0,
                "PredefinedMetricSpecification": {
                    "PredefinedMetricType": "SageMakerVariantConcurrentRequestsPerModelHighResolution"
                },
            },
        ),
        (
            Autoscaling(1, 10, provisioned_utilization=0.7),
            "sagemaker:variant:DesiredProvisionedConcurrency",
            {
                "TargetValue": 0.7,
                "PredefinedMetricSpecification": {
                    "PredefinedMetricType": "SageMakerVariantProvisionedConcurrencyUtilization"
                },
            },
        ),
        (
            Autoscaling(0, 2, backlog_per_instance=5),
            "sagemaker:variant:DesiredInstanceCount",
            {
                "TargetValue": 5.0,
                "CustomizedMetricSpecification": {
                    "Namespace": "AWS/SageMaker",
                    "MetricName": "ApproximateBacklogSizePerInstance",
                    "Dimensions": [{"Name": "EndpointName", "Value": "dogs"}],
                    "Statistic": "Average",
                },
            },
        ),
        (
            Autoscaling(2, 3, metric=CustomMetric("/aws/sagemaker/Endpoints", "CPUUtilization", 60)),
            "sagemaker:variant:DesiredInstanceCount",
            {
                "TargetValue": 60.0,
                "CustomizedMetricSpecification": {
                    "Namespace": "/aws/sagemaker/Endpoints",
                    "MetricName": "CPUUtilization",
                    "Dimensions": [
                        {"Name": "EndpointName", "Value": "dogs"},
                        {"Name": "VariantName", "Value": "AllTraffic"},
                    ],
                    "Statistic": "Average",
                },
            },
        ),
    ],
)
def test_the_other_targets(wanted: Autoscaling, dimension: str, metric: Mapping[str, object]) -> None:
    policy = checked("application-autoscaling", "PutScalingPolicy", requests.scaling_policy(wanted, **WHERE))
    target = requests.scalable_target(wanted, **WHERE, tags=TAGS)
    assert policy["ScalableDimension"] == target["ScalableDimension"] == dimension
    assert policy["TargetTrackingScalingPolicyConfiguration"] == {
        **metric,
        "ScaleInCooldown": 300,
        "ScaleOutCooldown": 300,
    }


def test_as_golden_files() -> None:
    wanted, service = Autoscaling(0, 2, backlog_per_instance=5), "application-autoscaling"
    target = requests.scalable_target(wanted, **WHERE, tags=TAGS)
    check_golden("autoscaling-target", "RegisterScalableTarget", target, service=service)
    policy = requests.scaling_policy(wanted, **WHERE)
    check_golden("autoscaling-policy", "PutScalingPolicy", policy, service=service)
    waking = requests.wake_policy(wanted, **WHERE)
    check_golden("autoscaling-wake-policy", "PutScalingPolicy", waking, service=service)
    alarm = requests.wake_alarm(**WHERE, policy_arn="arn:policy", tags=TAGS)
    check_golden("autoscaling-wake-alarm", "PutMetricAlarm", alarm, service="cloudwatch")


def test_an_alarm_starts_the_first_instance_of_an_endpoint_that_scaled_to_zero() -> None:
    wanted = Autoscaling(0, 2, backlog_per_instance=5)
    policy = checked("application-autoscaling", "PutScalingPolicy", requests.wake_policy(wanted, **WHERE))
    assert policy["StepScalingPolicyConfiguration"] == {
        "AdjustmentType": "ChangeInCapacity",
        "MetricAggregationType": "Average",
        "Cooldown": 300,
        "StepAdjustments": [{"MetricIntervalLowerBound": 0.0, "ScalingAdjustment": 1}],
    }
    alarm = checked("cloudwatch", "PutMetricAlarm", requests.wake_alarm(**WHERE, policy_arn="arn:policy", tags=TAGS))
    assert alarm["MetricName"] == "HasBacklogWithoutCapacity"
    assert alarm["AlarmActions"] == ["arn:policy"]
    assert alarm["AlarmName"] == requests.wake_alarm_name("dogs", "AllTraffic")


@pytest.mark.parametrize(
    ("minimum", "maximum", "targets", "message"),
    [
        (1, 4, {}, "give one of"),
        (1, 4, {"invocations_per_instance": 10, "concurrent_requests": 2}, "not invocations_per_instance and conc"),
        (3, 2, {"invocations_per_instance": 10}, "min_instances"),
        (0, 0, {"backlog_per_instance": 10}, "max_instances"),
        (0, 2, {"invocations_per_instance": 10}, "only an asynchronous endpoint scales to zero"),
        (1, 2, {"provisioned_utilization": 0.95}, "0.1 to 0.9"),
        (1, 2, {"invocations_per_instance": 0}, "above 0"),
        (1, 2, {"invocations_per_instance": float("nan")}, "above 0"),
        (1, 2, {"invocations_per_instance": 10, "scale_in_seconds": -1}, "0 or more"),
    ],
)
def test_numbers_that_contradict_each_other_are_refused(
    minimum: int, maximum: int, targets: Mapping[str, float], message: str
) -> None:
    with pytest.raises(ConfigurationError, match=message):
        Autoscaling(minimum, maximum, **targets)  # type: ignore[arg-type]


def test_tags_without_a_value_are_left_out_because_this_service_refuses_them() -> None:
    target = requests.scalable_target(
        Autoscaling(1, 4, invocations_per_instance=600), **WHERE, tags={**TAGS, "reviewed": ""}
    )
    assert target["Tags"] == TAGS
