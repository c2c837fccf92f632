"""On a terminal: tables keep the ends of names and whole numbers; the bar of what has ended is full."""

from __future__ import annotations

import io
import re

import pytest

from dogbreed_sdk._util.progress import JobProgress
from dogbreed_sdk.cli.output import job_progress, print_table

TRIALS = [f"dogbreed-261121-043544-2cec-{number:03}-4a879d2{number}" for number in (1, 2, 3)]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def table(
    monkeypatch: pytest.MonkeyPatch, columns: list[str], rows: list[list[object]], *, width: int = 80
) -> list[str]:
    terminal = Terminal()
    monkeypatch.setattr("sys.stdout", terminal)
    monkeypatch.setenv("COLUMNS", str(width))
    print_table(columns, rows)
    return [line.rstrip() for line in re.sub(r"\x1b\[[0-9;]*m", "", terminal.getvalue()).splitlines()]


def test_trials_on_80_columns_keep_number_and_random_part(monkeypatch: pytest.MonkeyPatch) -> None:
    columns = ["trial", "batch-size", "lr", "weight-decay", "objective", "status", "seconds"]
    rows: list[list[object]] = [[name, "64", "0.00259", "0.0123", 0.1234, "Completed", "12.3"] for name in TRIALS]
    rows[1][4] = "0.1234 *"
    lines = table(monkeypatch, columns, rows)
    assert len(lines) == 4
    assert max(map(len, lines)) <= 80
    assert [line.split()[0][-12:] for line in lines[1:]] == ["001-4a879d21", "002-4a879d22", "003-4a879d23"]
    assert all("0.00259" in line and "0.1234" in line and line.endswith("12.3") for line in lines[1:])
    assert " * " in lines[2]


def test_a_table_that_fits_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    columns, row = ["name", "kind", "status", "created"], ["training", "Completed", "2026-11-29 20:51"]
    lines = table(monkeypatch, columns, [[name, *row] for name in TRIALS])
    assert [line.split()[0] for line in lines[1:]] == TRIALS


@pytest.mark.parametrize("stream", [Terminal, io.StringIO])
def test_no_line_of_a_table_ends_with_spaces(stream: type[io.StringIO], monkeypatch: pytest.MonkeyPatch) -> None:
    printed = stream()
    monkeypatch.setattr("sys.stdout", printed)
    monkeypatch.setenv("TERM", "xterm-256color")
    print_table(["name", "expires"], [["dogs", ""], ["a-long-name", "in a long time"], ["pugs", None]])
    lines = re.sub(r"\x1b\[[0-9;]*m", "", printed.getvalue()).splitlines()
    assert lines == ["name         expires", "dogs", "a-long-name  in a long time", "pugs         -"]


def test_no_digit_is_cut_off_where_nothing_helps(monkeypatch: pytest.MonkeyPatch) -> None:
    rows: list[list[object]] = [[TRIALS[0], *["0.123456789"] * 6]]
    said = "".join(table(monkeypatch, ["trial", *"abcdef"], rows, width=40))
    assert said.count("0.123456789") == 6


def test_the_bar_of_an_endpoint_in_service_is_full(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLORTERM", "truecolor")
    with job_progress("endpoint") as progress:
        progress(JobProgress("dogs", "Creating", "", 0.0))
        progress(JobProgress("dogs", "InService", "", 1.0))
    done = r"\x1b\[38;2;114;156;31m\u2501{10}\x1b"  # rich's green of a bar that is finished
    assert re.search(done, terminal.getvalue())
