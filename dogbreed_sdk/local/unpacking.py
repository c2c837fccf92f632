"""Unpacks archives that may be untrusted: a script's source, or a model."""

from __future__ import annotations

import lzma
import shutil
import tarfile
import zlib
from pathlib import Path
from typing import IO, cast

from dogbreed_sdk._util.formatting import amount
from dogbreed_sdk.errors import ConfigurationError
from dogbreed_sdk.local.script_files import nearest_folder
from training_scripts._util.tar_reader import (
    HARMLESS_BYTES,
    MAX_DEPTH,
    MAX_GROWTH,
    TarReader,
    allowed_bytes,
    decompressed,
)


def unpack(archive: Path, folder: Path) -> None:
    """Unpack a tar archive; members that lead out of the folder, links to elsewhere and devices are refused.

    An archive is refused before it is unpacked if its headers declare far more than its size or more than the disk has
    room for, or if a header itself is too large.

    Raises:
        ConfigurationError: It is not a tar archive, is cut short, holds such a member, or is too large.
    """
    if not hasattr(tarfile, "data_filter"):
        raise ConfigurationError("This Python can't unpack archives safely; use at least 3.10.12 or 3.11.4.")
    try:
        _unpack_checked(archive, folder)
    except ConfigurationError:
        raise
    except tarfile.FilterError as error:
        raise ConfigurationError(f"{archive} is not unpacked, because it is not safe: {error}") from error
    except (tarfile.TarError, EOFError, zlib.error, lzma.LZMAError, ValueError) as error:
        raise _damaged(archive, error) from error
    except OSError as error:
        # Errors from decompressors have no errno; errors from the system, such as a full disk, have one.
        if error.errno is not None:
            raise
        raise _damaged(archive, error) from error


def _unpack_checked(archive: Path, folder: Path) -> None:
    allowed = allowed_bytes(archive)
    room = shutil.disk_usage(nearest_folder(folder)).free
    unpacked = 0

    def checked(member: tarfile.TarInfo, path: str) -> tarfile.TarInfo | None:
        nonlocal unpacked
        unpacked += member.size
        announced = f"{archive} was not unpacked: up to {member.name[:100]!r} it contains {amount(unpacked)},"
        if member.name.count("/") > MAX_DEPTH:
            raise ConfigurationError(
                f"{archive} was not unpacked: {member.name[:100]!r} in it is nested more than {MAX_DEPTH} folders deep."
            )
        if unpacked > allowed:
            raise ConfigurationError(f"{announced} more than {MAX_GROWTH} times its own size.")
        if unpacked > room:
            raise ConfigurationError(f"{announced} but {folder} has room for only {amount(room)}.")
        return tarfile.data_filter(member, path)

    with decompressed(archive) as plain:
        # Headers and padding add to the size of the members.
        reader = TarReader(
            plain, allowed + HARMLESS_BYTES, error=lambda problem: ConfigurationError(f"{archive}: {problem}.")
        )
        with tarfile.TarFile(fileobj=cast("IO[bytes]", reader)) as tar:
            tar.extractall(folder, filter=checked)  # noqa: S202 - the filter is data_filter, and more
        # A tar archive ends before its file does, and the checksum of a .gz file comes last.
        reader.drain()


def _damaged(archive: Path, error: Exception) -> ConfigurationError:
    return ConfigurationError(
        f"{archive} is not a complete tar archive, or it is damaged ({error}). "
        f"Pack the files again with: tar -czf {archive.name} *"
    )
