"""How results and progress reach a person: tables and bars on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from dogbreed_sdk.progress import JobProgress, ProgressCallback, print_progress

# Work that is over sooner needs no line of its own.
LINE_SECONDS = 2.0


@dataclass(frozen=True)
class Outcome:
    """What a command has to say.

    Attributes:
        document: For ``--json``: one value that becomes one JSON document.
        text: For people: called to print it on standard output.
        exit_code: 0, or 1 where the work failed.
    """

    document: Any
    text: Callable[[], None] = field(repr=False)
    exit_code: int = 0

    def print_text(self) -> None:
        """Prints the part for people."""
        self.text()


def say(*lines: str) -> Callable[[], None]:
    """Text of plain lines, for `Outcome`."""
    return lambda: print("\n".join(lines))


def note(line: str) -> None:
    """One line about what is going on, on standard error, so that standard output stays the result's."""
    print(line, file=sys.stderr, flush=True)


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, title: str | None = None) -> None:
    """A table on standard output; columns line up also where it is no terminal."""
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    table = Table(*columns, title=title, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for row in rows:
        table.add_row(*(_cell(value) for value in row))
    console = Console(markup=False, highlight=False, soft_wrap=not sys.stdout.isatty())
    if not sys.stdout.isatty():
        # A pipe has no width: let no cell be cut or broken.
        console.width = 400
    console.print(table)


@contextmanager
def job_progress() -> Iterator[ProgressCallback]:
    """A callback for ``wait``: one bar a job on a terminal, one line a step elsewhere; on standard error."""
    if not sys.stderr.isatty():
        yield print_progress
        return
    from rich.console import Console  # noqa: PLC0415
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn  # noqa: PLC0415

    columns = (
        SpinnerColumn(),
        TextColumn("{task.fields[job]}", markup=False),
        BarColumn(bar_width=20),
        TextColumn("{task.description}", markup=False),
        TimeElapsedColumn(),
    )
    bars: dict[str, Any] = {}
    with Progress(*columns, console=Console(stderr=True), transient=False) as display:

        def update(step: JobProgress) -> None:
            if step.job not in bars:
                bars[step.job] = display.add_task("", total=None, job=step.job)
            total = None if step.fraction is None else 1.0
            text = f"{step.status}  {step.message}" if step.message else step.status
            display.update(bars[step.job], total=total, completed=step.fraction or 0.0, description=text)

        yield update


@contextmanager
def counter(what: str) -> Iterator[Callable[[int, int], None]]:
    """A callback (done, total) for counted work: a bar on a terminal, a line now and then elsewhere."""
    if not sys.stderr.isatty():
        shown = time.monotonic()

        def line(done: int, total: int) -> None:
            nonlocal shown
            if time.monotonic() - shown >= LINE_SECONDS:
                shown = time.monotonic()
                note(f"{what}: {done} of {total}")

        yield line
        return
    from rich.console import Console  # noqa: PLC0415
    from rich.progress import Progress  # noqa: PLC0415

    with Progress(console=Console(stderr=True), transient=True) as display:
        task = display.add_task(what, total=None)
        yield lambda done, total: display.update(task, completed=done, total=total)


def _cell(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:.4f}" if isinstance(value, float) else str(value)
