"""`dogbreed report`: the summary, one JSON document, the page; again and again while a job runs."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest

from dogbreed_sdk.cli import main, report_command
from tests.debugging import made_up
from training_scripts.recording.trial.trial import MemoryTrial

pytestmark = [pytest.mark.extras, pytest.mark.usefixtures("_recorded")]


class Recorded:
    """What stands for the trial on disk; a test may change it while it is watched."""

    trial: MemoryTrial | None = None


@pytest.fixture
def _recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    Recorded.trial = made_up.trial(epochs=6)
    monkeypatch.setattr("dogbreed_sdk.debugging.content._trial", lambda _: Recorded.trial)
    monkeypatch.setattr(report_command, "WATCH_SECONDS", 0.05)


@pytest.fixture
def folder(tmp_path: Path) -> str:
    (tmp_path / "job" / "debug-output" / "collections").mkdir(parents=True)
    return str(tmp_path / "job")


def test_the_summary_and_a_good_exit_status_though_rules_found_something(
    folder: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report", folder]) == 0
    out = capsys.readouterr().out
    assert out.partition("\n")[2].startswith("! ")
    assert "VanishingGradient" in out


def test_one_json_document(folder: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", folder, "--json", "--rule", "VanishingGradient", "--parameters", "aws"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert [rule["name"] for rule in document["rules"]] == ["VanishingGradient"]
    assert document["source"] == folder
    assert {"insights", "profile", "problems"} <= set(document)


def test_set_changes_one_parameter_of_a_rule(folder: str, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--json", "--rule", "VanishingGradient", "--set", "VanishingGradient.threshold=1e-30"]
    assert main(["report", folder, *options]) == 0
    [rule] = json.loads(capsys.readouterr().out)["rules"]
    assert (rule["status"], rule["parameters"]["threshold"]) == ("NoIssuesFound", 1e-30)


@pytest.mark.parametrize("text", ["Overfit", "Overfit=3", "Overfit.patience", ".patience=3", "Overfit.=3"])
def test_a_malformed_parameter_is_an_error(folder: str, capsys: pytest.CaptureFixture[str], text: str) -> None:
    assert main(["report", folder, "--set", text]) == 2
    assert "write RULE.PARAMETER=VALUE" in capsys.readouterr().err


def test_an_unknown_rule_is_refused_with_similar_names(folder: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", folder, "--rule", "Vanishing"]) == 2
    assert "VanishingGradient" in capsys.readouterr().err


def test_the_page_is_written_and_named(folder: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "made" / "report.html"
    assert main(["report", folder, "--html", str(page)]) == 0
    assert page.read_text(encoding="utf-8").startswith("<!doctype html>")
    out = capsys.readouterr().out
    assert out.rstrip().endswith(f"report: {page}")
    assert "Curves, tensors, machine:" not in out
    assert main(["report", folder, "--html", str(page), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["html"] == str(page)


def test_a_folder_without_a_recording_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", str(tmp_path), "--json"]) == 1
    captured = capsys.readouterr()
    assert "contains no recording" in captured.err
    assert json.loads(captured.out)["kind"] == "RecordingError"


def test_a_folders_name_cannot_command_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "a\x1b[2Jb"
    folder.mkdir()
    assert main(["report", str(folder)]) == 1
    captured = capsys.readouterr()
    assert r"a\x1b[2Jb contains no recording" in captured.err
    assert "\x1b" not in captured.err


def while_it_waits(monkeypatch: pytest.MonkeyPatch, *events: Callable[[], object]) -> None:
    """Lets each event happen in one of the command's waits."""
    coming = iter(events)
    monkeypatch.setattr(report_command, "time", SimpleNamespace(sleep=lambda _seconds: next(coming)()))


def test_watching_shows_what_is_new_and_ends_with_the_run(
    folder: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Recorded.trial = made_up.trial(epochs=6, begin=time.time())
    Recorded.trial.ended = False

    def end() -> None:
        Recorded.trial = made_up.trial(epochs=8)

    while_it_waits(monkeypatch, end)
    assert main(["report", folder, "--watch"]) == 0
    captured = capsys.readouterr()
    page, line = captured.err.splitlines()
    assert re.fullmatch(r"live page: http://127\.0\.0\.1:\d+/", page)
    assert "DeadRelu" in line
    assert "training steps 150" in line
    assert "8 epochs" in captured.out


@pytest.mark.parametrize("name", ["slow", "./slow", "runs/slow"])
def test_watching_waits_for_a_folder_that_a_loop_has_yet_to_make(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DOGBREED_ROOT", str(tmp_path / "sagemaker"))

    folder = tmp_path / name
    recorded = folder / "debug-output" / "collections"
    while_it_waits(monkeypatch, partial(folder.mkdir, parents=True), partial(recorded.mkdir, parents=True))
    assert main(["report", name, "--watch"]) == 0
    captured = capsys.readouterr()
    assert captured.err == f"{name} does not exist yet; waiting until a loop records into it (Ctrl-C ends)\n"
    assert "VanishingGradient" in captured.out


def test_watching_a_job_that_does_not_exist_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", "nothing", "--watch", "--root", str(tmp_path)]) == 2
    assert "there is no local SageMaker" in capsys.readouterr().err


def test_watching_a_run_that_has_ended_reports_at_once(folder: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", folder, "--watch", "--json"]) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out)["source"] == folder
    assert not captured.err


def test_watching_on_a_terminal_draws_in_place(folder: str, tmp_path: Path) -> None:
    """In a process of its own, whose output is a pseudo-terminal: made-up recordings do not reach it, real ones do."""
    parent, child = pty.openpty()
    command = [sys.executable, "-m", "dogbreed_sdk.cli", "report", folder, "--watch"]
    process = subprocess.Popen(command, stdout=child, stderr=child, stdin=subprocess.DEVNULL)
    os.close(child)
    seen = b""
    try:
        while part := _read(parent):
            seen += part
            if b"still running" in seen:
                (tmp_path / "job" / "debug-output" / "training_job_end.ts").write_text("end")
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()
        os.close(parent)
    assert b"still running" in seen
    assert b"still running" not in seen.rpartition(b"Nothing could be evaluated")[2]


def _read(terminal: int) -> bytes:
    """What a program wrote to a terminal; nothing once it has ended."""
    ready, _, _ = select.select([terminal], [], [], 120)
    try:
        return os.read(terminal, 65536) if ready else b""
    except OSError:  # the other side is closed
        return b""
