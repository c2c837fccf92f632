"""The standard streams of the command line: they escape control characters and what their encoding lacks."""

from __future__ import annotations

import codecs
import contextlib
import io
import shutil
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, TextIO, cast

from training_scripts._util.safe_text import printable_lines

if TYPE_CHECKING:
    from rich.console import Console

MAX_REPORT_WIDTH = 120
_ERRORS = "dogbreed.replacements"
# Characters of this program's own texts that some encodings lack.
_REPLACEMENTS = {"…": "...", "—": "-", "→": "->", "×": "x", "±": "+/-", "∞": "inf", "µ": "u", "━": "-"}  # noqa: RUF001


@contextlib.contextmanager
def safe_streams() -> Iterator[None]:
    """Within the block, standard output and error escape control characters and what their encoding lacks.

    That holds for everything that prints: commands, argparse, warnings, loggers, tracebacks. Line feeds and tabs stay,
    so a value that must stay on its line needs `safe_line`.
    """
    codecs.register_error(_ERRORS, _replaced)
    with (
        contextlib.redirect_stdout(cast("TextIO", _SafeStream(sys.stdout))),
        contextlib.redirect_stderr(cast("TextIO", _SafeStream(sys.stderr))),
    ):
        yield


def console(stream: TextIO) -> Console:
    """Rich's console on standard output or error; it writes to the terminal itself, so values need `safe_line`."""
    from rich.console import Console  # noqa: PLC0415

    while isinstance(stream, _SafeStream):
        stream = stream.raw
    return Console(file=stream, markup=False, highlight=False, emoji=False)


class _SafeStream:
    """A text stream that escapes what is written and leaves everything else to another stream."""

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

    def __getattr__(self, name: str) -> object:
        return getattr(self.raw, name)


def _replaced(error: UnicodeError) -> tuple[str | bytes, int]:
    """Replaces characters that an encoding lacks with others that mean the same, else with escapes."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    letters = error.object[error.start : error.end]
    return "".join(_REPLACEMENTS.get(x) or x.encode("unicode_escape").decode() for x in letters), error.end


def report_width() -> int:
    """Characters per line of a report: as many as the terminal has, up to 120."""
    return min(MAX_REPORT_WIDTH, shutil.get_terminal_size((100, 24)).columns)
