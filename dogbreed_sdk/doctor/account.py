"""Whether an AWS account is ready: credentials, role, permissions, bucket, quotas, images. Changes nothing."""

from __future__ import annotations

import email.utils
import json
import re
import time
from collections.abc import Iterator, Sequence
from datetime import datetime, timezone
from typing import Any, Final
from urllib.parse import unquote

from botocore.exceptions import BotoCoreError, ClientError

from dogbreed_sdk.aws import policy
from dogbreed_sdk.aws.errors import translate, translated
from dogbreed_sdk.doctor.check import Check, failed, passed, warned
from dogbreed_sdk.doctor.permissions import check_permissions
from dogbreed_sdk.doctor.quotas import Demand, check_quotas
from dogbreed_sdk.errors import AccessError, DogBreedError
from dogbreed_sdk.session import Session

# AWS refuses requests whose time differs by more (Signature Version 4, "Troubleshooting").
_LARGEST_SKEW_SECONDS: Final = 300
# AWS closed Debugger to accounts that had not used it before this day.
_DEBUGGER_CLOSED: Final = datetime(2026, 7, 30, tzinfo=timezone.utc)
_JOBS_TO_LOOK_AT: Final = 10
_ECR_IMAGE = re.compile(
    r"(\d{12})\.dkr\.ecr\.([\w-]+)\.amazonaws\.com(?:\.cn)?/([^:@]+)(?::([^@]+))?(?:@(sha256:\w+))?"
)


def check_account(session: Session, demands: Sequence[Demand]) -> Iterator[Check]:
    """Yields the checks of an account; ends early where the others could only repeat the same failure.

    Args:
        session: A session on AWS.
        demands: The instances that are wanted.
    """
    try:
        region = session.region
        yield passed("region", region)
    except DogBreedError as error:
        yield failed("region", str(error))
        return
    try:
        identity = session.client("sts").get_caller_identity()
    except (ClientError, BotoCoreError) as error:
        reason = translate(error, "ask AWS who is calling", otherwise=AccessError)
        yield failed("credentials", str(reason))
        return
    account, caller = identity["Account"], identity["Arn"]
    yield passed("credentials", caller)
    date = identity["ResponseMetadata"].get("HTTPHeaders", {}).get("date")
    yield from check_clock(date, time.time())
    role = None
    try:
        role = session.role_arn
        yield passed("role", role)
    except DogBreedError as error:
        yield failed("role", str(error))
    yield from _reached("bucket", _bucket(session, account))
    if role is not None:
        yield from _reached("role", _trust(session, role))
        yield from _reached("permissions", _permissions(session, account, caller, role))
    quotas = session.client("service-quotas")
    yield from _reached("quotas", check_quotas(quotas, list(demands), region))
    images = (_image(session, scope, demand.instance_type) for scope, demand in _images(demands))
    yield from _reached("images", images)
    yield from _reached("managed debugger", map(_debugger, [session]))


def _reached(name: str, checks: Iterator[Check]) -> Iterator[Check]:
    """Yields checks; a service that cannot be reached, as in a network without internet, does not end the others."""
    try:
        yield from checks
    except BotoCoreError as error:
        reason = translate(error, "check it", otherwise=AccessError)
        yield warned(name, str(reason), "In a VPC without internet access, each service needs its own endpoint.")


def scope_of(session: Session, account: str, role_arn: str) -> policy.Scope:
    """What the policies of this session are for."""
    return policy.Scope(
        account=account,
        region=session.region,
        bucket=session.bucket_name,
        role_arn=role_arn,
        partition=role_arn.split(":")[1],
        kms_key=session.kms_key,
        in_vpc=session.vpc is not None,
    )


def caller_scope(session: Session) -> policy.Scope:
    """What the policies of the caller's account are for.

    Raises:
        AccessError: The credentials do not work.
        ConfigurationError: There is no region or role.
    """
    with translated("ask AWS who is calling", otherwise=AccessError):
        account = session.client("sts").get_caller_identity()["Account"]
    return scope_of(session, account, session.role_arn)


def check_clock(server_date: str | None, now: float) -> list[Check]:
    """A check of this machine's clock against the time at which AWS answered, an HTTP date."""
    if not server_date:
        return []
    skew = now - email.utils.parsedate_to_datetime(server_date).timestamp()
    if abs(skew) < _LARGEST_SKEW_SECONDS:
        return []
    return [
        failed(
            "clock",
            f"this machine's clock is {abs(skew):.0f} s {'fast' if skew > 0 else 'slow'}; AWS refuses such requests",
            "Set the clock, for example with: sudo timedatectl set-ntp true",
        )
    ]


def _bucket(session: Session, account: str) -> Iterator[Check]:
    name, s3 = session.bucket_name, session.client("s3")
    try:
        head = s3.head_bucket(Bucket=name, ExpectedBucketOwner=account)
    except ClientError as error:
        status = error.response["ResponseMetadata"]["HTTPStatusCode"]
        if status == 404:
            yield passed("bucket", f"{name} does not exist yet; the first job creates it, encrypted and private")
        else:
            yield failed(
                "bucket",
                f"{name} cannot be used (status {status}): it belongs to another account, is in another region, or "
                "s3:ListBucket is not allowed",
                "Pass --bucket, or set DOGBREED_BUCKET.",
            )
        return
    region = head.get("BucketRegion") or session.region
    if region != session.region:
        yield failed(
            "bucket",
            f"{name} is in {region}, and jobs in {session.region} cannot use it",
            "Pass a --bucket of that region, or another --region.",
        )
        return
    yield passed("bucket", name)
    try:
        blocked = s3.get_public_access_block(Bucket=name, ExpectedBucketOwner=account)["PublicAccessBlockConfiguration"]
        public = not all(blocked.values())
    except ClientError as error:
        if error.response.get("Error", {}).get("Code") != "NoSuchPublicAccessBlockConfiguration":
            return  # not allowed to know
        public = True
    if public:
        yield warned(
            "bucket",
            f"{name} does not block public access",
            "Switch on 'Block all public access' for it in the S3 console.",
        )


def _trust(session: Session, role_arn: str) -> Iterator[Check]:
    """Whether SageMaker may assume the role."""
    try:
        role = session.client("iam").get_role(RoleName=role_arn.rpartition("/")[2])["Role"]
    except ClientError:
        return  # not allowed to know; the permissions' check says what is missing
    document: Any = role["AssumeRolePolicyDocument"]
    if isinstance(document, str):
        document = json.loads(unquote(document))
    if policy.SAGEMAKER_PRINCIPAL not in json.dumps(document):
        yield failed(
            "role",
            f"{role_arn} does not trust {policy.SAGEMAKER_PRINCIPAL}",
            f"Set its trust policy to: {json.dumps(policy.trust_document())}",
        )


def _permissions(session: Session, account: str, caller: str, role_arn: str) -> Iterator[Check]:
    scope, iam = scope_of(session, account, role_arn), session.client("iam")
    principal = _principal(session, caller)
    if principal is None:
        yield warned(
            "your permissions",
            f"{caller} is not a user or role whose policies can be simulated",
            "Work as an IAM user or role, never as the account's root user.",
        )
    else:
        yield from check_permissions(iam, principal, policy.caller_grants(scope), whose="your")
    yield from check_permissions(iam, role_arn, policy.role_grants(scope), whose="the role's")


def _principal(session: Session, caller: str) -> str | None:
    """The ARN of the user or role behind a caller: a session of an assumed role has no policies itself."""
    if ":user/" in caller:
        return caller
    if ":assumed-role/" not in caller:
        return None
    name = caller.split(":assumed-role/", 1)[1].split("/", 1)[0]
    try:
        return str(session.client("iam").get_role(RoleName=name)["Role"]["Arn"])
    except ClientError:
        prefix = caller.split(":assumed-role/", 1)[0].replace(":sts:", ":iam:")
        return f"{prefix}:role/{name}"


def _images(demands: Sequence[Demand]) -> list[tuple[str, Demand]]:
    """The images that the demands need, each once: (training or inference, a demand)."""
    found: dict[tuple[str, str], Demand] = {}
    for demand in demands:
        scope = "inference" if demand.use in ("endpoint", "transform") else "training"
        found.setdefault((scope, demand.instance_type), demand)
    return [(scope, demand) for (scope, _), demand in found.items()]


def _image(session: Session, scope: str, instance_type: str) -> Check:
    name = f"{scope} image"
    try:
        uri = session.image_uri(scope, instance_type)
    except DogBreedError as error:
        return failed(name, str(error), "Choose another region, version or instance type, or pass your own image.")
    parts = _ECR_IMAGE.fullmatch(uri)
    if parts is None:
        return warned(name, f"{uri} is not in Amazon ECR, so it cannot be looked up")
    registry, region, repository, tag, digest = parts.groups()
    ecr: Any = session.client("ecr")
    wanted = {"imageDigest": digest} if digest else {"imageTag": tag or "latest"}
    try:
        answer = ecr.batch_get_image(registryId=registry, repositoryName=repository, imageIds=[wanted])
    except ClientError as error:
        return warned(
            name,
            f"{uri}: cannot be looked up ({error.response.get('Error', {}).get('Code')})",
            "Request ecr:BatchGetImage, to check images before a job does.",
        )
    if not answer.get("images"):
        return failed(name, f"{uri} does not exist in {region}", "Choose another version, or pass your own image.")
    return passed(name, uri)


def _debugger(session: Session) -> Check:
    """Whether the account has used the managed Debugger before it was closed; AWS offers no call that says so."""
    without = "Recording, rules and reports work without it."
    sagemaker = session.client("sagemaker")
    try:
        jobs = sagemaker.list_training_jobs(CreationTimeBefore=_DEBUGGER_CLOSED, MaxResults=_JOBS_TO_LOOK_AT)
        for job in jobs["TrainingJobSummaries"]:
            described = sagemaker.describe_training_job(TrainingJobName=job["TrainingJobName"])
            if described.get("DebugRuleConfigurations"):
                used = (
                    f"this account used the managed Debugger in {job['TrainingJobName']}, so it probably still has it"
                )
                return passed("managed debugger", used)
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code")
        return warned("managed debugger", f"training jobs cannot be listed ({code}). {without}")
    return passed(
        "managed debugger",
        "AWS closed Debugger to new customers on 2026-07-30, and no earlier job of this account used its rules. "
        + without,
    )
