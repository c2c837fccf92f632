"""Which of the actions that are needed a caller or a role may perform, as IAM itself evaluates their policies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from dogbreed_sdk.aws.policy import Grant
from dogbreed_sdk.doctor.check import Check, failed, passed, warned

if TYPE_CHECKING:
    from types_boto3_iam import IAMClient
    from types_boto3_iam.type_defs import ContextEntryTypeDef

# Stands for whatever a policy's wildcard allows.
_SOME_NAME = "dogbreed-doctor"


def denied_actions(iam: IAMClient, principal: str, grant: Grant) -> list[str]:
    """The actions of a grant that the policies of a user or role do not allow.

    Policies of the organization, permission boundaries and policies of the resources themselves count only as far as
    IAM's simulator knows them.

    Args:
        iam: The client.
        principal: ARN of the user or role.
        grant: The actions and their resources.

    Raises:
        ClientError: The caller may not call SimulatePrincipalPolicy.
    """
    context: list[ContextEntryTypeDef] = []
    if grant.condition:
        key, value = grant.condition
        concrete = value.replace("*", _SOME_NAME)
        context = [{"ContextKeyName": key, "ContextKeyValues": [concrete], "ContextKeyType": "string"}]
    pages = iam.get_paginator("simulate_principal_policy").paginate(
        PolicySourceArn=principal,
        ActionNames=list(grant.actions),
        ResourceArns=["*" if arn == "*" else arn.replace("*", _SOME_NAME) for arn in grant.resources],
        ContextEntries=context,
    )
    results = [result for page in pages for result in page["EvaluationResults"]]
    # An action knows some of a grant's resources only, as CreateModel knows models: one that is allowed suffices.
    allowed = {
        result["EvalActionName"].lower()
        for result in results
        if result["EvalDecision"] == "allowed"
        or any(each["EvalResourceDecision"] == "allowed" for each in result.get("ResourceSpecificResults", []))
    }
    return sorted(action for action in grant.actions if action.lower() not in allowed)


def check_permissions(iam: IAMClient, principal: str, grants: Sequence[Grant], *, whose: str) -> list[Check]:
    """One check of all grants that are needed, and one for each other that is missing.

    Args:
        iam: The client.
        principal: ARN of the user or role.
        grants: What is needed.
        whose: "your" or "the role's", for messages.
    """
    from botocore.exceptions import ClientError  # noqa: PLC0415

    name = f"{whose} permissions"
    try:
        missing = {grant: denied for grant in grants if (denied := denied_actions(iam, principal, grant))}
    except ClientError as error:
        if error.response.get("Error", {}).get("Code") not in {"AccessDenied", "AccessDeniedException"}:
            raise
        return [
            warned(
                name,
                f"cannot be listed, because iam:SimulatePrincipalPolicy is not allowed on {principal}",
                "Request that action, or compare with the policy that 'dogbreed doctor --policy' prints.",
            )
        ]
    found = [_missing(name, principal, grant, denied) for grant, denied in missing.items()]
    if not any(grant.is_needed for grant in missing):
        found.insert(0, passed(name, f"{principal} may do all that training, deploying and classifying need"))
    return found


def _missing(name: str, principal: str, grant: Grant, denied: Sequence[str]) -> Check:
    message = f"{principal} cannot {grant.purpose}: {', '.join(denied)} not allowed on {', '.join(grant.resources)}"
    remedy = "Add these actions to its policy; 'dogbreed doctor --policy' prints one that suffices."
    return failed(name, message, remedy) if grant.is_needed else warned(name, message, remedy)
