"""Looks up the role and bucket of an AWS account, and checks that both can be used.

The check runs before a job is created: a job that fails after ten minutes because a permission is missing is the
first complaint of SageMaker's users.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from botocore.exceptions import ClientError

from dogbreed_sdk.aws.errors import translate, translated
from dogbreed_sdk.errors import AccessError, ConfigurationError

if TYPE_CHECKING:
    from types_boto3_s3.literals import BucketLocationConstraintType

    from dogbreed_sdk.aws.clients import Clients

_ROLE_REMEDY = (
    "Pass Session.aws(role=…) or set DOGBREED_ROLE to a role that SageMaker may assume and that has the policy "
    "AmazonSageMakerFullAccess."
)


def role_arn(client: Clients, role: str | None) -> str:
    """The ARN of a role given by name, or of the role this code runs under.

    Raises:
        ConfigurationError: The role does not exist, or this code does not run under a role.
        AccessError: The credentials do not work.
    """
    if role is None:
        with translated("ask AWS who is calling", otherwise=AccessError):
            caller = str(client("sts").get_caller_identity()["Arn"])
        if ":assumed-role/" not in caller:
            raise ConfigurationError(f"SageMaker needs a role, and {caller} is not one. {_ROLE_REMEDY}")
        role = caller.split(":assumed-role/", 1)[1].split("/", 1)[0]
    try:
        return client("iam").get_role(RoleName=role.rsplit("/", 1)[-1])["Role"]["Arn"]
    except ClientError as error:
        if error.response["Error"]["Code"] == "NoSuchEntity":
            raise ConfigurationError(f"The role {role!r} does not exist in this account. {_ROLE_REMEDY}") from error
        raise translate(error, f"look up role {role}", otherwise=AccessError) from error


def default_bucket_name(client: Clients, region: str) -> str:
    """The name of SageMaker's usual bucket of the account and region, whether or not it exists.

    Raises:
        AccessError: The credentials do not work.
    """
    return _usual_name(region, _account_number(client))


def default_bucket(client: Clients, region: str) -> str:
    """SageMaker's usual bucket of the account and region, created if it is missing.

    Raises:
        AccessError: The bucket belongs to another account, or creating it is not allowed.
    """
    account = _account_number(client)
    name = _usual_name(region, account)
    s3 = client("s3")
    try:
        # The expected owner keeps data out of a bucket that somebody else created under this predictable name.
        s3.head_bucket(Bucket=name, ExpectedBucketOwner=account)
    except ClientError as error:
        if error.response["ResponseMetadata"]["HTTPStatusCode"] != 404:
            raise AccessError(
                f"The bucket {name} cannot be used: it belongs to another account or reading it is not allowed. "
                "Pass Session.aws(bucket=…) or set DOGBREED_BUCKET."
            ) from error
        with translated(f"create bucket {name}", otherwise=AccessError):
            if region == "us-east-1":
                s3.create_bucket(Bucket=name)
            else:
                location = cast("BucketLocationConstraintType", region)
                s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": location})
    return name


def check(client: Clients, *, region: str, role: str, bucket: str) -> None:
    """Checks before any work that credentials, bucket and SageMaker can be used.

    Args:
        client: The session's clients.
        region: Region of the clients, for messages.
        role: ARN of the role that jobs assume, for messages.
        bucket: Name of the bucket that jobs read and write.

    Raises:
        AccessError: Credentials or a permission are missing.
    """
    with translated(f"reach bucket {bucket}", otherwise=AccessError):
        client("s3").head_bucket(Bucket=bucket)
    with translated(f"list training jobs in {region} (role {role})", otherwise=AccessError):
        client("sagemaker").list_training_jobs(MaxResults=1)


def _account_number(client: Clients) -> str:
    with translated("ask AWS for the account number", otherwise=AccessError):
        return client("sts").get_caller_identity()["Account"]


def _usual_name(region: str, account: str) -> str:
    return f"sagemaker-{region}-{account}"
