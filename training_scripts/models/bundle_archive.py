"""Reads a bundle's archive without trusting it: the sizes in its headers are checked before any content is read.

Archives are untrusted, and zeros compress a thousandfold: an archive of 2.5 MB can keep a reader busy for minutes and
fill a disk.
"""

from __future__ import annotations

import contextlib
import lzma
import shutil
import tarfile
import zlib
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import IO, cast

from training_scripts._util.tar_reader import (
    HARMLESS_BYTES,
    MAX_DEPTH,
    MAX_GROWTH,
    TarReader,
    allowed_bytes,
    decompressed,
)
from training_scripts.models.description import BundleError

WEIGHTS_FILE = "model.pth"
DESCRIPTION_FILE = "model.json"
MAX_DESCRIPTION_BYTES = 16 << 20
# Our bundles have about twenty files; users may add some.
MAX_MEMBERS = 10_000
MAX_BYTES_BESIDE_WEIGHTS = 512 << 20

_CHUNK_BYTES = 1 << 16
_BROKEN = (tarfile.TarError, EOFError, zlib.error, lzma.LZMAError, ValueError)


class ArchiveLimits:
    """Adds up the sizes in an archive's headers, and refuses an archive that exceeds the limits of a bundle.

    Args:
        archive: The archive.
    """

    def __init__(self, archive: Path) -> None:
        self._archive = archive
        self._members = 0
        self._beside = 0
        self.allowed = allowed_bytes(archive)
        self._unpacked = 0

    def check(self, member: tarfile.TarInfo) -> None:
        """Checks one more member.

        Raises:
            BundleError: There are too many members, or they are too large.
        """
        name = name_of(member)
        self._members += 1
        self._unpacked += member.size
        self._beside += 0 if name == WEIGHTS_FILE else member.size
        announced = f"{self._archive} declares {member.size / 2**20:,.0f} MiB for {name[:100]!r},"
        if self._members > MAX_MEMBERS:
            raise BundleError(f"{self._archive} holds more than {MAX_MEMBERS:,} files: it is not a bundle")
        if name.count("/") > MAX_DEPTH:
            raise BundleError(
                f"{self._archive} contains {name[:100]!r}, which is nested more than {MAX_DEPTH} folders deep"
            )
        if name == DESCRIPTION_FILE and member.size > MAX_DESCRIPTION_BYTES:
            raise BundleError(
                f"{announced} more than the {MAX_DESCRIPTION_BYTES >> 20} MiB that a description may have"
            )
        if self._unpacked > self.allowed:
            raise BundleError(
                f"{announced} so that it unpacks to more than {MAX_GROWTH} times its size: it was not read"
            )
        if self._beside > MAX_BYTES_BESIDE_WEIGHTS:
            raise BundleError(
                f"{announced} but a bundle holds at most {MAX_BYTES_BESIDE_WEIGHTS >> 20} MiB beside {WEIGHTS_FILE}: "
                "pack it without files that do not belong to the model"
            )


def name_of(member: tarfile.TarInfo) -> str:
    """A member's name, regardless of whether the folder was packed as `.` or as `*`."""
    return member.name.removeprefix("./")


def read_description(archive: Path) -> bytes:
    """The bytes of model.json.

    Raises:
        BundleError: It is not an archive, or not a bundle's.
    """
    with _read_errors(archive), _opened(archive) as (tar, limits):
        for member in tar:
            limits.check(member)
            if member.isfile() and name_of(member) == DESCRIPTION_FILE:
                return b"".join(_content(tar, member))
    raise BundleError(f"{archive} is not a bundle: it has no {DESCRIPTION_FILE}")


def extract(
    archive: Path,
    folder: Path,
    names: Collection[str],
    *,
    check_weights: Callable[[int], object],
) -> None:
    """Unpacks the named files, and stops reading after the last of them.

    Args:
        archive: The archive.
        folder: An existing folder.
        names: The files to unpack.
        check_weights: Called with the size of model.pth before it is unpacked, if model.json is already unpacked; it
            may raise.

    Raises:
        BundleError: It is not an archive, is another kind of archive, lacks a file, or does not fit on the disk.
        OSError: The folder cannot be written.
    """
    missing = set(names)
    with _read_errors(archive), _opened(archive) as (tar, limits):
        for member in tar:
            limits.check(member)
            name = name_of(member)
            if not member.isfile() or name not in missing:
                continue
            if member.size > shutil.disk_usage(folder).free:
                raise BundleError(
                    f"{archive}: its {name} of {member.size >> 20} MiB does not fit on the disk of {folder}"
                )
            if name == WEIGHTS_FILE and (folder / DESCRIPTION_FILE).exists():
                check_weights(member.size)
            with (folder / name).open("xb") as target:
                target.writelines(_content(tar, member))
            missing.remove(name)
            if not missing:
                return
    raise BundleError(f"{archive} is not a bundle: it has no {' and no '.join(sorted(missing))}")


def extract_all(archive: Path, folder: Path) -> None:
    """Unpacks everything; refuses devices and links that lead out of the folder.

    Raises:
        BundleError: It is not an archive, is another kind of archive, or does not fit on the disk.
        OSError: The folder cannot be written.
    """
    if not hasattr(tarfile, "data_filter"):
        raise BundleError("this Python cannot unpack archives safely; use at least 3.10.12 or 3.11.4")
    room = shutil.disk_usage(folder).free
    with _read_errors(archive), _opened(archive) as (tar, limits):

        def checked(member: tarfile.TarInfo, path: str) -> tarfile.TarInfo | None:
            nonlocal room
            limits.check(member)
            room -= member.size
            if room < 0:
                raise BundleError(f"{archive} does not fit on the disk of {folder} when unpacked")
            return tarfile.data_filter(member, path)

        tar.extractall(folder, filter=checked)  # noqa: S202 - the filter is data_filter, and more


@contextlib.contextmanager
def _opened(archive: Path) -> Iterator[tuple[tarfile.TarFile, ArchiveLimits]]:
    limits = ArchiveLimits(archive)
    with decompressed(archive) as plain:
        # Headers and padding add to the size of the members.
        reader = TarReader(plain, limits.allowed + HARMLESS_BYTES, error=BundleError)
        try:
            tar = tarfile.TarFile(fileobj=cast("IO[bytes]", reader))
        except (tarfile.ReadError, EOFError, zlib.error, lzma.LZMAError) as error:
            # tarfile's messages are too technical, such as "bad checksum".
            raise BundleError(f"{archive} is not a bundle: it is not a tar archive") from error
        with tar:
            yield tar, limits


@contextlib.contextmanager
def _read_errors(archive: Path) -> Iterator[None]:
    """Converts exceptions from reading a broken archive to a BundleError."""
    try:
        yield
    except BundleError:
        raise
    except _BROKEN as error:
        raise BundleError(f"{archive} is not a bundle: it cannot be read as an archive ({error})") from error
    except OSError as error:
        if error.errno is not None and error.filename != str(archive):
            raise  # from the disk to which files are written
        if error.errno is not None:
            raise BundleError(f"cannot read the bundle {archive}: {error.strerror}") from error
        raise BundleError(f"{archive} is not a bundle: it cannot be read as an archive ({error})") from error


def _content(tar: tarfile.TarFile, member: tarfile.TarInfo) -> Iterator[bytes]:
    source = tar.extractfile(member)
    assert source is not None  # it is a file
    left = member.size
    while left:
        chunk = source.read(min(left, _CHUNK_BYTES))
        if not chunk:
            raise tarfile.ReadError("unexpected end of data")
        left -= len(chunk)
        yield chunk
