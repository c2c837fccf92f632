"""The index of local S3: buckets, objects and multipart uploads, with what S3 knows of them beside their content."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from dogbreed_sdk.local.database import Database
from dogbreed_sdk.local.store import StoreError

_VERSION = 1
_SCHEMA = """
CREATE TABLE buckets (name TEXT PRIMARY KEY, region TEXT NOT NULL, created REAL NOT NULL, settings TEXT NOT NULL);
CREATE TABLE objects (
    bucket TEXT NOT NULL, key TEXT NOT NULL, path TEXT NOT NULL, size INTEGER NOT NULL, mark TEXT NOT NULL,
    etag TEXT NOT NULL, modified REAL NOT NULL, attributes TEXT NOT NULL, PRIMARY KEY (bucket, key)) WITHOUT ROWID;
CREATE UNIQUE INDEX object_paths ON objects (path COLLATE NOCASE);
CREATE TABLE uploads (
    id TEXT PRIMARY KEY, bucket TEXT NOT NULL, key TEXT NOT NULL, created REAL NOT NULL, attributes TEXT NOT NULL);
CREATE INDEX upload_keys ON uploads (bucket, key, id);
CREATE TABLE parts (
    upload TEXT NOT NULL, number INTEGER NOT NULL, size INTEGER NOT NULL, etag TEXT NOT NULL, modified REAL NOT NULL,
    checksums TEXT NOT NULL, PRIMARY KEY (upload, number)) WITHOUT ROWID;
"""
_OBJECT = "bucket, key, path, size, mark, etag, modified, attributes"
# S3's limit in UTF-8, and the text that sorts behind all keys.
LONGEST_KEY_BYTES = 1024
_LAST = "\U0010ffff" * (LONGEST_KEY_BYTES // 4)


@dataclass(frozen=True)
class Bucket:
    """A bucket.

    Attributes:
        name: Its name.
        region: Where it was created.
        created: Epoch seconds.
        settings: What was put beside it, by the operation's noun: "Tagging", "PublicAccessBlock", …
    """

    name: str
    region: str
    created: float
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class StoredObject:
    """An object, as it was when it was written.

    Attributes:
        bucket: Its bucket.
        key: Its key.
        path: Its file, relative to the folder of local S3.
        size: Bytes.
        mark: Identifies this content of the file; see `incoming.mark_of`.
        etag: The ETag without quotes.
        modified: Epoch seconds.
        attributes: Members of GetObject's response: ContentType, Metadata, checksums; also TagSet and PartSizes.
    """

    bucket: str
    key: str
    path: str
    size: int
    mark: str
    etag: str
    modified: float
    attributes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Upload:
    """A multipart upload that was begun."""

    id: str
    bucket: str
    key: str
    created: float
    attributes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Part:
    """A part of a multipart upload; `checksums` are members such as ChecksumCRC32."""

    upload: str
    number: int
    size: int
    etag: str
    modified: float
    checksums: Mapping[str, str] = field(default_factory=dict)


class Index:
    """The index in one file, which threads and processes share; each method is one transaction.

    Args:
        folder: The folder of local S3, which exists.
    """

    def __init__(self, folder: Path) -> None:
        path = folder / ".index.db"
        self._database = Database(path, failed=partial(_unusable, path))
        self._database.prepare(_create)

    def close(self) -> None:
        """Close the idle connections."""
        self._database.close()

    def transaction(self) -> AbstractContextManager[object]:
        """Makes all calls of this thread within the context one transaction."""
        return self._database.writing()

    # ------------------------------------------------------------------ buckets

    def bucket(self, name: str) -> Bucket | None:
        """The bucket of that name."""
        with self._database.reading() as connection:
            query = "SELECT name, region, created, settings FROM buckets WHERE name = ?"
            row = connection.execute(query, (name,)).fetchone()
        return _bucket(row) if row else None

    def buckets(self) -> list[Bucket]:
        """All buckets by name."""
        with self._database.reading() as connection:
            rows = connection.execute("SELECT name, region, created, settings FROM buckets ORDER BY name").fetchall()
        return [_bucket(row) for row in rows]

    def add_bucket(self, name: str, region: str) -> bool:
        """Add a bucket; False if it exists."""
        with self._database.writing() as connection:
            command = "INSERT OR IGNORE INTO buckets VALUES (?, ?, ?, '{}')"
            return connection.execute(command, (name, region, time.time())).rowcount == 1

    def change_settings(self, name: str, changes: Mapping[str, object | None]) -> None:
        """Set what lies beside a bucket; None removes it."""
        with self._database.writing() as connection:
            (text,) = connection.execute("SELECT settings FROM buckets WHERE name = ?", (name,)).fetchone()
            settings = {key: value for key, value in {**json.loads(text), **changes}.items() if value is not None}
            connection.execute("UPDATE buckets SET settings = ? WHERE name = ?", (json.dumps(settings), name))

    def remove_bucket(self, name: str) -> bool:
        """Remove a bucket with its multipart uploads; False if it has objects."""
        with self._database.writing() as connection:
            if connection.execute("SELECT 1 FROM objects WHERE bucket = ? LIMIT 1", (name,)).fetchone():
                return False
            connection.execute("DELETE FROM buckets WHERE name = ?", (name,))
            return True

    # ------------------------------------------------------------------ objects

    def object(self, bucket: str, key: str) -> StoredObject | None:
        """The object of that key."""
        with self._database.reading() as connection:
            query = f"SELECT {_OBJECT} FROM objects WHERE bucket = ? AND key = ?"  # noqa: S608
            row = connection.execute(query, (bucket, key)).fetchone()
        return _object(row) if row else None

    def owner(self, path: str) -> tuple[str, str] | None:
        """The bucket and key of the object whose file this is, whatever the case of its letters."""
        with self._database.reading() as connection:
            query = "SELECT bucket, key FROM objects WHERE path = ? COLLATE NOCASE"
            row = connection.execute(query, (path,)).fetchone()
        return row and (row[0], row[1])

    def put_object(self, item: StoredObject) -> None:
        """Add an object, or replace the one of its key."""
        row = (item.bucket, item.key, item.path, item.size, item.mark, item.etag, item.modified)
        with self._database.writing() as connection:
            command = f"INSERT OR REPLACE INTO objects ({_OBJECT}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"  # noqa: S608
            connection.execute(command, (*row, json.dumps(dict(item.attributes))))

    def remove_object(self, bucket: str, key: str) -> None:
        """Remove an object."""
        with self._database.writing() as connection:
            connection.execute("DELETE FROM objects WHERE bucket = ? AND key = ?", (bucket, key))

    def objects(self, bucket: str, *, start: str = "", after: str = "", limit: int = 1000) -> list[StoredObject]:
        """Objects in the order of their keys' UTF-8 bytes.

        Args:
            bucket: The bucket.
            start: The first key that may be among them.
            after: All keys are behind this one.
            limit: The maximum number.
        """
        with self._database.reading() as connection:
            query = (
                f"SELECT {_OBJECT} FROM objects WHERE bucket = ? AND key >= ? AND key > ? "  # noqa: S608
                "ORDER BY bucket, key LIMIT ?"
            )
            return [_object(row) for row in connection.execute(query, (bucket, start, after, limit)).fetchall()]

    # ------------------------------------------------------------------ multipart uploads

    def add_upload(self, upload: Upload) -> None:
        """Note that an upload was begun."""
        row = (upload.id, upload.bucket, upload.key, upload.created, json.dumps(dict(upload.attributes)))
        with self._database.writing() as connection:
            connection.execute("INSERT INTO uploads VALUES (?, ?, ?, ?, ?)", row)

    def upload(self, name: str) -> Upload | None:
        """The upload of that id."""
        with self._database.reading() as connection:
            row = connection.execute("SELECT * FROM uploads WHERE id = ?", (name,)).fetchone()
        return _upload(row) if row else None

    def uploads(self, bucket: str, *, prefix: str = "", after: tuple[str, str] = ("", "")) -> Iterator[Upload]:
        """A bucket's uploads with a key's prefix, by key and id, behind that key and id."""
        with self._database.reading() as connection:
            query = (
                "SELECT * FROM uploads WHERE bucket = ? AND key >= ? AND (key, id) > (?, ?) ORDER BY bucket, key, id"
            )
            rows = connection.execute(query, (bucket, prefix, *after)).fetchall()
        for row in rows:
            if not row[2].startswith(prefix):
                return
            yield _upload(row)

    def remove_upload(self, name: str) -> None:
        """Forget an upload and its parts."""
        with self._database.writing() as connection:
            connection.execute("DELETE FROM uploads WHERE id = ?", (name,))
            connection.execute("DELETE FROM parts WHERE upload = ?", (name,))

    def put_part(self, part: Part) -> None:
        """Add a part, or replace the one of its number."""
        row = (part.upload, part.number, part.size, part.etag, part.modified, json.dumps(dict(part.checksums)))
        with self._database.writing() as connection:
            connection.execute("INSERT OR REPLACE INTO parts VALUES (?, ?, ?, ?, ?, ?)", row)

    def parts(self, upload: str, *, after: int = 0) -> list[Part]:
        """An upload's parts by number, from the next number on."""
        with self._database.reading() as connection:
            query = "SELECT * FROM parts WHERE upload = ? AND number > ? ORDER BY number"
            rows = connection.execute(query, (upload, after)).fetchall()
        return [_part(row) for row in rows]


def behind(prefix: str) -> str:
    """A text that sorts behind all keys with a prefix, to skip them."""
    return prefix + _LAST


def _bucket(row: Sequence[Any]) -> Bucket:
    name, region, created, settings = row
    return Bucket(name, region, created, json.loads(settings))


def _object(row: Sequence[Any]) -> StoredObject:
    bucket, key, path, size, mark, etag, modified, attributes = row
    return StoredObject(bucket, key, path, size, mark, etag, modified, json.loads(attributes))


def _upload(row: Sequence[Any]) -> Upload:
    name, bucket, key, created, attributes = row
    return Upload(name, bucket, key, created, json.loads(attributes))


def _part(row: Sequence[Any]) -> Part:
    upload, number, size, etag, modified, checksums = row
    return Part(upload, number, size, etag, modified, json.loads(checksums))


def _create(connection: sqlite3.Connection) -> None:
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version > _VERSION:
        raise StoreError("The folder of local S3 was written by a newer dogbreed-sdk; upgrade to use it.")
    if version < _VERSION:
        connection.executescript(f"BEGIN; {_SCHEMA} PRAGMA user_version = {_VERSION}; COMMIT;")


def _unusable(path: Path, error: Exception) -> StoreError:
    return StoreError(
        f"Local S3 can't use its index {path}: {error}. "
        "Check that you own the folder, that it is writable, and that its disk has free space."
    )
