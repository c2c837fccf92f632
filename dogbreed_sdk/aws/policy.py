"""What a person who works with this library, and the role of the jobs, must be allowed to do on AWS.

Sources: the service authorization reference for the resources and conditions of each action; the SageMaker developer
guide, "CreateTrainingJob API: execution role permissions", for the role.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

# The service that assumes the role of jobs and models.
SAGEMAKER_PRINCIPAL: Final = "sagemaker.amazonaws.com"
SCHEDULER_PRINCIPAL: Final = "scheduler.amazonaws.com"
# The name of the scheduler's role in these policies; another one needs another resource in the caller's.
SCHEDULER_ROLE: Final = "dogbreed-scheduler"
PASSED_TO: Final = "iam:PassedToService"
_NAMESPACE: Final = "cloudwatch:namespace"
_ALIASES: Final = "kms:ResourceAliases"
# The keys of conditions that have several values.
_MULTIVALUED = (_ALIASES,)


@dataclass(frozen=True, kw_only=True)
class Scope:
    """What a policy is for.

    Attributes:
        account: Account number, 12 digits.
        region: For example ``us-east-1``.
        bucket: Name of the bucket with data, source code and models.
        role_arn: ARN of the role that jobs and models assume.
        partition: ``aws``, ``aws-cn`` or ``aws-us-gov``.
        kms_key: Id, alias or ARN of the key that encrypts objects and volumes, or None.
        in_vpc: Whether jobs and models run in a VPC.
    """

    account: str
    region: str
    bucket: str
    role_arn: str
    partition: str = "aws"
    kms_key: str | None = None
    in_vpc: bool = False

    def arn(self, service: str, resource: str) -> str:
        """The ARN of a resource of the account and region."""
        return f"arn:{self.partition}:{service}:{self.region}:{self.account}:{resource}"

    @property
    def bucket_arn(self) -> str:
        """ARN of the bucket."""
        return f"arn:{self.partition}:s3:::{self.bucket}"


@dataclass(frozen=True, kw_only=True)
class Grant:
    """Actions on resources that one purpose needs.

    Attributes:
        name: Letters only: the statement's Sid in a policy.
        purpose: What cannot be done without them, beginning with a verb.
        actions: For example ``sagemaker:CreateTrainingJob``.
        resources: ARNs; ``*`` where the actions know no resource.
        condition: Key of IAM -> value that it must have.
        is_needed: Whether data, training, deploying and classifying need them; the others serve one feature.
    """

    name: str
    purpose: str
    actions: tuple[str, ...]
    resources: tuple[str, ...] = ("*",)
    condition: tuple[str, str] | None = None
    is_needed: bool = True


def caller_grants(scope: Scope) -> list[Grant]:
    """What somebody needs who uses this library with a role that exists already."""
    training, tuning = scope.arn("sagemaker", "training-job/*"), scope.arn("sagemaker", "hyper-parameter-tuning-job/*")
    hosting = tuple(scope.arn("sagemaker", f"{kind}/*") for kind in ("model", "endpoint-config", "endpoint"))
    transform = scope.arn("sagemaker", "transform-job/*")
    grants = [
        Grant(
            name="Bucket",
            purpose="create and use the bucket",
            actions=(
                "s3:CreateBucket",
                "s3:GetBucketPublicAccessBlock",
                "s3:ListBucket",
                "s3:ListBucketMultipartUploads",
                "s3:PutBucketPublicAccessBlock",
                "s3:PutEncryptionConfiguration",
                "s3:PutLifecycleConfiguration",
            ),
            resources=(scope.bucket_arn,),
        ),
        Grant(
            name="Objects",
            purpose="store data, source code and models",
            actions=(
                "s3:AbortMultipartUpload",
                "s3:DeleteObject",
                "s3:GetObject",
                "s3:ListMultipartUploadParts",
                "s3:PutObject",
            ),
            resources=(f"{scope.bucket_arn}/*",),
        ),
        Grant(
            name="PassRole",
            purpose="start jobs and models under the role",
            actions=("iam:PassRole",),
            resources=(scope.role_arn,),
            condition=(PASSED_TO, SAGEMAKER_PRINCIPAL),
        ),
        Grant(
            name="ReadRole",
            purpose="look up the role by its name",
            actions=("iam:GetRole",),
            resources=(scope.role_arn,),
        ),
        Grant(
            name="Train",
            purpose="train",
            actions=_named(
                "sagemaker",
                "AddTags",
                "ListTags",
                *_each("TrainingJob", "Create", "Delete", "Describe", "Stop", "Update"),
            ),
            resources=(training,),
        ),
        Grant(
            name="Tune",
            purpose="tune hyperparameters",
            actions=_named(
                "sagemaker",
                "AddTags",
                "ListTags",
                "ListTrainingJobsForHyperParameterTuningJob",
                *_each("HyperParameterTuningJob", "Create", "Delete", "Describe", "Stop"),
            ),
            resources=(tuning,),
        ),
        Grant(
            name="Deploy",
            purpose="deploy, update and delete endpoints",
            actions=_named(
                "sagemaker",
                "AddTags",
                "DeleteTags",
                "ListTags",
                "UpdateEndpoint",
                "UpdateEndpointWeightsAndCapacities",
                *_each("Model", "Create", "Delete", "Describe"),
                *_each("EndpointConfig", "Create", "Delete", "Describe"),
                *_each("Endpoint", "Create", "Delete", "Describe"),
            ),
            resources=hosting,
        ),
        Grant(
            name="Classify",
            purpose="classify pictures",
            actions=_named("sagemaker", "InvokeEndpoint", "InvokeEndpointAsync"),
            resources=(scope.arn("sagemaker", "endpoint/*"),),
        ),
        Grant(
            name="Transform",
            purpose="classify in batches",
            actions=_named("sagemaker", "AddTags", "ListTags", *_each("TransformJob", "Create", "Describe", "Stop")),
            resources=(transform,),
        ),
        Grant(
            name="Lists",
            purpose="list jobs, models and endpoints",
            actions=_named(
                "sagemaker",
                "ListEndpointConfigs",
                "ListEndpoints",
                "ListHyperParameterTuningJobs",
                "ListModels",
                "ListTrainingJobs",
                "ListTransformJobs",
            ),
        ),
        Grant(
            name="ReadLogs",
            purpose="read the logs of jobs and endpoints",
            actions=_named("logs", "DescribeLogStreams", "GetLogEvents"),
            resources=(scope.arn("logs", "log-group:/aws/sagemaker/*"),),
        ),
        Grant(
            name="Notebook",
            purpose="find the role of a SageMaker notebook",
            actions=_named(
                "sagemaker", "DescribeDomain", "DescribeNotebookInstance", "DescribeSpace", "DescribeUserProfile"
            ),
            resources=tuple(
                scope.arn("sagemaker", f"{kind}/*") for kind in ("domain", "notebook-instance", "space", "user-profile")
            ),
            is_needed=False,
        ),
        Grant(
            name="Metrics",
            purpose="read an endpoint's metrics",
            actions=_named("cloudwatch", "GetMetricData"),
            is_needed=False,
        ),
        Grant(
            name="Scale",
            purpose="scale endpoints automatically",
            actions=(
                *_named("application-autoscaling", "DeregisterScalableTarget", "DescribeScalableTargets"),
                *_named("application-autoscaling", "ListTagsForResource", "PutScalingPolicy"),
                *_named("application-autoscaling", "RegisterScalableTarget", "TagResource"),
                *_named("cloudwatch", "DeleteAlarms", "DescribeAlarms", "PutMetricAlarm", "TagResource"),
                "iam:CreateServiceLinkedRole",
            ),
            is_needed=False,
        ),
        Grant(
            name="Schedules",
            purpose="have endpoints deleted at their time (ttl)",
            actions=(
                *_named("scheduler", "CreateSchedule", "CreateScheduleGroup", "DeleteSchedule", "GetScheduleGroup"),
                *_named("scheduler", "ListTagsForResource", "TagResource", "UpdateSchedule"),
            ),
            resources=(scope.arn("scheduler", "schedule/*"), scope.arn("scheduler", "schedule-group/*")),
            is_needed=False,
        ),
        Grant(
            name="PassSchedulerRole",
            purpose="let EventBridge Scheduler delete endpoints (ttl)",
            actions=("iam:PassRole",),
            resources=(f"arn:{scope.partition}:iam::{scope.account}:role/{SCHEDULER_ROLE}",),
            condition=(PASSED_TO, SCHEDULER_PRINCIPAL),
            is_needed=False,
        ),
        Grant(
            name="Checks",
            purpose="check permissions, quotas, images and prices (dogbreed doctor and plan)",
            actions=(
                "ecr:BatchGetImage",
                "iam:SimulatePrincipalPolicy",
                "pricing:GetProducts",
                "scheduler:ListSchedules",
                "servicequotas:ListAWSDefaultServiceQuotas",
                "servicequotas:ListServiceQuotas",
            ),
            is_needed=False,
        ),
    ]
    if scope.kms_key:
        grants.append(_key_grant(scope, scope.kms_key))
    return grants


def role_grants(scope: Scope) -> list[Grant]:
    """What the role needs that jobs and models assume."""
    grants = [
        Grant(
            name="Bucket",
            purpose="find the job's data",
            actions=_named("s3", "GetBucketLocation", "ListBucket"),
            resources=(scope.bucket_arn,),
        ),
        Grant(
            name="Objects",
            purpose="read data, and store models and recordings",
            actions=_named("s3", "AbortMultipartUpload", "DeleteObject", "GetObject", "PutObject"),
            resources=(f"{scope.bucket_arn}/*",),
        ),
        Grant(
            name="WriteLogs",
            purpose="write logs",
            actions=_named("logs", "CreateLogGroup", "CreateLogStream", "DescribeLogStreams", "PutLogEvents"),
            resources=(scope.arn("logs", "log-group:/aws/sagemaker/*"),),
        ),
        Grant(
            name="PutMetrics",
            purpose="report metrics",
            actions=_named("cloudwatch", "PutMetricData"),
            condition=(_NAMESPACE, "/aws/sagemaker/*"),
        ),
        Grant(name="LogInToImages", purpose="pull container images", actions=("ecr:GetAuthorizationToken",)),
        Grant(
            name="PullImages",
            purpose="pull container images",
            actions=_named("ecr", "BatchCheckLayerAvailability", "BatchGetImage", "GetDownloadUrlForLayer"),
            resources=(f"arn:{scope.partition}:ecr:{scope.region}:*:repository/*",),
        ),
    ]
    if scope.kms_key:
        grants.append(_key_grant(scope, scope.kms_key))
    if scope.in_vpc:
        interface = ("CreateNetworkInterface", "CreateNetworkInterfacePermission", "DeleteNetworkInterface")
        described = ("DescribeDhcpOptions", "DescribeNetworkInterfaces", "DescribeSecurityGroups", "DescribeSubnets")
        grants.append(
            Grant(
                name="Network",
                purpose="run in the VPC",
                actions=_named("ec2", *interface, "DeleteNetworkInterfacePermission", *described, "DescribeVpcs"),
            )
        )
    return grants


def scheduler_grants(scope: Scope) -> list[Grant]:
    """What the role needs under which EventBridge Scheduler deletes endpoints that have expired."""
    return [
        Grant(
            name="DeleteEndpoints",
            purpose="delete endpoints",
            actions=("sagemaker:DeleteEndpoint",),
            resources=(scope.arn("sagemaker", "endpoint/*"),),
        )
    ]


def document(grants: Iterable[Grant]) -> dict[str, object]:
    """The grants as an IAM policy: JSON to paste into the console, or to pass to ``aws iam create-policy``."""
    statements: list[dict[str, object]] = []
    for grant in grants:
        statement: dict[str, object] = {
            "Sid": grant.name,
            "Effect": "Allow",
            "Action": sorted(grant.actions),
            "Resource": list(grant.resources),
        }
        if grant.condition:
            key, value = grant.condition
            operator = "StringLike" if "*" in value else "StringEquals"
            statement["Condition"] = {f"ForAnyValue:{operator}" if key in _MULTIVALUED else operator: {key: value}}
        statements.append(statement)
    return {"Version": "2012-10-17", "Statement": statements}


def trust_document(principal: str = SAGEMAKER_PRINCIPAL) -> dict[str, object]:
    """The trust policy of a role that a service of AWS may assume."""
    statement = {"Effect": "Allow", "Principal": {"Service": principal}, "Action": "sts:AssumeRole"}
    return {"Version": "2012-10-17", "Statement": [statement]}


def _key_grant(scope: Scope, key: str) -> Grant:
    # A policy names keys, and aliases only by a condition.
    alias = key.partition("alias/")[2]
    named = key if key.startswith("arn:") else scope.arn("kms", f"key/{key}")
    return Grant(
        name="Key",
        purpose="use the encryption key",
        actions=_named("kms", "CreateGrant", "Decrypt", "DescribeKey", "Encrypt", "GenerateDataKey"),
        resources=(scope.arn("kms", "key/*") if alias else named,),
        condition=(_ALIASES, f"alias/{alias}") if alias else None,
    )


def _named(service: str, *actions: str) -> tuple[str, ...]:
    return tuple(f"{service}:{action}" for action in actions)


def _each(resource: str, *verbs: str) -> tuple[str, ...]:
    return tuple(f"{verb}{resource}" for verb in verbs)
