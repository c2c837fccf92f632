"""S3's operations on buckets, and what lies beside a bucket: tags are kept, the rest has one answer for all."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from typing import Any

from dogbreed_sdk.local.api.s3.context import (
    OWNER,
    Members,
    Operation,
    Reply,
    S3Context,
    bucket_of,
    region_name,
    require_bucket,
)
from dogbreed_sdk.local.api.s3.objects import access_of_owner
from dogbreed_sdk.local.api.wire import ApiError
from dogbreed_sdk.local.store import DEFAULT_REGION

_NAME = re.compile(r"(?!xn--|sthree-)[a-z0-9](?!.*\.\.)[a-z0-9.-]{1,61}[a-z0-9]")


def _list_buckets(context: S3Context, given: Members) -> Reply:
    found = [
        {"Name": one.name, "CreationDate": one.created, "BucketRegion": one.region}
        for one in context.objects.index.buckets()
        if one.name.startswith(given.get("Prefix", "")) and given.get("BucketRegion") in (None, one.region)
    ]
    following = [one for one in found if one["Name"] > given.get("ContinuationToken", "")]
    page = following[: given.get("MaxBuckets", len(following))]
    token = page[-1]["Name"] if len(page) < len(following) else None
    return Reply({"Buckets": page, "Owner": OWNER, "Prefix": given.get("Prefix"), "ContinuationToken": token})


def _create_bucket(context: S3Context, given: Members) -> Reply:
    name = given["Bucket"]
    if not _NAME.fullmatch(name) or _is_address(name):
        raise ApiError("InvalidBucketName", "The specified bucket is not valid.", details={"BucketName": name})
    if given.get("ObjectLockEnabledForBucket"):
        raise ApiError("NotImplemented", "Local S3 has no object lock.", status=501)
    configuration = given.get("CreateBucketConfiguration", {})
    region = region_name(configuration.get("LocationConstraint")) if configuration else context.region
    is_new = context.objects.make_bucket(name, region)
    # As on AWS, making one's own bucket again is an error everywhere but in the oldest region.
    if not is_new and context.region != DEFAULT_REGION:
        raise ApiError(
            "BucketAlreadyOwnedByYou",
            "Your previous request to create the named bucket succeeded and you already own it.",
            status=409,
            details={"BucketName": name},
        )
    if configuration.get("Tags"):
        context.objects.index.change_settings(name, {"TagSet": configuration["Tags"]})
    return Reply({"Location": f"/{name}"})


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _head_bucket(context: S3Context, given: Members) -> Reply:
    return Reply({"BucketRegion": bucket_of(context, given).region})


def _delete_bucket(context: S3Context, given: Members) -> Reply:
    bucket_of(context, given)
    if not context.objects.delete_bucket(given["Bucket"]):
        raise ApiError("BucketNotEmpty", "The bucket you tried to delete is not empty", status=409)
    return Reply(status=204)


def _get_bucket_location(context: S3Context, given: Members) -> Reply:
    region = require_bucket(context, given["Bucket"]).region
    return Reply({"LocationConstraint": None if region == DEFAULT_REGION else region})


def _get_bucket_tagging(context: S3Context, given: Members) -> Reply:
    tags = bucket_of(context, given).settings.get("TagSet")
    if not tags:
        raise ApiError("NoSuchTagSet", "The TagSet does not exist", status=404)
    return Reply({"TagSet": tags})


def _put_bucket_tagging(context: S3Context, given: Members) -> Reply:
    bucket_of(context, given)
    context.objects.index.change_settings(given["Bucket"], {"TagSet": given["Tagging"]["TagSet"] or None})
    return Reply(status=204)


def _delete_bucket_tagging(context: S3Context, given: Members) -> Reply:
    bucket_of(context, given)
    context.objects.index.change_settings(given["Bucket"], {"TagSet": None})
    return Reply(status=204)


def _always(members: Members) -> Operation:
    """An operation with the same answer for every bucket: how AWS sets up a new one."""

    def operation(context: S3Context, given: Members) -> Reply:
        bucket_of(context, given)
        return Reply(members)

    return operation


def _never(code: str, message: str) -> Operation:
    """An operation that reads what no bucket has."""

    def operation(context: S3Context, given: Members) -> Reply:
        bucket_of(context, given)
        raise ApiError(code, message, status=404)

    return operation


def _only(member: str, allowed: Callable[[Any], bool], status: int = 200) -> Operation:
    """An operation that accepts only the value that the bucket already has."""

    def operation(context: S3Context, given: Members) -> Reply:
        bucket_of(context, given)
        if not allowed(given.get(member)):
            raise ApiError(
                "NotImplemented",
                f"Local S3 can't change a bucket's {member}, which it does not implement.",
                status=501,
            )
        return Reply(status=status)

    return operation


_ENCRYPTION = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}, "BucketKeyEnabled": False}
_NO_PUBLIC_ACCESS = dict.fromkeys(
    ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets"), True
)

OPERATIONS: dict[str, Operation] = {
    "CreateBucket": _create_bucket,
    "DeleteBucket": _delete_bucket,
    "DeleteBucketTagging": _delete_bucket_tagging,
    "GetBucketAccelerateConfiguration": _always({}),
    "GetBucketAcl": _always(access_of_owner()),
    "GetBucketCors": _never("NoSuchCORSConfiguration", "The CORS configuration does not exist"),
    "GetBucketEncryption": _always({"ServerSideEncryptionConfiguration": {"Rules": [_ENCRYPTION]}}),
    "GetBucketLifecycleConfiguration": _never(
        "NoSuchLifecycleConfiguration", "The lifecycle configuration does not exist"
    ),
    "GetBucketLocation": _get_bucket_location,
    "GetBucketLogging": _always({}),
    "GetBucketNotificationConfiguration": _always({}),
    "GetBucketOwnershipControls": _always(
        {"OwnershipControls": {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}}
    ),
    "GetBucketPolicy": _never("NoSuchBucketPolicy", "The bucket policy does not exist"),
    "GetBucketReplication": _never(
        "ReplicationConfigurationNotFoundError", "The replication configuration was not found"
    ),
    "GetBucketRequestPayment": _always({"Payer": "BucketOwner"}),
    "GetBucketTagging": _get_bucket_tagging,
    "GetBucketVersioning": _always({}),
    "GetBucketWebsite": _never(
        "NoSuchWebsiteConfiguration", "The specified bucket does not have a website configuration"
    ),
    "GetObjectLockConfiguration": _never(
        "ObjectLockConfigurationNotFoundError", "Object Lock configuration does not exist for this bucket"
    ),
    "GetPublicAccessBlock": _always({"PublicAccessBlockConfiguration": _NO_PUBLIC_ACCESS}),
    "HeadBucket": _head_bucket,
    "ListBuckets": _list_buckets,
    "PutBucketEncryption": _only("ServerSideEncryptionConfiguration", lambda _: True),
    "PutBucketOwnershipControls": _only(
        "OwnershipControls", lambda value: value == {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}
    ),
    "PutBucketTagging": _put_bucket_tagging,
    "PutBucketVersioning": _only(
        "VersioningConfiguration", lambda value: value is not None and value.get("Status") != "Enabled"
    ),
    "PutPublicAccessBlock": _only("PublicAccessBlockConfiguration", lambda _: True),
}
