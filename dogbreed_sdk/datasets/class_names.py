"""Finds class folders whose names confuse people, systems or the order of indices. No I/O."""

from __future__ import annotations

import itertools
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from dogbreed_sdk.datasets.findings import Finding
from training_scripts._util.class_names import display_name
from training_scripts.data.faults import is_text, normal_form, some

# Info-ZIP's unzip writes letters like this under LC_ALL=C.
_ESCAPED = re.compile("#U([0-9a-fA-F]{4})|#L([0-9a-fA-F]{6})")
# Encodings that UTF-8 is mistaken for: ZIP's own code page, and those that Windows programs assume.
_MISTAKEN_FOR = ("cp437", "cp1252", "latin-1")
_NUMBER = re.compile(r"(\d+)(?![^\W_])")


def find_names(folder: Path, names: Sequence[str]) -> Iterator[Finding]:
    """Finds problems in the names of class folders.

    Args:
        folder: The folder that contains the class folders.
        names: Their names, sorted.
    """
    for name in names:
        yield from _odd(folder, name)
    yield from _alike(folder, names)
    yield from _numbers(folder, names)


def find_label_names(folder: Path, names: Sequence[str]) -> Iterator[Finding]:
    """Finds problems in the names of classes that no folders have, but the labels of shards.

    Args:
        folder: The folder that contains the shards.
        names: The names, by class index.
    """
    for name in names:
        yield from _odd(folder, name)
    yield from _alike(folder, names)
    if names and all(name.isdecimal() for name in names):
        message = f"The labels of the shards are numbers ({some(names)}), so predictions will be numbers."
        remedy = "Write the classes' names, one per line by index, into classes.txt beside the shards."
        yield Finding("note", "numeric-names", message, (folder,), remedy)


def find_file_names(paths: Iterable[str]) -> Iterator[Finding]:
    """Finds pictures whose names prevent an upload."""
    for location in paths:
        if location.isascii():
            continue
        path = Path(location)
        if not is_text(path.name):
            message = f"The file name {path.name!r} is not UTF-8, which S3 cannot store."
            yield Finding("warning", "odd-file-name", message, (path,), "Rename it.")


def meant(name: str) -> str:
    """The original of a name that was decoded incorrectly; the name itself if it was not.

    >>> meant("caf#U00e9"), meant("cafÃ©"), meant("Pug")
    ('café', 'café', 'Pug')
    """
    unescaped = _ESCAPED.sub(lambda found: chr(int(found[1] or found[2], 16)), name)
    if unescaped != name:
        return unescaped
    for encoding in () if name.isascii() else _MISTAKEN_FOR:
        try:
            return name.encode(encoding).decode("utf-8")
        except UnicodeError:
            continue
    return name


def _odd(folder: Path, name: str) -> Iterator[Finding]:
    # A name that is not UTF-8 is a fault that training refuses.
    if not is_text(name):
        return
    paths = (folder / name,)
    if name != name.strip() or not name.isprintable():
        message = f"The class folder {name!r} has leading or trailing spaces or unprintable characters in its name."
        yield Finding("warning", "odd-name", message, paths, "Rename it in every split.", repr(name))
    elif (probably := meant(name)) != name:
        message = f"The class folder {name!r} was probably named {probably!r} before it was unpacked."
        remedy = "Unpack it again with LC_ALL=C.UTF-8, or rename it in every split."
        yield Finding("warning", "odd-name", message, paths, remedy, f"probably {probably!r}")


def _alike(folder: Path, names: Sequence[str]) -> Iterator[Finding]:
    composed: dict[str, list[str]] = defaultdict(list)
    shown: dict[str, list[str]] = defaultdict(list)
    for name in names:
        composed[unicodedata.normalize("NFC", name)].append(name)
    for one, forms in composed.items():
        shown[display_name(one).casefold()].append(one)
        if len(forms) > 1:
            forms_text = " and ".join(map(normal_form, forms))
            message = f"The class {one} has {len(forms)} folders, named in the Unicode normal forms {forms_text}."
            paths = tuple(folder / name for name in forms)
            yield Finding(
                "warning", "normal-form", message, paths, "Move the pictures into one folder, in every split."
            )
    for alike in (alike for alike in shown.values() if len(alike) > 1):
        message = f"The classes {' and '.join(alike)} have the same display name, {display_name(alike[0])!r}."
        remedy = "Rename one of them, or merge them if they are one breed."
        paths = tuple(folder / name for one in alike for name in composed[one])
        yield Finding("warning", "same-label", message, paths, remedy)


def _numbers(folder: Path, names: Sequence[str]) -> Iterator[Finding]:
    found = [_NUMBER.match(name) for name in names]
    numbers = [int(match[1]) for match in found if match]
    if not names or len(numbers) < len(names):
        return
    if all(name.isdecimal() for name in names):
        message = f"The class folders are named by numbers ({some(names)}), so predictions will be numbers."
        yield Finding("note", "numeric-names", message, (folder,), "Rename them to the classes' names in every split.")
    falling = next(((one, other) for one, other in itertools.pairwise(numbers) if one > other), None)
    if falling:
        message = (
            f"Class folders sort as text, where {falling[0]} comes before {falling[1]}: the index of a class does not "
            "follow its number."
        )
        remedy = "Pad the numbers with zeros in every split (02 before 10), or refer to classes by name."
        yield Finding("note", "number-order", message, (folder,), remedy)
