"""Whether a local file and an object of S3 have the same content, by whatever S3 knows of the object.

Source: S3 User Guide, "Checking object integrity": an ETag is the MD5 of an object that was written in one piece and is
not encrypted with a KMS key; of one in parts it is the MD5 of the parts' MD5s, followed by their number; checksums of
parts are combined likewise.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hashlib import _Hash

_BLOCK = 1 << 20
_MD5 = re.compile(r"[0-9a-f]{32}")
_IN_PARTS = re.compile(r"[0-9a-f]{32}-\d+")

NewHash = Callable[[], "_Hash"]


def md5(data: bytes = b"") -> _Hash:
    """An MD5, as in S3's ETags; it also works where MD5 is forbidden for security."""
    return hashlib.md5(data, usedforsecurity=False)


def sha256_base64(data: bytes) -> str:
    """A SHA-256 as S3 writes it."""
    return base64.b64encode(hashlib.sha256(data).digest()).decode()


def file_sha256(path: Path) -> str:
    """The SHA-256 of a file, as S3 writes it."""
    return base64.b64encode(_digest(path, hashlib.sha256)).decode()


def is_same_by_etag(path: Path, etag: str) -> bool:
    """Whether an ETag proves that an object has a file's content; False proves nothing."""
    plain = etag.strip('"')
    return _MD5.fullmatch(plain) is not None and _digest(path, md5).hex() == plain


def is_same(path: Path, head: Mapping[str, Any], part_size: Callable[[], int]) -> bool | None:
    """Whether an object has a file's content; None if S3 has no checksum to decide it.

    Args:
        path: The file, of the object's size.
        head: S3's answer to HeadObject or GetObject with ChecksumMode.
        part_size: Gives the size of the object's first part; called for an object in parts.
    """
    etag, checksum = str(head.get("ETag", "")).strip('"'), str(head.get("ChecksumSHA256") or "")
    if _IN_PARTS.fullmatch(etag):
        if checksum:
            # "<checksum of the parts' checksums>-<number of parts>"
            combined = _digest_of_parts(path, hashlib.sha256, part_size())
            return base64.b64encode(combined).decode() == checksum.partition("-")[0]
        if _is_plainly_stored(head):
            return f"{_digest_of_parts(path, md5, part_size()).hex()}-" == f"{etag.partition('-')[0]}-"
        return None
    if checksum:
        return file_sha256(path) == checksum
    if _is_plainly_stored(head) and _MD5.fullmatch(etag):
        return _digest(path, md5).hex() == etag
    return None


def _is_plainly_stored(head: Mapping[str, Any]) -> bool:
    """Whether the ETag follows from the content: without encryption, or with S3's own keys."""
    return head.get("ServerSideEncryption") in (None, "AES256") and not head.get("SSECustomerAlgorithm")


def _digest(path: Path, new: NewHash) -> bytes:
    digest = new()
    for block in _blocks(path):
        digest.update(block)
    return digest.digest()


def _digest_of_parts(path: Path, new: NewHash, part_size: int) -> bytes:
    combined, digest, left = new(), new(), part_size
    for block in _blocks(path):
        view = memoryview(block)
        while view:
            piece = view[:left]
            digest.update(piece)
            left -= len(piece)
            view = view[len(piece) :]
            if not left:
                combined.update(digest.digest())
                digest, left = new(), part_size
    if left < part_size:
        combined.update(digest.digest())
    return combined.digest()


def _blocks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            yield block
