"""Downloads one object, a large one in ranges; resumes an interrupted download, and checks the content.

The received beginning stays beside the target in a hidden file named after the object's version. It takes the target's
name only when it is complete and has the size and checksum that S3 reports.
"""

from __future__ import annotations

import hashlib
import time
from collections import deque
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from dogbreed_sdk.aws import contents
from dogbreed_sdk.aws.errors import is_transient
from dogbreed_sdk.aws.transfers import Cancelled, Running
from dogbreed_sdk.errors import AccessError
from training_scripts._util.atomic import replacing
from training_scripts._util.locking import file_lock

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

RANGE_BYTES = 8 << 20
# Ranges that arrive early wait in memory for those before them: at most 64 MiB.
RANGE_THREADS = 8
_LONGEST_NAME = 180
_ATTEMPTS = 5
_FIRST_PAUSE_SECONDS = 0.2


def download(s3: S3Client, place: Mapping[str, Any], path: Path, running: Running, *, size: int) -> None:
    """Downloads an object.

    Args:
        s3: The client.
        place: Bucket, Key and, where it is known, ExpectedBucketOwner.
        path: The file; its folder is created.
        running: Where progress is reported.
        size: The object's size in bytes.

    Raises:
        AccessError: What arrived is not what S3 stores.
        ClientError: S3 refused.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    for attempt in range(_ATTEMPTS):
        try:
            _download(s3, place, path, running, size)
        except (ClientError, BotoCoreError) as error:
            # botocore itself retries requests, but not bodies that break off; 412: replaced while it was downloaded.
            replaced = isinstance(error, ClientError) and error.response["ResponseMetadata"]["HTTPStatusCode"] == 412
            if attempt == _ATTEMPTS - 1 or running.cancelled.is_set() or not (replaced or is_transient(error)):
                raise
            time.sleep(_FIRST_PAUSE_SECONDS * 2**attempt)
        else:
            return


def _download(s3: S3Client, place: Mapping[str, Any], path: Path, running: Running, size: int) -> None:
    if size > RANGE_BYTES:
        head = s3.head_object(**place, ChecksumMode="ENABLED")
        if head["ContentLength"] > RANGE_BYTES:
            _download_in_ranges(s3, place, path, head, running)
            return
    _download_whole(s3, place, path, running)


def _download_whole(s3: S3Client, place: Mapping[str, Any], path: Path, running: Running) -> None:
    answer = s3.get_object(**place, ChecksumMode="ENABLED")
    with closing(answer["Body"]) as body:
        data = body.read()
    with replacing(path, durable=False) as file:
        file.write(data)
        file.flush()
        _check(s3, place, Path(file.name), answer)
    running.copied(len(data))


def _download_in_ranges(
    s3: S3Client, place: Mapping[str, Any], path: Path, head: Mapping[str, Any], running: Running
) -> None:
    part = _part_of(path, place, head)
    with file_lock(part):  # another process that downloads the same waits, and then has nothing left to do
        if not part.exists():
            if path.is_file() and path.stat().st_size == head["ContentLength"] and _is_same(s3, place, path, head):
                running.unchanged(head["ContentLength"])
                return
            part.touch()
        here = part.stat().st_size
        if here > head["ContentLength"]:
            here = 0
        running.unchanged(here)
        with part.open("r+b") as file:
            file.seek(here)
            file.truncate()
            for data in _ranges(s3, {**place, "IfMatch": head["ETag"]}, here, head["ContentLength"], running):
                file.write(data)
                running.copied(len(data))
        try:
            _check(s3, place, part, head)
        except AccessError:
            part.unlink()
            raise
        part.replace(path)


def _ranges(s3: S3Client, place: Mapping[str, Any], begin: int, end: int, running: Running) -> Iterator[bytes]:
    """The content from one position to another, in order, fetched several ranges at a time."""
    with ThreadPoolExecutor(RANGE_THREADS) as pool:
        waiting: deque[Future[bytes]] = deque()
        try:
            for start in range(begin, end, RANGE_BYTES):
                if len(waiting) == RANGE_THREADS:
                    yield waiting.popleft().result()
                if running.cancelled.is_set():
                    raise Cancelled
                waiting.append(pool.submit(_range, s3, place, start, min(start + RANGE_BYTES, end)))
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _range(s3: S3Client, place: Mapping[str, Any], start: int, end: int) -> bytes:
    with closing(s3.get_object(**place, Range=f"bytes={start}-{end - 1}")["Body"]) as body:
        data = body.read()
    if len(data) != end - start:
        raise AccessError(f"S3 sent {len(data)} of {end - start} bytes of s3://{place['Bucket']}/{place['Key']}.")
    return data


def _check(s3: S3Client, place: Mapping[str, Any], path: Path, head: Mapping[str, Any]) -> None:
    size = path.stat().st_size
    if size != head["ContentLength"] or _is_same(s3, place, path, head) is False:
        raise AccessError(
            f"The download of s3://{place['Bucket']}/{place['Key']} arrived damaged ({size:,} of "
            f"{head['ContentLength']:,} bytes, or another checksum) and was deleted. Download it again."
        )


def _is_same(s3: S3Client, place: Mapping[str, Any], path: Path, head: Mapping[str, Any]) -> bool | None:
    return contents.is_same(path, head, lambda: s3.head_object(**place, PartNumber=1)["ContentLength"])


def _part_of(path: Path, place: Mapping[str, Any], head: Mapping[str, Any]) -> Path:
    version = hashlib.sha256(repr((place["Bucket"], place["Key"], head["ETag"])).encode()).hexdigest()[:16]
    return path.with_name(f".{path.name[:_LONGEST_NAME]}.{version}.part")
