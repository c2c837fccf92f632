"""The bucket of a session: found, created if it is SageMaker's default one, and checked before it is written to."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import cached_property
from threading import Lock
from typing import TYPE_CHECKING, cast

from botocore.exceptions import ClientError

from dogbreed_sdk.aws.errors import translated
from dogbreed_sdk.errors import AccessError, ConfigurationError

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client
    from types_boto3_s3.literals import BucketLocationConstraintType
    from types_boto3_s3.type_defs import ServerSideEncryptionRuleTypeDef

    from dogbreed_sdk.aws.clients import Clients

logger = logging.getLogger("dogbreed_sdk")

_ANOTHER = "Pass Session.aws(bucket=…) or set DOGBREED_BUCKET."
# Parts of uploads that were interrupted and never resumed cost money without being visible.
_ABANDONED_UPLOAD_DAYS = 7


class SessionBucket:
    """The bucket for data, source code and models.

    Args:
        client: The session's clients.
        region: Gives the session's region.
        given: The bucket's name, or None for SageMaker's default bucket.
        kms_key: The key that encrypts a default bucket that is created.
    """

    def __init__(self, client: Clients, *, region: Callable[[], str], given: str | None, kms_key: str | None) -> None:
        self._client = client
        self._region_of_session = region
        self._given = given
        self._kms_key = kms_key
        self._is_ready = False
        self._lock = Lock()

    @cached_property
    def name(self) -> str:
        """Its name; for the default bucket, AWS is asked for the account number."""
        return self._given or f"sagemaker-{self._region}-{self._account}"

    def owner_of(self, bucket: str) -> str | None:
        """The account to which a bucket must belong, or None if that is not known.

        It keeps data out of a bucket that somebody else created under the default bucket's predictable name.
        """
        return self._account if not self._given and self.is_named(bucket) else None

    def is_named(self, bucket: str) -> bool:
        """Whether this is the bucket of that name; asks AWS for nothing if it cannot be."""
        if self._given:
            return bucket == self._given
        return bucket.startswith("sagemaker-") and bucket == self.name

    def prepare(self) -> None:
        """Creates the default bucket if it is missing, and checks once that the bucket can be used by jobs.

        Raises:
            ConfigurationError: The bucket does not exist, or is in another region.
            AccessError: It belongs to another account, or creating it is not allowed.
        """
        with self._lock:
            if not self._is_ready:
                if self._given:
                    check_bucket(self._client, self._given, region=self._region)
                else:
                    self._find_or_create()
                self._is_ready = True

    @cached_property
    def _region(self) -> str:
        return self._region_of_session()

    @cached_property
    def _account(self) -> str:
        with translated("ask AWS for the account number", otherwise=AccessError):
            return self._client("sts").get_caller_identity()["Account"]

    def _find_or_create(self) -> None:
        s3, owner = self._client("s3"), self._account
        with translated(f"reach bucket {self.name}", otherwise=AccessError):
            try:
                found = s3.head_bucket(Bucket=self.name, ExpectedBucketOwner=owner)
            except ClientError as error:
                status = error.response["ResponseMetadata"]["HTTPStatusCode"]
                if status == 403:
                    raise AccessError(
                        f"The bucket {self.name} cannot be used: it belongs to another account, or reading it is not "
                        f"allowed. {_ANOTHER}"
                    ) from error
                if status != 404:
                    raise
            else:
                _refuse_other_region(self.name, found.get("BucketRegion"), self._region)
                return
        self._create(s3, owner)

    def _create(self, s3: S3Client, owner: str) -> None:
        with translated(f"create bucket {self.name}", otherwise=AccessError):
            try:
                if self._region == "us-east-1":  # API reference, CreateBucket: it must not be named
                    s3.create_bucket(Bucket=self.name)
                else:
                    place = cast("BucketLocationConstraintType", self._region)
                    s3.create_bucket(Bucket=self.name, CreateBucketConfiguration={"LocationConstraint": place})
            except ClientError as error:
                # Another process of this account was quicker, and sets it up.
                if error.response["Error"]["Code"] not in {"BucketAlreadyOwnedByYou", "OperationAborted"}:
                    raise
            s3.get_waiter("bucket_exists").wait(Bucket=self.name, ExpectedBucketOwner=owner)
        self._protect(s3, owner)

    def _protect(self, s3: S3Client, owner: str) -> None:
        """Sets what S3 does for new buckets by default since 2023, and what it does not."""
        rule: ServerSideEncryptionRuleTypeDef = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}
        if self._kms_key:
            rule = {
                "ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": self._kms_key},
                "BucketKeyEnabled": True,  # one call of KMS for many objects
            }
        bucket = self.name
        self._if_allowed(
            "s3:PutBucketPublicAccessBlock",
            lambda: s3.put_public_access_block(
                Bucket=bucket,
                ExpectedBucketOwner=owner,
                PublicAccessBlockConfiguration={
                    "BlockPublicAcls": True,
                    "IgnorePublicAcls": True,
                    "BlockPublicPolicy": True,
                    "RestrictPublicBuckets": True,
                },
            ),
        )
        self._if_allowed(
            "s3:PutEncryptionConfiguration",
            lambda: s3.put_bucket_encryption(
                Bucket=bucket,
                ExpectedBucketOwner=owner,
                ServerSideEncryptionConfiguration={"Rules": [rule]},
            ),
        )
        self._if_allowed(
            "s3:PutLifecycleConfiguration",
            lambda: s3.put_bucket_lifecycle_configuration(
                Bucket=bucket,
                ExpectedBucketOwner=owner,
                LifecycleConfiguration={
                    "Rules": [
                        {
                            "ID": "abandoned-uploads",
                            "Status": "Enabled",
                            "Filter": {"Prefix": ""},
                            "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": _ABANDONED_UPLOAD_DAYS},
                        }
                    ]
                },
            ),
        )

    def _if_allowed(self, permission: str, call: Callable[[], object]) -> None:
        """New buckets are private and encrypted anyway, so a missing permission is worth a line and no failure."""
        with translated(f"set up bucket {self.name}", otherwise=AccessError):
            try:
                call()
            except ClientError as error:
                if error.response["Error"]["Code"] not in {"AccessDenied", "403"}:
                    raise
                logger.warning("The new bucket %s has S3's defaults: %s is not allowed.", self.name, permission)


_ANOTHER_BUCKET = "Pass a bucket that exists, for example as Session.aws(bucket=…) or in DOGBREED_BUCKET."


def check_bucket(client: Clients, name: str, *, region: str | None, remedy: str = _ANOTHER_BUCKET) -> None:
    """Checks that a bucket exists and can be used by jobs of a region.

    Args:
        client: Makes the clients.
        name: Name of the bucket.
        region: The region; None if the bucket may be in any.
        remedy: What to do if it does not exist.

    Raises:
        ConfigurationError: The bucket does not exist, or is in another region.
        AccessError: It cannot be reached.
    """
    found: str | None
    with translated(f"reach bucket {name}", otherwise=AccessError):
        try:
            found = client("s3").head_bucket(Bucket=name).get("BucketRegion")
        except ClientError as error:
            facts = error.response["ResponseMetadata"]
            if facts["HTTPStatusCode"] == 404:
                raise ConfigurationError(f"The bucket {name} does not exist. {remedy}") from error
            if facts["HTTPStatusCode"] != 403:
                raise
            # Who may write objects may lack s3:ListBucket; the refusal names the region all the same.
            found = facts.get("HTTPHeaders", {}).get("x-amz-bucket-region")
    if region is not None:
        _refuse_other_region(name, found, region)


def _refuse_other_region(name: str, found: str | None, region: str) -> None:
    if found and found != region:
        raise ConfigurationError(
            f"The bucket {name} is in {found} and the session in {region}; SageMaker's jobs only use buckets of their "
            f"own region. Pass Session.aws(region={found!r}) or another bucket."
        )
