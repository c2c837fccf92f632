"""The ignore list of a data set: pictures that stay in its folder and that nothing uses, each with a reason.

It is a text file in the data set's folder with the path of one picture per line, relative to that folder and with
forward slashes. Whatever follows a # at the beginning of a line or after white space is a comment, by convention the
reason::

    # Reviewed on 2026-11-30
    train/003.Airedale/dog_017.jpg  # likely 021.Border_terrier, score 0.97
    "test/007.Beagle/odd #name.jpg"

A path with such a # in it, or with white space at an end, is written as a JSON string.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterator, Mapping
from pathlib import Path

from training_scripts.data.split_folders import split_of

FILE_NAME = "dogbreed-ignore.txt"

_COMMENT = re.compile(r"(?:^|\s)#(.*)")
_QUOTED = json.JSONDecoder()


def read(folder: Path) -> dict[str, str]:
    """The ignore list of a data set's folder: path -> reason, as `parse` returns them; empty without a file.

    Raises:
        OSError: The file cannot be read.
    """
    try:
        return parse((folder / FILE_NAME).read_bytes())
    except FileNotFoundError:
        return {}


def parse(content: bytes) -> dict[str, str]:
    """Reads an ignore list.

    Args:
        content: The file's content. Bytes that are not UTF-8 stand for themselves, as in file names.

    Returns:
        Path of each picture, as written -> the reason; empty without one.
    """
    text = content.decode("utf-8-sig", "surrogateescape")
    return dict(filter(None, map(_entry, text.split("\n"))))


def _entry(line: str) -> tuple[str, str] | None:
    """The path and the reason in a line; None without a path."""
    line = line.strip()
    path = None
    if line.startswith('"'):
        try:
            path, end = _QUOTED.raw_decode(line)
            line = line[end:]
        except ValueError:  # a name that begins with a quotation mark
            path = None
    comment = _COMMENT.search(line)
    if path is None:
        path = (line[: comment.start()] if comment else line).strip()
    return (path, comment.group(1).strip() if comment else "") if path else None


def render(reasons: Mapping[str, str]) -> str:
    r"""Writes an ignore list, in the given order, so that `parse` reads the same paths.

    >>> render({"train/a/1.jpg": "likely b", "train/a/2.jpg": ""})
    'train/a/1.jpg  # likely b\ntrain/a/2.jpg\n'
    """
    lines = (f"{_written(path)}  # {' '.join(reason.split())}".removesuffix("  # ") for path, reason in reasons.items())
    return "".join(f"{line}\n" for line in lines)


def _written(path: str) -> str:
    plain = _entry(path)
    return path if plain == (path, "") and path.isprintable() else json.dumps(path)


def matching(reasons: Mapping[str, str], names: Iterator[tuple[str, str]]) -> tuple[dict[str, str], tuple[str, ...]]:
    """Finds the pictures that an ignore list names.

    Unicode normal forms and the usual spellings of a split ("validation/…" for "valid/…") do not matter.

    Args:
        reasons: Path -> reason.
        names: Split and path of every picture, relative to the split's folder; the split of a data set without splits
            is empty.

    Returns:
        (split/path, or the path alone) of each picture that is found -> reason; and the paths that name no picture.
    """
    wanted = {_key(path): path for path in reasons}
    plain = {_form(path): path for path in reasons}
    found: dict[str, str] = {}
    matched: set[str] = set()
    for split, name in names:
        path = wanted.get(f"{split}/{_form(name)}") if split else plain.get(_form(name))
        if path is not None:
            found[f"{split}/{name}" if split else name] = reasons[path]
            matched.add(path)
    return found, tuple(path for path in reasons if path not in matched)


def _form(path: str) -> str:
    return unicodedata.normalize("NFC", path.removeprefix("./"))


def _key(path: str) -> str:
    """The path with its split in the usual spelling."""
    first, slash, rest = _form(path).partition("/")
    return f"{split_of(first) or first}{slash}{rest}"
