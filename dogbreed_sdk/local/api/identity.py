"""STS and IAM, as far as the SDKs ask them: one account, whose every role exists and may do everything here."""

from __future__ import annotations

import json
import re
import time
import uuid
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote

from dogbreed_sdk.local.api.query_wire import members_of
from dogbreed_sdk.local.api.validation import service_model, validate
from dogbreed_sdk.local.api.wire import ApiError
from dogbreed_sdk.local.store import ACCOUNT_ID, ROLE_NAME

_CALLER_ID = "AROALOCALSAGEMAKER000:local"
_CREATED = 0.0  # roles have always been there
_ADMINISTRATOR = {"PolicyName": "AdministratorAccess", "PolicyArn": "arn:aws:iam::aws:policy/AdministratorAccess"}
_TRUSTED = ("sagemaker", "bedrock", "lambda", "events", "scheduler", "states", "glue", "codebuild")
_TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Principal": {"Service": [f"{name}.amazonaws.com" for name in _TRUSTED]},
            "Action": "sts:AssumeRole",
        }
    ],
}
_CREDENTIAL_SECONDS = 3600

Members = Mapping[str, Any]
Operation = Callable[[Members], Members]


def perform(service: str, action: str, form: Mapping[str, str]) -> Members:
    """Perform an operation of "sts" or "iam".

    Args:
        service: "sts" or "iam".
        action: The operation's name.
        form: Its parameters in the query protocol's form.

    Raises:
        ApiError: The request is refused.
    """
    operation = OPERATIONS[service].get(action)
    if operation is None:
        raise ApiError(
            "InvalidAction" if action not in service_model(service).operation_names else "NotImplemented",
            f"Local SageMaker's {service.upper()} has no operation {action!r}. It offers: "
            f"{', '.join(sorted(OPERATIONS[service]))}. Every role exists here and may do everything.",
        )
    given = members_of(service, action, form)
    validate(service, action, given)
    return operation(given)


# ------------------------------------------------------------------ STS


def _get_caller_identity(_given: Members) -> Members:
    return {
        "UserId": _CALLER_ID,
        "Account": ACCOUNT_ID,
        "Arn": f"arn:aws:sts::{ACCOUNT_ID}:assumed-role/{ROLE_NAME}/local",
    }


def _assume_role(given: Members) -> Members:
    name = str(given["RoleArn"]).rpartition("/")[2]
    session = given["RoleSessionName"]
    return {
        "Credentials": _credentials(given),
        "AssumedRoleUser": {
            "AssumedRoleId": f"{_CALLER_ID.partition(':')[0]}:{session}",
            "Arn": f"arn:aws:sts::{ACCOUNT_ID}:assumed-role/{name}/{session}",
        },
    }


def _get_session_token(given: Members) -> Members:
    return {"Credentials": _credentials(given)}


def _credentials(given: Members) -> Members:
    return {
        "AccessKeyId": "ASIALOCALSAGEMAKER00",
        "SecretAccessKey": "local",
        "SessionToken": f"local-{uuid.uuid4()}",
        "Expiration": time.time() + given.get("DurationSeconds", _CREDENTIAL_SECONDS),
    }


# ------------------------------------------------------------------ IAM


def _role(name: str, path: str = "/") -> dict[str, Any]:
    return {
        "Path": path,
        "RoleName": name,
        "RoleId": f"AROA{re.sub('[^A-Z0-9]', '', name.upper())[:16]:0<16}",
        "Arn": f"arn:aws:iam::{ACCOUNT_ID}:role{path}{name}",
        "CreateDate": _CREATED,
        "AssumeRolePolicyDocument": quote(json.dumps(_TRUST)),
        "MaxSessionDuration": _CREDENTIAL_SECONDS,
    }


def _get_role(given: Members) -> Members:
    return {"Role": _role(given["RoleName"])}


def _list_roles(given: Members) -> Members:
    role = _role(ROLE_NAME)
    return {"Roles": [role] if role["Path"].startswith(given.get("PathPrefix", "/")) else [], "IsTruncated": False}


def _create_role(given: Members) -> Members:
    raise ApiError(
        "EntityAlreadyExists",
        f"Role with name {given['RoleName']} already exists: every role exists on local SageMaker.",
        status=409,
    )


def _get_user(given: Members) -> Members:
    name = given.get("UserName", "local")
    return {
        "User": {
            "Path": "/",
            "UserName": name,
            "UserId": "AIDALOCALSAGEMAKER00",
            "Arn": f"arn:aws:iam::{ACCOUNT_ID}:user/{name}",
            "CreateDate": _CREATED,
        }
    }


def _simulate_principal_policy(given: Members) -> Members:
    resources = given.get("ResourceArns", ["*"])
    results = [
        {
            "EvalActionName": action,
            "EvalResourceName": resource,
            "EvalDecision": "allowed",
            "MatchedStatements": [],
            "MissingContextValues": [],
        }
        for action in given["ActionNames"]
        for resource in resources
    ]
    return {"EvaluationResults": results, "IsTruncated": False}


def _list_attached_role_policies(_given: Members) -> Members:
    return {"AttachedPolicies": [_ADMINISTRATOR], "IsTruncated": False}


def _list_role_policies(_given: Members) -> Members:
    return {"PolicyNames": [], "IsTruncated": False}


def _accept(_given: Members) -> Members:
    """For changes of what a role may do: it may do everything before and after."""
    return {}


OPERATIONS: dict[str, dict[str, Operation]] = {
    "sts": {
        "AssumeRole": _assume_role,
        "GetCallerIdentity": _get_caller_identity,
        "GetSessionToken": _get_session_token,
    },
    "iam": {
        "AttachRolePolicy": _accept,
        "CreateRole": _create_role,
        "GetRole": _get_role,
        "GetUser": _get_user,
        "ListAttachedRolePolicies": _list_attached_role_policies,
        "ListRolePolicies": _list_role_policies,
        "ListRoles": _list_roles,
        "PutRolePolicy": _accept,
        "SimulatePrincipalPolicy": _simulate_principal_policy,
        "UpdateAssumeRolePolicy": _accept,
    },
}
