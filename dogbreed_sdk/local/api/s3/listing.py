"""S3's listings of objects: both versions, and the versions' listing of buckets that keep no versions."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from dogbreed_sdk.local.api.s3.context import OWNER, Members, Operation, Reply, S3Context, bucket_of
from dogbreed_sdk.local.api.wire import ApiError
from dogbreed_sdk.local.s3.index import StoredObject, behind

_MOST_KEYS = 1000


@dataclass
class Page:
    """One page of a listing.

    Attributes:
        items: The objects.
        prefixes: The common prefixes.
        last: The last key or prefix on the page; "" if it is empty.
        is_truncated: Whether there is more behind it.
    """

    items: list[StoredObject] = field(default_factory=list)
    prefixes: list[str] = field(default_factory=list)
    last: str = ""
    is_truncated: bool = False


def page_of(context: S3Context, bucket: str, *, prefix: str, delimiter: str, after: str, limit: int) -> Page:
    """The objects and common prefixes behind a key, or behind a common prefix of an earlier page."""
    page = Page()
    if limit <= 0:
        return page
    is_prefix = bool(delimiter) and after.startswith(prefix) and after.endswith(delimiter)
    for entry in _entries(context, bucket, prefix, delimiter, behind(after) if is_prefix else after):
        if len(page.items) + len(page.prefixes) == limit:
            page.is_truncated = True
            return page
        if isinstance(entry, str):
            page.prefixes.append(entry)
            page.last = entry
        else:
            page.items.append(entry)
            page.last = entry.key
    return page


def _entries(context: S3Context, bucket: str, prefix: str, delimiter: str, after: str) -> Iterator[StoredObject | str]:
    while True:
        rows = context.objects.index.objects(bucket, start=prefix, after=after, limit=_MOST_KEYS + 1)
        for row in rows:
            if not row.key.startswith(prefix):
                return
            after = row.key
            end = row.key.find(delimiter, len(prefix)) if delimiter else -1
            if end >= 0:
                common = row.key[: end + len(delimiter)]
                yield common
                after = behind(common)
                break
            item = context.objects.as_now(row)
            if item is not None:
                yield item
        else:
            if len(rows) <= _MOST_KEYS:
                return


def _list_objects_v2(context: S3Context, given: Members) -> Reply:
    bucket_of(context, given)
    token = given.get("ContinuationToken")
    after = _from_token(token) if token is not None else given.get("StartAfter", "")
    page = _page(context, given, after)
    owner = OWNER if given.get("FetchOwner") else None
    return Reply(
        {
            **_shown(page, given, owner),
            "KeyCount": len(page.items) + len(page.prefixes),
            "ContinuationToken": token,
            "NextContinuationToken": _token(page.last) if page.is_truncated else None,
            "StartAfter": encoded(given.get("StartAfter"), given),
        }
    )


def _list_objects(context: S3Context, given: Members) -> Reply:
    bucket_of(context, given)
    page = _page(context, given, given.get("Marker", ""))
    following = page.last if page.is_truncated and given.get("Delimiter") else None
    return Reply(
        {
            **_shown(page, given, OWNER),
            "Marker": encoded(given.get("Marker", ""), given),
            "NextMarker": encoded(following, given),
        }
    )


def _list_object_versions(context: S3Context, given: Members) -> Reply:
    bucket_of(context, given)
    page = _page(context, given, given.get("KeyMarker", ""))
    shown = _shown(page, given, OWNER)
    versions = [{**one, "VersionId": "null", "IsLatest": True} for one in shown.pop("Contents")]
    return Reply(
        {
            **shown,
            "Versions": versions,
            "KeyMarker": encoded(given.get("KeyMarker", ""), given),
            "NextKeyMarker": encoded(page.last if page.is_truncated else None, given),
            "NextVersionIdMarker": "null" if page.is_truncated else None,
        }
    )


def _page(context: S3Context, given: Members, after: str) -> Page:
    return page_of(
        context,
        given["Bucket"],
        prefix=given.get("Prefix", ""),
        delimiter=given.get("Delimiter", ""),
        after=after,
        limit=_limit(given),
    )


def _limit(given: Members) -> int:
    limit = given.get("MaxKeys", _MOST_KEYS)
    if limit < 0:
        raise ApiError("InvalidArgument", "Argument maxKeys must be an integer between 0 and 2147483647")
    return min(int(limit), _MOST_KEYS)


def _shown(page: Page, given: Members, owner: Members | None) -> dict[str, Any]:
    return {
        "Name": given["Bucket"],
        "Prefix": encoded(given.get("Prefix", ""), given),
        "Delimiter": encoded(given.get("Delimiter"), given),
        "MaxKeys": _limit(given),
        "EncodingType": given.get("EncodingType"),
        "IsTruncated": page.is_truncated,
        "Contents": [_content(item, given, owner) for item in page.items],
        "CommonPrefixes": [{"Prefix": encoded(one, given)} for one in page.prefixes],
    }


def _content(item: StoredObject, given: Members, owner: Members | None) -> dict[str, Any]:
    algorithms = [
        name.removeprefix("Checksum")
        for name in item.attributes
        if name.startswith("Checksum") and name != "ChecksumType"
    ]
    return {
        "Key": encoded(item.key, given),
        "LastModified": item.modified,
        "ETag": f'"{item.etag}"',
        "ChecksumAlgorithm": algorithms or None,
        "ChecksumType": item.attributes.get("ChecksumType"),
        "Size": item.size,
        "StorageClass": item.attributes.get("StorageClass", "STANDARD"),
        "Owner": owner,
    }


def encoded(text: str | None, given: Members) -> str | None:
    """A key as the client wants it: percent-encoded, since XML can't express every character."""
    return quote(text, safe="/-_.~") if text and given.get("EncodingType") == "url" else text


def _token(last: str) -> str:
    return base64.urlsafe_b64encode(last.encode()).decode()


def _from_token(token: str) -> str:
    try:
        return base64.urlsafe_b64decode(token).decode()
    except (binascii.Error, UnicodeDecodeError):
        raise ApiError("InvalidArgument", "The continuation token provided is incorrect") from None


OPERATIONS: dict[str, Operation] = {
    "ListObjectVersions": _list_object_versions,
    "ListObjects": _list_objects,
    "ListObjectsV2": _list_objects_v2,
}
