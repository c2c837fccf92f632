"""Examines pictures: reads, hashes and decodes each one, in threads."""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import os
import weakref
from array import array
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from tempfile import SpooledTemporaryFile
from typing import Protocol, overload

from dogbreed_sdk.datasets import near_copies
from training_scripts.data.shards import located

Progress = Callable[[int, int], None]

# Pictures of one task: a task for each would cost more than reading a small picture.
_TOGETHER = 32
_TASKS_PER_THREAD = 3
_MANY = 1000
# Thumbnails beyond this are kept in a temporary file: those of a million pictures take 816 MB.
_THUMBNAILS_IN_MEMORY = 128 << 20


@dataclass(frozen=True, slots=True)
class PictureFacts:
    """The result of examining one picture.

    Attributes:
        digest: SHA-256 of the content in hexadecimal; empty if the file could not be read.
        size: Width and height in pixels.
        problem: Why the picture cannot be used; empty if it can.
        thumbnail: Pixels for `near_copies.group`.
    """

    digest: str
    size: tuple[int, int]
    problem: str
    thumbnail: bytes = b""


class Readable(Protocol):
    """A picture, such as a `samples.Sample`."""

    def read(self) -> bytes:
        """Its content; raises OSError if it cannot be read."""


class Facts(Sequence[PictureFacts]):
    """The results for many pictures, in their order; about 60 bytes each in memory, besides the thumbnails."""

    def __init__(self) -> None:
        self._digests = bytearray()
        self._sizes = array("I")
        self._problems: dict[int, str] = {}
        self._unread: set[int] = set()
        self._thumbnails = SpooledTemporaryFile(max_size=_THUMBNAILS_IN_MEMORY)  # noqa: SIM115 - lives as long as this
        weakref.finalize(self, self._thumbnails.close)

    def append(self, facts: PictureFacts) -> None:
        """Adds the result for the next picture."""
        row = len(self)
        self._digests += bytes.fromhex(facts.digest) or bytes(32)
        self._sizes.extend(facts.size)
        if facts.problem:
            self._problems[row] = facts.problem
        if not facts.digest:
            self._unread.add(row)
        self._thumbnails.seek(row * near_copies.THUMBNAIL_BYTES)
        self._thumbnails.write(facts.thumbnail or bytes(near_copies.THUMBNAIL_BYTES))

    def __len__(self) -> int:
        return len(self._sizes) // 2

    @overload
    def __getitem__(self, row: int) -> PictureFacts: ...

    @overload
    def __getitem__(self, row: slice) -> tuple[PictureFacts, ...]: ...

    def __getitem__(self, row: int | slice) -> PictureFacts | tuple[PictureFacts, ...]:
        if isinstance(row, slice):
            return tuple(self[each] for each in range(*row.indices(len(self))))
        row = range(len(self))[row]
        problem = self._problems.get(row, "")
        thumbnail = b"" if problem else self.thumbnail(row)
        return PictureFacts("" if row in self._unread else self.digest(row).hex(), self.size(row), problem, thumbnail)

    def digest(self, row: int) -> bytes:
        """SHA-256 of a picture's content, 32 bytes."""
        return bytes(self._digests[32 * row : 32 * row + 32])

    def size(self, row: int) -> tuple[int, int]:
        """Width and height of a picture."""
        return self._sizes[2 * row], self._sizes[2 * row + 1]

    def thumbnail(self, row: int) -> bytes:
        """The thumbnail of a picture that has no problem."""
        self._thumbnails.seek(row * near_copies.THUMBNAIL_BYTES)
        return self._thumbnails.read(near_copies.THUMBNAIL_BYTES)

    def problem(self, row: int) -> str:
        """Why a picture cannot be used; empty if it can."""
        return self._problems.get(row, "")

    def is_read(self, row: int) -> bool:
        """Whether a picture could be read, whatever is in it."""
        return row not in self._unread


def examine_files(
    paths: Iterable[Path], *, progress: Progress | None = None, workers: int | None = None
) -> dict[Path, PictureFacts]:
    """Examines files; see `examine_all`."""
    listed = list(paths)
    samples = [located.sample(path) for path in listed]
    return dict(zip(listed, examine_all(samples, progress=progress, workers=workers), strict=True))


class Pictures(Protocol):
    """Pictures of which the number is known."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[Readable]: ...


def examine_all(pictures: Pictures, *, progress: Progress | None = None, workers: int | None = None) -> Facts:
    """Examines pictures in threads (reading, hashing and decoding all release the interpreter's lock).

    Args:
        pictures: The pictures.
        progress: Called with (examined pictures, all pictures).
        workers: Number of threads; default: the number of processors.
    """
    if len(pictures) >= _MANY:
        # JPEGs decode faster where it is loaded, which would cost more than it saves for a few.
        with contextlib.suppress(ModuleNotFoundError):
            importlib.import_module("numpy")
    facts = Facts()
    threads = workers or os.cpu_count() or 1
    for one in _examined(iter(pictures), threads):
        facts.append(one)
        if progress is not None:
            progress(len(facts), len(pictures))
    return facts


def _examined(pictures: Iterator[Readable], threads: int) -> Iterator[PictureFacts]:
    ahead: deque[Future[list[PictureFacts]]] = deque()
    with ThreadPoolExecutor(threads, thread_name_prefix="examine") as pool:
        try:
            while (part := list(islice(pictures, _TOGETHER))) or ahead:
                if part:
                    ahead.append(pool.submit(_examine_part, part))
                if not part or len(ahead) >= threads * _TASKS_PER_THREAD:
                    yield from ahead.popleft().result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _examine_part(pictures: Sequence[Readable]) -> list[PictureFacts]:
    return [examine(picture) for picture in pictures]


def examine(picture: Readable) -> PictureFacts:
    """Reads and decodes one picture, with the decoder that training uses: all of its data, at a scale that suffices."""
    from training_scripts.data import decoding  # noqa: PLC0415 - imports Pillow

    try:
        content = picture.read()
    except OSError as error:
        return PictureFacts("", (0, 0), error.strerror or str(error))
    digest = hashlib.sha256(content).hexdigest()
    try:
        image, size = decoding.decode_small(content, near_copies.LEAST_SIDE)
        return PictureFacts(digest, size, "", near_copies.thumbnail(image))
    except decoding.PictureError as error:
        return PictureFacts(digest, (0, 0), str(error))
