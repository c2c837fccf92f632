"""Reads the event files of a trial; reading a file again reads only what is new."""

from __future__ import annotations

import contextlib
import mmap
import os
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from training_scripts.recording.trial import checksums, events, layout, tfrecord

# Numbers are kept when their record is read; larger tensors are read from the file again when needed.
KEPT_BYTES = 96
_MAPPED_BYTES = 1 << 20
# Problems to list per file: a reader wants to know what is missing, not every damaged record.
_MOST_PROBLEMS = 5


@dataclass(frozen=True)
class Place:
    """Location of a tensor's TensorProto in a file: begin and end, and the CRC-32 of its content."""

    path: str
    begin: int
    end: int
    crc: int


@dataclass(frozen=True)
class Found:
    """A tensor and the worker that recorded it."""

    record: events.Record
    worker: str
    content: bytes | Place


class EventFile:
    """An event file that may have been read in part.

    Attributes:
        path: The file.
        problems: One sentence for each thing that is wrong with the file.
    """

    def __init__(self, path: str, worker: str) -> None:
        self.path = path
        self.problems: list[str] = []
        self._worker = worker
        self._known: tuple[int, int, int] = (0, 0, 0)
        self._consumed = 0
        self._left_out = 0

    def is_new(self, status: os.stat_result) -> bool:
        """Whether the file has changed since it was read."""
        return self._known != (status.st_ino, status.st_mtime_ns, status.st_size)

    def was_replaced(self, status: os.stat_result) -> bool:
        """Whether what was read may no longer be in the file."""
        inode, _, size = self._known
        return bool(inode) and (status.st_ino != inode or status.st_size < size)

    def read(self, status: os.stat_result) -> list[Found]:
        """Reads the tensors that were added since the last read."""
        self._known = (status.st_ino, status.st_mtime_ns, status.st_size)
        self.problems, self._left_out = [], 0
        found: list[Found] = []
        try:
            with layout.opened(self.path) as file, _content(file) as data:
                self._collect(data, found)
        except OSError as error:
            self.problems.append(f"cannot be read: {error.strerror or error}")
        if self._left_out > _MOST_PROBLEMS:
            self.problems.append(f"{self._left_out - _MOST_PROBLEMS} more of its records are damaged and were left out")
        return found

    def _collect(self, data: bytes | memoryview, found: list[Found]) -> None:
        last = ""
        try:
            for begin, end in self._frames(data, self._consumed):
                self._consumed = end + tfrecord.FOOTER_BYTES
                try:
                    records = events.decode(data, begin, end)
                    for record in records:
                        content = self._content_of(data, record)
                        found.append(Found(record, self._worker, content))
                        last = named(record)
                except events.EventError as error:
                    self._leave_out(f"the record after {last or 'its beginning'}", str(error))
        except tfrecord.FrameError as error:
            self.problems.append(f"{error}; {'the rest' if error.offset else 'all'} of it is missing")

    def _frames(self, data: bytes | memoryview, consumed: int) -> Iterator[tuple[int, int]]:
        """Yields begin and end of every intact payload; notes damaged ones if the file has checksums."""
        offset = 0
        for crc, length in self._checksums():
            begin, offset = offset, offset + length
            if begin < consumed:
                continue
            if offset > len(data):
                raise tfrecord.FrameError("it ends within a record", offset=begin, truncated=True)
            if zlib.crc32(data[begin:offset]) == crc:
                yield begin + tfrecord.HEADER_BYTES, offset - tfrecord.FOOTER_BYTES
            else:
                self._consumed = offset
                self._leave_out(_guessed(data, begin, offset), "its checksum is wrong")
        yield from tfrecord.frames(data, max(offset, consumed))

    def _checksums(self) -> list[tuple[int, int]]:
        folder, name = os.path.split(self.path)
        path = Path(folder).parent.parent / layout.checksums_path(name)
        try:
            return checksums.read(path)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            self.problems.append(f"its content could not be verified, because its checksums cannot be used: {reason}")
            return []

    def _leave_out(self, what: str, why: str) -> None:
        self._left_out += 1
        if self._left_out <= _MOST_PROBLEMS:
            self.problems.append(f"{what} is damaged and was left out ({why})")

    def _content_of(self, data: bytes | memoryview, record: events.Record) -> bytes | Place:
        content = data[record.begin : record.end]
        if (
            bytes(content[: len(events.FLOAT32_SCALAR)]) != events.FLOAT32_SCALAR
            or len(content) != len(events.FLOAT32_SCALAR) + 4
        ):
            try:
                events.check(data, record.begin, record.end)
            except events.EventError as error:
                raise events.EventError(f"{named(record)}: {error}") from error
        if len(content) <= KEPT_BYTES:
            return bytes(content)
        return Place(self.path, record.begin, record.end, zlib.crc32(content))


def named(record: events.Record) -> str:
    """Describes a record."""
    return f"{record.name} at {record.mode} step {record.mode_step}"


def _guessed(data: bytes | memoryview, begin: int, end: int) -> str:
    """Describes a damaged record as far as it can still be decoded."""
    try:
        records = events.decode(data, begin + tfrecord.HEADER_BYTES, end - tfrecord.FOOTER_BYTES)
    except events.EventError:
        records = []
    return named(records[0]) if records else f"the record in its bytes {begin} to {end}"


def content_of(place: bytes | Place) -> bytes:
    """The bytes of a TensorProto.

    Raises:
        OSError: Its file is gone or cannot be read.
        EventError: The file has changed since its records were located.
    """
    if isinstance(place, bytes):
        return place
    with layout.opened(place.path) as file:
        file.seek(place.begin)
        content = file.read(place.end - place.begin)
    if zlib.crc32(content) != place.crc:
        raise events.EventError(f"{place.path} is damaged: it was changed after it was read")
    return content


def listed(folder: Path) -> Iterator[tuple[str, str, os.stat_result]]:
    """Yields path, worker and status of a trial's event files, by step and worker; ignores links and special files.

    Raises:
        OSError: The folder cannot be listed.
    """
    rows = []
    for step_folder in _entries(folder / layout.EVENTS):
        if not step_folder.is_dir(follow_symlinks=False):
            continue
        for entry in _entries(step_folder.path):
            named = layout.step_and_worker(entry.name)
            if named and entry.name.endswith(".tfevents") and entry.is_file(follow_symlinks=False):
                rows.append((named, entry))
    for (_, worker), entry in sorted(rows, key=lambda row: row[0]):
        with contextlib.suppress(FileNotFoundError):  # a restarted job may remove it
            yield entry.path, worker, entry.stat(follow_symlinks=False)


def indexed(folder: Path) -> dict[tuple[str, int], str]:
    """Worker and step -> path of its index file; empty without an index."""
    found = {}
    for part in _entries(folder / layout.INDEX):
        if part.is_dir(follow_symlinks=False):
            for entry in _entries(part.path):
                named = layout.step_and_worker(entry.name)
                if named and entry.name.endswith(".json"):
                    step, worker = named
                    found[worker, step] = entry.path
    return found


def _entries(folder: Path | str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except (FileNotFoundError, NotADirectoryError):
        return []


@contextlib.contextmanager
def _content(file: BinaryIO) -> Iterator[bytes | memoryview]:
    if os.fstat(file.fileno()).st_size <= _MAPPED_BYTES:
        yield file.read()
        return
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped, memoryview(mapped) as view:
        yield view
