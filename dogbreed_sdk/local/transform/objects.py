"""The objects of a batch transform job at s3:// and file:// URIs: finds, reads and writes them.

All functions block; a job calls them in threads.
"""

from __future__ import annotations

import errno
import gzip
import io
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

from dogbreed_sdk.container import uri_to_path
from dogbreed_sdk.errors import ConfigurationError
from dogbreed_sdk.local.data_files import files_below
from dogbreed_sdk.local.s3 import transfer
from dogbreed_sdk.local.s3.manifest import read_manifest
from training_scripts._util.atomic import replacing, temporary_folder

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client
    from types_boto3_sagemaker.type_defs import TransformS3DataSourceTypeDef

# Larger objects are copied to the disk first: S3 closes a connection that a slow model leaves idle.
_IN_MEMORY_BYTES = 4 << 20
_MAX_MANIFEST_BYTES = 64 << 20


@dataclass(frozen=True)
class InputObject:
    """One object of the input.

    Attributes:
        uri: Its s3:// URI, or its path.
        relative: Its key below the prefix, which the key of its output repeats.
        size: Its size in bytes, if the listing had it.
    """

    uri: str
    relative: str
    size: int | None = None

    @property
    def name(self) -> str:
        """What logs call it: bucket/key, as on AWS, or its path."""
        return self.uri.removeprefix("s3://")


class Objects:
    """Reads and writes objects, with one S3 client for all of them.

    Args:
        scratch: A folder for copies of large objects; created when it is needed.
    """

    def __init__(self, scratch: Path) -> None:
        self._scratch = scratch
        self._client: S3Client | None = None
        self._lock = threading.Lock()

    def find(self, source: TransformS3DataSourceTypeDef) -> list[InputObject]:
        """The objects of a data source, in order.

        Raises:
            ConfigurationError: There are none, the manifest is damaged, or S3 refuses the access.
        """
        uri = source["S3Uri"]
        found = self._in_manifest(uri) if source["S3DataType"] == "ManifestFile" else self._below(uri)
        for item in found:
            if ".." in Path(item.relative).parts:
                raise ConfigurationError(f"The key of {item.uri} leads out of S3OutputPath; rename the object.")
        if not found:
            raise ConfigurationError(f"No S3 objects found under S3 URL {uri!r} given in input data source.")
        return found

    @contextmanager
    def opened(self, item: InputObject, *, is_compressed: bool) -> Iterator[BinaryIO]:
        """The content of an object, decompressed, on this machine.

        Raises:
            ConfigurationError: It can't be read.
        """
        with self._raw(item) as raw:
            if not is_compressed:
                yield raw
                return
            with gzip.GzipFile(fileobj=raw) as plain:
                yield cast("BinaryIO", plain)

    def deliver(self, part: Path, uri: str) -> None:
        """Move a complete file to its URI, where it appears at once and as a whole.

        Raises:
            ConfigurationError: It can't be written there.
            OSError: The disk is full.
        """
        if uri.startswith("s3://"):
            bucket, key = transfer.split_uri(uri)
            with transfer.Explained(uri):
                self._s3(uri).upload_file(str(part), bucket, key)
            part.unlink()
            return
        try:
            _move(part, Path(uri))
        except OSError as error:
            if error.errno == errno.ENOSPC:
                raise
            raise ConfigurationError(f"The output {uri} can't be written: {error}") from error

    @contextmanager
    def _raw(self, item: InputObject) -> Iterator[BinaryIO]:
        if not item.uri.startswith("s3://"):
            try:
                content = Path(item.uri).open("rb")  # noqa: SIM115 - the next statement closes it
            except OSError as error:
                raise ConfigurationError(f"{item.uri} can't be read: {error}") from error
            with content:
                yield content
            return
        bucket, key = transfer.split_uri(item.uri)
        if item.size is not None and item.size <= _IN_MEMORY_BYTES:
            with transfer.Explained(item.uri):
                body = self._s3(item.uri).get_object(Bucket=bucket, Key=key)["Body"].read()
            yield io.BytesIO(body)
            return
        with temporary_folder(self._scratch, "input") as folder:
            with transfer.Explained(item.uri):
                self._s3(item.uri).download_file(bucket, key, str(folder / "object"))
            with (folder / "object").open("rb") as content:
                yield content

    def _below(self, uri: str) -> list[InputObject]:
        return list(self._keys(uri)) if uri.startswith("s3://") else list(_files(_path(uri)))

    def _keys(self, uri: str) -> Iterator[InputObject]:
        bucket, prefix = transfer.split_uri(uri)
        with transfer.Explained(uri):
            for page in self._s3(uri).get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
                for entry in page.get("Contents", ()):
                    if not entry["Key"].endswith("/"):  # the console marks a folder with such a key
                        relative = _below_prefix(entry["Key"], prefix)
                        yield InputObject(f"s3://{bucket}/{entry['Key']}", relative, entry["Size"])

    def _in_manifest(self, uri: str) -> list[InputObject]:
        manifest = InputObject(uri if uri.startswith("s3://") else str(_path(uri)), "")
        with self.opened(manifest, is_compressed=False) as content:
            text = content.read(_MAX_MANIFEST_BYTES + 1)
        if len(text) > _MAX_MANIFEST_BYTES:
            raise ConfigurationError(f"The manifest {uri} is larger than {_MAX_MANIFEST_BYTES >> 20} MiB; split it.")
        try:
            base, keys = read_manifest(text)
        except ValueError as error:
            raise ConfigurationError(f"The manifest {uri} can't be used: {error}.") from error
        base = base if base.startswith("s3://") else str(_path(base)) + "/" * base.endswith("/")
        return [InputObject(f"{base}{key}", key.lstrip("/")) for key in keys]

    def _s3(self, uri: str) -> S3Client:
        with self._lock:
            if self._client is None:
                self._client = transfer.client_for(uri)
            return self._client


def _move(part: Path, destination: Path) -> None:
    destination.parent.mkdir(parents=True, exist_ok=True)
    if destination.parent.stat().st_dev == part.stat().st_dev:
        part.replace(destination)
        return
    with part.open("rb") as content, replacing(destination) as file:
        shutil.copyfileobj(content, file)
    part.unlink()


def output_uri(base: str, item: InputObject) -> str:
    """Where an object's output is written: its s3:// URI, or its path.

    Args:
        base: S3OutputPath, without the last slash.
        item: The object.

    >>> output_uri("s3://results/dogs", InputObject("s3://pictures/new/rex.jpg", "rex.jpg"))
    's3://results/dogs/rex.jpg.out'
    """
    return f"{base if base.startswith('s3://') else _path(base)}/{item.relative}.out"


def _path(uri: str) -> Path:
    try:
        return uri_to_path(uri)
    except ValueError as error:
        raise ConfigurationError(f"{error}; transform jobs read and write s3:// and file:// URIs.") from None


def _files(prefix: Path) -> Iterator[InputObject]:
    """The files that a file:// prefix stands for: those of a directory, or those that begin with it, as keys do."""
    if prefix.is_dir():
        yield from _files_of(prefix, "")
        return
    beginning = [path for path in sorted(prefix.parent.glob("*")) if path.name.startswith(prefix.name)]
    for path in beginning:
        if path.is_dir():
            yield from _files_of(path, f"{path.name}/")
        elif path.is_file():
            yield InputObject(str(path), path.name)


def _files_of(folder: Path, base: str) -> Iterator[InputObject]:
    for path in files_below(folder):
        yield InputObject(str(path), f"{base}{path.relative_to(folder).as_posix()}")


def _below_prefix(key: str, prefix: str) -> str:
    """A key relative to its prefix; a prefix that ends within a name stands for the folder that contains the name.

    >>> _below_prefix("new/a/rex.jpg", "new"), _below_prefix("new/rex.jpg", "new/re"), _below_prefix("rex", "rex")
    ('a/rex.jpg', 'rex.jpg', 'rex')
    """
    if key.startswith(f"{prefix.rstrip('/')}/") and prefix:
        return key[len(prefix.rstrip("/")) + 1 :]
    return key[prefix.rfind("/") + 1 :]
