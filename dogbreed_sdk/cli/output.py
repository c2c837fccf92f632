"""Printing of results and progress: tables and bars on a terminal, plain lines elsewhere."""

from __future__ import annotations

import json
import re
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from dogbreed_sdk._util.progress import JobProgress, ProgressCallback, show_progress
from dogbreed_sdk.cli import terminal
from dogbreed_sdk.errors import ConfigurationError, DogBreedError
from training_scripts._util.safe_text import safe_line

if TYPE_CHECKING:
    from rich.progress import TaskID

# States in which a job or endpoint does nothing more by itself.
ENDED = frozenset({"Completed", "Failed", "Stopped", "MaxRuntimeExceeded", "InService"})
_NAME_WIDTH = 17
# In a table: a trial's number and its random part, such as …001-4a879d24.
_LEAST_NAME_WIDTH = 13
_COLUMN_GAP = 2
# Shorter work does not need a line of progress.
LINE_SECONDS = 2.0


@dataclass(frozen=True)
class Outcome:
    """The result of a command.

    Attributes:
        document: For ``--json``: one value that becomes one JSON document.
        text: For people: prints the result on standard output.
        exit_code: 0, or 1 if the work failed.
        quiet: Whether everything has been printed already.
    """

    document: object
    text: Callable[[], None] = field(repr=False)
    exit_code: int = 0
    quiet: bool = False

    def print_text(self) -> None:
        """Prints the result for people."""
        self.text()


def show(*lines: str) -> None:
    """Prints lines on standard output; line breaks within a line are escaped."""
    print("\n".join(map(safe_line, lines)), flush=True)


def say(*lines: str) -> Callable[[], None]:
    """A function that prints lines, for `Outcome`."""
    return lambda: show(*lines)


def note(*lines: str) -> None:
    """Prints lines about the work on standard error, so that standard output has the result alone."""
    print("\n".join(map(safe_line, lines)), file=sys.stderr, flush=True)


def confirm(question: str, *, otherwise: str) -> None:
    """Asks on the terminal whether to continue.

    Args:
        question: A question to answer with yes or no.
        otherwise: The option that answers yes without a terminal.

    Raises:
        ConfigurationError: The program runs without a terminal, so nobody can confirm.
        DogBreedError: The user answered no.
    """
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise ConfigurationError(f"{question} To answer yes, add {otherwise}.")
    print(f"{safe_line(question)} [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise DogBreedError("Nothing was done.")


def print_document(document: object) -> None:
    """Prints one value as one JSON document on standard output."""
    print(json.dumps(document, indent=2, default=str, allow_nan=False), flush=True)


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, title: str | None = None) -> None:
    """Prints a table on standard output, with aligned columns even if that is not a terminal."""
    from rich.table import Column, Table  # noqa: PLC0415

    cells = [[_cell(value) for value in row] for row in rows]
    console = terminal.console(sys.stdout)
    if sys.stdout.isatty():
        cells, needed = fitted([safe_line(name) for name in columns], cells, console.width)
        # If it cannot fit, the terminal wraps the lines; cut-off digits would be worse.
        console.width = max(console.width, needed)
    else:
        # A pipe has no width: no cell may be cut or wrapped.
        console.width = 400
    heads = [Column(safe_line(name), no_wrap=True) for name in columns]
    table = Table(*heads, title=title, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for row in cells:
        table.add_row(*row)
    with console.capture() as printed:
        console.print(table, soft_wrap=not sys.stdout.isatty())
    # The last column is padded, too; on a terminal the heading's style ends after the padding.
    console.file.write(re.sub(r" +((?:\x1b\[0m)?\n)", r"\1", printed.get()))
    console.file.flush()


def fitted(columns: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> tuple[list[list[str]], int]:
    """Shortens the first column, which holds names, so that the rows fit a terminal.

    Names differ at their ends, so their beginnings are cut.

    Args:
        columns: The headings.
        rows: The cells.
        width: Width of the terminal, in characters.

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
    """An empty line, a heading, and commands to copy."""
    return ["", "Next:", *(f"  {command}" for command in commands)]


Kind = Literal["job", "search", "transform", "endpoint"]

# Name and kind of what `job_progress` has shown and has not seen end.
_under_way: dict[str, Kind] = {}


def under_way() -> dict[str, Kind]:
    """Name and kind of the jobs and endpoints that this command has waited for and that have not ended."""
    return dict(_under_way)


@contextmanager
def job_progress(kind: Kind = "job") -> Iterator[ProgressCallback]:
    """A callback for ``wait`` that prints on standard error: one bar per job on a terminal, else one line per step."""
    if not sys.stderr.isatty():
        yield _remembering(show_progress, kind)
        return
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn  # noqa: PLC0415
    from rich.table import Column  # noqa: PLC0415

    columns = (
        TextColumn("{task.fields[job]}", markup=False, table_column=Column(no_wrap=True)),
        BarColumn(bar_width=10, table_column=Column(min_width=10)),
        TimeElapsedColumn(table_column=Column(min_width=7)),
        TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True, overflow="ellipsis", ratio=1)),
    )
    bars: dict[str, TaskID] = {}
    with Progress(*columns, console=terminal.console(sys.stderr), expand=True) as display, terminal.safe_streams():

        def update(step: JobProgress) -> None:
            if step.job not in bars:
                bars[step.job] = display.add_task("", total=None, job=safe_line(_short_name(step.job)))
            # An endpoint has no fraction: its bar moves until it is in service.
            fraction = 1.0 if step.fraction is None and step.status in ENDED else step.fraction
            total = None if fraction is None else 1.0
            text = f"{step.status}  {step.message}" if step.message else step.status
            display.update(bars[step.job], total=total, completed=fraction or 0.0, description=safe_line(text))

        yield _remembering(update, kind)


def _remembering(show: ProgressCallback, kind: Kind) -> ProgressCallback:
    """A callback that also keeps `under_way` up to date."""

    def update(step: JobProgress) -> None:
        if step.status in ENDED:
            _under_way.pop(step.job, None)
        else:
            _under_way[step.job] = kind
        show(step)

    return update


def _short_name(job: str) -> str:
    """The end of a long name, which is where the names of a search's trials differ.

    >>> _short_name("dogbreed-261121-043544-2cec-001-4a879d24"), _short_name("my-job")
    ('…cec-001-4a879d24', 'my-job')
    """
    return _ending(job, _NAME_WIDTH)


@contextmanager
def waiting(what: str) -> Iterator[Callable[[], None]]:
    """Prints what the program is doing if the block takes longer than people wait without wondering.

    Args:
        what: What it is doing: ``loading the model``.

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
    """A callback for counted work: a bar on a terminal, a line every few seconds elsewhere.

    Args:
        what: What is counted, in the past tense: ``pictures drawn``.

    Yields:
        The callback; it takes the number done and the total, which is 0 if it is unknown.
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

    # Output of the block goes to standard output, which may be a file, and not to the bar's stream.
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
