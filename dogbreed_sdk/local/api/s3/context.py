"""What S3's operations share: their arguments and replies, errors in S3's words, and the bucket of a request."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from dogbreed_sdk.local.api.wire import ApiError
from dogbreed_sdk.local.s3.incoming import Incoming
from dogbreed_sdk.local.s3.index import LONGEST_KEY_BYTES, Bucket, StoredObject
from dogbreed_sdk.local.s3.objects import Objects
from dogbreed_sdk.local.store import ACCOUNT_ID, DEFAULT_REGION

Members = Mapping[str, Any]
OWNER = {"ID": f"{ACCOUNT_ID}{'0' * 52}", "DisplayName": "local"}
# Members that would change what is stored or who may read it, in ways that do not exist here.
_REFUSED = re.compile(r"(CopySource)?SSECustomer\w*|ObjectLock\w*|WebsiteRedirectLocation|WriteOffsetBytes|MFA")


@dataclass(frozen=True)
class S3Context:
    """What an operation works with.

    Attributes:
        objects: The content.
        region: The region of the request's signature.
        url: The URL that the client used, without a path.
        content: The request's body, for operations that store it.
        given_checksums: The checksums that came with it, in base64 by their algorithm.
    """

    objects: Objects
    region: str
    url: str
    content: Incoming | None = None
    given_checksums: Mapping[str, str] = field(default_factory=dict)

    def received(self, given: Members) -> tuple[Incoming, dict[str, str]]:
        """The body, and its checksums as members, which were verified.

        Raises:
            ApiError: BadDigest.
        """
        assert self.content is not None  # the application receives it for these operations
        try:
            checksums = self.content.checksums(self.given_checksums, content_md5=given.get("ContentMD5"))
        except ValueError as error:
            raise ApiError("BadDigest", str(error)) from None
        return self.content, checksums


@dataclass(frozen=True)
class Content:
    """A range of an open file that a response sends."""

    file: BinaryIO
    start: int
    length: int


@dataclass(frozen=True)
class Reply:
    """A response: members by AWS's names, a status, and the content of GetObject."""

    members: Members = field(default_factory=dict)
    status: int = 200
    content: Content | None = None


Operation = Callable[[S3Context, Members], Reply]


def no_such_key(key: str) -> ApiError:
    """The error for a key without an object."""
    return ApiError("NoSuchKey", "The specified key does not exist.", status=404, details={"Key": key})


def precondition_failed() -> ApiError:
    """The error for If-Match and the like."""
    return ApiError("PreconditionFailed", "At least one of the pre-conditions you specified did not hold", status=412)


def bucket_of(context: S3Context, given: Members) -> Bucket:
    """The bucket of a request.

    Raises:
        ApiError: NoSuchBucket; AccessDenied if another account's bucket is expected.
    """
    owner = given.get("ExpectedBucketOwner")
    if owner not in (None, ACCOUNT_ID):
        raise ApiError("AccessDenied", f"All buckets of local S3 belong to account {ACCOUNT_ID}.", status=403)
    return require_bucket(context, given["Bucket"])


def require_bucket(context: S3Context, name: str) -> Bucket:
    """The bucket of that name; see `bucket_of`."""
    found = context.objects.bucket(name)
    if found is None:
        raise ApiError(
            "NoSuchBucket",
            f"The specified bucket does not exist on local S3. Create it first: aws s3 mb s3://{name}",
            status=404,
            details={"BucketName": name},
        )
    return found


def refuse_members(operation: str, given: Members) -> None:
    """Refuse members that would be ignored, and keys that S3 can't have.

    Raises:
        ApiError: NotImplemented, NoSuchVersion or KeyTooLongError.
    """
    for name in given:
        if _REFUSED.fullmatch(name):
            raise ApiError("NotImplemented", f"Local S3's {operation} does not support {name}.", status=501)
    if len(given.get("Key", "").encode()) > LONGEST_KEY_BYTES:
        raise ApiError("KeyTooLongError", f"Your key is too long; its limit is {LONGEST_KEY_BYTES} bytes of UTF-8.")
    if given.get("VersionId", "null") != "null":
        raise ApiError("NoSuchVersion", "Local S3 keeps no versions of objects.", status=404)


def check_write(given: Members) -> Callable[[StoredObject | None], None]:
    """The check of If-Match and If-None-Match before an object is written or deleted."""

    def check(current: StoredObject | None) -> None:
        wanted = given.get("IfMatch")
        if wanted is not None and (current is None or not etag_matches(wanted, current.etag)):
            raise no_such_key(given["Key"]) if current is None else precondition_failed()
        if given.get("IfNoneMatch") is not None and current is not None:
            raise precondition_failed()

    return check


def etag_matches(header: str, etag: str) -> bool:
    """Whether an If-Match header lists an ETag."""
    listed = {item.strip().removeprefix("W/").strip('"') for item in header.split(",")}
    return "*" in listed or etag in listed


def region_name(constraint: str | None) -> str:
    """The region that a LocationConstraint names."""
    return {"": DEFAULT_REGION, "EU": "eu-west-1"}.get(constraint or "", constraint or DEFAULT_REGION)
