"""Writes a trial in smdebug's layout: many steps in one event file, and an index file for each step.

smdebug requires one index file per step, which takes longer to create than a quick training step. So the index is
written immediately only if steps are slow; otherwise when the run ends. Our reader does not need the index.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from training_scripts._util.atomic import replacing
from training_scripts.recording.trial import checksums, events, layout, scalar_frames, tfrecord
from training_scripts.recording.trial.records import Step
from training_scripts.recording.trial.run_facts import RunFacts

# Upper estimate of the time to create a file; and the share of the time between two writes that the index may take.
_FILE_SECONDS, _INDEX_SHARE = 50e-6, 0.01
_FEW_FILES = 100
# How long the first worker waits for the others to end.
_OTHERS_SECONDS = 10.0


_PARTS = (layout.EVENTS, layout.INDEX, layout.COLLECTIONS, layout.CHECKSUMS, layout.ENDED)
_COLLECTIONS = "_collections.json"

_Location = tuple[str, int, int]


class _Entry(NamedTuple):
    """A step's index entry; without the step's arrays, because it may be kept for long before it is written."""

    event_path: str
    mode: str
    mode_step: int
    global_step: int
    locations: list[_Location]

    def content(self) -> bytes:
        payload = ",".join(
            f'{{"tensorname":{json.dumps(name)},"start_idx":{begin},"length":{length}}}'
            for name, begin, length in self.locations
        )
        meta = f'{{"mode":"{self.mode}","mode_step":{self.mode_step},"event_file_name":"{self.event_path}"}}'
        return f'{{"meta":{meta},"tensor_payload":[{payload}],"shape_payload":[]}}'.encode()


class TrialWriter:
    """Writes one worker's part of a trial; every method may raise OSError, and leaves only complete files.

    Several workers may write into one folder: each writes and removes its own events alone. The first one also writes
    the description, and removes what earlier trials with more workers have left.
    """

    def __init__(self, folder: Path, *, worker: str = layout.WORKER, workers: int = 1) -> None:
        """Writes nothing yet.

        Args:
            folder: The trial's folder; `events/`, `index/` and `collections/` are created in it.
            worker: The worker's name in file names.
            workers: How many workers write the trial.
        """
        self.folder = folder
        self.worker = worker
        self._workers = workers
        self._unindexed: deque[_Entry] = deque()

    @property
    def is_first(self) -> bool:
        """Whether it writes what there is once per trial."""
        return self.worker == layout.WORKER

    def describe(self, run: RunFacts, collections: Mapping[str, Sequence[str]], intervals: Mapping[str, int]) -> None:
        """Writes `run.json` and the collections, if this is the first worker."""
        if not self.is_first:
            return
        self._write(layout.RUN_FILE, layout.sealed(json.dumps(run, default=str)))
        content = layout.collections_json(collections, intervals, workers=self._workers)
        # smdebug waits for a file of every worker, and reads only one of them: the first that it comes across.
        for rank in range(self._workers):
            self._write_collections(layout.worker_name(rank), content)

    def write_collections(self, content: str) -> None:
        """Writes this worker's collections in smdebug's form, as `layout.json_of_collections` gives it."""
        self._write_collections(self.worker, content)

    def _write_collections(self, worker: str, content: str) -> None:
        # smdebug rejects unknown keys beside _meta, but accepts any inside it.
        sealed = layout.sealed(content, depth=2)
        self._write(f"{layout.COLLECTIONS}/{0:09}/{worker}{_COLLECTIONS}", sealed)

    def write(self, steps: Sequence[Step], *, seconds: float) -> None:
        """Writes steps, in order, as one event file.

        Args:
            steps: At least one.
            seconds: How long the steps took; decides whether their index is written now.
        """
        path = layout.event_path(steps[0].global_step, self.worker)
        content = bytearray()
        entries = []
        for group in scalar_frames.alike(steps):
            entries += [
                _Entry(path, step.mode, step.mode_step, step.global_step, places)
                for step, places in _append(content, group)
            ]
        # Written before the event file, so that a reader never finds records without checksums.
        lengths = (length for entry in entries for _, _, length in entry.locations)
        self._write(layout.checksums_path(os.path.basename(path)), checksums.encode(content, lengths))  # noqa: PTH119
        self._write(path, content)
        self._unindexed.extend(entries)
        if len(self._unindexed) * _FILE_SECONDS < _INDEX_SHARE * seconds:
            self.write_index()

    def write_index(self) -> None:
        """Writes the missing index files."""
        # The few files of slow steps are replaced atomically, because a reader may be live. At the end of a run, a
        # thousand renames would take noticeable time, and smdebug's readers wait for the end.
        put = _put if len(self._unindexed) < _FEW_FILES else _put_directly
        made: set[str] = set()
        while self._unindexed:
            entry = self._unindexed[0]
            path = layout.index_path(entry.global_step, self.worker)
            parent = os.path.dirname(path)  # noqa: PTH120 - a thousand of these must be quick
            if parent not in made:
                (self.folder / parent).mkdir(parents=True, exist_ok=True)
                made.add(parent)
            put(f"{self.folder}/{path}", entry.content())
            self._unindexed.popleft()

    def end(self, *, others: Sequence[str] = ()) -> None:
        """Completes the index and marks the trial as ended, or this worker's part of it if it is not the first.

        Args:
            others: Workers on the same disk, for whose end the first one waits briefly; they end at about the same
                time.
        """
        self.write_index()
        if not self.is_first:
            self._write(layout.worker_end_path(self.worker), b"")
            return
        patience = time.monotonic() + _OTHERS_SECONDS
        while time.monotonic() < patience and not all(
            (self.folder / layout.worker_end_path(other)).is_file() for other in others
        ):
            time.sleep(0.02)
        self._write(layout.END_FILE, b"")

    def clear(self) -> None:
        """Removes this worker's part of a trial from the folder; the first worker removes the rest as well."""
        if self.is_first and self._workers == 1:
            for part in _PARTS:
                _remove(self.folder / part)
        else:
            for path in self._own_files():
                path.unlink(missing_ok=True)
        self._unmark()
        if self.is_first:
            (self.folder / layout.RUN_FILE).unlink(missing_ok=True)

    def _unmark(self) -> None:
        mark = layout.END_FILE if self.is_first else layout.worker_end_path(self.worker)
        (self.folder / mark).unlink(missing_ok=True)

    def _own_files(self) -> list[Path]:
        """The files that this worker may remove."""
        return [
            path
            for part in _PARTS
            if not (self.folder / part).is_symlink()
            for path in (self.folder / part).rglob("*")
            if self._may_remove(_worker_of(path)) or (self.is_first and path.name.endswith(_COLLECTIONS))
        ]

    def _may_remove(self, worker: str | None) -> bool:
        """Whether a file of a worker is this worker's; those of no worker of this run are the first one's."""
        if not self.is_first or worker is None:
            return worker == self.worker
        return worker not in {layout.worker_name(rank) for rank in range(1, self._workers)}

    def drop_from(self, global_step: int) -> None:
        """Removes a step and all later ones, which a restarted run repeats, and repairs the index of earlier steps.

        A killed process may have left a truncated index file, and smdebug rejects a trial that has one.
        """
        from training_scripts.recording.trial import event_files  # noqa: PLC0415 - for restarted jobs only

        self._unmark()
        self._unindexed.clear()
        entries: dict[tuple[str, int], _Entry] = {}
        for path, worker, _ in list(event_files.listed(self.folder)):
            if self._may_remove(worker):
                entries |= {(worker, entry.global_step): entry for entry in self._drop_events(Path(path), global_step)}
        whole = set()
        for place, index in event_files.indexed(self.folder).items():
            if place in entries and _holds(index, entries[place].content()):
                whole.add(place)
            elif self._may_remove(place[0]):
                Path(index).unlink()
        self._unindexed.extend(
            entry for place, entry in entries.items() if place[0] == self.worker and place not in whole
        )

    def _drop_events(self, path: Path, global_step: int) -> list[_Entry]:
        """Truncates an event file before a step; returns the index entries of the rest."""
        relative = path.relative_to(self.folder).as_posix()
        content = path.read_bytes()
        kept: dict[int, _Entry] = {}
        end = 0
        try:
            for begin, payload_end in tfrecord.frames(content):
                last = payload_end + tfrecord.FOOTER_BYTES
                records = events.decode(content, begin, payload_end)
                if any(record.step >= global_step for record in records):
                    break
                for record in records:
                    fresh = _Entry(relative, record.mode, record.mode_step, record.step, [])
                    place = (record.name, begin - tfrecord.HEADER_BYTES, last - begin + tfrecord.HEADER_BYTES)
                    kept.setdefault(record.step, fresh).locations.append(place)
                end = last
        except (tfrecord.FrameError, events.EventError):
            pass  # the records before the damage are kept
        if end < len(content):
            self._shorten_checksums(layout.checksums_path(path.name), end)
        if not end:
            path.unlink()
            with contextlib.suppress(OSError):  # another worker's file is in it
                path.parent.rmdir()
        elif end < len(content):
            self._write(relative, content[:end])
        return list(kept.values())

    def _shorten_checksums(self, name: str, end: int) -> None:
        """Shortens the checksums of an event file that is truncated; damaged checksums are removed."""
        try:
            sums = checksums.read(self.folder / name)
        except (OSError, ValueError):
            sums = []
        if sums and end:
            self._write(name, checksums.shortened(sums, end))
        else:
            (self.folder / name).unlink(missing_ok=True)

    def _write(self, name: str, content: bytes | bytearray) -> None:
        path = f"{self.folder}/{name}"
        os.makedirs(os.path.dirname(path), exist_ok=True)  # noqa: PTH103, PTH120 - several times as quick as pathlib
        _put(path, content)


def _remove(folder: Path) -> None:
    if folder.is_symlink():
        folder.unlink()
    elif folder.exists():
        shutil.rmtree(folder)


def _worker_of(path: Path) -> str | None:
    """The worker whose events, index or checksums these are; None for other files."""
    named = layout.step_and_worker(path.name)
    return named[1] if named else None


def _put(path: str, content: bytes | bytearray) -> None:
    """Writes a file atomically. Unlike a checkpoint, a recording is not worth waiting for the disk."""
    with replacing(path, durable=False) as file:
        file.write(content)


def _put_directly(path: str, content: bytes | bytearray) -> None:
    handle = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o644)
    try:
        with memoryview(content) as rest:
            written = os.write(handle, rest)
            while written < len(content):
                written += os.write(handle, rest[written:])
    except BaseException:
        os.unlink(path)  # noqa: PTH108
        raise
    finally:
        os.close(handle)


def _holds(path: str, content: bytes) -> bool:
    """Whether a file has exactly this content."""
    try:
        with layout.opened(path) as file:
            return file.read(len(content) + 1) == content
    except OSError:
        return False


def _append(content: bytearray, steps: Sequence[Step]) -> Iterator[tuple[Step, list[_Location]]]:
    """Appends the events of one group of `alike`; yields each step with the locations of its events."""
    begin = len(content)
    numbers, located, length = scalar_frames.encode(steps)
    content += numbers
    for row, step in enumerate(steps):
        offset = begin + row * length
        places = [(name, offset + start, size) for name, start, size in located]
        for name, array in step.arrays:
            if not array.size:  # smdebug would find nothing, or fail
                continue
            event = events.encode(
                name,
                events.as_smdebug_reads(array),
                step=step.global_step,
                mode=step.mode,
                mode_step=step.mode_step,
                time=step.time,
            )
            framed = tfrecord.frame(event)
            places.append((name, len(content), len(framed)))
            content += framed
        yield step, places
