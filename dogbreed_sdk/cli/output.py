"""How results and progress reach a person: tables and bars on a terminal, plain lines elsewhere."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

from dogbreed_sdk._util.progress import JobProgress, ProgressCallback, print_progress
from dogbreed_sdk.cli import terminal
from dogbreed_sdk.errors import ConfigurationError, DogBreedError
from training_scripts._util.safe_text import safe_line

# States after which a job or endpoint does nothing more by itself.
ENDED = frozenset({"Completed", "Failed", "Stopped", "MaxRuntimeExceeded", "InService"})
_NAME_WIDTH = 17
# In a table: a trial's number and its random part, as in …001-4a879d24.
_LEAST_NAME_WIDTH = 13
_COLUMN_GAP = 2
# Work that is over sooner needs no line of its own.
LINE_SECONDS = 2.0


@dataclass(frozen=True)
class Outcome:
    """What a command has to say.

    Attributes:
        document: For ``--json``: one value that becomes one JSON document.
        text: For people: called to print it on standard output.
        exit_code: 0, or 1 where the work failed.
        quiet: Whether all has been said already.
    """

    document: Any
    text: Callable[[], None] = field(repr=False)
    exit_code: int = 0
    quiet: bool = False

    def print_text(self) -> None:
        """Prints the part for people."""
        self.text()


def show(*lines: str) -> None:
    """Lines on standard output; what is in one cannot begin another."""
    print("\n".join(map(safe_line, lines)), flush=True)


def say(*lines: str) -> Callable[[], None]:
    """Text of plain lines, for `Outcome`."""
    return lambda: show(*lines)


def note(*lines: str) -> None:
    """Lines about what is going on, on standard error, so that standard output stays the result's."""
    print("\n".join(map(safe_line, lines)), file=sys.stderr, flush=True)


def confirm(question: str, *, otherwise: str) -> None:
    """Asks on the terminal whether to continue.

    Args:
        question: Answered by yes or no.
        otherwise: The option that stands for yes, where there is no terminal to ask on.

    Raises:
        ConfigurationError: There is nobody to ask.
        DogBreedError: The answer is no.
    """
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise ConfigurationError(f"{question} To answer yes, add {otherwise}.")
    print(f"{safe_line(question)} [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise DogBreedError("Nothing was done.")


def print_document(document: Any) -> None:
    """One value as one JSON document on standard output."""
    print(json.dumps(document, indent=2, default=str, allow_nan=False), flush=True)


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, title: str | None = None) -> None:
    """A table on standard output; columns line up also where it is no terminal."""
    from rich.table import Column, Table  # noqa: PLC0415

    cells = [[_cell(value) for value in row] for row in rows]
    console = terminal.console(sys.stdout)
    if sys.stdout.isatty():
        cells, needed = fitted([safe_line(name) for name in columns], cells, console.width)
        # Where it cannot fit, the terminal breaks lines: a digit that is cut off is worse.
        console.width = max(console.width, needed)
    else:
        # A pipe has no width: let no cell be cut or broken.
        console.width = 400
    heads = [Column(safe_line(name), no_wrap=True) for name in columns]
    table = Table(*heads, title=title, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for row in cells:
        table.add_row(*row)
    console.print(table, soft_wrap=not sys.stdout.isatty())


def fitted(columns: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> tuple[list[list[str]], int]:
    """Rows whose first column, which names things, is shortened to what the others leave of a terminal's width.

    Names differ at their ends, so their beginnings are cut.

    Args:
        columns: The heads.
        rows: The cells.
        width: The terminal's, in characters.

    Returns:
        The rows, and the width that they need.

    >>> fitted(["trial", "lr"], [["dogs-261121-001-4a87", "0.00259"], ["pugs", "0.1"]], 27)
    ([['…s-261121-001-4a87', '0.00259'], ['pugs', '0.1']], 27)
    """
    widths = [max(map(len, cells)) for cells in zip(columns, *rows, strict=True)]
    others = sum(widths[1:]) + _COLUMN_GAP * (len(widths) - 1)
    room = max(width - others, _LEAST_NAME_WIDTH)
    shortened = [[_ending(row[0], room), *row[1:]] for row in rows]
    return shortened, min(widths[0], room) + others


def _ending(name: str, width: int) -> str:
    return name if len(name) <= width else "…" + name[len(name) - width + 1 :]


def next_steps(commands: Sequence[str]) -> list[str]:
    """Lines that offer commands to copy, after an empty one."""
    return ["", "Next:", *(f"  {command}" for command in commands)]


Kind = Literal["job", "search", "endpoint"]

# What `job_progress` has seen and what had not ended when it was last seen.
_under_way: dict[str, Kind] = {}


def under_way() -> dict[str, Kind]:
    """Name and kind of what this command has watched and what has not ended."""
    return dict(_under_way)


@contextmanager
def job_progress(kind: Kind = "job") -> Iterator[ProgressCallback]:
    """A callback for ``wait``: one bar a job on a terminal, one line a step elsewhere; on standard error."""
    if not sys.stderr.isatty():
        yield _watched(print_progress, kind)
        return
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn  # noqa: PLC0415
    from rich.table import Column  # noqa: PLC0415

    columns = (
        TextColumn("{task.fields[job]}", markup=False, table_column=Column(no_wrap=True)),
        BarColumn(bar_width=10, table_column=Column(min_width=10)),
        TimeElapsedColumn(table_column=Column(min_width=7)),
        TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True, overflow="ellipsis", ratio=1)),
    )
    bars: dict[str, Any] = {}
    with Progress(*columns, console=terminal.console(sys.stderr), expand=True) as display, terminal.safe_streams():

        def update(step: JobProgress) -> None:
            if step.job not in bars:
                bars[step.job] = display.add_task("", total=None, job=safe_line(_short_name(step.job)))
            total = None if step.fraction is None else 1.0
            text = f"{step.status}  {step.message}" if step.message else step.status
            display.update(bars[step.job], total=total, completed=step.fraction or 0.0, description=safe_line(text))

        yield _watched(update, kind)


def _watched(show: ProgressCallback, kind: Kind) -> ProgressCallback:
    def update(step: JobProgress) -> None:
        if step.status in ENDED:
            _under_way.pop(step.job, None)
        else:
            _under_way[step.job] = kind
        show(step)

    return update


def _short_name(job: str) -> str:
    """A name that leaves room for the rest; what tells a search's trials apart stands at its end.

    >>> _short_name("dogbreed-261121-043544-2cec-001-4a879d24"), _short_name("my-job")
    ('…cec-001-4a879d24', 'my-job')
    """
    return _ending(job, _NAME_WIDTH)


@contextmanager
def waiting(what: str) -> Iterator[Callable[[], None]]:
    """Says what is waited for where the block takes longer than people wait without wondering.

    Args:
        what: What happens meanwhile: ``loading the model``.

    Yields:
        A function that ends the wait before the block ends.
    """
    timer = threading.Timer(LINE_SECONDS, note, [f"{what} …"])
    timer.daemon = True
    timer.start()
    try:
        yield timer.cancel
    finally:
        timer.cancel()


@contextmanager
def counter(what: str) -> Iterator[Callable[[int, int], None]]:
    """A callback for counted work: a bar on a terminal, a line now and then elsewhere.

    Args:
        what: What is counted, in the past tense: ``pictures drawn``.

    Yields:
        The callback, which takes how many are done, and how many there are; 0 where that is not known.
    """
    if not sys.stderr.isatty():
        shown = time.monotonic()

        def line(done: int, total: int) -> None:
            nonlocal shown
            if time.monotonic() - shown >= LINE_SECONDS:
                shown = time.monotonic()
                note(f"{what}: {done} of {total}" if total else f"{what}: {done}")

        yield line
        return
    from rich.progress import Progress  # noqa: PLC0415

    # What is printed meanwhile goes to standard output, which may be a file, and not to the bar's stream.
    with (
        Progress(console=terminal.console(sys.stderr), transient=True, redirect_stdout=False) as display,
        terminal.safe_streams(),
    ):
        task = display.add_task(what, total=None)
        yield lambda done, total: display.update(task, completed=done, total=total or None)


def _cell(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:.4f}" if isinstance(value, float) else safe_line(str(value))
