"""Writes files and folders in one step: readers and crashes see the old content or the new, never a part.

What is being written lies beside its place as ``.<name>.<host>-<process>-<random>.partial``, locked by its writer. The
kernel releases the lock however the writer ends, so the next writer to that folder removes what dead writers left.
Process ids alone would not do: they are reused, and mean other processes in a container or on another host.
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
# A network disk may have no locks, or locks that other hosts do not see: there only what is this old has no writer.
_ABANDONED_SECONDS = 24 * 3600.0
# Looking through a folder may take this share of the time: each of 100,000 files written to it must not list them all.
_LOOKING_SHARE = 0.05
# Leaves room for the rest of a partial's name within the 255 bytes that file systems allow.
_LONGEST_NAME_BYTES = 190
_next_look: dict[str, float] = {}


def write_atomically(path: Path, data: bytes | str, *, durable: bool = True) -> None:
    """Replaces a file's content, making its folder where it is missing.

    Args:
        path: The file.
        data: What it shall hold; text becomes UTF-8.
        durable: Wait until it is on the disk, as for what cannot be made again.

    Raises:
        OSError: The disk is full or the folder cannot be written; the old file is still there.
    """
    with replacing(path, durable=durable) as file:
        file.write(data.encode() if isinstance(data, str) else data)


def write_json_atomically(path: Path, content: object, *, indent: int | None = 1, durable: bool = True) -> None:
    """Replaces a file's content by a value as JSON; otherwise like `write_atomically`.

    Raises:
        TypeError: JSON has no form for the value; the old file is still there.
        OSError: As for `write_atomically`.
    """
    write_atomically(path, json.dumps(content, indent=indent), durable=durable)


@contextlib.contextmanager
def replacing(path: Path | str, *, durable: bool = True) -> Iterator[BinaryIO]:
    """A new file to write to, which takes the place of `path` when the context ends without an exception.

    Args:
        path: The file to replace; its folder is made where it is missing.
        durable: Wait until the content is on the disk before the file takes its place.

    Yields:
        The file, open for binary writing. Code that wants a path may open `file.name` a second time to write to it,
        but must not replace it by another file.

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
def building(folder: Path) -> Iterator[Path]:
    """An empty folder beside `folder`, which takes its place when the context ends without an exception.

    Args:
        folder: Where it comes to lie; must be missing or empty. Its parent is made where it is missing.

    Raises:
        OSError: The disk is full, the parent cannot be written, or something has come to lie at `folder`.
    """
    with temporary_folder(folder.parent, folder.name) as aside:
        yield aside
        aside.replace(folder)


@contextlib.contextmanager
def temporary_folder(parent: Path, name: str, *, mode: int = 0o777) -> Iterator[Path]:
    """An empty folder for as long as the context lasts; the next writer in `parent` removes it after a crash.

    Args:
        parent: The folder it lies in; made where it is missing.
        name: Part of its name: what it is for.
        mode: Its permissions, less the umask's.

    Raises:
        OSError: It cannot be made.
    """
    _remove_abandoned(str(parent))
    path, descriptor = _locked_folder(str(parent), name, mode)
    try:
        yield Path(path)
    finally:
        # Gone already where it was renamed.
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
    """Locks what was just made; False where another process took it for abandoned before it was locked."""
    try:
        if not try_lock(descriptor):
            return False
    except OSError:  # a file system without locks, where nobody removes anything young
        return True
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))  # noqa: PTH116
    except FileNotFoundError:
        return False


def _remove_abandoned(folder: str) -> None:
    """Deletes what writers that died have left in a folder, whatever it was to become."""
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
    # Never waits for a pipe's other end, and never follows a link.
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
    """Whether a partial has no writer any more; locks it if so, so that only one process removes it."""
    try:
        if not try_lock(descriptor):
            return False
    except OSError:
        locks_tell = False
    else:
        locks_tell = host == _HOST
    return locks_tell or time.time() - found.st_mtime > _ABANDONED_SECONDS
