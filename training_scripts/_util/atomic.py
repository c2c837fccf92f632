"""Writes files and folders atomically: readers see the old content or the new, never a part, even after a crash.

New content is first written beside its target as ``.<name>.<host>-<process>-<random>.partial``, locked by its writer.
The kernel releases the lock however the writer ends, so the next writer to that folder removes what dead writers left.
Process ids alone would not suffice: they are reused, and identify other processes in a container or on another host.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import secrets
import shutil
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from training_scripts._util.locking import try_lock

_HOST = hashlib.sha256(os.uname().nodename.encode("utf-8", "surrogateescape")).hexdigest()[:8]
_PARTIAL = re.compile(r"\..+\.([0-9a-f]{8})-\d+-[0-9a-f]{8}\.partial", re.DOTALL)
# A network disk may have no locks, or locks that other hosts do not see: there, only a partial this old is abandoned.
_ABANDONED_SECONDS = 24 * 3600.0
# Listing a folder may take this share of the time: writing 100,000 files must not list the whole folder each time.
_LOOKING_SHARE = 0.05
# Leaves room for the rest of a partial's name within the limit of 255 bytes of file systems.
_LONGEST_NAME_BYTES = 190
_next_look: dict[str, float] = {}


def write_atomically(path: Path, data: bytes | str, *, durable: bool = True) -> None:
    """Replaces a file's content; creates its folder if it is missing.

    Args:
        path: The file.
        data: The new content; text is encoded as UTF-8.
        durable: Wait until the content is on the disk; use it for content that cannot be recreated.

    Raises:
        OSError: The disk is full or the folder cannot be written; the old file is still there.
    """
    with replacing(path, durable=durable) as file:
        file.write(data.encode() if isinstance(data, str) else data)


def write_json_atomically(path: Path, content: object, *, indent: int | None = 1, durable: bool = True) -> None:
    """Replaces a file's content with a value as JSON; otherwise like `write_atomically`.

    Raises:
        TypeError: JSON cannot represent the value; the old file is still there.
        OSError: As for `write_atomically`.
    """
    write_atomically(path, json.dumps(content, indent=indent), durable=durable)


@contextlib.contextmanager
def replacing(path: Path | str, *, durable: bool = True) -> Iterator[BinaryIO]:
    """A new file to write to, which replaces `path` when the context ends without an exception.

    Args:
        path: The file to replace; its folder is created if it is missing.
        durable: Wait until the content is on the disk before the file takes its place.

    Yields:
        The file, open for binary writing. Code that needs a path may open `file.name` a second time to write to it,
        but must not replace it with another file.

    Raises:
        OSError: The disk is full or the folder cannot be written; the old file is still there.
    """
    folder, name = os.path.split(path)
    _remove_abandoned(folder)
    file = _locked_file(folder, name)
    try:
        with file:
            yield file
            file.flush()
            if durable:
                os.fsync(file.fileno())
            os.replace(file.name, path)  # noqa: PTH105 - before the lock is released, and quicker than pathlib
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(file.name)  # noqa: PTH108
        raise


@contextlib.contextmanager
def temporary_file(folder: Path, name: str) -> Iterator[BinaryIO]:
    """A new file, open for binary writing, which is deleted at the end unless it was moved to its place.

    Args:
        folder: The folder that contains it; created if it is missing. After a crash, the next writer there deletes it.
        name: Part of its name that says what it is for.

    Raises:
        OSError: It cannot be created.
    """
    _remove_abandoned(str(folder))
    file = _locked_file(str(folder), name)
    try:
        with file:
            yield file
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(file.name)  # noqa: PTH108


@contextlib.contextmanager
def building(folder: Path) -> Iterator[Path]:
    """An empty folder beside `folder`, which replaces it when the context ends without an exception.

    Args:
        folder: The final path; must be missing or empty. Its parent is created if it is missing.

    Raises:
        OSError: The disk is full, the parent cannot be written, or another process created `folder` meanwhile.
    """
    with temporary_folder(folder.parent, folder.name) as aside:
        yield aside
        aside.replace(folder)


@contextlib.contextmanager
def temporary_folder(parent: Path, name: str, *, mode: int = 0o777) -> Iterator[Path]:
    """An empty folder that exists as long as the context; after a crash, the next writer in `parent` removes it.

    Args:
        parent: The folder that contains it; created if it is missing.
        name: Part of its name that says what it is for.
        mode: Its permissions, before the umask is applied.

    Raises:
        OSError: It cannot be created.
    """
    _remove_abandoned(str(parent))
    path, descriptor = _locked_folder(str(parent), name, mode)
    try:
        yield Path(path)
    finally:
        # It no longer exists if it was renamed.
        shutil.rmtree(path, ignore_errors=True)
        os.close(descriptor)


def _locked_file(folder: str, name: str) -> BinaryIO:
    while True:
        path = _partial(folder, name)
        try:
            file = open(path, "xb")  # noqa: SIM115, PTH123 - the caller closes it; quicker than pathlib
        except FileNotFoundError:
            os.makedirs(folder, exist_ok=True)  # noqa: PTH103
            file = open(path, "xb")  # noqa: SIM115, PTH123
        if _is_ours(file.fileno(), path):
            return file
        with file, contextlib.suppress(FileNotFoundError):
            os.unlink(path)  # noqa: PTH108


def _locked_folder(parent: str, name: str, mode: int) -> tuple[str, int]:
    os.makedirs(parent, exist_ok=True)  # noqa: PTH103
    while True:
        path = _partial(parent, name)
        os.mkdir(path, mode)  # noqa: PTH102
        with contextlib.suppress(FileNotFoundError):
            descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
            if _is_ours(descriptor, path):
                return path, descriptor
            os.close(descriptor)
            os.rmdir(path)  # noqa: PTH106


def _partial(folder: str, name: str) -> str:
    encoded = os.fsencode(name)
    if len(encoded) > _LONGEST_NAME_BYTES:
        name = hashlib.sha256(encoded).hexdigest()
    return os.path.join(folder, f".{name}.{_HOST}-{os.getpid()}-{secrets.token_hex(4)}.partial")  # noqa: PTH118


def _is_ours(descriptor: int, path: str) -> bool:
    """Locks a new partial; False if another process removed it as abandoned before it was locked."""
    try:
        if not try_lock(descriptor):
            return False
    except OSError:  # a file system without locks, where no process removes recent partials
        return True
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))  # noqa: PTH116
    except FileNotFoundError:
        return False


def _remove_abandoned(folder: str) -> None:
    """Deletes the partials that dead writers left in a folder, whatever their targets."""
    folder = folder or os.curdir
    begin = time.monotonic()
    if begin < _next_look.get(folder, 0.0):
        return
    with contextlib.suppress(OSError):  # no such folder yet, or one that may be written but not listed
        for name in os.listdir(folder):  # noqa: PTH208 - names alone are wanted
            if name.endswith(".partial") and (found := _PARTIAL.fullmatch(name)):
                with contextlib.suppress(OSError):
                    _remove_if_abandoned(os.path.join(folder, name), host=found[1])  # noqa: PTH118
    end = time.monotonic()
    if len(_next_look) >= 1000:
        _next_look.clear()
    _next_look[folder] = end + (end - begin) / _LOOKING_SHARE


def _remove_if_abandoned(path: str, *, host: str) -> None:
    # Opening never waits for the other end of a pipe, and never follows a link.
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        found = os.fstat(descriptor)
        if found.st_uid != os.geteuid() or not _is_abandoned(descriptor, found, host):
            return
        if stat.S_ISDIR(found.st_mode):
            shutil.rmtree(path, ignore_errors=True)
        else:
            os.unlink(path)  # noqa: PTH108
    finally:
        os.close(descriptor)


def _is_abandoned(descriptor: int, found: os.stat_result, host: str) -> bool:
    """Whether a partial no longer has a writer; if so, locks it, so that only one process removes it."""
    try:
        if not try_lock(descriptor):
            return False
    except OSError:
        locks_tell = False
    else:
        locks_tell = host == _HOST
    return locks_tell or time.time() - found.st_mtime > _ABANDONED_SECONDS
