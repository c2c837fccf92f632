"""The minimal policies: they grant every call that the library makes, name actions that exist, and fit IAM's limit."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import botocore.session
import pytest
from botocore import xform_name

import dogbreed_sdk
from dogbreed_sdk.aws import policy
from dogbreed_sdk.aws.policy import Scope

pytestmark = pytest.mark.extras

SDK = Path(dogbreed_sdk.__file__).parent
ROLE = "arn:aws:iam::123456789012:role/dogs"
SCOPE = Scope(account="123456789012", region="eu-west-1", bucket="my-dogs", role_arn=ROLE)
LARGEST_POLICY = 6144  # characters without white space (IAM quotas, managed policies)
# Prefix of the actions -> botocore's names of the services whose operations they are.
SERVICES = {
    "application-autoscaling": ("application-autoscaling",),
    "cloudwatch": ("cloudwatch",),
    "ecr": ("ecr",),
    "iam": ("iam",),
    "logs": ("logs",),
    "pricing": ("pricing",),
    "sagemaker": ("sagemaker", "sagemaker-runtime"),
    "scheduler": ("scheduler",),
    "servicequotas": ("service-quotas",),
}
# S3's actions have names of their own (service authorization reference, Amazon S3).
S3_ACTIONS = {
    "abort_multipart_upload": "AbortMultipartUpload",
    "complete_multipart_upload": "PutObject",
    "create_bucket": "CreateBucket",
    "create_multipart_upload": "PutObject",
    "delete_object": "DeleteObject",
    "delete_objects": "DeleteObject",
    "get_bucket_encryption": "GetEncryptionConfiguration",
    "get_bucket_location": "GetBucketLocation",
    "get_object": "GetObject",
    "get_public_access_block": "GetBucketPublicAccessBlock",
    "head_bucket": "ListBucket",
    "head_object": "GetObject",
    "list_multipart_uploads": "ListBucketMultipartUploads",
    "list_objects_v2": "ListBucket",
    "list_parts": "ListMultipartUploadParts",
    "put_bucket_encryption": "PutEncryptionConfiguration",
    "put_bucket_lifecycle_configuration": "PutLifecycleConfiguration",
    "put_object": "PutObject",
    "put_public_access_block": "PutBucketPublicAccessBlock",
    "upload_file": "PutObject",
    "upload_part": "PutObject",
    "download_fileobj": "GetObject",
}
# IAM allows these without a policy, or they are no calls.
FREE = {"sts:GetCallerIdentity"}
# Actions that AWS asks for behind the caller's own calls, each with the call.
BEHIND = {
    "application-autoscaling:TagResource": "RegisterScalableTarget with tags",
    "cloudwatch:DeleteAlarms": "DeregisterScalableTarget",
    "cloudwatch:DescribeAlarms": "PutScalingPolicy",
    "cloudwatch:PutMetricAlarm": "PutScalingPolicy",
    "cloudwatch:TagResource": "PutMetricAlarm with tags",
    "iam:CreateServiceLinkedRole": "RegisterScalableTarget",
    "iam:PassRole": "CreateTrainingJob",
    "sagemaker:AddTags": "CreateTrainingJob with tags",
    "scheduler:TagResource": "CreateScheduleGroup with tags",
}


def operations() -> dict[str, dict[str, str]]:
    """Action prefix -> method of a client -> operation."""
    session = botocore.session.get_session()
    return {
        prefix: {
            xform_name(operation): operation
            for service in services
            for operation in session.get_service_model(service).operation_names
        }
        for prefix, services in SERVICES.items()
    }


def called_actions() -> dict[str, str]:
    """Action -> the file that calls it, as far as the source shows: client.method(…), paginators, sagemaker.core."""
    found: dict[str, str] = {}
    known = operations()
    for path in sorted(SDK.rglob("*.py")):
        name = path.relative_to(SDK).as_posix()
        if name.startswith(("local/", "model_server/", "cli/", "service/")):
            continue
        text = path.read_text("utf-8")
        for method in _methods(ast.parse(text)):
            if method in S3_ACTIONS:
                found[f"s3:{S3_ACTIONS[method]}"] = name
            having = [prefix for prefix, methods in known.items() if method in methods]
            for prefix in having:
                # Several services list tags in an operation of one name: it is the one whose client the file takes.
                if len(having) == 1 or any(f'"{service}"' in text for service in SERVICES[prefix]):
                    found[f"{prefix}:{known[prefix][method]}"] = name
    return found


def _methods(tree: ast.Module) -> set[str]:
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            if node.attr != "search":  # re.search, and no call of SageMaker's Search
                found.add(node.attr)
            owner = node.value
            if node.attr == "create" and isinstance(owner, ast.Attribute):  # resources.TrainingJob.create
                found |= {xform_name(f"Create{owner.attr}"), xform_name(f"Describe{owner.attr}")}
        if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "get_paginator":
            found |= {str(argument.value) for argument in node.args if isinstance(argument, ast.Constant)}
    return found


def granted(grants: list[policy.Grant]) -> set[str]:
    return {action for grant in grants for action in grant.actions}


def test_every_call_of_the_library_is_granted() -> None:
    allowed = granted(policy.caller_grants(SCOPE)) | FREE
    called = called_actions()
    assert {"sagemaker:CreateTrainingJob", "s3:PutObject", "logs:GetLogEvents", "ecr:BatchGetImage"} <= set(called)
    assert {action: file for action, file in called.items() if action not in allowed} == {}
    assert set(BEHIND) <= allowed


def test_nothing_is_granted_that_no_call_needs() -> None:
    called = set(called_actions()) | set(BEHIND)
    assert sorted(granted(policy.caller_grants(SCOPE)) - called) == []


def test_the_actions_exist() -> None:
    known = operations()
    for action in granted(policy.caller_grants(SCOPE)):
        prefix, _, name = action.partition(":")
        if prefix == "s3":
            assert name in S3_ACTIONS.values(), action
        elif action not in BEHIND:
            assert name in known[prefix].values(), action


@pytest.mark.parametrize("grants", [policy.caller_grants, policy.role_grants, policy.scheduler_grants])
def test_the_policies_fit_iams_limit(grants: object) -> None:
    scope = Scope(**{**vars(SCOPE), "kms_key": "alias/dogs", "in_vpc": True, "bucket": "b" * 63})
    document = policy.document(grants(scope))  # type: ignore[operator]
    assert len(json.dumps(document, separators=(",", ":"))) <= LARGEST_POLICY
    names = [statement["Sid"] for statement in document["Statement"]]  # type: ignore[attr-defined]
    assert len(names) == len(set(names))
    assert all(name.isalnum() for name in names)


def test_a_key_may_be_an_id_an_alias_or_an_arn() -> None:
    def statement(key: str) -> dict[str, object]:
        grants = policy.role_grants(Scope(**{**vars(SCOPE), "kms_key": key}))
        return policy.document(grants)["Statement"][-1]  # type: ignore[index,no-any-return]

    arn = "arn:aws:kms:eu-west-1:123456789012:key/1234abcd"
    assert statement(arn)["Resource"] == [arn]
    assert statement("1234abcd")["Resource"] == [arn]
    by_alias = statement("alias/dogs")
    assert by_alias["Resource"] == ["arn:aws:kms:eu-west-1:123456789012:key/*"]
    assert by_alias["Condition"] == {"ForAnyValue:StringEquals": {"kms:ResourceAliases": "alias/dogs"}}


def test_each_role_is_passed_to_its_service_alone() -> None:
    passed = {
        tuple(entry["Resource"]): entry["Condition"]
        for entry in policy.document(policy.caller_grants(SCOPE))["Statement"]  # type: ignore[attr-defined]
        if "iam:PassRole" in entry["Action"]
    }
    assert passed == {
        (ROLE,): {"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}},
        ("arn:aws:iam::123456789012:role/dogbreed-scheduler",): {
            "StringEquals": {"iam:PassedToService": "scheduler.amazonaws.com"}
        },
    }


def test_arns_are_those_of_the_partition() -> None:
    scope = Scope(**{**vars(SCOPE), "partition": "aws-cn", "region": "cn-north-1"})
    resources = {arn for grant in policy.role_grants(scope) for arn in grant.resources} - {"*"}
    assert {arn.split(":")[1] for arn in resources} == {"aws-cn"}
