"""What a session must find out about an AWS account: its role, its bucket, and whether both will do.

Asked before a job is sent, because a job that fails after ten minutes for want of a permission is the complaint
that users of SageMaker make first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from dogbreed_sdk.aws.errors import translate, translated
from dogbreed_sdk.errors import AccessError, ConfigurationError

if TYPE_CHECKING:
    from dogbreed_sdk.session import Session

_ROLE_REMEDY = (
    "Give Session.aws(role=…) or set DOGBREED_ROLE to a role that SageMaker may assume and that has the policy "
    "AmazonSageMakerFullAccess."
)


def role_arn(session: Session, role: str | None) -> str:
    """The ARN of a role given by name, or of the role this code runs under.

    Raises:
        ConfigurationError: There is no such role, or this code runs under none.
        AccessError: The credentials do not work.
    """
    if role is None:
        with translated("ask AWS who is calling", otherwise=AccessError):
            caller = str(session.client("sts").get_caller_identity()["Arn"])
        if ":assumed-role/" not in caller:
            raise ConfigurationError(f"SageMaker needs a role, and {caller} is not one. {_ROLE_REMEDY}")
        role = caller.split(":assumed-role/", 1)[1].split("/", 1)[0]
    try:
        return str(session.client("iam").get_role(RoleName=role.rsplit("/", 1)[-1])["Role"]["Arn"])
    except ClientError as error:
        if error.response["Error"]["Code"] == "NoSuchEntity":
            raise ConfigurationError(f"There is no role {role!r} in this account. {_ROLE_REMEDY}") from error
        raise translate(error, f"look up role {role}", otherwise=AccessError) from error


def default_bucket(session: Session) -> str:
    """SageMaker's usual bucket of the account and region, created if it is missing.

    Raises:
        AccessError: The bucket belongs to somebody else or may not be created.
    """
    with translated("ask AWS for the account number", otherwise=AccessError):
        account = str(session.client("sts").get_caller_identity()["Account"])
    name = f"sagemaker-{session.region}-{account}"
    s3 = session.client("s3")
    try:
        # The expected owner keeps data out of a bucket that somebody else made under the predictable name.
        s3.head_bucket(Bucket=name, ExpectedBucketOwner=account)
    except ClientError as error:
        if error.response["ResponseMetadata"]["HTTPStatusCode"] != 404:
            raise AccessError(
                f"The bucket {name} cannot be used: it belongs to another account or reading it is not allowed. "
                "Give Session.aws(bucket=…) or set DOGBREED_BUCKET."
            ) from error
        with translated(f"create bucket {name}", otherwise=AccessError):
            if session.region == "us-east-1":
                s3.create_bucket(Bucket=name)
            else:
                s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": session.region})
    return name


def check(session: Session) -> None:
    """Finds out before any work whether region, credentials, role and bucket will do.

    Raises:
        ConfigurationError: The region or role is missing or wrong.
        AccessError: Credentials or a permission are missing.
    """
    role = session.role_arn
    bucket = session.base_uri.removeprefix("s3://").split("/", 1)[0]
    with translated(f"reach bucket {bucket}", otherwise=AccessError):
        session.client("s3").head_bucket(Bucket=bucket)
    with translated(f"list training jobs in {session.region} (role {role})", otherwise=AccessError):
        session.client("sagemaker").list_training_jobs(MaxResults=1)
