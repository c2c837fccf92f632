"""The streams of the command line: control characters, and letters that the encoding lacks, are escaped."""

from __future__ import annotations

import codecs
import contextlib
import io
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, TextIO, cast

from training_scripts._util.safe_text import printable_lines

if TYPE_CHECKING:
    from rich.console import Console

_ERRORS = "dogbreed.spelled"
# What this program prints itself and what not every encoding has.
_SPELLED = {"…": "...", "—": "-", "→": "->", "×": "x", "±": "+/-", "∞": "inf", "µ": "u", "━": "-"}  # noqa: RUF001


@contextlib.contextmanager
def safe_streams() -> Iterator[None]:
    """Inside the block, standard output and error escape control characters and what their encoding lacks.

    That holds for everything that prints: commands, argparse, warnings, loggers, tracebacks. Line feeds and tabs stay,
    so a value that must keep to its line needs `printable`.
    """
    codecs.register_error(_ERRORS, _spelled)
    with (
        contextlib.redirect_stdout(cast("TextIO", _SafeStream(sys.stdout))),
        contextlib.redirect_stderr(cast("TextIO", _SafeStream(sys.stderr))),
    ):
        yield


def console(stream: TextIO) -> Console:
    """Rich's console on standard output or error; it commands the terminal itself, so values need `printable`."""
    from rich.console import Console  # noqa: PLC0415

    while isinstance(stream, _SafeStream):
        stream = stream.raw
    return Console(file=stream, markup=False, highlight=False, emoji=False)


class _SafeStream:
    """A text stream before another one, which does everything but the writing."""

    def __init__(self, raw: TextIO) -> None:
        self.raw = raw
        if isinstance(raw, io.TextIOWrapper):
            raw.reconfigure(errors=_ERRORS)

    def write(self, text: str) -> int:
        self.raw.write(printable_lines(text))
        return len(text)

    def writelines(self, lines: list[str]) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.raw, name)


def _spelled(error: UnicodeError) -> tuple[str | bytes, int]:
    """Characters that an encoding lacks, by others that mean the same, else as escapes."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    letters = error.object[error.start : error.end]
    return "".join(_SPELLED.get(x) or x.encode("unicode_escape").decode() for x in letters), error.end
