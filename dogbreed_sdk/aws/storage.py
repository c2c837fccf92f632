"""Files and folders behind s3:// and file:// URIs, through one small interface."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from dogbreed_sdk import container
from dogbreed_sdk.errors import AccessError, ConfigurationError
from training_scripts._util.atomic import replacing, write_atomically

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

# Small objects wait for the network, not for the CPU: 16 transfers at a time saturate a home connection.
TRANSFER_THREADS = 16
_DELETED_AT_ONCE = 1000  # API reference, DeleteObjects

Progress = Callable[[int, int], None]


class StoredFile(NamedTuple):
    """One file of a listing.

    Attributes:
        name: Its path relative to the folder that was listed.
        size: In bytes.
        mark: Changes whenever the content does: S3's ETag, or a local file's modification time in ns.
    """

    name: str
    size: int
    mark: str


class Storage:
    """Reads and writes the files that jobs and clients exchange.

    Args:
        s3: Gives the S3 client; called when an s3:// URI is used.
    """

    def __init__(self, s3: Callable[[], S3Client]) -> None:
        self._client = s3

    def exists(self, uri: str) -> bool:
        """Whether a file exists at exactly this URI."""
        if is_file_uri(uri):
            return container.uri_to_path(uri).is_file()
        bucket, key = split_s3_uri(uri)
        from botocore.exceptions import ClientError  # noqa: PLC0415

        with _translated(f"look up {uri}"):
            try:
                self._s3.head_object(Bucket=bucket, Key=key)
            except ClientError as error:
                if error.response["ResponseMetadata"]["HTTPStatusCode"] == 404:
                    return False
                raise
        return True

    def read_bytes(self, uri: str) -> bytes | None:
        """The content of a small file; None if it does not exist.

        Raises:
            AccessError: Reading is not allowed; without s3:ListBucket S3 answers so for files that do not exist, too.
        """
        if is_file_uri(uri):
            with suppress(FileNotFoundError):
                return container.uri_to_path(uri).read_bytes()
            return None
        bucket, key = split_s3_uri(uri)
        from botocore.exceptions import ClientError  # noqa: PLC0415

        with _translated(f"read {uri}"):
            try:
                answer = self._s3.get_object(Bucket=bucket, Key=key)
            except ClientError as error:
                if error.response["Error"]["Code"] == "NoSuchKey":
                    return None
                raise
            with closing(answer["Body"]) as content:
                return content.read()

    def delete_file(self, uri: str) -> None:
        """Deletes a file; one that does not exist is not an error."""
        if is_file_uri(uri):
            container.uri_to_path(uri).unlink(missing_ok=True)
            return
        bucket, key = split_s3_uri(uri)
        with _translated(f"delete {uri}"):
            self._s3.delete_object(Bucket=bucket, Key=key)

    def sizes(self, uri: str) -> dict[str, int]:
        """All files below a folder: path relative to it -> size in bytes."""
        return {file.name: file.size for file in self.files(uri)}

    def files(self, uri: str) -> Iterator[StoredFile]:
        """Yields all files below a folder; reads the listing page by page, as far as the caller iterates."""
        if is_file_uri(uri):
            root = container.uri_to_path(uri)
            for path in sorted(root.rglob("*")):
                with suppress(FileNotFoundError):  # gone since it was listed
                    if path.is_file():
                        facts = path.stat()
                        yield StoredFile(path.relative_to(root).as_posix(), facts.st_size, str(facts.st_mtime_ns))
            return
        bucket, key = split_s3_uri(uri)
        prefix = key.rstrip("/") + "/" if key else ""
        with _translated(f"list {uri}"):
            for page in self._s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
                for entry in page.get("Contents", []):
                    if not entry["Key"].endswith("/"):
                        mark = entry.get("ETag") or str(entry.get("LastModified", ""))
                        yield StoredFile(entry["Key"][len(prefix) :], entry["Size"], mark)

    def write_bytes(self, content: bytes, uri: str) -> None:
        """Writes a file unless the URI already holds one of the same size; for URIs that contain the content's hash."""
        if is_file_uri(uri):
            target = container.uri_to_path(uri)
            if not (target.is_file() and target.stat().st_size == len(content)):
                write_atomically(target, content, durable=False)
        elif not self.exists(uri):
            bucket, key = split_s3_uri(uri)
            with _translated(f"write {uri}"):
                self._s3.put_object(Bucket=bucket, Key=key, Body=content)

    def upload_file(self, path: Path, uri: str) -> None:
        """Copies one file; readers of the URI see the old content or the new, never a part."""
        if is_file_uri(uri):
            with replacing(container.uri_to_path(uri), durable=False) as file:
                shutil.copyfile(path, file.name)
        else:
            bucket, key = split_s3_uri(uri)
            with _translated(f"upload {path} to {uri}"):
                self._s3.upload_file(str(path), bucket, key)

    def upload_files(self, files: Mapping[str, Path], uri: str, *, progress: Progress | None = None) -> int:
        """Copies files to a folder, except those it already holds with the same size.

        An interrupted upload resumes where it stopped. Meant for content that never changes under its URI, such
        as a data set under its fingerprint.

        Args:
            files: Name below the URI, with forward slashes -> local file. Links are followed.
            uri: The destination folder.
            progress: Called with (files done, files in total).

        Returns:
            The number of copied files.
        """
        there = self.sizes(uri)
        missing = [(path, join(uri, name)) for name, path in files.items() if there.get(name) != path.stat().st_size]
        self._transfer(self.upload_file, missing, progress)
        return len(missing)

    def download_file(self, uri: str, path: Path) -> None:
        """Copies one file to a local path; a partial download never appears under that path.

        Raises:
            ConfigurationError: The file does not exist.
        """
        if not self.exists(uri):
            raise ConfigurationError(f"The file {uri} does not exist.")
        with replacing(path, durable=False) as file:
            if is_file_uri(uri):
                shutil.copyfile(container.uri_to_path(uri), file.name)
            else:
                bucket, key = split_s3_uri(uri)
                with _translated(f"download {uri}"):
                    self._s3.download_fileobj(bucket, key, file)

    def delete_folder(self, uri: str) -> int:
        """Deletes a folder with all its files; a folder that does not exist is not an error.

        Returns:
            The number of deleted files.
        """
        if is_file_uri(uri):
            folder = container.uri_to_path(uri)
            count = sum(not path.is_dir() for path in folder.rglob("*"))
            if folder.is_dir():
                shutil.rmtree(folder)
            return count
        bucket, _ = split_s3_uri(uri)
        names = [file.name for file in self.files(uri)]
        with _translated(f"delete {uri}"):
            for start in range(0, len(names), _DELETED_AT_ONCE):
                keys = [split_s3_uri(join(uri, name))[1] for name in names[start : start + _DELETED_AT_ONCE]]
                answer = self._s3.delete_objects(
                    Bucket=bucket, Delete={"Objects": [{"Key": key} for key in keys], "Quiet": True}
                )
                if answer.get("Errors"):
                    first = answer["Errors"][0]
                    raise AccessError(f"s3://{bucket}/{first['Key']} was not deleted: {first.get('Message')}")
        return len(names)

    @property
    def _s3(self) -> S3Client:
        return self._client()

    @staticmethod
    def _transfer(
        copy: Callable[[Path, str], None],
        jobs: Sequence[tuple[Path, str]],
        progress: Progress | None,
    ) -> None:
        with ThreadPoolExecutor(TRANSFER_THREADS) as pool:
            futures = [pool.submit(copy, path, uri) for path, uri in jobs]
            try:
                for done, future in enumerate(futures, start=1):
                    future.result()
                    if progress is not None:
                        progress(done, len(jobs))
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise


def is_file_uri(uri: str) -> bool:
    """Whether a URI names a file on this machine."""
    return uri.startswith("file:")


def join(uri: str, *parts: str) -> str:
    """A URI below another.

    >>> join("s3://bucket/prefix/", "jobs", "model.tar.gz")
    's3://bucket/prefix/jobs/model.tar.gz'
    """
    from urllib.parse import quote  # noqa: PLC0415

    tail = "/".join(part.strip("/") for part in parts)
    return f"{uri.rstrip('/')}/{quote(tail) if is_file_uri(uri) else tail}"


def split_s3_uri(uri: str) -> tuple[str, str]:
    """Bucket and key of an s3:// URI.

    >>> split_s3_uri("s3://bucket/some/key")
    ('bucket', 'some/key')

    Raises:
        ConfigurationError: It is not an s3:// URI.
    """
    parts = urlsplit(uri)
    if parts.scheme != "s3" or not parts.netloc:
        raise ConfigurationError(f"{uri!r} is neither an s3:// nor a file:// URI.")
    return parts.netloc, uri.split(parts.netloc, 1)[1].lstrip("/")


def _translated(doing: str) -> AbstractContextManager[None]:
    """Turns S3's errors into the SDK's: a refusal by S3 is nearly always about permissions."""
    from dogbreed_sdk.aws.errors import translated  # noqa: PLC0415 - local sessions need no botocore here

    return translated(doing, otherwise=AccessError)
