"""Text for messages and terminals: sentences, shortened and wrapped texts, columns, the seconds of a header."""

from __future__ import annotations

import textwrap
from collections.abc import Container, Sequence

from training_scripts._util.safe_text import safe_line


def sentence(text: str) -> str:
    """Ends a text from elsewhere with a period, so that advice can follow it in a message.

    >>> sentence("Rate exceeded"), sentence("Rate exceeded.")
    ('Rate exceeded.', 'Rate exceeded.')
    """
    return text if text.endswith((".", "!", "?", ":")) else f"{text}."


def shorten(text: str, limit: int) -> str:
    """Cut a text in the middle, which is the least interesting part of a message.

    >>> shorten("abcdefghijklmnop", 12)
    'abcd ... nop'
    """
    if len(text) <= limit:
        return text
    head = (limit - 5 + 1) // 2
    return f"{text[:head]} ... {text[len(text) - (limit - 5 - head) :]}"


def retry_after_seconds(header: str | None) -> float:
    """The seconds of a Retry-After header; 0 if it is absent or holds a date, which no model server sends.

    >>> retry_after_seconds("2"), retry_after_seconds("Fri, 31 Dec 1999 23:59:59 GMT"), retry_after_seconds(None)
    (2.0, 0.0, 0.0)
    """
    return float(header) if header and header.isascii() and header.isdigit() else 0.0


def one_line(text: str) -> str:
    """Text without line breaks and control characters: names from disk may contain anything."""
    line: str = safe_line(" ".join(text.split()))
    return line


def cut(line: str, width: int) -> str:
    """A line for a terminal, shortened to its width.

    >>> cut("a long line", 7)
    'a long…'
    """
    clean: str = safe_line(line)
    return clean if len(clean) <= width else clean[: width - 1] + "…"


def hanging(begin: str, text: str, width: int, *, hang: int | None = None) -> list[str]:
    """Wraps text after its beginning. Further lines are indented like the text, or to the column `hang`.

    >>> hanging("* ", "one two three", 9)
    ['* one two', '  three']
    """
    begin = safe_line(begin)
    if text and len(begin) > width // 2:  # on a narrow terminal, the text goes below its beginning
        return [cut(begin.rstrip(), width), *hanging("      ", text, width)]
    indent = " " * (len(begin) if hang is None else hang)
    lines = textwrap.wrap(
        one_line(text),
        width,
        initial_indent=begin,
        subsequent_indent=indent,
        break_on_hyphens=False,  # names of jobs and options must be easy to copy
    )
    return lines or [begin.rstrip()]


def columns(
    head: Sequence[str], rows: Sequence[Sequence[str]], *, width: int, numeric: Container[int] = ()
) -> list[str]:
    """A table as lines of at most `width` characters: numbers to the right, other cells to the left.

    Args:
        head: The headings.
        rows: The cells.
        width: Characters per line; longer lines are cut.
        numeric: The columns of numbers, from 0.

    >>> columns(["run", "loss"], [["a", "0.5"], ["bcde", "10"]], width=40, numeric={1})
    ['run   loss', 'a      0.5', 'bcde    10']
    """
    cells = [[one_line(cell) for cell in row] for row in (head, *rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return [
        cut(
            "  ".join(
                cell.rjust(wide) if index in numeric else cell.ljust(wide)
                for index, (cell, wide) in enumerate(zip(row, widths, strict=True))
            ).rstrip(),
            width,
        )
        for row in cells
    ]
