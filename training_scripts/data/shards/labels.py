"""The classes of shards: names from a file beside them, or from the shards themselves."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

CLASS_FILES = ("classes.txt", "classnames.txt", "class_names.txt", "labels.txt", "classes.json", "class_names.json")
_LARGEST_FILE = 16 << 20
_LONGEST_NAME = 200
# In a sample's JSON, in this order.
JSON_KEYS = (
    "cls",
    "label",
    "class",
    "target",
    "category",
    "breed",
    "class_name",
    "label_name",
    "class_id",
    "class_index",
)
# Nearly as many labels as pictures, most of several words, are captions; few pictures may well have a class each.
_NEARLY_ALL = 0.8
_FEWEST_TO_JUDGE = 6

Label = int | str


class LabelError(ValueError):
    """A label, or a file of class names, cannot be used; the message gives the reason."""


def read_class_file(folders: Iterable[Path]) -> tuple[Path, tuple[str, ...]] | None:
    """The class names in index order, from the first folder that has a file with them; None without a file.

    Raises:
        LabelError: The file is not a list of names.
        OSError: It cannot be read.
    """
    for folder in folders:
        for name in CLASS_FILES:
            path = folder / name
            if path.is_file():
                return path, _names_in(path)
    return None


def _names_in(path: Path) -> tuple[str, ...]:
    if path.stat().st_size > _LARGEST_FILE:
        raise LabelError(f"it has more than {_LARGEST_FILE >> 20} MiB")
    text = path.read_text(encoding="utf-8-sig", errors="strict")
    listed: Any = json.loads(text) if path.suffix == ".json" else text.splitlines()
    if isinstance(listed, dict):
        listed = _in_order(listed)
    if not isinstance(listed, list) or not all(isinstance(name, str) for name in listed):
        raise LabelError("it is not a list of class names")
    while listed and not listed[-1].strip():
        listed.pop()
    return checked(listed)


def _in_order(names: dict[str, Any]) -> list[Any]:
    """The names of {name: index} or {index: name}, by index."""
    pairs = [(value, key) if isinstance(value, int) else (int(key), value) for key, value in names.items()]
    if sorted(index for index, _ in pairs) != list(range(len(pairs))):
        raise LabelError(f"its indices are not 0 to {len(pairs) - 1}")
    return [name for _, name in sorted(pairs)]


def checked(names: Sequence[str]) -> tuple[str, ...]:
    """Class names as class folders are called; a slash becomes an underscore.

    Raises:
        LabelError: A name is empty, too long, repeated, or not printable.
    """
    made = tuple(name.strip().replace("/", "_") for name in names)
    for name in made:
        if not name or len(name) > _LONGEST_NAME or not name.isprintable() or name in (".", ".."):
            raise LabelError(f"{name[:60]!r} cannot be the name of a class")
    if len(set(made)) < len(made):
        repeated = next(name for place, name in enumerate(made) if name in made[:place])
        raise LabelError(f"the class name {repeated!r} appears twice")
    return made


def from_text(content: bytes) -> Label:
    """The label in a .cls or .txt member.

    Raises:
        LabelError: It is not one line of text.
    """
    try:
        text = content.decode("utf-8-sig").strip()
    except UnicodeDecodeError as error:
        raise LabelError("its label is not UTF-8 text") from error
    return number(text) if re.fullmatch(r"[+-]?\d{1,9}", text) else one_name(text)


def from_json(content: bytes) -> Label | None:
    """The label in a .json member; None if it has none.

    Raises:
        LabelError: It is not JSON.
    """
    try:
        values = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise LabelError("its .json is not JSON") from error
    if isinstance(values, (int, str)) and not isinstance(values, bool):
        values = {"label": values}
    if not isinstance(values, dict):
        return None
    for key in JSON_KEYS:
        value = values.get(key)
        if isinstance(value, int) and not isinstance(value, bool):
            return number(str(value))
        if isinstance(value, str):
            return from_text(value.encode("utf-8", "replace"))
    return None


def captions(labels: Sequence[Label], texts: int) -> str:
    """Why labels cannot be classes because they are captions; empty if they can.

    Args:
        labels: The labels of all pictures.
        texts: How many of them .txt members gave.
    """
    different = {label for label in labels if isinstance(label, str)}
    phrases = [label for label in different if " " in label]
    if (
        len(labels) < _FEWEST_TO_JUDGE
        or texts < len(labels) / 2
        or len(different) < _NEARLY_ALL * len(labels)
        or len(phrases) < len(different) / 2
    ):
        return ""
    return (
        f"its .txt members seem to be captions, not classes ({len(different):,} different ones for {len(labels):,} "
        f"pictures, such as {min(phrases)[:60]!r}); add a .cls with the class to each picture, or a .json with one of "
        f"the keys {', '.join(JSON_KEYS)}"
    )


def number(text: str) -> int:
    """A class index.

    Raises:
        LabelError: It is negative: data sets mark unlabeled pictures with -1.
    """
    index = int(text)
    if index < 0:
        raise LabelError(f"its label is {index}, which marks pictures without a class")
    return index


def one_name(text: str) -> str:
    """A class name.

    Raises:
        LabelError: It cannot be one.
    """
    try:
        return checked([text])[0]
    except LabelError as error:
        raise LabelError(f"its label is not a class: {error}") from None


def order(labels: Iterable[Label]) -> list[Label]:
    """Labels in the order of their classes: numbers by value, then names by alphabet."""
    return sorted(set(labels), key=lambda label: (isinstance(label, str), label))
