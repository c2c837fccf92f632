"""Reads the event files of a trial: what each holds, and only what is new when one is looked at again."""

from __future__ import annotations

import contextlib
import mmap
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from training_scripts.recording import events, layout, tfrecord

# Numbers are kept when their record is found; larger tensors are read again from the file when they are asked for.
KEPT_BYTES = 96
_MAPPED_BYTES = 1 << 20


@dataclass(frozen=True)
class Place:
    """Where a tensor of a file lies: its TensorProto's bytes themselves, or begin and end in the file."""

    path: str
    begin: int
    end: int


@dataclass(frozen=True)
class Found:
    """A tensor that was found, with the worker who recorded it."""

    record: events.Record
    worker: str
    content: bytes | Place


class EventFile:
    """One event file, of which a part may have been read.

    Attributes:
        path: The file.
        problem: What is wrong with it; empty where nothing is.
    """

    def __init__(self, path: str, worker: str) -> None:
        self.path = path
        self.problem = ""
        self._worker = worker
        self._known: tuple[int, int, int] = (0, 0, 0)
        self._consumed = 0

    def is_new(self, status: os.stat_result) -> bool:
        """Whether there is something in it that was not read."""
        return self._known != (status.st_ino, status.st_mtime_ns, status.st_size)

    def was_replaced(self, status: os.stat_result) -> bool:
        """Whether what was read of it may no longer be there."""
        inode, _, size = self._known
        return bool(inode) and (status.st_ino != inode or status.st_size < size)

    def read(self, status: os.stat_result) -> list[Found]:
        """The tensors that have come since the last time."""
        self._known = (status.st_ino, status.st_mtime_ns, status.st_size)
        self.problem = ""
        found: list[Found] = []
        try:
            with layout.opened(self.path) as file, _content(file) as data:
                self._collect(data, found)
        except OSError as error:
            self.problem = f"cannot be read: {error.strerror or error}"
        return found

    def _collect(self, data: bytes | memoryview, found: list[Found]) -> None:
        try:
            for begin, end in tfrecord.frames(data, self._consumed):
                self._consumed = end + tfrecord.FOOTER_BYTES
                try:
                    records = events.decode(data, begin, end)
                except events.EventError as error:
                    self.problem = f"one of its records is left out: {error}"
                    continue
                found += [Found(record, self._worker, self._content_of(data, record)) for record in records]
        except tfrecord.FrameError as error:
            self.problem = f"{error}; {'the rest' if error.offset else 'all'} of it is missing"

    def _content_of(self, data: bytes | memoryview, record: events.Record) -> bytes | Place:
        if record.end - record.begin <= KEPT_BYTES:
            return bytes(data[record.begin : record.end])
        return Place(self.path, record.begin, record.end)


def content_of(place: bytes | Place) -> bytes:
    """The bytes of a TensorProto.

    Raises:
        OSError: Its file is gone or cannot be read.
    """
    if isinstance(place, bytes):
        return place
    with layout.opened(place.path) as file:
        file.seek(place.begin)
        return file.read(place.end - place.begin)


def listed(folder: Path) -> Iterator[tuple[str, str, os.stat_result]]:
    """Path, worker and status of the event files of a trial, by step and worker. Links and special files are no such.

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
        with contextlib.suppress(FileNotFoundError):  # a restarted job may take it away
            yield entry.path, worker, entry.stat(follow_symlinks=False)


def indexed_steps(folder: Path) -> dict[int, str]:
    """Step -> path of an index file; empty where there is no index."""
    steps = {}
    for part in _entries(folder / layout.INDEX):
        if part.is_dir(follow_symlinks=False):
            for entry in _entries(part.path):
                named = layout.step_and_worker(entry.name)
                if named and entry.name.endswith(".json"):
                    steps[named[0]] = entry.path
    return steps


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
