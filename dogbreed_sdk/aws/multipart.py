"""Uploads a large file in parts; an interrupted upload resumes with the parts that S3 already has.

Until the last call S3 shows the object's old content, or none; never a part of the new one.
"""

from __future__ import annotations

import datetime
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from dogbreed_sdk.aws import contents
from dogbreed_sdk.aws.transfers import Cancelled, Running

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client
    from types_boto3_s3.type_defs import CompletedPartTypeDef

PART_BYTES = 8 << 20
# S3 User Guide, "Amazon S3 multipart upload limits".
_MOST_PARTS = 10_000
# At 8 MiB each, 64 MiB of memory.
PART_THREADS = 8
# An upload of other content to the same key that is this old will not be resumed by the process that began it.
_ABANDONED = datetime.timedelta(days=1)


class MultipartUpload:
    """The upload of one file in parts.

    Args:
        s3: The client.
        path: The file.
        place: Bucket, Key and, where it is known, ExpectedBucketOwner.
        encryption: ServerSideEncryption and SSEKMSKeyId, if a key was chosen.
        running: Where progress is reported.
    """

    def __init__(
        self,
        s3: S3Client,
        path: Path,
        *,
        place: Mapping[str, Any],
        encryption: Mapping[str, Any],
        running: Running,
    ) -> None:
        self._s3, self._path, self._place, self._encryption, self._running = s3, path, place, encryption, running
        self._size = path.stat().st_size
        self._part_size = max(PART_BYTES, -(-self._size // _MOST_PARTS))

    def run(self) -> None:
        """Uploads the parts that S3 does not have, and completes the object."""
        completed = self._completed(*self._interrupted())
        if self._encryption and completed.get("ServerSideEncryption") != self._encryption["ServerSideEncryption"]:
            # The interrupted upload had begun without the key.
            self._completed(None, {})

    def _completed(self, upload_id: str | None, known: Mapping[int, CompletedPartTypeDef]) -> Mapping[str, Any]:
        if upload_id is None:
            begun = self._s3.create_multipart_upload(**self._place, **self._encryption, ChecksumAlgorithm="SHA256")
            upload_id = begun["UploadId"]
        count = -(-self._size // self._part_size)
        with ThreadPoolExecutor(PART_THREADS) as pool:
            try:
                parts = list(pool.map(partial(self._part, upload_id, known), range(1, count + 1)))
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        return self._s3.complete_multipart_upload(**self._place, UploadId=upload_id, MultipartUpload={"Parts": parts})

    def _part(self, upload_id: str, known: Mapping[int, CompletedPartTypeDef], number: int) -> CompletedPartTypeDef:
        """Uploads one part unless S3 has it."""
        if self._running.cancelled.is_set():
            raise Cancelled
        if number in known:
            self._running.unchanged(min(self._part_size, self._size - (number - 1) * self._part_size))
            return known[number]
        data = self._read(number)
        checksum = contents.sha256_base64(data)
        answer = self._s3.upload_part(
            **self._place,
            UploadId=upload_id,
            PartNumber=number,
            Body=data,
            ChecksumSHA256=checksum,
            ChecksumAlgorithm="SHA256",
        )
        self._running.copied(len(data))
        return {"PartNumber": number, "ETag": answer["ETag"], "ChecksumSHA256": checksum}

    def _read(self, number: int) -> bytes:
        with self._path.open("rb") as file:
            return os.pread(file.fileno(), self._part_size, (number - 1) * self._part_size)

    def _interrupted(self) -> tuple[str | None, dict[int, CompletedPartTypeDef]]:
        """The interrupted upload of this content that got furthest; aborts old ones of other content."""
        best: tuple[str | None, dict[int, CompletedPartTypeDef]] = (None, {})
        bucket = {name: value for name, value in self._place.items() if name != "Key"}
        key = self._place["Key"]
        pages = self._s3.get_paginator("list_multipart_uploads").paginate(**bucket, Prefix=key)
        try:
            for begun in (upload for page in pages for upload in page.get("Uploads", []) if upload["Key"] == key):
                parts = self._same_parts(begun["UploadId"])
                if parts is not None and len(parts) > len(best[1]):
                    best = begun["UploadId"], parts
                elif parts is None and begun["Initiated"] < datetime.datetime.now(datetime.timezone.utc) - _ABANDONED:
                    self._s3.abort_multipart_upload(**self._place, UploadId=begun["UploadId"])
        except ClientError as error:
            # Resuming takes s3:ListBucketMultipartUploads and s3:ListMultipartUploadParts; uploading works without.
            # 404: another process has just completed the upload.
            if error.response["ResponseMetadata"]["HTTPStatusCode"] not in {403, 404}:
                raise
        return best

    def _same_parts(self, upload_id: str) -> dict[int, CompletedPartTypeDef] | None:
        """The parts of an upload, or None if one is not a part of this file."""
        found: dict[int, CompletedPartTypeDef] = {}
        for page in self._s3.get_paginator("list_parts").paginate(**self._place, UploadId=upload_id):
            for part in page.get("Parts", []):
                data = self._read(part["PartNumber"])
                checksum = contents.sha256_base64(data)
                if "ChecksumSHA256" in part:
                    same = part["ChecksumSHA256"] == checksum
                else:
                    same = part["ETag"].strip('"') == contents.md5(data).hexdigest()
                if not same:
                    return None
                number = part["PartNumber"]
                found[number] = {"PartNumber": number, "ETag": part["ETag"], "ChecksumSHA256": checksum}
        return found


def abort_below(s3: S3Client, bucket: Mapping[str, Any], prefix: str) -> None:
    """Removes the parts of interrupted uploads, which cost money without being visible.

    Args:
        s3: The client.
        bucket: Bucket and, where it is known, ExpectedBucketOwner.
        prefix: Beginning of the keys.
    """
    try:
        for page in s3.get_paginator("list_multipart_uploads").paginate(**bucket, Prefix=prefix):
            for begun in page.get("Uploads", []):
                s3.abort_multipart_upload(**bucket, Key=begun["Key"], UploadId=begun["UploadId"])
    except ClientError as error:
        # Without the permission to list or abort them, files are deleted all the same; 404: just completed or aborted.
        if error.response["ResponseMetadata"]["HTTPStatusCode"] not in {403, 404}:
            raise
