"""`dogbreed classify` says each answer when it has it, whatever becomes of the pictures after it."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from dogbreed_sdk.cli import classify_command, main
from dogbreed_sdk.testing import picture
from tests.waiting import wait_for

PICTURES = 6
HELD = 4
ANSWERS = [f"{number}.jpg\n  >99%  Pug\n" for number in range(PICTURES)]


class HoldingServer(ThreadingHTTPServer):
    """A model server that keeps one picture until the test lets it go."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answering)
        self.go_on = threading.Event()
        self.url = f"http://127.0.0.1:{self.server_address[1]}"


class _Answering(BaseHTTPRequestHandler):
    server: HoldingServer

    def do_POST(self) -> None:
        if self.rfile.read(int(self.headers["Content-Length"])) == picture(HELD):
            assert self.server.go_on.wait(240)
        scores = [{"index": 0, "class_folder": "Pug", "label": "Pug", "logit": 0.0, "probability": 1.0}]
        body = json.dumps({"model_id": "held", "classes": 1, "predictions": [{"scores": scores}]}).encode()
        with contextlib.suppress(ConnectionError):  # whoever was interrupted has gone
            self.send_response(200)
            self.send_header("Content-Type", "application/vnd.dogbreed+json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Says nothing."""


@pytest.fixture
def server() -> Iterator[HoldingServer]:
    with HoldingServer() as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield running
        running.go_on.set()
        running.shutdown()


@contextlib.contextmanager
def classifying(server: HoldingServer, folder: Path, *arguments: str, stderr: int) -> Iterator[subprocess.Popen[str]]:
    for number in range(PICTURES):
        (folder / f"{number}.jpg").write_bytes(picture(number))
    command = [sys.executable, "-m", "dogbreed_sdk.cli", "classify", server.url, *arguments]
    command += [f"{number}.jpg" for number in range(PICTURES)]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=stderr, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


@contextlib.contextmanager
def terminal() -> Iterator[tuple[list[str], int]]:
    """What a terminal shows, and the descriptor to write to it."""
    ours, theirs = pty.openpty()
    shown: list[str] = []

    def watch() -> None:
        with contextlib.suppress(OSError):  # nobody writes to it any more
            while text := os.read(ours, 4096):
                shown.append(text.decode(errors="replace"))

    watching = threading.Thread(target=watch, daemon=True)
    watching.start()
    try:
        yield shown, theirs
    finally:
        os.close(theirs)
        watching.join()
        os.close(ours)


def read(process: subprocess.Popen[str], answers: int) -> str:
    assert process.stdout is not None
    return "".join(process.stdout.readline() for _ in range(2 * answers))


def test_answers_reach_a_pipe_as_they_come_and_stay_when_it_is_interrupted(
    server: HoldingServer, tmp_path: Path
) -> None:
    with classifying(server, tmp_path, stderr=subprocess.PIPE) as process:
        assert read(process, HELD) == "".join(ANSWERS[:HELD])
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=120)
        *counted, last = err.splitlines()
        assert (out, last) == ("", "interrupted")
        assert all(line.startswith("pictures classified: ") for line in counted), "shown where it takes long"
        assert process.returncode == 130


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_bar_on_the_terminal_shows_how_far_it_is_and_the_output_holds_the_answers_alone(
    server: HoldingServer, tmp_path: Path, form: str
) -> None:
    arguments = ["--json"] if form == "json" else []
    with terminal() as (shown, stderr), classifying(server, tmp_path, *arguments, stderr=stderr) as process:
        wait_for(lambda: "67%" in "".join(shown), state=lambda: shown)
        server.go_on.set()
        said, _ = process.communicate(timeout=120)
    answers = "".join(f"{row['picture']}\n  >99%  Pug\n" for row in json.loads(said)) if form == "json" else said
    assert answers == "".join(ANSWERS)


def test_an_interrupted_json_document_is_one_with_the_answers_so_far(server: HoldingServer, tmp_path: Path) -> None:
    with terminal() as (shown, stderr), classifying(server, tmp_path, "--json", stderr=stderr) as process:
        wait_for(lambda: "67%" in "".join(shown), state=lambda: shown)
        process.send_signal(signal.SIGINT)
        said, _ = process.communicate(timeout=120)
    assert process.returncode == 130
    assert [row["picture"] for row in json.loads(said)] == [f"{number}.jpg" for number in range(HELD)]


def test_detect_prints_each_dog_with_its_box(
    server: HoldingServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photo = tmp_path / "rex.jpg"
    photo.write_bytes(picture(size=(100, 80)))
    assert main(["classify", server.url, str(photo), "--detect"]) == 0
    assert capsys.readouterr().out == f"{photo}\n  >99%  Pug  at 0, 0, 100, 80\n"
    missing = str(tmp_path / "missing.jpg")
    assert main(["classify", server.url, missing, str(photo), "--detect", "--windows", "1", "--json"]) == 1
    refused, found = json.loads(capsys.readouterr().out)
    assert refused.keys() == {"picture", "error"}
    assert found["picture"] == str(photo)
    [dog] = found["detections"]
    assert (dog["box"], dog["prediction"]["label"]) == ([0, 0, 100, 80], "Pug")


def test_windows_without_detect_are_refused(
    server: HoldingServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["classify", server.url, str(tmp_path / "rex.jpg"), "--windows", "48"]) == 2
    assert "--windows is for --detect" in capsys.readouterr().err


def test_a_picture_without_dogs_is_said_to_have_none() -> None:
    row, lines = classify_command._shown("meadow.jpg", [])
    assert (row, lines) == (
        {"picture": "meadow.jpg", "detections": []},
        ["  nothing that looks like one of these classes"],
    )


@pytest.mark.parametrize("below", ["rex.jpg", "001.Pug/rex.JPG", "train/001.Pug/rex.png"])
def test_the_pattern_that_is_proposed_for_a_folder_finds_its_pictures(
    below: str, server: HoldingServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "my photos"
    (folder / below).parent.mkdir(parents=True)
    (folder / below).write_bytes(picture())
    assert main(["classify", server.url, str(folder)]) == 1
    pattern = capsys.readouterr().out.partition("write ")[2].strip().removesuffix(".")
    found = subprocess.run(["sh", "-c", f"ls {pattern}"], capture_output=True, text=True, check=True)
    assert found.stdout == f"{folder / below}\n"


def test_for_a_folder_without_pictures_nothing_is_proposed(
    server: HoldingServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["classify", server.url, str(tmp_path)]) == 1
    assert "To classify" not in capsys.readouterr().out
