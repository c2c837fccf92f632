"""The IAM policies that jobs and people need."""

from __future__ import annotations

import json
from collections.abc import Mapping

from _generate.frame import table
from dogbreed_sdk.aws import policy

# AWS's documentation writes account numbers like this.
_SCOPE = policy.Scope(
    account="111122223333",
    region="us-east-1",
    bucket="sagemaker-us-east-1-111122223333",
    role_arn="arn:aws:iam::111122223333:role/dogbreed",
)


@table("policy-caller")
def policy_caller() -> str:
    """What somebody who works with the library needs to be allowed."""
    return _policy(policy.document(policy.caller_grants(_SCOPE)))


@table("policy-role")
def policy_role() -> str:
    """What the role of jobs and models needs to be allowed."""
    return _policy(policy.document(policy.role_grants(_SCOPE)))


@table("policy-scheduler")
def policy_scheduler() -> str:
    """What EventBridge Scheduler's role needs to be allowed."""
    return _policy(policy.document(policy.scheduler_grants(_SCOPE)))


@table("policy-trust")
def policy_trust() -> str:
    """Who may assume the role."""
    return _policy(policy.trust_document())


def _policy(document: Mapping[str, object]) -> str:
    """One line per statement: a policy of 200 lines is not read."""
    compact = [json.dumps(statement) for statement in document["Statement"]]  # type: ignore[attr-defined]
    body = ",\n    ".join(compact)
    return f'```json\n{{\n  "Version": "{document["Version"]}",\n  "Statement": [\n    {body}\n  ]\n}}\n```'
