"""S3's operations on single objects: put, get, head, copy, delete, tags and attributes."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, BinaryIO
from urllib.parse import parse_qsl, unquote

from dogbreed_sdk.local.api.s3.context import (
    OWNER,
    Content,
    Members,
    Operation,
    Reply,
    S3Context,
    bucket_of,
    check_write,
    etag_matches,
    no_such_key,
    precondition_failed,
    require_bucket,
)
from dogbreed_sdk.local.api.wire import ApiError
from dogbreed_sdk.local.s3.index import StoredObject

# What is kept of a PutObject or CreateMultipartUpload request, and given back by GetObject.
_KEPT = (
    "BucketKeyEnabled",
    "CacheControl",
    "ContentDisposition",
    "ContentEncoding",
    "ContentLanguage",
    "ContentType",
    "Expires",
    "Metadata",
    "SSEKMSKeyId",
    "ServerSideEncryption",
    "StorageClass",
)
_DEFAULT_TYPE = "binary/octet-stream"
_OF_WRITING = ("BucketKeyEnabled", "SSEKMSKeyId", "ServerSideEncryption")
_OVERRIDES = {
    f"Response{name}": name
    for name in (
        "CacheControl", "ContentDisposition", "ContentEncoding", "ContentLanguage", "ContentType", "Expires",
    )
}  # fmt: skip
_NOT_MODIFIED = 304
_HEADER = re.compile(r"[!-~\x80-\xff]([\t -~\x80-\xff]*[!-~\x80-\xff])?")
_RANGE = re.compile(r"bytes=(\d*)-(\d*)")


def kept_attributes(given: Members) -> dict[str, Any]:
    """What is kept of a request that writes an object."""
    kept = {name: given[name] for name in _KEPT if given.get(name) is not None}
    kept.setdefault("ContentType", _DEFAULT_TYPE)
    # The encoding of the request's body, which was taken off it.
    encodings = [item.strip() for item in kept.pop("ContentEncoding", "").split(",")]
    encoding = ",".join(item for item in encodings if item and item != "aws-chunked")
    if encoding:
        kept["ContentEncoding"] = encoding
    if given.get("Tagging"):
        pairs = parse_qsl(given["Tagging"], keep_blank_values=True)
        kept["TagSet"] = [{"Key": key, "Value": value} for key, value in pairs]
    return kept


def written(item: StoredObject) -> dict[str, Any]:
    """The members that describe an object after it was written."""
    of_content = {name: value for name, value in item.attributes.items() if name.startswith("Checksum")}
    of_writing = {name: item.attributes.get(name) for name in _OF_WRITING}
    return {"ETag": f'"{item.etag}"', **of_content, **of_writing}


def _put_object(context: S3Context, given: Members) -> Reply:
    bucket_of(context, given)
    content, checksums = context.received(given)
    attributes = {**kept_attributes(given), **checksums}
    if checksums:
        attributes["ChecksumType"] = "FULL_OBJECT"
    item = context.objects.put(given["Bucket"], given["Key"], content, attributes, check=check_write(given))
    return Reply(written(item))


# ------------------------------------------------------------------ reading


def _get_object(context: S3Context, given: Members) -> Reply:
    bucket_of(context, given)
    found = context.objects.open(given["Bucket"], given["Key"])
    if found is None:
        raise no_such_key(given["Key"])
    item, file = found
    try:
        reply, (start, length) = _described(item, given)
    except BaseException:
        file.close()
        raise
    if reply.status == _NOT_MODIFIED:
        file.close()
        return reply
    return Reply(reply.members, reply.status, Content(file, start, length))


def _head_object(context: S3Context, given: Members) -> Reply:
    bucket_of(context, given)
    item = context.objects.current(given["Bucket"], given["Key"])
    if item is None:
        raise no_such_key(given["Key"])
    return _described(item, given)[0]


def _described(item: StoredObject, given: Members) -> tuple[Reply, tuple[int, int]]:
    """The response to a request for an object, and the range of its content that was asked for."""
    _check_read(item, given)
    members: dict[str, Any] = {
        **{name: value for name, value in item.attributes.items() if name not in ("TagSet", "PartSizes", "UploadId")},
        "AcceptRanges": "bytes",
        "ETag": f'"{item.etag}"',
        "LastModified": item.modified,
        "TagCount": len(item.attributes.get("TagSet", ())) or None,
    }
    if _is_known(item, given):
        return Reply({name: members[name] for name in ("ETag", "LastModified")}, _NOT_MODIFIED), (0, 0)
    start, length = _range_of(item, given)
    is_part = (start, length) != (0, item.size) or given.get("PartNumber") is not None
    if is_part:
        members["ContentRange"] = f"bytes {start}-{start + length - 1}/{item.size}"
    if given.get("PartNumber") is not None and "PartSizes" in item.attributes:
        members["PartsCount"] = len(item.attributes["PartSizes"])
    # The checksum is that of the whole object, and clients verify what they read with it.
    if is_part or given.get("ChecksumMode") != "ENABLED":
        members = {name: value for name, value in members.items() if not name.startswith("Checksum")}
    members["ContentLength"] = length
    members.update(_overrides(given))
    return Reply(members, 206 if is_part else 200), (start, length)


def _overrides(given: Members) -> dict[str, Any]:
    """The headers that the request wants instead of the object's."""
    found = {name: given[request] for request, name in _OVERRIDES.items() if given.get(request)}
    for name, value in found.items():
        if isinstance(value, str) and not _HEADER.fullmatch(value):
            raise ApiError(
                "InvalidArgument",
                "Header value cannot be represented using ISO-8859-1.",
                details={"ArgumentName": f"Response{name}"},
            )
    return found


def _check_read(item: StoredObject, given: Members) -> None:
    match, since = given.get("IfMatch"), given.get("IfUnmodifiedSince")
    if match is not None:
        if not etag_matches(match, item.etag):
            raise precondition_failed()
    elif since is not None and int(item.modified) > since:
        raise precondition_failed()


def _is_known(item: StoredObject, given: Members) -> bool:
    """Whether the client has this content, by If-None-Match or If-Modified-Since."""
    match, since = given.get("IfNoneMatch"), given.get("IfModifiedSince")
    if match is not None:
        return etag_matches(match, item.etag)
    return since is not None and int(item.modified) <= since


def _range_of(item: StoredObject, given: Members) -> tuple[int, int]:
    """The start and length of the range or part that was asked for."""
    number = given.get("PartNumber")
    if number is not None:
        sizes = item.attributes.get("PartSizes") or [item.size]
        if not 1 <= number <= len(sizes):
            raise ApiError("InvalidPartNumber", "The requested partnumber is not satisfiable", status=416)
        return sum(sizes[: number - 1]), sizes[number - 1]
    return byte_range(given.get("Range"), item.size)


def byte_range(header: str | None, size: int) -> tuple[int, int]:
    """The start and length that a Range header asks for; everything if it has none, or another form.

    Raises:
        ApiError: InvalidRange.

    >>> byte_range("bytes=2-", 10), byte_range("bytes=-3", 10), byte_range("bytes=0-99", 10), byte_range(None, 10)
    ((2, 8), (7, 3), (0, 10), (0, 10))
    """
    found = _RANGE.fullmatch((header or "").strip())
    first, last = found.groups() if found else ("", "")
    if not first and not last:
        return 0, size
    if first:
        start, end = int(first), min(int(last or size), size - 1)
    else:
        start, end = max(size - int(last), 0), size - 1
    if first and last and int(last) < int(first):
        return 0, size
    if start >= size or end < start:
        raise ApiError("InvalidRange", "The requested range is not satisfiable", status=416)
    return start, end - start + 1


# ------------------------------------------------------------------ copying


def source_of(context: S3Context, given: Members) -> tuple[StoredObject, BinaryIO]:
    """The object that CopyObject or UploadPartCopy reads, and its content, which the caller closes."""
    path, _, query = given["CopySource"].partition("?")
    bucket, _, key = unquote(path).removeprefix("/").partition("/")
    if not bucket or not key:
        raise ApiError("InvalidArgument", "Copy Source must mention the source bucket and key: sourcebucket/sourcekey")
    if query and query != "versionId=null":
        raise ApiError("NoSuchVersion", "Local S3 keeps no versions of objects.", status=404)
    require_bucket(context, bucket)
    found = context.objects.open(bucket, key)
    if found is None:
        raise no_such_key(key)
    conditions = {name.removeprefix("CopySource"): value for name, value in given.items()}
    try:
        _check_read(found[0], {name: conditions.get(name) for name in ("IfMatch", "IfUnmodifiedSince")})
        if _is_known(found[0], {name: conditions.get(name) for name in ("IfNoneMatch", "IfModifiedSince")}):
            raise precondition_failed()
    except BaseException:
        found[1].close()
        raise
    return found


def _copy_object(context: S3Context, given: Members) -> Reply:
    bucket_of(context, given)
    source, file = source_of(context, given)
    with file:
        attributes = _attributes_of_copy(source, given)
        algorithms = [given["ChecksumAlgorithm"]] if "ChecksumAlgorithm" in given else []
        with context.objects.receiving(algorithms) as content:
            content.append(file)
            checksums = content.checksums({})
            attributes |= checksums or {
                name: value for name, value in source.attributes.items() if _is_full_checksum(name, source)
            }
            item = context.objects.put(given["Bucket"], given["Key"], content, attributes, check=check_write(given))
    members = written(item)
    result = {name: value for name, value in members.items() if name == "ETag" or name.startswith("Checksum")}
    return Reply({**members, "CopyObjectResult": {**result, "LastModified": item.modified}})


def _attributes_of_copy(source: StoredObject, given: Members) -> dict[str, Any]:
    """The metadata and tags of a copy: the source's, or the request's where it says REPLACE."""
    own = kept_attributes(given)
    if given.get("MetadataDirective") != "REPLACE":
        target = f"{given['Bucket']}/{given['Key']}"
        changed = any(given.get(name) is not None for name in ("StorageClass", "ServerSideEncryption"))
        if target == f"{source.bucket}/{source.key}" and not changed:
            raise ApiError(
                "InvalidRequest",
                "This copy request is illegal because it is trying to copy an object to itself without changing the "
                "object's metadata, storage class, website redirect location or encryption attributes.",
            )
        kept = {name: source.attributes[name] for name in _KEPT if name in source.attributes}
        own = {**kept, **{name: own[name] for name in (*_OF_WRITING, "StorageClass", "TagSet") if name in own}}
    if given.get("TaggingDirective") != "REPLACE" and "TagSet" in source.attributes:
        own["TagSet"] = source.attributes["TagSet"]
    return own


def _is_full_checksum(name: str, source: StoredObject) -> bool:
    return name.startswith("Checksum") and source.attributes.get("ChecksumType") == "FULL_OBJECT"


# ------------------------------------------------------------------ deleting


def _delete_object(context: S3Context, given: Members) -> Reply:
    bucket_of(context, given)
    context.objects.delete(given["Bucket"], given["Key"], check=_check_delete(given))
    return Reply(status=204)


def _check_delete(given: Members) -> Callable[[StoredObject | None], None]:
    """If-Match alone; a key without an object is deleted already."""

    def check(current: StoredObject | None) -> None:
        if current is not None and given.get("IfMatch") and not etag_matches(given["IfMatch"], current.etag):
            raise precondition_failed()

    return check


def _delete_objects(context: S3Context, given: Members) -> Reply:
    bucket_of(context, given)
    deleted, errors = [], []
    for one in given["Delete"]["Objects"]:
        try:
            if one.get("VersionId", "null") != "null":
                raise ApiError("NoSuchVersion", "Local S3 keeps no versions of objects.", status=404)
            check = _check_delete({"IfMatch": one.get("ETag")})
            context.objects.delete(given["Bucket"], one["Key"], check=check)
            deleted.append({"Key": one["Key"]})
        except ApiError as error:
            errors.append({"Key": one["Key"], "Code": error.code, "Message": error.message})
    return Reply({"Deleted": [] if given["Delete"].get("Quiet") else deleted, "Errors": errors})


# ------------------------------------------------------------------ tags, attributes, access


def _existing(context: S3Context, given: Members) -> StoredObject:
    bucket_of(context, given)
    item = context.objects.current(given["Bucket"], given["Key"])
    if item is None:
        raise no_such_key(given["Key"])
    return item


def _get_object_tagging(context: S3Context, given: Members) -> Reply:
    return Reply({"TagSet": _existing(context, given).attributes.get("TagSet", [])})


def _put_object_tagging(context: S3Context, given: Members) -> Reply:
    _existing(context, given)
    context.objects.change(given["Bucket"], given["Key"], {"TagSet": given["Tagging"]["TagSet"] or None})
    return Reply()


def _delete_object_tagging(context: S3Context, given: Members) -> Reply:
    _existing(context, given)
    context.objects.change(given["Bucket"], given["Key"], {"TagSet": None})
    return Reply(status=204)


def _get_object_acl(context: S3Context, given: Members) -> Reply:
    _existing(context, given)
    return Reply(access_of_owner())


def access_of_owner() -> dict[str, Any]:
    """The access control list of every bucket and object: its owner may do everything."""
    return {
        "Owner": OWNER,
        "Grants": [{"Grantee": {**OWNER, "Type": "CanonicalUser"}, "Permission": "FULL_CONTROL"}],
    }


def _get_object_attributes(context: S3Context, given: Members) -> Reply:
    item = _existing(context, given)
    checksum = {name: value for name, value in item.attributes.items() if name.startswith("Checksum")}
    sizes = item.attributes.get("PartSizes")
    found = {
        "ETag": item.etag,
        "Checksum": checksum or None,
        "ObjectParts": {"TotalPartsCount": len(sizes)} if sizes else None,
        "ObjectSize": item.size,
        "StorageClass": item.attributes.get("StorageClass", "STANDARD"),
    }
    wanted = {name: found.get(name) for name in given["ObjectAttributes"]}
    return Reply({"LastModified": item.modified, **wanted})


OPERATIONS: dict[str, Operation] = {
    "CopyObject": _copy_object,
    "DeleteObject": _delete_object,
    "DeleteObjectTagging": _delete_object_tagging,
    "DeleteObjects": _delete_objects,
    "GetObject": _get_object,
    "GetObjectAcl": _get_object_acl,
    "GetObjectAttributes": _get_object_attributes,
    "GetObjectTagging": _get_object_tagging,
    "HeadObject": _head_object,
    "PutObject": _put_object,
    "PutObjectTagging": _put_object_tagging,
}
