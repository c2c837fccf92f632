"""The content of local S3: an object is an ordinary file at <root>/s3/<bucket>/<key>, wherever a key can be a path.

A key that can't be one (a/../b, or both `a` and `a/b`, or a name of 256 bytes) has its file in a folder aside. Files
are written aside and moved to their place within the transaction that changes the index, so that readers see an
object's old content with its old ETag or the new one with the new. A file that was edited by other programs is noticed
by its size and time, and gets a new ETag.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import secrets
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

from dogbreed_sdk.local.s3.incoming import BLOCK_BYTES, Incoming, mark_of, receiving
from dogbreed_sdk.local.s3.index import Bucket, Index, Part, StoredObject, Upload
from dogbreed_sdk.local.store import ACCOUNT_ID

FOLDER = "s3"
_INCOMING, _UPLOADS, _OTHER = ".incoming", ".uploads", ".other-keys"
_LONGEST_NAME_BYTES = 255
_DEFAULT_BUCKET = re.compile(rf"sagemaker-([a-z0-9-]{{1,32}})-{ACCOUNT_ID}")
_NOT_A_PLACE = (errno.EISDIR, errno.ENOTDIR, errno.EEXIST, errno.ENOTEMPTY, errno.ENAMETOOLONG, errno.EINVAL)

Check = Callable[[StoredObject | None], None]


def _no_check(_current: StoredObject | None) -> None:
    pass


class Objects:
    """All buckets' content below a root folder.

    Args:
        root: The root folder of local SageMaker.
    """

    def __init__(self, root: Path) -> None:
        self.folder = Path(root).absolute() / FOLDER
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.index = Index(self.folder)

    def close(self) -> None:
        """Close the index."""
        self.index.close()

    def receiving(self, algorithms: Sequence[str] = ()) -> AbstractContextManager[Incoming]:
        """A place for content that arrives; see `incoming.receiving`."""
        return receiving(self.folder / _INCOMING, algorithms)

    def make_bucket(self, name: str, region: str) -> bool:
        """Make a bucket; False if it exists."""
        (self.folder / name).mkdir(exist_ok=True)
        return self.index.add_bucket(name, region)

    def bucket(self, name: str) -> Bucket | None:
        """The bucket of that name; the SageMaker SDKs' default bucket is made when it is first used."""
        default = _DEFAULT_BUCKET.fullmatch(name)
        if default and self.index.bucket(name) is None:
            self.make_bucket(name, default.group(1))
        return self.index.bucket(name)

    # ------------------------------------------------------------------ objects

    def put(
        self,
        bucket: str,
        key: str,
        content: Incoming,
        attributes: Mapping[str, Any],
        *,
        etag: str | None = None,
        check: Check = _no_check,
        upload: str | None = None,
    ) -> StoredObject:
        """Make received content the object of a key.

        Args:
            bucket: The bucket, which exists.
            key: The key.
            content: The content; its file is moved away.
            attributes: See `StoredObject`.
            etag: The ETag, if it is not the content's MD5.
            check: Called with the current object; raises to refuse.
            upload: The multipart upload that this ends.
        """
        with self.index.transaction():
            current = self.index.object(bucket, key)
            check(current)
            mark = content.mark
            path = self._move(content, bucket, key)
            item = StoredObject(
                bucket, key, path, content.size, mark, etag or content.etag, time.time(), dict(attributes)
            )
            self.index.put_object(item)
            if current is not None and current.path != path:
                self._unlink(current.path)
            if upload is not None:
                self.index.remove_upload(upload)
        if upload is not None:
            shutil.rmtree(self.folder / _UPLOADS / upload, ignore_errors=True)
        return item

    def open(self, bucket: str, key: str) -> tuple[StoredObject, BinaryIO] | None:
        """An object and its content, which belong together and which the caller closes; None if there is none."""
        item = self.index.object(bucket, key)
        while item is not None:
            file = _opened(self.folder / item.path)
            if file is not None and mark_of(os.fstat(file.fileno())) == item.mark:
                return item, file
            before, item = item, self.index.object(bucket, key)
            if item == before and file is not None:
                return self._read_again(item, file), file
            if item == before:
                self._forget(item)
                return None
            if file is not None:
                file.close()  # it was replaced between the two looks
        return None

    def current(self, bucket: str, key: str) -> StoredObject | None:
        """An object as its file is now; None if there is none."""
        item = self.index.object(bucket, key)
        return item and self.as_now(item)

    def as_now(self, item: StoredObject) -> StoredObject | None:
        """An object as its file is now, None if other programs have deleted it."""
        try:
            unchanged = mark_of((self.folder / item.path).stat()) == item.mark
        except (FileNotFoundError, NotADirectoryError):
            unchanged = False
        if unchanged:
            return item
        found = self.open(item.bucket, item.key)
        if found is None:
            return None
        found[1].close()
        return found[0]

    def change(self, bucket: str, key: str, changes: Mapping[str, Any]) -> StoredObject | None:
        """Set attributes of an object; None removes one. Returns None if there is no such object."""
        with self.index.transaction():
            item = self.index.object(bucket, key)
            if item is None:
                return None
            merged = {name: value for name, value in {**item.attributes, **changes}.items() if value is not None}
            item = replace(item, attributes=merged)
            self.index.put_object(item)
            return item

    def delete(self, bucket: str, key: str, *, check: Check = _no_check) -> None:
        """Delete an object; does nothing if there is none."""
        with self.index.transaction():
            item = self.index.object(bucket, key)
            check(item)
            if item is not None:
                self.index.remove_object(bucket, key)
                self._unlink(item.path)

    def delete_bucket(self, name: str) -> bool:
        """Delete a bucket; False if it has objects."""
        with self.index.transaction():
            uploads = list(self.index.uploads(name))
            if not self.index.remove_bucket(name):
                return False
            for upload in uploads:
                self.abort(upload.id)
            with contextlib.suppress(OSError):  # other programs' files stay
                (self.folder / name).rmdir()
            return True

    # ------------------------------------------------------------------ multipart uploads

    def begin_upload(self, bucket: str, key: str, attributes: Mapping[str, Any]) -> Upload:
        """Begin a multipart upload."""
        upload = Upload(secrets.token_hex(16), bucket, key, time.time(), dict(attributes))
        (self.folder / _UPLOADS / upload.id).mkdir(parents=True)
        self.index.add_upload(upload)
        return upload

    def put_part(self, upload: str, number: int, content: Incoming, checksums: Mapping[str, str]) -> Part:
        """Make received content a part of an upload.

        Raises:
            FileNotFoundError: The upload has ended meanwhile.
        """
        with self.index.transaction():
            content.move(self.part_path(upload, number))
            part = Part(upload, number, content.size, content.etag, time.time(), dict(checksums))
            self.index.put_part(part)
            return part

    def part_path(self, upload: str, number: int) -> Path:
        """The file of a part."""
        return self.folder / _UPLOADS / upload / f"{number:05d}"

    def abort(self, upload: str) -> None:
        """End an upload without an object."""
        self.index.remove_upload(upload)
        shutil.rmtree(self.folder / _UPLOADS / upload, ignore_errors=True)

    # ------------------------------------------------------------------ files

    def _forget(self, item: StoredObject) -> None:
        """Removes an object whose file other programs have deleted."""
        with self.index.transaction():
            if self.index.object(item.bucket, item.key) == item:
                self.index.remove_object(item.bucket, item.key)

    def _read_again(self, item: StoredObject, file: BinaryIO) -> StoredObject:
        """An object whose file other programs have changed, with its present ETag."""
        digest = hashlib.md5(usedforsecurity=False)
        mark = mark_of(os.fstat(file.fileno()))
        while block := file.read(BLOCK_BYTES):
            digest.update(block)
        size = file.tell()
        file.seek(0)
        kept = {name: value for name, value in item.attributes.items() if not _is_of_content(name)}
        now = replace(item, size=size, mark=mark, etag=digest.hexdigest(), modified=time.time(), attributes=kept)
        with self.index.transaction():
            if self.index.object(item.bucket, item.key) == item:  # nothing was put meanwhile
                self.index.put_object(now)
        return now

    def _move(self, content: Incoming, bucket: str, key: str) -> str:
        """Moves content to the place of a key; returns its path below the folder."""
        path = f"{bucket}/{key}"
        if _can_be_a_path(key) and self.index.owner(path) in (None, (bucket, key)):
            try:
                (self.folder / path).parent.mkdir(parents=True, exist_ok=True)
                content.move(self.folder / path)
            except OSError as error:
                if error.errno not in _NOT_A_PLACE:
                    raise
                self._remove_empty(Path(path).parent)
            else:
                return path
        name = hashlib.sha256(key.encode()).hexdigest()
        path = f"{_OTHER}/{bucket}/{name}"
        (self.folder / path).parent.mkdir(parents=True, exist_ok=True)
        content.move(self.folder / path)
        return path

    def _unlink(self, path: str) -> None:
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            (self.folder / path).unlink()
        self._remove_empty(Path(path).parent)

    def _remove_empty(self, path: Path) -> None:
        """Removes folders that only the deleted object needed, up to the bucket's."""
        with contextlib.suppress(OSError):
            while len(path.parts) > 1:
                (self.folder / path).rmdir()
                path = path.parent


def _opened(path: Path) -> BinaryIO | None:
    try:
        return path.open("rb")
    except (FileNotFoundError, NotADirectoryError):
        return None


def _is_of_content(name: str) -> bool:
    return name.startswith("Checksum") or name in ("PartSizes", "UploadId")


def _can_be_a_path(key: str) -> bool:
    names = key.split("/")
    return "\0" not in key and all(
        name not in ("", ".", "..") and len(name.encode()) <= _LONGEST_NAME_BYTES for name in names
    )
