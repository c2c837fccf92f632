"""Copies between S3 and this machine, for jobs and models whose data is on S3; boto3 is imported on first use."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

from dogbreed_sdk._util.formatting import amount
from dogbreed_sdk.errors import ConfigurationError
from training_scripts._util.atomic import replacing

if TYPE_CHECKING:
    from boto3.s3.transfer import TransferConfig
    from botocore.response import StreamingBody
    from types_boto3_s3 import S3Client

_PROGRESS_SECONDS = 5.0
# User guide of S3, "Virtual hosting of general purpose buckets": https://BUCKET.s3.REGION.amazonaws.com/KEY, the older
# s3-REGION, dual-stack, without a region, and the same with the bucket in the path.
_HTTPS_OF_S3 = re.compile(
    r"https://(?:(?P<bucket>[^/]+)\.)?s3(?:[.-][a-z0-9.-]+)?\.amazonaws\.com(?:\.cn)?/(?P<path>[^?#]*)"
)
# As many connections as boto3's client keeps open.
_AT_ONCE = 10


@dataclass(frozen=True)
class DataObject:
    """An object of a data set: on S3, or a file.

    Attributes:
        name: Its path relative to the data set, with forward slashes.
        uri: Its s3:// or file:// URI.
        size: Its size in bytes; 0 if it is not known.
    """

    name: str
    uri: str
    size: int = 0


def list_objects(uri: str) -> list[DataObject]:
    """The objects below an s3:// prefix in the order of their keys; or one, if the URI is an object's.

    Folder markers are left out. A prefix that is neither a folder nor an object, such as s3://bucket/train/img_0,
    stands for all keys that begin with it, as on AWS.

    Raises:
        ConfigurationError: No credentials, a missing bucket, or access denied.
    """
    bucket, prefix = split_uri(uri)
    client = client_for(uri)
    found: dict[str, int] = {}
    with Explained(uri):
        for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
            found.update((str(item["Key"]), int(item["Size"])) for item in page.get("Contents", ()))
    folder = f"{prefix.rstrip('/')}/" if prefix else ""
    keys = [key for key in found if key == prefix or key.startswith(folder)]
    if not keys:
        keys, folder = list(found), prefix[: prefix.rfind("/") + 1]
    return [
        DataObject(key.rpartition("/")[2] if key == prefix else key[len(folder) :], f"s3://{bucket}/{key}", found[key])
        for key in keys
        if not key.endswith("/")
    ]


def download_objects(
    objects: Sequence[DataObject], folder: Path, source: str, *, progress: Callable[[str], object]
) -> None:
    """Copy objects on S3 into a folder, several at a time.

    Args:
        objects: The objects; each name becomes a path in the folder.
        folder: The folder; created if it is missing.
        source: Where they come from, for messages.
        progress: Called with a line of text every few seconds, and at the end.

    Raises:
        ConfigurationError: No credentials, a missing object, access denied, or a name that leads out of the folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    pairs = [(item, path_within(folder, item.name)) for item in objects]
    for parent in {path.parent for _, path in pairs}:
        parent.mkdir(parents=True, exist_ok=True)
    size, reported = 0, time.monotonic()
    client = client_for(source) if pairs else None
    cancelled = threading.Event()

    def check(_bytes: int) -> None:
        if cancelled.is_set():
            raise CancelledError

    def download(item: DataObject, path: Path) -> int:
        bucket, key = split_uri(item.uri)
        with Explained(item.uri):
            assert client is not None
            client.download_file(bucket, key, str(path), Callback=check, Config=_in_this_thread())
        return item.size

    pool = ThreadPoolExecutor(_AT_ONCE)
    try:
        for count, done in enumerate(as_completed([pool.submit(download, *pair) for pair in pairs]), start=1):
            size += done.result()
            if time.monotonic() - reported > _PROGRESS_SECONDS:
                reported = time.monotonic()
                progress(f"Downloaded {count:,} objects, {amount(size)}, from {source}")
    finally:
        cancelled.set()  # if the job must stop, a large object must not hold it up
        pool.shutdown(cancel_futures=True)
    progress(f"Downloaded {len(pairs):,} objects, {amount(size)}, from {source}")


def download_prefix(uri: str, folder: Path, *, progress: Callable[[str], object]) -> int:
    """Copy every object below an s3:// prefix into a folder; see `list_objects` and `download_objects`.

    Returns:
        How many objects were copied.
    """
    objects = list_objects(uri)
    download_objects(objects, folder, uri, progress=progress)
    return len(objects)


def download_object(uri: str, destination: Path) -> None:
    """Copy one s3:// object to a file, which appears once it is complete.

    Raises:
        ConfigurationError: No credentials, a missing object, or access denied.
    """
    bucket, key = split_uri(uri)
    with replacing(destination) as file, Explained(uri):
        client_for(uri).download_fileobj(bucket, key, file)


def open_object(uri: str, client: S3Client | None = None) -> StreamingBody:
    """The content of an s3:// object as a stream, to be closed.

    Args:
        uri: The object.
        client: The client to use for many objects; default: one for this object.

    Raises:
        ConfigurationError: No credentials, a missing object, or access denied.
    """
    bucket, key = split_uri(uri)
    with Explained(uri):
        return (client or client_for(uri)).get_object(Bucket=bucket, Key=key)["Body"]


def upload_object(source: Path, uri: str) -> None:
    """Copy a file to an s3:// object.

    Raises:
        ConfigurationError: No credentials, a missing bucket, or access denied.
    """
    bucket, key = split_uri(uri)
    with Explained(uri):
        client_for(uri).upload_file(str(source), bucket, key)


def upload_objects(files: Sequence[tuple[Path, str]]) -> None:
    """Copy many files to s3:// objects, several at a time.

    Args:
        files: Each file and the URI of its object.

    Raises:
        ConfigurationError: No credentials, a missing bucket, or access denied; some files may have been copied.
        OSError: A file is missing or can't be read.
    """
    if not files:
        return
    client = client_for(files[0][1])

    def upload(source: Path, uri: str) -> None:
        bucket, key = split_uri(uri)
        with Explained(uri):
            client.upload_file(str(source), bucket, key, Config=_in_this_thread())

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for done in [pool.submit(upload, *pair) for pair in files]:
            done.result()


def _in_this_thread() -> TransferConfig:
    from boto3.s3.transfer import TransferConfig  # noqa: PLC0415

    return TransferConfig(use_threads=False)


def split_uri(uri: str) -> tuple[str, str]:
    """The bucket and the key of an s3:// URI; a key may contain any character.

    >>> split_uri("s3://bucket/dogs/rex #1?.jpg")
    ('bucket', 'dogs/rex #1?.jpg')
    """
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return bucket, key


def s3_uri(uri: str) -> str:
    """The s3:// URI of what an https:// address of S3 names, as SageMaker accepts both; any other URI as it is.

    >>> s3_uri("https://bucket.s3-eu-west-1.amazonaws.com/models/dogs%201.tar.gz")
    's3://bucket/models/dogs 1.tar.gz'
    >>> s3_uri("https://s3.amazonaws.com/bucket/models/")
    's3://bucket/models/'
    """
    address = _HTTPS_OF_S3.fullmatch(uri)
    if address is None:
        return uri
    path = unquote(address["path"])
    return f"s3://{address['bucket']}/{path}" if address["bucket"] else f"s3://{path}"


def path_within(folder: Path, name: str) -> Path:
    """The path of an object's name in a folder.

    Raises:
        ConfigurationError: The name leads out of the folder.
    """
    path = (folder / name).resolve()
    if not path.is_relative_to(folder.resolve()):
        raise ConfigurationError(f"The object key {name!r} leads out of the folder it is copied to; rename the object.")
    return path


def client_for(uri: str) -> S3Client:
    """A client for an s3:// URI, which several threads may use; for local S3, one that does not need its server.

    Raises:
        ConfigurationError: There are no credentials.
    """
    from dogbreed_sdk.local.s3.direct import direct_client  # noqa: PLC0415 - many jobs have nothing on S3

    direct = direct_client()
    if direct is not None:
        return direct
    import boto3  # noqa: PLC0415

    session = boto3.Session()
    if session.get_credentials() is None:
        raise ConfigurationError(
            f"{uri} is on S3, but boto3 finds no AWS credentials on this machine. "
            "Configure them (aws configure), or use a file:// URI."
        )
    return session.client("s3")


class Explained:
    """Turns botocore's errors into a ConfigurationError that names the URI."""

    def __init__(self, uri: str) -> None:
        self._uri = uri

    def __enter__(self) -> None:
        return None

    def __exit__(self, _type: object, error: BaseException | None, _trace: object) -> None:
        if error is None or isinstance(error, ConfigurationError):
            return
        from boto3.exceptions import Boto3Error  # noqa: PLC0415
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415

        if isinstance(error, (Boto3Error, BotoCoreError, ClientError)):
            raise ConfigurationError(f"Copying from or to {self._uri} failed: {error}") from error
