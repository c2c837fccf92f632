"""The pictures of a page: each is read once and written once, within a budget of bytes."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import islice
from pathlib import Path

from dogbreed_sdk.pages.markup import Markup, element
from dogbreed_sdk.pages.thumbnails import small_picture

# Decoding leaves the interpreter's lock, and is what takes time.
_THREADS = min(4, os.cpu_count() or 1)
_AT_ONCE = 16

Locate = Callable[[Path], Path | None]


class Album:
    """Thumbnails by path.

    A page contains each of them once: as the source of the first image that shows it, or in the page's data. Further
    images refer to it by its name, and the page's script fills them in.

    Args:
        budget: Bytes that all thumbnails may take in the page.
        locate: Where a picture's file is; None where it is not on this machine.

    Attributes:
        left_out: Number of pictures that did not fit into the budget.
        unreadable: Number of pictures that are missing or cannot be read.
    """

    def __init__(self, budget: int, *, locate: Locate = lambda path: path) -> None:
        self._room = budget
        self._locate = locate
        self._sources: dict[Path, str | None] = {}
        self._names: dict[Path, str] = {}
        self._placed: set[str] = set()
        self.left_out = self.unreadable = 0

    def take(self, paths: Iterable[Path], *, size: int) -> None:
        """Reads pictures, the first ones first, until the budget is used up.

        Args:
            paths: The pictures; those that are there already stay as they are.
            size: The longer side of the thumbnails in pixels.
        """
        read = partial(self._read, size=size)
        waiting = iter(dict.fromkeys(path for path in paths if path not in self._sources))
        with ThreadPoolExecutor(_THREADS) as pool:
            while some := list(islice(waiting, _AT_ONCE)):
                for path, source in zip(some, pool.map(read, some) if self._room > 0 else some, strict=True):
                    self._keep(path, None if self._room <= 0 else source)  # type: ignore[arg-type]

    def _read(self, path: Path, *, size: int) -> str | None:
        place = self._locate(path)
        return None if place is None else small_picture(place, size=size)

    def _keep(self, path: Path, source: str | None) -> None:
        full = self._room <= 0 or (source is not None and len(source) > self._room)
        self._sources[path] = None if full else source
        self.left_out += full
        self.unreadable += not full and source is None
        if source is not None and not full:
            self._room -= len(source)
            self._names[path] = f"p{len(self._names)}"

    def name(self, path: Path) -> str | None:
        """The name of a picture in the page; None where the page does not contain it."""
        return self._names.get(path)

    def image(self, path: Path, alt: str) -> Markup:
        """An image of a picture, or a note in its place."""
        name = self._names.get(path)
        if name is None:
            return element("span", "no picture here", class_="none")
        if name in self._placed:
            return element("img", alt=alt, data_picture=name)
        self._placed.add(name)
        return element("img", alt=alt, id=name, src=self._sources[path])

    def unplaced(self) -> Mapping[str, str]:
        """The sources of the pictures that no image has shown so far, by name, for the page's data."""
        sources = ((self._names.get(path), source) for path, source in self._sources.items())
        return {name: source for name, source in sources if name and source and name not in self._placed}
