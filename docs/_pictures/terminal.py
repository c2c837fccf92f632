"""A command run in a terminal, and what stands on its screen afterward, as a page to take a picture of."""

from __future__ import annotations

import os
import pty
import re
import struct
import subprocess
import termios
from collections.abc import Iterator, Mapping, Sequence
from fcntl import ioctl
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import TerminalTheme
from rich.text import Text

COLUMNS = 100
_PIECE = re.compile(r"\x1b\[([0-9;?]*)([A-Za-z])|(\r)|(\n)|([^\x1b\r\n]+)|\x1b")
_NORMAL = "484f58 ff7b72 7ee787 f2cc60 79c0ff d2a8ff 76e3ea c9d1d9"
_BRIGHT = "6e7681 ffa198 9be9a8 ffdf5d a5d6ff e2c5ff b3f0ff ffffff"
_PAGE = """<!DOCTYPE html>
<meta charset="utf-8">
<style>
  body {{ margin: 0; background: white; }}
  main {{ display: inline-block; background: #1b1f24; color: #e1e4e8; border-radius: 8px; padding: 14px 18px 18px; }}
  i {{ display: inline-block; width: 11px; height: 11px; border-radius: 50%; margin-right: 7px; }}
  pre {{ margin: 10px 0 0; font: 13.5px/1.42 "DejaVu Sans Mono", Menlo, Consolas, monospace; }}
</style>
<main><i style="background:#ff5f57"></i><i style="background:#febc2e"></i><i style="background:#28c840"></i>
<pre>{code}</pre></main>
"""


def run(command: Sequence[str], *, folder: Path, environment: Mapping[str, str]) -> str:
    """Runs a command in a terminal of 100 columns; what its screen shows at the end, with colors.

    Raises:
        RuntimeError: The command failed.
    """
    ours, theirs = pty.openpty()
    ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 60, COLUMNS, 0, 0))
    with subprocess.Popen(command, cwd=folder, env=environment, stdin=theirs, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        written = b"".join(_chunks(ours))
    os.close(ours)
    shown = screen(written.decode())
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with status {process.returncode}:\n{shown}")
    return shown


def _chunks(descriptor: int) -> Iterator[bytes]:
    while True:
        try:
            chunk = os.read(descriptor, 1 << 16)
        except OSError:  # Linux's word for: nobody has the other end open any more
            return
        if not chunk:
            return
        yield chunk


def screen(written: str) -> str:
    """What stands on a screen after this was written to it: lines that a progress display wrote over are gone."""
    lines, row = [""], 0
    for match in _PIECE.finditer(written):
        numbers, kind, back, end, text = match.groups()
        if kind == "A":
            row = max(0, row - int(numbers or 1))
        elif kind in {"K", "J"} or back:
            # Progress displays go back to a line's beginning only to write all of it anew.
            lines[row] = lines[row] if back else ""
        elif end:
            row += 1
            lines += [""] * (row + 1 - len(lines))
        elif kind == "m":
            lines[row] += match.group(0)
        elif text:
            lines[row] += text
    return "\n".join(line.rstrip() for line in lines).strip("\n")


def _theme() -> TerminalTheme:
    """Light text on dark ground."""
    background, text = [(27, 31, 36), (225, 228, 232)]
    normal, bright = ([tuple(bytes.fromhex(color)) for color in each.split()] for each in (_NORMAL, _BRIGHT))
    return TerminalTheme(background, text, normal, bright)


def page(command: str, shown: str) -> str:
    """A terminal's window as HTML: the command behind its prompt, and what it printed."""
    console = Console(record=True, width=COLUMNS, file=open(os.devnull, "w"))  # noqa: SIM115, PTH123
    console.print(Text.assemble(("$ ", "bright_black"), (command, "bold")), soft_wrap=True)
    console.print(Text.from_ansi(shown), soft_wrap=True)
    return _PAGE.format(code=console.export_html(theme=_theme(), inline_styles=True, code_format="{code}"))
