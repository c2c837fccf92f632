"""Reads a profile's files, which may be damaged or huge: bounds sizes and counts, and notes problems."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

from training_scripts._util.number_text import counted
from training_scripts.recording.trial import layout

# SageMaker's longest job, 28 days, with two files per minute.
MOST_FILES = 90_000
FILE_BYTES = 64 << 20
TOTAL_BYTES = 1 << 30
MOST_PROBLEMS = 20
LONGEST_NAME = 200


class Problems:
    """Collects one sentence for each part that could not be read; beyond a limit it only counts them."""

    def __init__(self) -> None:
        self._sentences: list[str] = []
        self._more = 0

    def add(self, sentence: str) -> None:
        """Adds a sentence."""
        if len(self._sentences) < MOST_PROBLEMS:
            self._sentences.append(sentence)
        else:
            self._more += 1

    def all(self) -> tuple[str, ...]:
        """The sentences; the last one gives the number of problems left out."""
        return (*self._sentences, *([f"{counted(self._more, 'more problem')}."] if self._more else []))


class Reader:
    """Finds and reads files under a folder, within limits for all of them together."""

    def __init__(self, problems: Problems) -> None:
        self.problems = problems
        self._bytes = 0
        self._files = 0

    def files(self, folder: Path, *endings: str) -> list[Path]:
        """Files with these endings, sorted by path; does not follow links to other folders."""
        found: list[Path] = []
        for root, folders, names in os.walk(folder):
            folders.sort()
            found += [Path(root, name) for name in names if name.endswith(endings) and not name.startswith(".")]
            if len(found) > MOST_FILES:
                self.problems.add(f"{folder} has more than {MOST_FILES} files; only the first were read.")
                break
        return sorted(found[:MOST_FILES])

    def text(self, path: Path) -> str | None:
        """Reads a file's text; None, and a problem, if it cannot be read or is too large."""
        try:
            with layout.opened(path) as file:
                size = os.fstat(file.fileno()).st_size
                if size > FILE_BYTES or self._bytes + size > TOTAL_BYTES:
                    limit = FILE_BYTES if size > FILE_BYTES else TOTAL_BYTES
                    self.problems.add(f"{path} was left out: the limit is {limit >> 20} MiB.")
                    return None
                self._bytes += size
                return file.read(size).decode("utf-8", errors="replace").replace("\r\n", "\n")
        except OSError as error:
            self.problems.add(f"{path} cannot be read: {error.strerror or error}.")
            return None


def json_or_none(text: str) -> object:
    """Parses JSON; None for invalid JSON."""
    try:
        value: object = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value


def json_lines(text: str) -> Iterator[object]:
    """Parses JSON lines; yields None for an invalid line. Ignores commas and brackets around lines."""
    for line in text.splitlines():
        stripped = line.strip().rstrip(",")
        if stripped and stripped not in ("[", "]"):
            yield json_or_none(stripped)


def number(value: object) -> float | None:
    """A finite number, from a number or a numeric string; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        found = float(value)
    except (ValueError, OverflowError):
        return None
    return found if abs(found) < 1e18 else None


def short(value: object) -> str:
    """A name from a file, cut to a reasonable length."""
    return str(value)[:LONGEST_NAME]
