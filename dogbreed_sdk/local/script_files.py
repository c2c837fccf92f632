"""Reads, copies and removes the files that a script left on the disk, despite named pipes, devices and links."""

from __future__ import annotations

import os
import secrets
import shutil
import stat
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Literal

from dogbreed_sdk._util.log_file import Report

_REPORTS = 10
_NAMES = {
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


@dataclass(frozen=True)
class Entry:
    """Something in a folder that can be packed.

    Attributes:
        kind: A folder, a regular file, or a link to either within the same folder.
        name: Its path relative to the folder, with forward slashes.
        source: Its path; for a link to a file elsewhere, the path of that file.
    """

    kind: Literal["folder", "file", "link"]
    name: str
    source: Path


def merged_contents(folders: Sequence[Path], report: Report) -> list[Entry]:
    """Everything in several folders that can be packed, as if they were one folder; see `contents`.

    Args:
        folders: The folders; if several contain a thing of the same name, that of the first one is packed.
        report: Called with a line about each thing that is left out.
    """
    merged: dict[str, Entry] = {}
    reports = _Reports(report)
    for folder in folders:
        left_out = set()
        for entry in contents(folder, report):
            if str(PurePosixPath(entry.name).parent) in left_out:
                left_out.add(entry.name)
                continue
            present = merged.setdefault(entry.name, entry)
            if present is not entry and not present.kind == entry.kind == "folder":
                left_out.add(entry.name)
                reports.add(f"{entry.source} is not packed: another host has written {folder.name}/{entry.name} too")
    reports.close()
    return sorted(merged.values(), key=lambda entry: PurePosixPath(entry.name))


def contents(folder: Path, report: Report) -> list[Entry]:
    """Everything in a folder that can be packed, sorted.

    A link to a file elsewhere counts as the file. Left out are pipes, sockets and devices, broken links, links to
    folders elsewhere, and unreadable folders.

    Args:
        folder: The folder; one that is missing, or is a link, counts as empty.
        report: Called with a line about each thing that is left out, at most ten times.
    """
    reports = _Reports(report)
    if not folder.is_dir() or folder.is_symlink():
        reports.add(f"{folder.name} is not packed: the script has removed the folder")
        return []
    found: list[Entry] = []
    for path in sorted(_walk(folder, reports)):
        try:
            entry = _entry(folder, path)
        except (OSError, RuntimeError, ValueError) as error:  # RuntimeError: links in a circle, before Python 3.13
            reports.add(f"{path.relative_to(folder.parent)} is not packed: {error}")
        else:
            found.append(entry)
    reports.close()
    return found


def open_regular(path: Path) -> IO[bytes]:
    """Open a regular file for reading.

    Raises:
        OSError: It is missing, or is not a regular file, which could block its reader.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return os.fdopen(descriptor, "rb")
    os.close(descriptor)
    raise OSError(f"{path} is not a regular file")


def copy_file(source: Path, destination: Path) -> None:
    """Copy a regular file with its mode; a file of size 0, such as the kernel's, is copied as empty."""
    destination.parent.mkdir(parents=True, exist_ok=True)
    with open_regular(source) as reading, destination.open("wb") as writing:
        if os.fstat(reading.fileno()).st_size:
            shutil.copyfileobj(reading, writing)
    shutil.copymode(source, destination)


def read_end(path: Path, limit: int) -> str:
    """The last bytes of a text file as text; empty if it can't be read."""
    try:
        with open_regular(path) as handle:
            handle.seek(max(0, os.fstat(handle.fileno()).st_size - limit))
            return handle.read(limit).decode("utf-8", "replace")
    except OSError:
        return ""


def nearest_folder(place: Path) -> Path:
    """A folder, or its nearest parent that exists: the script may have removed it."""
    return next(path for path in (place, *place.parents) if path.is_dir())


def remove_tree(folder: Path) -> None:
    """Remove a folder with its content, including read-only folders; content that can't be removed stays.

    If a script replaced the folder with something else, only that is removed. `shutil.rmtree` would block on a named
    pipe, and can't remove folders that are nested a thousand levels deep.
    """
    if folder.is_symlink() or not folder.is_dir():
        with suppress(OSError):
            folder.unlink()
        return
    found = [folder]
    while found:
        current = found.pop()
        found.extend(_emptied(current, folder))
        with suppress(OSError):
            current.rmdir()
    with suppress(OSError):
        folder.rmdir()


def _emptied(folder: Path, top: Path) -> Iterator[Path]:
    """Remove a folder's files, and move its folders to the top so that no path gets long; yields their new paths."""
    with suppress(OSError):
        folder.chmod(0o700)
        for path in list(folder.iterdir()):
            with suppress(OSError):
                if path.is_symlink() or not path.is_dir():
                    path.unlink()
                    continue
                path.chmod(0o700)
                yield path.rename(top / f".removed-{secrets.token_hex(8)}")


def _walk(folder: Path, reports: _Reports) -> Iterator[Path]:
    """Everything below a folder; `os.walk` before Python 3.12 can't descend a thousand folders."""
    found = [folder]
    while found:
        current = found.pop()
        try:
            with os.scandir(current) as entries:
                for entry in entries:
                    path = Path(entry.path)
                    if entry.is_dir(follow_symlinks=False):
                        found.append(path)
                    yield path
        except OSError as error:
            reports.add(f"{current.relative_to(folder.parent)} is not packed: {error.strerror}")


def _entry(folder: Path, path: Path) -> Entry:
    """How something is packed.

    Raises:
        ValueError: It can't be packed; the message says why.
    """
    name, mode = path.relative_to(folder).as_posix(), path.lstat().st_mode
    if stat.S_ISDIR(mode):
        return Entry("folder", name, path)
    if stat.S_ISREG(mode):
        return Entry("file", name, path)
    if not stat.S_ISLNK(mode):
        raise ValueError(f"it is {_NAMES.get(stat.S_IFMT(mode), 'not a regular file')}")
    written, target = path.readlink(), path.resolve()
    if not target.exists():
        raise ValueError(f"it is a link to {written}, which does not exist")
    if not written.is_absolute() and target.is_relative_to(folder.resolve()):
        return Entry("link", name, path)
    if not target.is_file():
        raise ValueError(f"it is a link to {target}, which is not a file")
    return Entry("file", name, target)


class _Reports:
    """Passes on a few reports and counts the others: a script may leave a million pipes."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._count = 0

    def add(self, line: str) -> None:
        self._count += 1
        if self._count <= _REPORTS:
            self._report(f"warning: {line}")

    def close(self) -> None:
        if self._count > _REPORTS:
            self._report(f"warning: and {self._count - _REPORTS} more")
