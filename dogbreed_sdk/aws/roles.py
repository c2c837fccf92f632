"""Finds the role that jobs and models assume, where users of SageMaker expect it to be found."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from dogbreed_sdk.aws.errors import translate, translated
from dogbreed_sdk.errors import AccessError, ConfigurationError

if TYPE_CHECKING:
    from dogbreed_sdk.aws.clients import Clients

logger = logging.getLogger("dogbreed_sdk")

# SageMaker writes it into notebook instances and Studio ("Get notebook instance metadata", SageMaker Developer Guide).
METADATA_FILE = Path("/opt/ml/metadata/resource-metadata.json")

_REMEDY = (
    "Pass Session.aws(role=…) or set DOGBREED_ROLE to a role that SageMaker may assume and that has the policy "
    "AmazonSageMakerFullAccess."
)
# API reference, CreateTrainingJob: RoleArn.
_ROLE_ARN = re.compile(r"arn:aws[a-z\-]*:iam::\d{12}:role/?[a-zA-Z_0-9+=,.@\-/]+")
_CALLER = re.compile(r"arn:(?P<partition>aws[a-z\-]*):(?:sts|iam)::(?P<account>\d{12}):(?P<rest>.+)")
# Names of the roles that SageMaker's console creates, below the path service-role.
_CONSOLE_ROLE = "AmazonSageMaker-ExecutionRole"
_SIGN_IN_ROLE = "AWSReservedSSO_"
_MAY_NOT = frozenset({"AccessDenied", "AccessDeniedException", "UnauthorizedOperation"})


def named_role(client: Clients, role: str) -> str:
    """The ARN of a role given by its ARN or name.

    Raises:
        ConfigurationError: It is not a role, does not exist, or does not let SageMaker assume it.
        AccessError: The credentials do not work.
    """
    if role.startswith("arn:"):
        if not _ROLE_ARN.fullmatch(role):
            raise ConfigurationError(f"{role} is not the ARN of a role (arn:aws:iam::<account>:role/<name>). {_REMEDY}")
        return role
    return _looked_up(client, role.strip("/")) or _assembled(_caller(client), role.strip("/"))


def found_role(client: Clients, *, config_places: tuple[str, ...] = ()) -> str:
    """The role of the notebook that this code runs in, else the role that the caller has assumed.

    Args:
        client: The session's clients.
        config_places: SageMaker's configuration files that were read and name no role, for messages.

    Raises:
        ConfigurationError: There is none, or SageMaker may not assume it.
        AccessError: The credentials do not work.
    """
    of_notebook, reason = _notebook_role(client)
    if of_notebook:
        return of_notebook
    caller = _caller(client)
    kind, _, rest = caller["rest"].partition("/")
    if kind != "assumed-role":
        where = " and ".join(config_places) or "SageMaker's configuration file"
        raise ConfigurationError(
            f"SageMaker needs a role, and none was found: no role was given, $DOGBREED_ROLE is not set, {where} names "
            f"none, {reason}, and the caller {caller[0]} is not a role. {_REMEDY}"
        )
    name = rest.partition("/")[0]
    if name.startswith(_SIGN_IN_ROLE):
        raise ConfigurationError(
            f"SageMaker needs a role, and cannot assume {name}, the role with which you signed in through IAM Identity "
            f"Center. {_REMEDY}"
        )
    return _looked_up(client, name) or _assembled(caller, name)


def _caller(client: Clients) -> re.Match[str]:
    with translated("ask AWS who is calling", otherwise=AccessError):
        arn = client("sts").get_caller_identity()["Arn"]
    caller = _CALLER.fullmatch(arn)
    if caller is None:
        raise AccessError(f"AWS says that the caller is {arn!r}, which is not an ARN of STS or IAM. {_REMEDY}")
    return caller


def _looked_up(client: Clients, role: str) -> str | None:
    """The ARN of a role by its name, with its path; None if looking it up is not permitted."""
    name = role.rsplit("/", 1)[-1]
    try:
        found = client("iam").get_role(RoleName=name)["Role"]
    except ClientError as error:
        code = error.response["Error"]["Code"]
        if code in _MAY_NOT:
            return None
        if code == "NoSuchEntity":
            raise ConfigurationError(f"The role {role!r} does not exist in this account. {_REMEDY}") from error
        raise translate(error, f"look up role {role}", otherwise=AccessError) from error
    except BotoCoreError as error:
        raise translate(error, f"look up role {role}", otherwise=AccessError) from error
    if not _trusts_sagemaker(found.get("AssumeRolePolicyDocument")):
        raise ConfigurationError(
            f"SageMaker may not assume the role {found['Arn']}: its trust policy does not name "
            f"sagemaker.amazonaws.com. Add that service to it, or use another role. {_REMEDY}"
        )
    return found["Arn"]


def _assembled(caller: re.Match[str], role: str) -> str:
    """The probable ARN of a role that may not be looked up: STS does not report a role's path."""
    path = f"service-role/{role}" if _CONSOLE_ROLE in role and "/" not in role else role
    arn = f"arn:{caller['partition']}:iam::{caller['account']}:role/{path}"
    logger.warning(
        "Without the permission iam:GetRole, the role is assumed to be %s. If SageMaker refuses it, pass the role's "
        "ARN as Session.aws(role=…) or in DOGBREED_ROLE.",
        arn,
    )
    return arn


def _notebook_role(client: Clients) -> tuple[str | None, str]:
    """The execution role of the notebook instance or Studio space that this code runs in, or why there is none."""
    try:
        metadata = json.loads(METADATA_FILE.read_text("utf-8"))
    except OSError:
        return None, "this is not a SageMaker notebook"
    except ValueError:
        return None, f"{METADATA_FILE} cannot be read"
    try:
        for role in _candidates(client, metadata):
            if role:
                return str(role), ""
    except (ClientError, BotoCoreError) as error:
        return None, f"the notebook's role could not be looked up ({error})"
    return None, f"{METADATA_FILE} names no notebook with a role"


def _candidates(client: Clients, metadata: Mapping[str, Any]) -> Iterator[str | None]:
    """The roles of a notebook, the most specific first, each looked up when it is asked for."""
    yield metadata.get("ExecutionRoleArn")
    sagemaker = client("sagemaker")
    domain = metadata.get("DomainId")
    if domain is None:
        if metadata.get("ResourceName"):
            instance = sagemaker.describe_notebook_instance(NotebookInstanceName=metadata["ResourceName"])
            yield instance.get("RoleArn")
        return
    user, shared = metadata.get("UserProfileName"), False
    if metadata.get("SpaceName"):
        space = sagemaker.describe_space(DomainId=domain, SpaceName=metadata["SpaceName"])
        shared = space.get("SpaceSharingSettings", {}).get("SharingType") == "Shared"
        user = space.get("OwnershipSettings", {}).get("OwnerUserProfileName") or user
    if user and not shared:
        profile = sagemaker.describe_user_profile(DomainId=domain, UserProfileName=user)
        yield profile.get("UserSettings", {}).get("ExecutionRole")
    described = sagemaker.describe_domain(DomainId=domain)
    if shared or not user:
        yield described.get("DefaultSpaceSettings", {}).get("ExecutionRole")
    yield described.get("DefaultUserSettings", {}).get("ExecutionRole")


def _trusts_sagemaker(document: object) -> bool:
    """Whether a trust policy lets SageMaker assume its role; conditions are not evaluated, and unknown forms pass."""
    if not isinstance(document, dict) or "Statement" not in document:
        return True
    statements = document["Statement"]
    return any(
        statement.get("Effect") == "Allow" and _names_sagemaker(statement.get("Principal"))
        for statement in ([statements] if isinstance(statements, dict) else statements)
    )


def _names_sagemaker(principal: object) -> bool:
    if not isinstance(principal, dict):
        return principal == "*"
    services = principal.get("Service", ())
    return any(
        service == "*" or str(service).startswith("sagemaker.amazonaws.com")
        for service in ([services] if isinstance(services, str) else services)
    )
