"""Downloads an archive over HTTP(S), resuming interrupted downloads, and unpacks it without trusting it."""

from __future__ import annotations

import hashlib
import json
import lzma
import re
import tarfile
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING, cast

from dogbreed_sdk.errors import DatasetError
from training_scripts._util import hashing
from training_scripts._util.locking import file_lock
from training_scripts._util.safe_text import redacted
from training_scripts._util.tar_reader import TarReader, decompressed

if TYPE_CHECKING:
    import requests

Progress = Callable[[int, int], None]

_SHA256 = re.compile("[0-9a-fA-F]{64}")
# At most this much is lost when a connection breaks.
_CHUNK = 1 << 16
_TIMEOUT_SECONDS = (10.0, 60.0)
_ATTEMPTS = 5
_FIRST_PAUSE_SECONDS = 0.5

# Pictures hardly compress: an archive that grows a hundredfold is a decompression bomb. The largest public data sets
# of pictures have about a million files (ImageNet 1.4 million).
MAX_GROWTH = 100
MAX_FILES = 2_000_000
# Exceptions of a broken archive; an OSError without errno also comes from the archive modules.
_BROKEN = (
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    NotImplementedError,
    RuntimeError,
    ValueError,
)
_LINK_REFUSED = "the archive contains a link or device, {!r}; it was not unpacked"
# Metadata that macOS adds to archives.
_RESOURCE_FORKS = "__MACOSX/"
# Growth below this is harmless (a tar of small text files may well compress a hundredfold).
_HARMLESS_BYTES = 64_000_000


def fetch(url: str, folder: Path, *, sha256: str | None = None, progress: Progress | None = None) -> Path:
    """Downloads a file, resuming an interrupted download of it.

    Args:
        url: http:// or https://.
        folder: Folder in which the file is stored, under a hidden name derived from the URL.
        sha256: Expected SHA-256 of the content.
        progress: Called with (received bytes, total bytes; 0 if the server does not send the size).

    Returns:
        The path of the file.

    Raises:
        DatasetError: The URL has another scheme, the server refuses, or the content does not match.
    """
    if not url.startswith(("http://", "https://")):
        raise DatasetError(f"{redacted(url)!r} is neither an http:// nor an https:// URL")
    if sha256 is not None and not _SHA256.fullmatch(sha256):
        raise DatasetError(f"a SHA-256 has 64 hexadecimal digits; {sha256!r} is not one")
    path = folder / f".download-{hashlib.sha256(url.encode()).hexdigest()[:16]}"
    part = path.with_name(path.name + ".part")
    with file_lock(part):  # two processes must not write to one part
        try:
            if not path.exists():
                _fetch_with_patience(url, part, progress)
                part.replace(path)
                _tag_file(part).unlink(missing_ok=True)
        finally:
            if part.exists() and not part.stat().st_size:  # taking the lock created it
                part.unlink()
    if sha256 is not None:
        _verify(url, path, sha256)
    return path


def _fetch_with_patience(url: str, part: Path, progress: Progress | None) -> None:
    """Retries after a broken connection or a temporary error of the server, as long as bytes arrive."""
    import requests  # noqa: PLC0415 - importing the SDK must stay cheap

    failures, pause, before = 0, _FIRST_PAUSE_SECONDS, 0
    while True:
        try:
            _fetch_once(url, part, progress)
        except requests.RequestException as error:
            here = part.stat().st_size if part.exists() else 0
            failures, before = (1 if here > before else failures + 1), here
            if failures >= _ATTEMPTS or not _is_temporary(error):
                kept = f" {here:,} bytes are stored; call again to resume." if here else ""
                # Without the cause, whose message may contain the secret parts of the URL.
                raise DatasetError(f"cannot download {redacted(url)}: {redacted(str(error))}.{kept}") from None
        else:
            return
        time.sleep(pause)
        pause = min(pause * 2, 8.0)


def _is_temporary(error: requests.RequestException) -> bool:
    import requests  # noqa: PLC0415 - importing the SDK must stay cheap

    if error.response is not None:
        return error.response.status_code >= 500 or error.response.status_code == requests.codes.too_many_requests
    broken = (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError)
    return isinstance(error, broken)


def _fetch_once(url: str, part: Path, progress: Progress | None) -> None:
    import requests  # noqa: PLC0415 - importing the SDK must stay cheap

    here = part.stat().st_size if part.exists() else 0
    tag = _read_tag(part)
    headers = {"Accept-Encoding": "identity"}
    if here and tag:
        headers |= {"Range": f"bytes={here}-", "If-Range": tag}
    with requests.get(url, headers=headers, stream=True, timeout=_TIMEOUT_SECONDS) as response:
        if response.status_code == requests.codes.requested_range_not_satisfiable:
            part.unlink()
            raise requests.ConnectionError("the server's file is shorter than the stored part")
        response.raise_for_status()
        if response.status_code != requests.codes.partial_content:
            here = 0
        total = here + int(response.headers.get("Content-Length") or 0)
        _write_tag(part, response)
        with part.open("r+b" if here else "wb") as file:
            file.seek(here)
            for chunk in response.iter_content(_CHUNK):
                file.write(chunk)
                here += len(chunk)
                if progress is not None:
                    progress(here, total if "Content-Length" in response.headers else 0)
        if "Content-Length" in response.headers and here != total:
            raise requests.ConnectionError(f"the connection ended after {here:,} of {total:,} bytes")


def _tag_file(part: Path) -> Path:
    return part.with_name(part.name + ".json")


def _read_tag(part: Path) -> str:
    """The server's identifier of the version that a part belongs to; without one, a download cannot be resumed."""
    try:
        return str(json.loads(_tag_file(part).read_text())["tag"])
    except (OSError, ValueError, KeyError):
        return ""


def _write_tag(part: Path, response: requests.Response) -> None:
    etag = response.headers.get("ETag", "")
    # If-Range accepts strong validators only (RFC 9110, 13.1.5).
    tag = "" if etag.startswith("W/") else etag
    _tag_file(part).write_text(json.dumps({"tag": tag or response.headers.get("Last-Modified", "")}))


def _verify(url: str, path: Path, expected: str) -> None:
    digest = hashing.sha256_of(path)
    if digest != expected.lower():
        path.unlink()
        raise DatasetError(
            f"{redacted(url)} is not the expected file: its SHA-256 is {digest}, not {expected}. "
            "It was deleted; check the URL and the digest."
        )


def extract(archive: Path, folder: Path, *, max_growth: int = MAX_GROWTH, max_files: int = MAX_FILES) -> None:
    """Unpacks the regular files of a zip or tar archive.

    Links, devices and names that lead outside the folder are refused, not skipped: no legitimate data set has them.
    Sizes are counted while unpacking, because headers may lie. Permissions and owners are not applied.

    Args:
        archive: A zip or tar file (plain, gzip, bzip2 or xz).
        folder: An existing folder.
        max_growth: Largest ratio of content to archive size, above 64 MB of content.
        max_files: Largest number of files.

    Raises:
        DatasetError: It is not an archive, is broken, or must not be unpacked.
    """
    allowed = max(_HARMLESS_BYTES, archive.stat().st_size * max_growth)
    try:
        for count, (name, content) in enumerate(_members(archive, allowed), start=1):
            if count > max_files:
                raise DatasetError(f"the archive contains more than {max_files:,} files; it was not unpacked")
            with content:
                if not name.startswith(_RESOURCE_FORKS):
                    allowed -= _write(content, _inside(folder, name), allowed)
    except _BROKEN as error:
        raise DatasetError(f"the archive is broken or in an unknown format: {error}") from error
    except OSError as error:
        if error.errno is not None:
            raise
        raise DatasetError(f"the archive is broken: {error}") from error


def _members(archive: Path, allowed: int) -> Iterator[tuple[str, IO[bytes]]]:
    """Yields the files of an archive with their names; of a tar, at most the allowed bytes are read."""
    if _is_zip(archive):
        with zipfile.ZipFile(archive) as packed:
            for entry in packed.infolist():
                kind = (entry.external_attr >> 16) & 0o170000
                if kind not in (0, 0o100000, 0o040000):
                    raise DatasetError(
                        f"the archive contains a link or device, {entry.filename!r}; it was not unpacked"
                    )
                if not entry.is_dir():
                    yield entry.filename, packed.open(entry)
        return
    with decompressed(archive) as plain:
        reader = TarReader(plain, allowed + _HARMLESS_BYTES, error=DatasetError)
        try:
            tar = tarfile.TarFile(fileobj=cast("IO[bytes]", reader))
        except tarfile.ReadError:
            reader.drain()  # raises if it is a broken archive rather than another file
            raise DatasetError(
                "the file is neither a zip nor a tar archive. If it was downloaded, the URL may be that of a web page"
            ) from None
        with tar:
            yield from _tar_members(tar)
        reader.drain()


def _is_zip(archive: Path) -> bool:
    """Whether it begins like a zip. `zipfile.is_zipfile` looks at the end, where a tar may contain a zip."""
    with archive.open("rb") as file:
        return file.read(4) in (b"PK\x03\x04", b"PK\x05\x06")


def _tar_members(tar: tarfile.TarFile) -> Iterator[tuple[str, IO[bytes]]]:
    for member in tar:
        if not (member.isfile() or member.isdir()):
            raise DatasetError(_LINK_REFUSED.format(member.name))
        content = tar.extractfile(member)
        if content is not None:
            yield member.name, content


def _inside(folder: Path, name: str) -> Path:
    """The path of a member below the folder.

    Raises:
        DatasetError: Its name leads outside the folder.
    """
    parts = PurePosixPath(name.replace("\\", "/")).parts
    if not parts or ".." in parts or parts[0].startswith("/") or ":" in parts[0] or "\0" in name:
        raise DatasetError(f"the archive contains a name that leads outside the folder, {name!r}; it was not unpacked")
    return folder.joinpath(*parts)


def _write(content: IO[bytes], path: Path, allowed: int) -> int:
    """Copies one member and returns its size.

    Raises:
        DatasetError: It is larger than allowed, or its name already exists.
    """
    written = 0
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("xb")
    except (FileExistsError, NotADirectoryError):
        raise DatasetError(f"the archive contains {path.name!r} or its folder twice; it was not unpacked") from None
    with file:
        while chunk := content.read(_CHUNK):
            written += len(chunk)
            if written > allowed:
                raise DatasetError(
                    "the archive is a decompression bomb: its content is far too large; it was not unpacked"
                )
            file.write(chunk)
    return written
