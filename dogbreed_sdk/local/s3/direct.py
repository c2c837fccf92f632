"""Local S3 without its server: the methods of boto3's client that local SageMaker itself calls, on the files.

Jobs continue when the server ends, so their supervisors must not need it to deliver their results.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, BinaryIO, cast

from dogbreed_sdk._util.caller_environment import LOCAL_ACCESS_KEY
from dogbreed_sdk.local.s3.incoming import BLOCK_BYTES
from dogbreed_sdk.local.s3.index import StoredObject
from dogbreed_sdk.local.s3.objects import Objects

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

# The root folder whose S3 this process uses; set together with the addresses of its server.
ROOT_VARIABLE = "DOGBREED_LOCAL_S3_ROOT"
_PAGE = 1000
_DEFAULT_TYPE = "binary/octet-stream"


def direct_client() -> S3Client | None:
    """A client for the S3 that this process uses, if it is a local one; None if it is AWS's or another."""
    root = os.environ.get(ROOT_VARIABLE)
    if not root or os.environ.get("AWS_ACCESS_KEY_ID") != LOCAL_ACCESS_KEY:
        return None
    return cast("S3Client", _client(root))  # of its methods, those that are called here


@cache
def _client(root: str) -> DirectS3:
    return DirectS3(Path(root))


class DirectS3:
    """The part of boto3's S3 client that local SageMaker uses, with its arguments, results and errors; thread-safe.

    Args:
        root: The root folder.
    """

    def __init__(self, root: Path) -> None:
        self._objects = Objects(root)

    def get_object(self, *, Bucket: str, Key: str) -> dict[str, Any]:  # noqa: N803 - boto3's names, as below
        """An object's content as a stream, with its metadata."""
        from botocore.response import StreamingBody  # noqa: PLC0415 - takes a while

        item, file = self._open(Bucket, Key, "GetObject")
        return {
            "ContentType": _DEFAULT_TYPE,
            **item.attributes,
            "Body": StreamingBody(cast("IO[bytes]", _Content(file)), item.size),
            "ContentLength": item.size,
            "ETag": f'"{item.etag}"',
        }

    def get_paginator(self, operation: str) -> _Pages:
        """The paginator of "list_objects_v2", the only listing that is supported."""
        assert operation == "list_objects_v2", operation
        return _Pages(self)

    def download_file(
        self,
        bucket: str,
        key: str,
        filename: str,
        *,
        Callback: Callable[[int], object] | None = None,  # noqa: N803
        Config: object = None,  # noqa: ARG002, N803 - how boto3 shares the work
    ) -> None:
        """Copy an object to a file."""
        with Path(filename).open("wb") as target:
            self.download_fileobj(bucket, key, target, Callback=Callback)

    def download_fileobj(
        self,
        bucket: str,
        key: str,
        target: BinaryIO,
        *,
        Callback: Callable[[int], object] | None = None,  # noqa: N803
    ) -> None:
        """Copy an object to an open file."""
        _, file = self._open(bucket, key, "GetObject")
        with file:
            while block := file.read(BLOCK_BYTES):
                target.write(block)
                if Callback is not None:
                    Callback(len(block))

    def upload_file(
        self,
        filename: str,
        bucket: str,
        key: str,
        *,
        ExtraArgs: Mapping[str, Any] | None = None,  # noqa: N803
        Config: object = None,  # noqa: ARG002, N803
    ) -> None:
        """Copy a file to an object."""
        with Path(filename).open("rb") as source:
            self.upload_fileobj(source, bucket, key, ExtraArgs=ExtraArgs)

    def upload_fileobj(
        self,
        source: BinaryIO,
        bucket: str,
        key: str,
        *,
        ExtraArgs: Mapping[str, Any] | None = None,  # noqa: N803
    ) -> None:
        """Copy an open file from its current position to an object."""
        self._require_bucket(bucket, "PutObject")
        with self._objects.receiving() as content:
            while block := source.read(BLOCK_BYTES):
                content.write(block)
            self._objects.put(bucket, key, content, {"ContentType": _DEFAULT_TYPE, **(ExtraArgs or {})})

    def pages(self, bucket: str, prefix: str) -> Iterator[dict[str, Any]]:
        """The objects below a prefix, in pages as ListObjectsV2 has them."""
        self._require_bucket(bucket, "ListObjectsV2")
        after = ""
        while True:
            rows = self._objects.index.objects(bucket, start=prefix, after=after, limit=_PAGE)
            matching = [row for row in rows if row.key.startswith(prefix)]
            present = filter(None, map(self._objects.as_now, matching))
            yield {"Contents": [{"Key": item.key, "Size": item.size, "ETag": f'"{item.etag}"'} for item in present]}
            if len(matching) < _PAGE:
                return
            after = rows[-1].key

    def _open(self, bucket: str, key: str, operation: str) -> tuple[StoredObject, BinaryIO]:
        self._require_bucket(bucket, operation)
        found = self._objects.open(bucket, key)
        if found is None:
            raise _error("NoSuchKey", f"The specified key does not exist: {key}", operation)
        return found

    def _require_bucket(self, name: str, operation: str) -> None:
        if self._objects.bucket(name) is None:
            raise _error("NoSuchBucket", f"The bucket {name} does not exist on local S3.", operation)


class _Content:
    """A file that is closed when its end is reached, as boto3 gives a connection back: callers do not close it."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def read(self, amt: int | None = None) -> bytes:
        """The next bytes; all that are left without a number."""
        if self._file.closed:
            return b""
        block = self._file.read() if amt is None else self._file.read(amt)
        if amt is None or len(block) < amt:
            self._file.close()
        return block

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class _Pages:
    """The paginator of a listing."""

    def __init__(self, client: DirectS3) -> None:
        self._client = client

    def paginate(self, *, Bucket: str, Prefix: str = "") -> Iterator[dict[str, Any]]:  # noqa: N803
        """The pages."""
        return self._client.pages(Bucket, Prefix)


def _error(code: str, message: str, operation: str) -> Exception:
    from botocore.exceptions import ClientError  # noqa: PLC0415 - takes a while

    return ClientError({"Error": {"Code": code, "Message": message}}, operation)
