"""S3's multipart uploads: begin, upload or copy parts, list, complete, abort."""

from __future__ import annotations

import binascii
import hashlib
from collections.abc import Sequence
from typing import Any

from dogbreed_sdk.local.api.s3.context import (
    OWNER,
    Members,
    Operation,
    Reply,
    S3Context,
    bucket_of,
    check_write,
)
from dogbreed_sdk.local.api.s3.listing import encoded
from dogbreed_sdk.local.api.s3.objects import byte_range, kept_attributes, source_of, written
from dogbreed_sdk.local.api.wire import ApiError
from dogbreed_sdk.local.s3.incoming import composite
from dogbreed_sdk.local.s3.index import Part, StoredObject, Upload

_MOST_PARTS = 10_000
_SMALLEST_PART_BYTES = 5 * 1024 * 1024
_PAGE = 1000


def _create_multipart_upload(context: S3Context, given: Members) -> Reply:
    bucket_of(context, given)
    attributes = kept_attributes(given)
    algorithm = given.get("ChecksumAlgorithm")
    if algorithm is not None:
        attributes["ChecksumAlgorithm"] = algorithm
        attributes["ChecksumType"] = given.get("ChecksumType", "FULL_OBJECT" if "64" in algorithm else "COMPOSITE")
    upload = context.objects.begin_upload(given["Bucket"], given["Key"], attributes)
    described = {name: attributes.get(name) for name in ("ChecksumAlgorithm", "ChecksumType", "ServerSideEncryption")}
    return Reply({"Bucket": upload.bucket, "Key": upload.key, "UploadId": upload.id, **described})


def _upload_of(context: S3Context, given: Members) -> Upload:
    bucket_of(context, given)
    upload = context.objects.index.upload(given["UploadId"])
    if upload is None or (upload.bucket, upload.key) != (given["Bucket"], given["Key"]):
        raise _no_such_upload(given["UploadId"])
    return upload


def _no_such_upload(name: str) -> ApiError:
    return ApiError(
        "NoSuchUpload",
        "The specified upload does not exist. The upload ID may be invalid, or the upload may have been aborted or "
        "completed.",
        status=404,
        details={"UploadId": name},
    )


def _number(given: Members) -> int:
    number = int(given["PartNumber"])
    if not 1 <= number <= _MOST_PARTS:
        raise ApiError("InvalidArgument", f"Part number must be an integer between 1 and {_MOST_PARTS}, inclusive")
    return number


def _upload_part(context: S3Context, given: Members) -> Reply:
    upload, number = _upload_of(context, given), _number(given)
    content, checksums = context.received(given)
    try:
        part = context.objects.put_part(upload.id, number, content, checksums)
    except FileNotFoundError:
        raise _no_such_upload(upload.id) from None
    return Reply({"ETag": f'"{part.etag}"', **checksums})


def _upload_part_copy(context: S3Context, given: Members) -> Reply:
    upload, number = _upload_of(context, given), _number(given)
    source, file = source_of(context, given)
    algorithm = upload.attributes.get("ChecksumAlgorithm")
    with file, context.objects.receiving([algorithm] if algorithm else []) as content:
        content.append(file, *byte_range(given.get("CopySourceRange"), source.size))
        checksums = content.checksums({})
        part = context.objects.put_part(upload.id, number, content, checksums)
    return Reply({"CopyPartResult": {"ETag": f'"{part.etag}"', "LastModified": part.modified, **checksums}})


def _complete_multipart_upload(context: S3Context, given: Members) -> Reply:
    bucket_of(context, given)
    done = context.objects.index.object(given["Bucket"], given["Key"])
    if done is not None and done.attributes.get("UploadId") == given["UploadId"]:
        return _completed(context, done)  # the client repeats a request whose response it lost
    try:
        return _completed(context, _complete(context, _upload_of(context, given), given))
    except FileNotFoundError:  # another request has completed or aborted it meanwhile
        raise _no_such_upload(given["UploadId"]) from None


def _complete(context: S3Context, upload: Upload, given: Members) -> StoredObject:
    parts = _chosen(context, upload, given)
    etag = _etag(parts)
    attributes = {
        **{name: value for name, value in upload.attributes.items() if not name.startswith("Checksum")},
        "PartSizes": [part.size for part in parts],
        "UploadId": upload.id,
    }
    algorithm, kind = upload.attributes.get("ChecksumAlgorithm"), upload.attributes.get("ChecksumType")
    whole = [algorithm] if algorithm and kind == "FULL_OBJECT" else []
    with context.objects.receiving(whole) as content:
        for part in parts:
            with context.objects.part_path(upload.id, part.number).open("rb") as file:
                content.append(file) if whole else content.append_unread(file)
        if algorithm:
            attributes |= _checksum(algorithm, str(kind), given, parts, content.checksums({}))
        return context.objects.put(
            upload.bucket, upload.key, content, attributes, etag=etag, check=check_write(given), upload=upload.id
        )


def _completed(context: S3Context, item: StoredObject) -> Reply:
    location = f"{context.url}/{item.bucket}/{item.key}"
    return Reply({**written(item), "Location": location, "Bucket": item.bucket, "Key": item.key})


def _chosen(context: S3Context, upload: Upload, given: Members) -> list[Part]:
    """The parts that a request lists, which were uploaded with these ETags."""
    present = {part.number: part for part in context.objects.index.parts(upload.id)}
    listed = given.get("MultipartUpload", {}).get("Parts") or []
    if not listed:
        raise ApiError("MalformedXML", "The request lists no parts.")
    numbers = [one.get("PartNumber") for one in listed]
    if sorted(set(numbers)) != numbers:
        raise ApiError("InvalidPartOrder", "The list of parts was not in ascending order.")
    chosen = []
    for one in listed:
        part = present.get(one["PartNumber"])
        if part is None or one.get("ETag", "").strip('"') != part.etag:
            raise ApiError(
                "InvalidPart",
                f"Part {one['PartNumber']} could not be found. It may not have been uploaded, or the specified entity "
                "tag may not match the part's entity tag.",
                details={"UploadId": upload.id, "PartNumber": one["PartNumber"]},
            )
        chosen.append(part)
    if any(part.size < _SMALLEST_PART_BYTES for part in chosen[:-1]):
        raise ApiError("EntityTooSmall", "Your proposed upload is smaller than the minimum allowed size")
    return chosen


def _etag(parts: Sequence[Part]) -> str:
    """S3's ETag of a multipart upload: the MD5 of the parts' MD5s, with their number."""
    digests = b"".join(binascii.unhexlify(part.etag) for part in parts)
    return f"{hashlib.md5(digests, usedforsecurity=False).hexdigest()}-{len(parts)}"


def _checksum(
    algorithm: str, kind: str, given: Members, parts: Sequence[Part], computed: dict[str, str]
) -> dict[str, Any]:
    """The checksum of the whole: computed, or of the parts' checksums, or as the client gives it."""
    name = f"Checksum{algorithm}"
    values = [part.checksums.get(name) for part in parts]
    if kind == "COMPOSITE":
        known = [value for value in values if value is not None]
        value = composite(known) if len(known) == len(parts) and algorithm in ("CRC32", "SHA1", "SHA256") else None
    else:
        value = computed.get(name, given.get(name))
    if value is not None and given.get(name, value) not in (value, value.partition("-")[0]):
        raise ApiError("BadDigest", f"The {algorithm} you specified did not match what we received.")
    return {name: value, "ChecksumType": kind} if value is not None else {}


def _abort_multipart_upload(context: S3Context, given: Members) -> Reply:
    context.objects.abort(_upload_of(context, given).id)
    return Reply(status=204)


def _list_parts(context: S3Context, given: Members) -> Reply:
    upload = _upload_of(context, given)
    marker, limit = given.get("PartNumberMarker", 0), min(given.get("MaxParts", _PAGE), _PAGE)
    found = context.objects.index.parts(upload.id, after=marker)
    shown = found[:limit]
    return Reply(
        {
            "Bucket": upload.bucket,
            "Key": upload.key,
            "UploadId": upload.id,
            "PartNumberMarker": marker,
            "NextPartNumberMarker": shown[-1].number if shown else 0,
            "MaxParts": limit,
            "IsTruncated": len(found) > len(shown),
            "Parts": [
                {
                    "PartNumber": part.number,
                    "LastModified": part.modified,
                    "ETag": f'"{part.etag}"',
                    "Size": part.size,
                    **part.checksums,
                }
                for part in shown
            ],
            "Initiator": OWNER,
            "Owner": OWNER,
            "StorageClass": upload.attributes.get("StorageClass", "STANDARD"),
        }
    )


def _list_multipart_uploads(context: S3Context, given: Members) -> Reply:
    bucket_of(context, given)
    if given.get("Delimiter"):
        raise ApiError("NotImplemented", "Local S3's ListMultipartUploads does not support Delimiter.", status=501)
    limit = min(given.get("MaxUploads", _PAGE), _PAGE)
    after = (given.get("KeyMarker", ""), given.get("UploadIdMarker", "\U0010ffff" if given.get("KeyMarker") else ""))
    found = list(context.objects.index.uploads(given["Bucket"], prefix=given.get("Prefix", ""), after=after))
    shown = found[:limit]
    following = shown[-1] if len(found) > len(shown) and shown else None
    return Reply(
        {
            "Bucket": given["Bucket"],
            "KeyMarker": encoded(given.get("KeyMarker", ""), given),
            "UploadIdMarker": given.get("UploadIdMarker", ""),
            "NextKeyMarker": encoded(following.key if following else None, given),
            "NextUploadIdMarker": following.id if following else None,
            "Prefix": encoded(given.get("Prefix", ""), given),
            "EncodingType": given.get("EncodingType"),
            "MaxUploads": limit,
            "IsTruncated": following is not None,
            "Uploads": [
                {
                    "UploadId": one.id,
                    "Key": encoded(one.key, given),
                    "Initiated": one.created,
                    "StorageClass": one.attributes.get("StorageClass", "STANDARD"),
                    "Owner": OWNER,
                    "Initiator": OWNER,
                }
                for one in shown
            ],
        }
    )


OPERATIONS: dict[str, Operation] = {
    "AbortMultipartUpload": _abort_multipart_upload,
    "CompleteMultipartUpload": _complete_multipart_upload,
    "CreateMultipartUpload": _create_multipart_upload,
    "ListMultipartUploads": _list_multipart_uploads,
    "ListParts": _list_parts,
    "UploadPart": _upload_part,
    "UploadPartCopy": _upload_part_copy,
}
