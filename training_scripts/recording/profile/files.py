"""Reads a profile's files as far as they can be trusted: sizes and counts are bounded, what is broken is told."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

from training_scripts.recording.trial import layout

# The longest job of SageMaker's, 28 days, of minutes, and a trace file a minute besides.
MOST_FILES = 90_000
FILE_BYTES = 64 << 20
TOTAL_BYTES = 1 << 30
MOST_PROBLEMS = 20
LONGEST_NAME = 200


class Problems:
    """Sentences for what could not be read; so many alike that nobody would read them are counted."""

    def __init__(self) -> None:
        self._sentences: list[str] = []
        self._more = 0

    def add(self, sentence: str) -> None:
        """One more."""
        if len(self._sentences) < MOST_PROBLEMS:
            self._sentences.append(sentence)
        else:
            self._more += 1

    def all(self) -> tuple[str, ...]:
        """All of them."""
        return (*self._sentences, *([f"{self._more} more problems of this kind."] if self._more else []))


class Reader:
    """Finds and reads files under a folder, within bounds for all of them together."""

    def __init__(self, problems: Problems) -> None:
        self.problems = problems
        self._bytes = 0
        self._files = 0

    def files(self, folder: Path, *endings: str) -> list[Path]:
        """Files whose names end so, sorted by path; links are not followed into other folders."""
        found: list[Path] = []
        for root, folders, names in os.walk(folder):
            folders.sort()
            found += [Path(root, name) for name in names if name.endswith(endings) and not name.startswith(".")]
            if len(found) > MOST_FILES:
                self.problems.add(f"{folder} has more than {MOST_FILES} files; only the first were read.")
                break
        return sorted(found[:MOST_FILES])

    def text(self, path: Path) -> str | None:
        """A file's text; None, and a problem, where it cannot be read or is too large."""
        try:
            with layout.opened(path) as file:
                size = os.fstat(file.fileno()).st_size
                if size > FILE_BYTES or self._bytes + size > TOTAL_BYTES:
                    limit = FILE_BYTES if size > FILE_BYTES else TOTAL_BYTES
                    self.problems.add(f"{path} was left out: more than {limit >> 20} MB are not read.")
                    return None
                self._bytes += size
                return file.read(size).decode("utf-8", errors="replace").replace("\r\n", "\n")
        except OSError as error:
            self.problems.add(f"{path} cannot be read: {error.strerror or error}.")
            return None


def json_or_none(text: str) -> object:
    """What a JSON text holds; None where it is none."""
    try:
        value: object = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value


def json_lines(text: str) -> Iterator[object]:
    """Each line's JSON, in order; None for a line that is none. Commas and brackets around lines do not matter."""
    for line in text.splitlines():
        stripped = line.strip().rstrip(",")
        if stripped and stripped not in ("[", "]"):
            yield json_or_none(stripped)


def number(value: object) -> float | None:
    """A finite number, of JSON's numbers or of a text that is one; else None."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        found = float(value)
    except (ValueError, OverflowError):
        return None
    return found if abs(found) < 1e18 else None


def short(value: object) -> str:
    """A name from a file, of a bearable length."""
    return str(value)[:LONGEST_NAME]
