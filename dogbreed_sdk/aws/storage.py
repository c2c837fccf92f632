"""Files and folders behind s3:// and file:// URIs, through one small interface."""

from __future__ import annotations

import filecmp
import shutil
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple, cast
from urllib.parse import urlsplit

from dogbreed_sdk import container
from dogbreed_sdk.aws.transfers import Running, Transfer, TransferCallback, TransferProgress
from dogbreed_sdk.errors import AccessError, ConfigurationError
from training_scripts._util.atomic import replacing, write_atomically

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

    from dogbreed_sdk.aws.buckets import SessionBucket

_DELETED_AT_ONCE = 1000  # API reference, DeleteObjects

Progress = Callable[[int, int], None]


class StoredFile(NamedTuple):
    """One file of a listing.

    Attributes:
        name: Its path relative to the folder that was listed.
        size: In bytes.
        mark: Changes whenever the content does: S3's ETag, or a local file's modification time in ns.
        modified: When it was last changed, in epoch seconds.
    """

    name: str
    size: int
    mark: str
    modified: float


class Storage:
    """Reads and writes the files that jobs and clients exchange.

    Args:
        s3: Gives the S3 client; called when an s3:// URI is used.
        bucket: Gives the session's bucket, which is prepared before it is first written to; None without one.
        kms_key: Gives the key that encrypts what is written to S3, or None for the bucket's own encryption.
    """

    def __init__(
        self,
        s3: Callable[[], S3Client],
        *,
        bucket: Callable[[], SessionBucket | None] = lambda: None,
        kms_key: Callable[[], str | None] = lambda: None,
    ) -> None:
        self._client = s3
        self._session_bucket = bucket
        self._kms_key = kms_key

    def exists(self, uri: str) -> bool:
        """Whether a file exists at exactly this URI."""
        if is_file_uri(uri):
            return container.uri_to_path(uri).is_file()
        with _translated(f"look up {uri}"):
            return self._head(uri) is not None

    def read_bytes(self, uri: str) -> bytes | None:
        """The content of a small file; None if it does not exist.

        Raises:
            AccessError: As `reading`.
        """
        with self.reading(uri) as file:
            return None if file is None else file.read()

    @contextmanager
    def reading(self, uri: str) -> Iterator[IO[bytes] | None]:
        """Opens a file, to read from its beginning as far as needed; None if it does not exist.

        Raises:
            AccessError: Reading is not allowed; without s3:ListBucket S3 answers so for files that do not exist, too.
        """
        if is_file_uri(uri):
            try:
                file = container.uri_to_path(uri).open("rb")
            except FileNotFoundError:
                file = None
            with file or nullcontext():
                yield file
            return
        from botocore.exceptions import ClientError  # noqa: PLC0415

        with _translated(f"read {uri}"):
            try:
                answer = self._s3.get_object(**self._place(uri))
            except ClientError as error:
                if error.response["Error"]["Code"] != "NoSuchKey":
                    raise
                yield None
                return
            with closing(answer["Body"]) as content:
                yield cast("IO[bytes]", content)

    def delete_file(self, uri: str) -> None:
        """Deletes a file; one that does not exist is not an error."""
        if is_file_uri(uri):
            container.uri_to_path(uri).unlink(missing_ok=True)
            return
        with _translated(f"delete {uri}"):
            self._s3.delete_object(**self._place(uri))

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
                        name = path.relative_to(root).as_posix()
                        yield StoredFile(name, facts.st_size, str(facts.st_mtime_ns), facts.st_mtime)
            return
        bucket, key = split_s3_uri(uri)
        prefix = key.rstrip("/") + "/" if key else ""
        with _translated(f"list {uri}"):
            pages = self._s3.get_paginator("list_objects_v2").paginate(**self._bucket(bucket), Prefix=prefix)
            for page in pages:
                for entry in page.get("Contents", []):
                    if not entry["Key"].endswith("/"):
                        mark = entry.get("ETag") or str(entry.get("LastModified", ""))
                        modified = entry["LastModified"].timestamp()
                        yield StoredFile(entry["Key"][len(prefix) :], entry["Size"], mark, modified)

    def write_bytes(self, content: bytes, uri: str) -> None:
        """Writes a file unless the URI already holds one of the same size; for URIs that contain the content's hash."""
        if is_file_uri(uri):
            target = container.uri_to_path(uri)
            if not (target.is_file() and target.stat().st_size == len(content)):
                write_atomically(target, content, durable=False)
            return
        with _translated(f"write {uri}"):
            head = self._head(uri)
            if head is None or head["ContentLength"] != len(content):
                from dogbreed_sdk.aws import contents  # noqa: PLC0415

                place, encryption = self._writable(uri)
                self._s3.put_object(
                    **place,
                    **encryption,
                    Body=content,
                    ChecksumSHA256=contents.sha256_base64(content),
                    ChecksumAlgorithm="SHA256",
                )

    def upload_file(self, path: Path, uri: str, *, transfer: TransferCallback | None = None) -> None:
        """Copies one file; readers of the URI see the old content or the new, never a part.

        An interrupted upload of a large file to S3 resumes with the parts that are already there.

        Args:
            path: The file.
            uri: The destination.
            transfer: Called with the progress of an upload to S3 in bytes.
        """
        if is_file_uri(uri):
            with replacing(container.uri_to_path(uri), durable=False) as file:
                shutil.copyfile(path, file.name)
        else:
            with _translated(f"upload {path} to {uri}"):
                self._upload([_Upload(path, path.stat().st_size, uri)], transfer)

    def upload_files(
        self,
        files: Mapping[str, Path],
        uri: str,
        *,
        progress: Progress | None = None,
        transfer: TransferCallback | None = None,
    ) -> int:
        """Copies files to a folder, except those it already holds with the same content.

        An interrupted upload resumes where it stopped. S3 checks each file, or each part of a large one, against its
        SHA-256 before it stores it.

        Args:
            files: Name below the URI, with forward slashes -> local file. Links are followed.
            uri: The destination folder.
            progress: Called with (files done, files in total).
            transfer: Called with the progress in files and bytes.

        Returns:
            The number of copied files.
        """
        with _translated(f"upload to {uri}"):
            self._prepare(uri)
            there = {file.name: file for file in self.files(uri)}
            return self._upload(
                [_Upload(path, path.stat().st_size, join(uri, name), there.get(name)) for name, path in files.items()],
                _both(progress, transfer),
            )

    def download_file(self, uri: str, path: Path, *, transfer: TransferCallback | None = None) -> None:
        """Copies one file to a local path; a partial download never appears under that path.

        An interrupted download of a large file resumes where it stopped.

        Raises:
            ConfigurationError: The file does not exist.
            AccessError: It cannot be read, or arrived damaged.
        """
        if is_file_uri(uri):
            if not self.exists(uri):
                raise ConfigurationError(f"The file {uri} does not exist.")
            with replacing(path, durable=False) as file:
                shutil.copyfile(container.uri_to_path(uri), file.name)
            return
        with _translated(f"download {uri}"):
            head = self._head(uri)
            if head is None:
                raise ConfigurationError(f"The file {uri} does not exist.")
            found = StoredFile(uri, head["ContentLength"], head["ETag"], head["LastModified"].timestamp())
            self._download([_Download(uri, path, found)], transfer)

    def download_files(
        self,
        uri: str,
        folder: Path,
        *,
        names: Collection[str] | None = None,
        transfer: TransferCallback | None = None,
    ) -> int:
        """Copies a folder's files to a local folder, except those it already holds with the same content.

        Args:
            uri: The folder to copy.
            folder: The local folder; created if it is missing. Its other files stay.
            names: The files to copy. Default: all.
            transfer: Called with the progress in files and bytes.

        Returns:
            The number of copied files.

        Raises:
            ConfigurationError: A name leads out of the folder.
        """
        found = [file for file in self.files(uri) if names is None or file.name in names]
        for file in found:
            if ".." in file.name.split("/") or "\0" in file.name or file.name.startswith("/"):
                raise ConfigurationError(f"{uri} contains {file.name!r}, which leads out of the folder to copy to.")
        with _translated(f"download {uri}"):
            return self._download(
                [_Download(join(uri, file.name), folder / file.name, file) for file in found], transfer
            )

    def delete_folder(self, uri: str) -> int:
        """Deletes a folder with all its files, and what interrupted uploads to it have left on S3.

        A folder that does not exist is not an error.

        Returns:
            The number of deleted files.
        """
        if is_file_uri(uri):
            folder = container.uri_to_path(uri)
            count = sum(not path.is_dir() for path in folder.rglob("*"))
            if folder.is_dir():
                shutil.rmtree(folder)
            return count
        count = self.delete_files(uri, [file.name for file in self.files(uri)])
        from dogbreed_sdk.aws import multipart  # noqa: PLC0415 - needs botocore

        bucket, prefix = split_s3_uri(join(uri, ""))
        with _translated(f"delete {uri}"):
            multipart.abort_below(self._s3, self._bucket(bucket), prefix)
        return count

    def delete_files(self, uri: str, names: Sequence[str]) -> int:
        """Deletes some files of a folder; one that does not exist is not an error.

        Args:
            uri: The folder.
            names: Their paths relative to it.

        Returns:
            The number of deleted files.
        """
        if is_file_uri(uri):
            for name in names:
                (container.uri_to_path(uri) / name).unlink(missing_ok=True)
            return len(names)
        bucket, _ = split_s3_uri(uri)
        with _translated(f"delete {uri}"):
            for start in range(0, len(names), _DELETED_AT_ONCE):
                keys = [split_s3_uri(join(uri, name))[1] for name in names[start : start + _DELETED_AT_ONCE]]
                answer = self._s3.delete_objects(
                    **self._bucket(bucket), Delete={"Objects": [{"Key": key} for key in keys], "Quiet": True}
                )
                if answer.get("Errors"):
                    first = answer["Errors"][0]
                    raise AccessError(f"s3://{bucket}/{first['Key']} was not deleted: {first.get('Message')}")
        return len(names)

    @property
    def _s3(self) -> S3Client:
        return self._client()

    def _bucket(self, name: str) -> dict[str, Any]:
        """The arguments of a call for a bucket: its name, and its owner where that is known."""
        of_session = self._session_bucket()
        owner = of_session.owner_of(name) if of_session else None
        return {"Bucket": name, "ExpectedBucketOwner": owner} if owner else {"Bucket": name}

    def _place(self, uri: str) -> dict[str, Any]:
        """The arguments of a call for an object."""
        bucket, key = split_s3_uri(uri)
        return {**self._bucket(bucket), "Key": key}

    def _writable(self, uri: str) -> tuple[dict[str, Any], dict[str, Any]]:
        """The arguments of a call that writes an object: where, and with which encryption."""
        self._prepare(uri)
        key = self._kms_key()
        encryption = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": key, "BucketKeyEnabled": True} if key else {}
        return self._place(uri), encryption

    def _prepare(self, uri: str) -> None:
        of_session = None if is_file_uri(uri) else self._session_bucket()
        if of_session and of_session.is_named(split_s3_uri(uri)[0]):
            of_session.prepare()

    def _head(self, uri: str) -> Mapping[str, Any] | None:
        """What S3 knows of an object, or None if it does not exist."""
        place = self._place(uri)
        from botocore.exceptions import ClientError  # noqa: PLC0415

        try:
            return self._s3.head_object(**place, ChecksumMode="ENABLED")
        except ClientError as error:
            if error.response["ResponseMetadata"]["HTTPStatusCode"] == 404:
                return None
            raise

    def _upload(self, uploads: Sequence[_Upload], report: TransferCallback | None) -> int:
        from dogbreed_sdk.aws.multipart import PART_BYTES  # noqa: PLC0415 - local sessions need no botocore here

        local = bool(uploads) and is_file_uri(uploads[0].uri)
        large = [] if local else [upload for upload in uploads if upload.size > PART_BYTES]
        small = [upload for upload in uploads if local or upload.size <= PART_BYTES]
        return Transfer("Uploading", self._upload_one, lambda upload: upload.size, report).run(small, large)

    def _upload_one(self, upload: _Upload, running: Running) -> bool:
        if self._is_there(upload.path, upload.uri, upload.found):
            running.unchanged(upload.size)
            return False
        if is_file_uri(upload.uri):
            self.upload_file(upload.path, upload.uri)
            running.copied(upload.size)
            return True
        from dogbreed_sdk.aws import contents, multipart  # noqa: PLC0415

        place, encryption = self._writable(upload.uri)
        if upload.size > multipart.PART_BYTES:
            multipart.MultipartUpload(self._s3, upload.path, place=place, encryption=encryption, running=running).run()
            return True
        content = upload.path.read_bytes()
        self._s3.put_object(
            **place,
            **encryption,
            Body=content,
            ChecksumSHA256=contents.sha256_base64(content),
            ChecksumAlgorithm="SHA256",
        )
        running.copied(len(content))
        return True

    def _download(self, downloads: Sequence[_Download], report: TransferCallback | None) -> int:
        return Transfer("Downloading", self._download_one, lambda download: download.found.size, report).run(downloads)

    def _download_one(self, download: _Download, running: Running) -> bool:
        uri, path, found = download
        if path.is_file() and self._is_there(path, uri, found):
            running.unchanged(found.size)
            return False
        if is_file_uri(uri):
            self.download_file(uri, path)
            running.copied(path.stat().st_size)
            return True
        from botocore.exceptions import ClientError  # noqa: PLC0415

        from dogbreed_sdk.aws import downloads  # noqa: PLC0415

        try:
            downloads.download(self._s3, self._place(uri), path, running, size=found.size)
        except ClientError as error:
            if error.response["Error"]["Code"] in {"NoSuchKey", "404"}:
                raise ConfigurationError(f"The file {uri} does not exist.") from error
            raise
        return True

    def _is_there(self, path: Path, uri: str, found: StoredFile | None) -> bool:
        """Whether a listed file has a local file's content."""
        if found is None or found.size != path.stat().st_size:
            return False
        if is_file_uri(uri):
            return filecmp.cmp(path, container.uri_to_path(uri), shallow=False)
        from dogbreed_sdk.aws import contents  # noqa: PLC0415

        if contents.is_same_by_etag(path, found.mark):
            return True
        head = self._head(uri)
        if head is None or head["ContentLength"] != found.size:
            return False
        place = self._place(uri)
        return bool(contents.is_same(path, head, lambda: self._s3.head_object(**place, PartNumber=1)["ContentLength"]))


class _Upload(NamedTuple):
    """A file to upload, of a size in bytes, and the file of that name that is there already."""

    path: Path
    size: int
    uri: str
    found: StoredFile | None = None


class _Download(NamedTuple):
    """A file to download, and what the listing says of it."""

    uri: str
    path: Path
    found: StoredFile


def _both(progress: Progress | None, transfer: TransferCallback | None) -> TransferCallback | None:
    """One callback for both kinds; files alone are reported when one is done."""
    if progress is None:
        return transfer
    reported = -1

    def report(step: TransferProgress) -> None:
        nonlocal reported
        if step.files != reported:
            reported = step.files
            progress(step.files, step.total_files)
        if transfer is not None:
            transfer(step)

    return report


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
