"""What a script left on the disk, read so that nothing there can hold up its reader: named pipes, devices, links."""

from __future__ import annotations

import os
import secrets
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal

_REPORTS = 10
_NAMES = {
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}

Report = Callable[[str], object]


@dataclass(frozen=True)
class Entry:
    """Something in a folder that can be packed.

    Attributes:
        kind: A folder, a regular file, or a link to either within the same folder.
        name: Its path relative to the folder, with forward slashes.
        source: Where it lies; for a link that leads elsewhere, the file that it leads to.
    """

    kind: Literal["folder", "file", "link"]
    name: str
    source: Path


def contents(folder: Path, report: Report) -> list[Entry]:
    """Everything in a folder that can be packed, sorted.

    A link to a file elsewhere counts as the file. What can't be packed is left out: pipes, sockets and devices, links
    to nothing or to folders elsewhere, folders that may not be read.

    Args:
        folder: The folder; one that is not there, or is only a link, is empty.
        report: Called with a line about each thing that is left out, up to ten.
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
        OSError: It is not there, or is something else, which could keep its reader waiting.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return os.fdopen(descriptor, "rb")
    os.close(descriptor)
    raise OSError(f"{path} is not a regular file")


def copy_file(source: Path, destination: Path) -> None:
    """Copy a regular file with its mode; of one that says it is empty, as those of the kernel do, nothing is read."""
    destination.parent.mkdir(parents=True, exist_ok=True)
    with open_regular(source) as reading, destination.open("wb") as writing:
        if os.fstat(reading.fileno()).st_size:
            shutil.copyfileobj(reading, writing)
    shutil.copymode(source, destination)


def read_end(path: Path, limit: int) -> str:
    """The last bytes of a text file; empty where it can't be read."""
    try:
        with open_regular(path) as handle:
            handle.seek(max(0, os.fstat(handle.fileno()).st_size - limit))
            return handle.read(limit).decode("utf-8", "replace")
    except OSError:
        return ""


def nearest_folder(place: Path) -> Path:
    """A folder, or the nearest one above it where it does not exist: the script may have removed it."""
    return next(path for path in (place, *place.parents) if path.is_dir())


def remove_tree(folder: Path) -> None:
    """Remove a folder with all that is in it, also folders that may not be written; what can't be removed stays.

    A script may have put something else in its place: that alone is removed. `shutil.rmtree` opens what it is given,
    and would wait for the other end of a named pipe; nor can it remove folders nested a thousand deep.
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
    """Remove the files of a folder, and move its folders to the top, so that no path gets long; yields where to."""
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
    """All that is in a folder; `os.walk` before Python 3.12 can't go a thousand folders deep."""
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
        ValueError: It can't be; says what it is.
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
        raise ValueError(f"it is a link to {written}, which is not there")
    if not written.is_absolute() and target.is_relative_to(folder.resolve()):
        return Entry("link", name, path)
    if not target.is_file():
        raise ValueError(f"it is a link to {target}, which is not a file")
    return Entry("file", name, target)


class _Reports:
    """Passes a few reports on, and then only counts: a script may leave a million pipes."""

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
