"""Copies between S3 and this machine, for jobs and models whose data is on S3; boto3 is imported on first use."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from dogbreed_sdk.errors import ConfigurationError
from training_scripts._util.atomic import replacing

if TYPE_CHECKING:
    from boto3.s3.transfer import TransferConfig
    from types_boto3_s3 import S3Client

_PROGRESS_SECONDS = 5.0
# As many connections as boto3's client keeps open.
_UPLOADS_AT_ONCE = 10


def download_prefix(uri: str, folder: Path, *, progress: Callable[[str], None]) -> int:
    """Copy every object below an s3:// prefix into a folder.

    Args:
        uri: The prefix, or one object.
        folder: The folder; created if it is missing.
        progress: Called with a line of text every few seconds.

    Returns:
        How many objects were copied.

    Raises:
        ConfigurationError: No credentials, a missing bucket or object, or access denied.
    """
    bucket, prefix = split_uri(uri)
    client = client_for(uri)
    copied, size, reported = 0, 0, time.monotonic()
    with Explained(uri):
        for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
            for item in page.get("Contents", ()):
                destination = _destination(folder, str(item["Key"]), prefix)
                if destination is None:
                    continue
                destination.parent.mkdir(parents=True, exist_ok=True)
                client.download_file(bucket, item["Key"], str(destination))
                copied, size = copied + 1, size + int(item["Size"])
                if time.monotonic() - reported > _PROGRESS_SECONDS:
                    reported = time.monotonic()
                    progress(f"Downloaded {copied} objects, {size / 1e6:.1f} MB, from {uri}")
    progress(f"Downloaded {copied} objects, {size / 1e6:.1f} MB, from {uri}")
    return copied


def download_object(uri: str, destination: Path) -> None:
    """Copy one s3:// object to a file, which appears once it is complete.

    Raises:
        ConfigurationError: No credentials, a missing object, or access denied.
    """
    bucket, key = split_uri(uri)
    with replacing(destination) as file, Explained(uri):
        client_for(uri).download_fileobj(bucket, key, file)


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

    with ThreadPoolExecutor(_UPLOADS_AT_ONCE) as pool:
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


def _destination(folder: Path, key: str, prefix: str) -> Path | None:
    """The file for an object; None for a folder marker, and for keys that merely begin with the prefix's characters."""
    base = f"{prefix.rstrip('/')}/" if prefix else ""
    if key.endswith("/") or not (key == prefix or key.startswith(base)):
        return None
    destination = (folder / (Path(key).name if key == prefix else key[len(base) :])).resolve()
    if not destination.is_relative_to(folder.resolve()):
        raise ConfigurationError(f"The object key {key!r} leads out of the folder it is copied to; rename the object.")
    return destination


def client_for(uri: str) -> S3Client:
    """A client for an s3:// URI, which several threads may use.

    Raises:
        ConfigurationError: There are no credentials.
    """
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
