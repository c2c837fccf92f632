"""What all topics share: the registers of generated parts and modules, Markdown, and docstrings."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable

TABLES: dict[str, Callable[[], str]] = {}
"""Name of a generated part of a document, usually a table -> the function that writes it."""

MODULES: dict[str, Callable[[], str]] = {}
"""Path of a module that is generated as a whole, relative to the repository's root -> the function that writes it."""


def table(name: str) -> Callable[[Callable[[], str]], Callable[[], str]]:
    """Registers the function that writes the part of this name."""

    def register(write: Callable[[], str]) -> Callable[[], str]:
        TABLES[name] = write
        return write

    return register


def module(path: str) -> Callable[[Callable[[], str]], Callable[[], str]]:
    """Registers the function that writes the module at this path, relative to the repository's root."""

    def register(write: Callable[[], str]) -> Callable[[], str]:
        MODULES[path] = write
        return write

    return register


def markdown(header: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    r"""A Markdown table.

    >>> print(markdown(["a", "b"], [[1, "x|y"]]))
    | a | b |
    | --- | --- |
    | 1 | x\|y |
    """
    header = list(header)
    cells = [header, ["---"] * len(header), *([str(cell).replace("|", r"\|") for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(row)} |" for row in cells)


def anchor(heading: str) -> str:
    """The anchor that GitHub and the site give to a heading.

    >>> anchor("`GET` /v1/labels: the classes")
    'get-v1labels-the-classes'
    """
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


def sections(*parts: str) -> str:
    """Parts of a page with an empty line between them; empty parts are left out."""
    return "\n\n".join(part.strip("\n") for part in parts if part)


def attributes(kind: type) -> dict[str, str]:
    """The attributes of a class with their meanings, from its docstring.

    Raises:
        ValueError: The docstring has no section "Attributes".
    """
    _, heading, below = (inspect.getdoc(kind) or "").partition("\nAttributes:\n")
    if not heading:
        raise ValueError(f"the docstring of {kind.__name__} has no section Attributes")
    section = re.split(r"\n(?=\S)", below)[0]
    entries = re.findall(r"^    (\w+): (.*(?:\n {8}.*)*)", section, re.MULTILINE)
    return {name: " ".join(text.split()) for name, text in entries}
