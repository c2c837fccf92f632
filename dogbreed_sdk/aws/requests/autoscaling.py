"""Autoscaling of an endpoint: what a caller asks for, and the requests to Application Auto Scaling that set it up.

Sources: the developer guide's pages "Automatic scaling of Amazon SageMaker AI models", "Autoscale an asynchronous
endpoint" and "Automatically scale Provisioned Concurrency for a serverless endpoint".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, field
from typing import TYPE_CHECKING, Final, Literal

from dogbreed_sdk.errors import ConfigurationError

if TYPE_CHECKING:
    from types_boto3_application_autoscaling.literals import ScalableDimensionType
    from types_boto3_application_autoscaling.type_defs import (
        DeregisterScalableTargetRequestTypeDef,
        PutScalingPolicyRequestTypeDef,
        RegisterScalableTargetRequestTypeDef,
        TargetTrackingScalingPolicyConfigurationTypeDef,
    )
    from types_boto3_cloudwatch.type_defs import PutMetricAlarmInputTypeDef

Statistic = Literal["Average", "Minimum", "Maximum", "SampleCount", "Sum"]

NAMESPACE: Final = "sagemaker"
# Application Auto Scaling's user guide: its own default for endpoints, which lets a new instance start to serve before
# the next decision.
COOLDOWN_SECONDS: Final = 300

_METRICS_NAMESPACE = "AWS/SageMaker"
# "Automatically scale Provisioned Concurrency": target values of the predefined metric.
_LOWEST_UTILIZATION, _HIGHEST_UTILIZATION = 0.1, 0.9


@dataclass(frozen=True)
class CustomMetric:
    """A CloudWatch metric that autoscaling keeps near a target.

    It must fall when instances are added, as CPU utilization does.

    Attributes:
        namespace: For example ``/aws/sagemaker/Endpoints``.
        name: For example ``CPUUtilization``.
        target: The value to keep, in the metric's unit.
        statistic: Average, Minimum, Maximum, SampleCount or Sum.
        dimensions: The metric's dimensions; None for the endpoint's name and the variant's name.

    Examples:
        >>> metric = CustomMetric("/aws/sagemaker/Endpoints", "CPUUtilization", 60)
        >>> Autoscaling(1, 4, metric=metric).metric.target
        60
    """

    namespace: str
    name: str
    target: float
    _: KW_ONLY
    statistic: Statistic = "Average"
    dimensions: Mapping[str, str] | None = field(default=None, hash=False)


@dataclass(frozen=True)
class Autoscaling:
    """Adds and removes instances of an endpoint, so that a metric stays near a target (target tracking).

    Give exactly one of the five targets.

    Attributes:
        min_instances: Instances that always run, at least 1; for a serverless endpoint, its provisioned concurrency.
            0 is for asynchronous endpoints only: without requests they then cost nothing.
        max_instances: Instances (or provisioned concurrency) at most: this limits the cost.
        invocations_per_instance: Requests per instance and minute.
        concurrent_requests: Requests that one instance works on at the same time; reacts within seconds.
        backlog_per_instance: Waiting requests per instance of an asynchronous endpoint.
        provisioned_utilization: Used share of a serverless endpoint's provisioned concurrency, 0.1 to 0.9.
        metric: A metric of your choice.
        scale_in_seconds: Pause in seconds after instances were removed, before more are.
        scale_out_seconds: Pause in seconds after instances were added, before more are.

    Raises:
        ConfigurationError: The numbers contradict each other, or there is not exactly one target.

    Examples:
        >>> autoscaling = Autoscaling(1, 4, invocations_per_instance=600)
        >>> plan = trainer.plan(dataset, endpoint={"autoscaling": autoscaling}, region="us-east-1")
        >>> plan.requests[-1].parameters["TargetTrackingScalingPolicyConfiguration"]["TargetValue"]
        600.0
    """

    min_instances: int
    max_instances: int
    _: KW_ONLY
    invocations_per_instance: float | None = None
    concurrent_requests: float | None = None
    backlog_per_instance: float | None = None
    provisioned_utilization: float | None = None
    metric: CustomMetric | None = None
    scale_in_seconds: int = COOLDOWN_SECONDS
    scale_out_seconds: int = COOLDOWN_SECONDS

    def __post_init__(self) -> None:
        problem = self._problem()
        if problem:
            raise ConfigurationError(f"This autoscaling is not possible: {problem}")

    def _problem(self) -> str | None:
        targets = self._targets()
        given = [name for name, target in targets.items() if target is not None]
        if len(given) != 1:
            return f"give one of {', '.join(targets)}, not {' and '.join(given) or 'none'}."
        target = targets[given[0]]
        if target is None or not target > 0:
            return f"{given[0]} must be above 0, not {target}."
        if not 0 <= self.min_instances <= self.max_instances or self.max_instances < 1:
            return (
                f"min_instances ({self.min_instances}) must be 0 or more and at most max_instances "
                f"({self.max_instances}), which must be 1 or more."
            )
        if self.min_instances == 0 and self.backlog_per_instance is None:
            return "only an asynchronous endpoint scales to zero; with min_instances=0 give backlog_per_instance."
        if self.provisioned_utilization is not None and not _LOWEST_UTILIZATION <= target <= _HIGHEST_UTILIZATION:
            return f"provisioned_utilization must be {_LOWEST_UTILIZATION} to {_HIGHEST_UTILIZATION}, not {target}."
        if self.scale_in_seconds < 0 or self.scale_out_seconds < 0:
            return "scale_in_seconds and scale_out_seconds must be 0 or more."
        return None

    def _targets(self) -> dict[str, float | None]:
        return {
            "invocations_per_instance": self.invocations_per_instance,
            "concurrent_requests": self.concurrent_requests,
            "backlog_per_instance": self.backlog_per_instance,
            "provisioned_utilization": self.provisioned_utilization,
            "metric": self.metric.target if self.metric else None,
        }


def resource_id(endpoint: str, variant: str) -> str:
    """Application Auto Scaling's name of a production variant."""
    return f"endpoint/{endpoint}/variant/{variant}"


def dimension(*, is_serverless: bool) -> ScalableDimensionType:
    """What is scaled: instances, or the provisioned concurrency of a serverless endpoint."""
    if is_serverless:
        return "sagemaker:variant:DesiredProvisionedConcurrency"
    return "sagemaker:variant:DesiredInstanceCount"


def scalable_target(
    autoscaling: Autoscaling, *, endpoint: str, variant: str, tags: Mapping[str, str]
) -> RegisterScalableTargetRequestTypeDef:
    """The members of a RegisterScalableTarget request."""
    return {
        "ServiceNamespace": NAMESPACE,
        "ResourceId": resource_id(endpoint, variant),
        "ScalableDimension": _dimension_of(autoscaling),
        "MinCapacity": autoscaling.min_instances,
        "MaxCapacity": autoscaling.max_instances,
        # This service refuses empty values, which others accept ("Tag values cannot be empty or blank").
        "Tags": {key: value for key, value in tags.items() if value.strip()},
    }


def scaling_policy(autoscaling: Autoscaling, *, endpoint: str, variant: str) -> PutScalingPolicyRequestTypeDef:
    """The members of a PutScalingPolicy request: keep the metric near its target."""
    return {
        "PolicyName": f"{endpoint}-{variant}-target-tracking",
        "ServiceNamespace": NAMESPACE,
        "ResourceId": resource_id(endpoint, variant),
        "ScalableDimension": _dimension_of(autoscaling),
        "PolicyType": "TargetTrackingScaling",
        "TargetTrackingScalingPolicyConfiguration": {
            **_tracked(autoscaling, endpoint, variant),
            "ScaleInCooldown": autoscaling.scale_in_seconds,
            "ScaleOutCooldown": autoscaling.scale_out_seconds,
        },
    }


def wake_policy(autoscaling: Autoscaling, *, endpoint: str, variant: str) -> PutScalingPolicyRequestTypeDef:
    """The members of a PutScalingPolicy request: start an instance as soon as a request waits and none runs.

    Target tracking alone would leave requests waiting until there are more than its target.
    """
    return {
        "PolicyName": f"{endpoint}-{variant}-wake",
        "ServiceNamespace": NAMESPACE,
        "ResourceId": resource_id(endpoint, variant),
        "ScalableDimension": _dimension_of(autoscaling),
        "PolicyType": "StepScaling",
        "StepScalingPolicyConfiguration": {
            "AdjustmentType": "ChangeInCapacity",
            "MetricAggregationType": "Average",
            "Cooldown": autoscaling.scale_out_seconds,
            "StepAdjustments": [{"MetricIntervalLowerBound": 0.0, "ScalingAdjustment": 1}],
        },
    }


def wake_alarm(*, endpoint: str, variant: str, policy_arn: str, tags: Mapping[str, str]) -> PutMetricAlarmInputTypeDef:
    """The members of a PutMetricAlarm request: the alarm that triggers `wake_policy`."""
    return {
        "AlarmName": wake_alarm_name(endpoint, variant),
        "AlarmDescription": f"Requests wait for endpoint {endpoint}, which has no instance.",
        "Namespace": _METRICS_NAMESPACE,
        "MetricName": "HasBacklogWithoutCapacity",
        "Dimensions": [{"Name": "EndpointName", "Value": endpoint}],
        "Statistic": "Average",
        "Period": 60,
        "EvaluationPeriods": 2,
        "DatapointsToAlarm": 2,
        "Threshold": 1.0,
        "ComparisonOperator": "GreaterThanOrEqualToThreshold",
        "TreatMissingData": "missing",
        "AlarmActions": [policy_arn],
        "Tags": [{"Key": key, "Value": value} for key, value in tags.items()],
    }


def wake_alarm_name(endpoint: str, variant: str) -> str:
    """Name of the alarm that triggers `wake_policy`; the alarms of target tracking have names that AWS chooses."""
    return f"{endpoint}-{variant}-wake"


def deregistration(
    *, endpoint: str, variant: str, scaled: ScalableDimensionType
) -> DeregisterScalableTargetRequestTypeDef:
    """The members of a DeregisterScalableTarget request; it deletes the target's policies and their alarms too."""
    return {
        "ServiceNamespace": NAMESPACE,
        "ResourceId": resource_id(endpoint, variant),
        "ScalableDimension": scaled,
    }


def _dimension_of(autoscaling: Autoscaling) -> ScalableDimensionType:
    return dimension(is_serverless=autoscaling.provisioned_utilization is not None)


def _tracked(autoscaling: Autoscaling, endpoint: str, variant: str) -> TargetTrackingScalingPolicyConfigurationTypeDef:
    """The metric to track, and its target."""
    if autoscaling.invocations_per_instance is not None:
        return {
            "TargetValue": float(autoscaling.invocations_per_instance),
            "PredefinedMetricSpecification": {"PredefinedMetricType": "SageMakerVariantInvocationsPerInstance"},
        }
    if autoscaling.concurrent_requests is not None:
        return {
            "TargetValue": float(autoscaling.concurrent_requests),
            "PredefinedMetricSpecification": {
                "PredefinedMetricType": "SageMakerVariantConcurrentRequestsPerModelHighResolution"
            },
        }
    if autoscaling.provisioned_utilization is not None:
        return {
            "TargetValue": float(autoscaling.provisioned_utilization),
            "PredefinedMetricSpecification": {
                "PredefinedMetricType": "SageMakerVariantProvisionedConcurrencyUtilization"
            },
        }
    if autoscaling.backlog_per_instance is not None:
        of_endpoint = {"EndpointName": endpoint}
        backlog = CustomMetric(
            _METRICS_NAMESPACE,
            "ApproximateBacklogSizePerInstance",
            autoscaling.backlog_per_instance,
            dimensions=of_endpoint,
        )
        return _customized(backlog, of_endpoint)
    assert autoscaling.metric is not None
    return _customized(autoscaling.metric, {"EndpointName": endpoint, "VariantName": variant})


def _customized(metric: CustomMetric, default: Mapping[str, str]) -> TargetTrackingScalingPolicyConfigurationTypeDef:
    dimensions = default if metric.dimensions is None else metric.dimensions
    return {
        "TargetValue": float(metric.target),
        "CustomizedMetricSpecification": {
            "Namespace": metric.namespace,
            "MetricName": metric.name,
            "Dimensions": [{"Name": name, "Value": value} for name, value in dimensions.items()],
            "Statistic": metric.statistic,
        },
    }
