"""Names, logs and answers may hold anything: they command no terminal, and are shown in every encoding."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from dogbreed_sdk import Session, TrainingJob
from dogbreed_sdk._util.progress import JobProgress, no_progress
from dogbreed_sdk.cli import output, terminal
from dogbreed_sdk.errors import JobFailedError
from dogbreed_sdk.testing import picture
from tests.script_job import start_script
from training_scripts._util.safe_text import printable, printable_lines

# Writes to the clipboard, clears the screen, turns the text around, and begins a line of its own.
HOSTILE = "Pug\x1b]52;c;aGk=\x07\x1b[2J\u202e\x9b\n100.0%  Fake [red]"
SHOWN = r"Pug\x1b]52;c;aGk=\x07\x1b[2J\u202e\x9b\n100.0%  Fake [red]"
OBEYED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


class _Answering(BaseHTTPRequestHandler):
    label = HOSTILE

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        scores = [{"index": 0, "class_folder": "Pug", "label": self.label, "logit": 0.0, "probability": 1.0}]
        body = json.dumps({"model_id": "held", "classes": 1, "predictions": [{"scores": scores}]}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/vnd.dogbreed+json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Says nothing."""


@contextlib.contextmanager
def model_server(label: str) -> Iterator[str]:
    handler = type("Answering", (_Answering,), {"label": label})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def dogbreed(*arguments: object, environment: Mapping[str, str] | None = None, expect: int = 0) -> tuple[bytes, bytes]:
    command = [sys.executable, "-m", "dogbreed_sdk.cli", *map(os.fsencode, map(str, arguments))]
    done = subprocess.run(command, capture_output=True, env={**os.environ, **(environment or {})}, check=False)
    assert done.returncode == expect, done.stderr
    return done.stdout, done.stderr


def harmless(*texts: bytes) -> None:
    for text in texts:
        assert not OBEYED.search(text.decode()), text


def test_labels_and_file_names_keep_to_their_lines(tmp_path: Path) -> None:
    path = tmp_path / "a\x1b[31m\nb.jpg"
    path.write_bytes(picture(0))
    missing = tmp_path / "gone\x1b[2J.jpg"
    with model_server(HOSTILE) as url:
        out, err = dogbreed("classify", url, path, missing, expect=1)
    harmless(out, err)
    answer, error = out.decode().splitlines()[:2], out.decode().splitlines()[2:]
    assert answer == [f"{tmp_path}/a\\x1b[31m\\nb.jpg", f"  >99%  {SHOWN}"]
    assert error[0] == f"{tmp_path}/gone\\x1b[2J.jpg"
    assert error[1].startswith("  error: ")
    assert len(error) == 2


def test_a_terminal_is_commanded_by_nobody_but_the_bar(tmp_path: Path) -> None:
    (tmp_path / "1.jpg").write_bytes(picture(0))
    ours, theirs = pty.openpty()
    shown = bytearray()
    with model_server(HOSTILE) as url:
        command = [sys.executable, "-m", "dogbreed_sdk.cli", "classify", url, "1.jpg"]
        with subprocess.Popen(command, cwd=tmp_path, stdout=theirs, stderr=theirs) as process:
            os.close(theirs)
            with contextlib.suppress(OSError):  # nobody writes to it any more
                while text := os.read(ours, 4096):
                    shown += text
        assert process.returncode == 0
    os.close(ours)
    lines = (
        shown.decode().replace("\r\n", "\n").removeprefix("waiting for the first prediction …\n")
    )  # if it takes long
    assert lines == f"1.jpg\n  >99%  {SHOWN}\n"


@pytest.mark.parametrize(
    ("environment", "shown"),
    [
        ({"PYTHONIOENCODING": "cp1252"}, b"  >99%  \xc9l\\u72ac\xe9 \x85\n"),
        ({"PYTHONIOENCODING": "ascii"}, b"  >99%  \\xc9l\\u72ac\\xe9 ...\n"),
        ({"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}, b"  >99%  \\xc9l\\u72ac\\xe9 ...\n"),
        ({"PYTHONIOENCODING": "utf-8"}, "  >99%  Él犬é …\n".encode()),
    ],
    ids=["cp1252", "ascii", "C", "utf-8"],
)
def test_what_an_encoding_lacks_is_spelled_out(tmp_path: Path, environment: dict[str, str], shown: bytes) -> None:
    path = tmp_path / "1.jpg"
    path.write_bytes(picture(0))
    with model_server("Él犬é …") as url:
        out, _ = dogbreed("classify", url, path, environment=environment)
    assert out == os.fsencode(path) + b"\n" + shown


def test_a_data_sets_names_are_shown_and_not_obeyed(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    for name in ("Pug\x1b]0;title\x07\nerror: nothing", "Beagle"):
        (folder / "train" / name).mkdir(parents=True)
        for number in range(2):
            (folder / "train" / name / f"{number}.jpg").write_bytes(picture(number))
    Path(os.fsdecode(os.fsencode(folder / "train" / "Beagle") + b"/\xff\x1b.jpg")).write_bytes(b"no picture")
    for environment in ({}, {"PYTHONIOENCODING": "ascii"}):
        command = ["data", "check", folder]
        done = subprocess.run(
            [sys.executable, "-m", "dogbreed_sdk.cli", *map(str, command)],
            capture_output=True,
            env={**os.environ, **environment},
            check=False,
        )
        harmless(done.stdout, done.stderr)
        lines = done.stdout.decode().splitlines()
        assert lines[0].startswith(f"{folder}: 2 classes")
        *findings, counted, all_files = lines[1:]
        assert all(line.startswith(("warning: ", "  ")) for line in findings), lines
        assert counted == "8 warnings"
        assert all_files.startswith("All files: ")
        assert not [line for line in lines if line.startswith("error: nothing")]
        assert "Pug\\x1b]0;title\\x07\\nerror: nothing" in done.stdout.decode()


SCRIPT = r"""
import os, sys
print("loss \x1b]52;c;aGk=\x07 1\n[red]two")
print("é 犬")
open(os.environ["SM_OUTPUT_DIR"] + "/failure", "w").write("bad \x1b[2J \u202e data")
sys.exit(1)
"""


@pytest.fixture(scope="module")
def failed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, TrainingJob]]:
    folder = tmp_path_factory.mktemp("failed")
    with Session.local(folder / "root") as session:
        job = start_script(SCRIPT, folder, session)
        with pytest.raises(JobFailedError):
            job.wait(progress=no_progress)
        yield folder / "root", job


@pytest.mark.extras
@pytest.mark.parametrize("environment", [{}, {"PYTHONIOENCODING": "ascii"}], ids=["utf-8", "ascii"])
def test_a_log_is_shown_with_its_lines_and_without_its_commands(
    failed: tuple[Path, TrainingJob], environment: dict[str, str]
) -> None:
    root, _ = failed
    out, err = dogbreed("logs", "failed", "--root", root, environment=environment)
    harmless(out, err)
    lines = out.decode().splitlines()
    assert "loss \\x1b]52;c;aGk=\\x07 1" in lines
    assert "[red]two" in lines
    assert ("é 犬" if not environment else r"\xe9 \u72ac") in lines


@pytest.mark.extras
def test_a_failures_reason_is_shown_and_not_obeyed(failed: tuple[Path, TrainingJob]) -> None:
    _, job = failed
    with pytest.raises(JobFailedError) as caught:
        job.wait(progress=no_progress)
    assert r"bad \x1b[2J \u202e data" in str(caught.value)
    assert not OBEYED.search(str(caught.value))
    assert "\x1b" in caught.value.reason  # the parts are what the script wrote


def test_progress_and_tables_keep_values_on_their_line(capsys: pytest.CaptureFixture[str]) -> None:
    step = JobProgress("job\x1b[2J", "Training", "loss 1\nloss 2\x07", 1.0, 0.5)
    assert str(step) == r"job\x1b[2J  Training     50%    1.0 s  loss 1\nloss 2\x07"
    with terminal.safe_streams():
        output.print_table(["name\x1b", "[bold]"], [["a\nb", "[red]x[/red] :dog:"]])
        print("someone else's \x1b[2J", file=sys.stderr)
    printed = capsys.readouterr()
    assert [line.split() for line in printed.out.splitlines()] == [
        [r"name\x1b", "[bold]"],
        [r"a\nb", "[red]x[/red]", ":dog:"],
    ]
    assert printed.err == "someone else's \\x1b[2J\n"


def test_ordinary_text_is_shown_as_it_is() -> None:
    family = "👩\u200d👩\u200d👧 כלב\u200f می\u200cروم Schäferhund\u00a0犬"
    assert printable(family) == family
    assert printable_lines("one\r\ntwo\rthree\tfour\n") == "one\ntwo\nthree\tfour\n"
    assert printable("a\udcffb") == r"a\udcffb"
