"""Passwords and signatures that URLs carry stay out of headings, errors, logs, reasons and reports."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from dogbreed_sdk import BreedTrainer, ConfigurationError, Session, TrainingJob
from dogbreed_sdk._util.formatting import plain
from dogbreed_sdk._util.progress import JobProgress, no_progress
from dogbreed_sdk.errors import JobFailedError
from tests.cli.test_terminal import model_server
from tests.script_job import start_script
from training_scripts._util.safe_text import redacted, without_secrets
from training_scripts.models import backbones
from training_scripts.models.spec import BackboneError
from training_scripts.training import runtime

SECRET = "https://me:hush@host.invalid/dogs/x.jpg?X-Amz-Signature=hush"
SHOWN = "https://host.invalid/dogs/x.jpg?…"


def dogbreed(*arguments: object, expect: int) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "dogbreed_sdk.cli", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == expect, done.stderr
    assert "hush" not in done.stdout + done.stderr
    return done


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (SECRET, SHOWN),
        ("postgres://me:a@b?c#d@host:5432/db", "postgres://host:5432/db"),
        (str(Path(SECRET)), "https:/host.invalid/dogs/x.jpg?…"),  # as messages about files spell it
        (f"no {SHOWN}; download it", f"no {SHOWN}; download it"),
        (f"read '{SECRET}', then {SECRET}", f"read '{SHOWN}', then {SHOWN}"),
        (
            "me@host what?ever C:/a?b s3://bucket/key file:///a/b",
            "me@host what?ever C:/a?b s3://bucket/key file:///a/b",
        ),
    ],
)
def test_only_the_secrets_of_urls_go(text: str, shown: str) -> None:
    assert without_secrets(text) == shown


def test_a_part_of_a_url_is_redacted_too() -> None:
    assert redacted("url: /x?X-Amz-Signature=hush (//me:hush@host)") == "url: /x?… (//host)"


def test_classify_shows_which_picture_without_what_opens_it() -> None:
    with model_server("Pug") as url:
        done = dogbreed("classify", url, SECRET, expect=1)
    assert done.stdout.splitlines()[0] == SHOWN


@pytest.mark.extras
def test_weights_behind_a_url_are_refused_by_command_and_script(tmp_path: Path) -> None:
    dogs = tmp_path / "dogs"
    (dogs / "train" / "pug").mkdir(parents=True)
    done = dogbreed("train", dogs, "--weights", SECRET, "--root", tmp_path / "root", expect=2)
    assert f"weights is the URL {SHOWN}; download it" in done.stderr
    with pytest.raises(ConfigurationError, match="weights is the URL"):
        BreedTrainer(session=Session.local(tmp_path / "root"), weights=SECRET)
    with pytest.raises(BackboneError) as caught:
        backbones.create("efficientnet_lite0", weights=SECRET)
    assert str(caught.value) == f"weights is the URL {SHOWN}; pass pretrained, none, or the path of a state-dict file."


def test_what_a_script_reports_has_no_secrets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SM_OUTPUT_DIR", str(tmp_path))

    def work() -> int:
        runtime.say(f"reading {SECRET}\nvalid:accuracy=1")
        raise BackboneError(f"cannot read {SECRET}")

    assert runtime.run_entry_point(work) == 1
    printed = capsys.readouterr()
    assert printed.out == f"reading {SHOWN}\\nvalid:accuracy=1\n"
    assert printed.err == f"error: cannot read {SHOWN}\n"
    assert (tmp_path / "failure").read_text() == f"cannot read {SHOWN}"


SCRIPT = f"""
import os
print("from {SECRET}", flush=True)
raise OSError("no answer from {SECRET}")
"""


@pytest.fixture(scope="module")
def failed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, TrainingJob]]:
    folder = tmp_path_factory.mktemp("failed")
    with Session.local(folder / "root") as session:
        job = start_script(SCRIPT, folder, session, database='"postgres://me:hush@host/db"')
        yield folder / "root", job


@pytest.mark.extras
def test_a_failed_jobs_reason_error_and_log_have_no_secrets(failed: tuple[Path, TrainingJob]) -> None:
    root, job = failed
    with pytest.raises(JobFailedError) as caught:
        job.wait(progress=no_progress)
    reason = job.describe()["FailureReason"]
    for text in (str(caught.value), caught.value.reason, caught.value.traceback, reason):
        assert "hush" not in text
    assert f"OSError: no answer from {SHOWN}" in str(caught.value)
    assert "--database postgres://host/db" in reason
    assert f"from {SHOWN}" in dogbreed("logs", "failed", "--root", root, expect=0).stdout.splitlines()
    assert f"from {SHOWN}" in dogbreed("logs", "failed", "--root", root, "--json", expect=0).stdout.encode().decode(
        "unicode_escape"
    )


def test_progress_and_reports_have_no_secrets() -> None:
    step = JobProgress("job", "Training", f"reading {SECRET}", 1.0)
    assert str(step).endswith(f"reading {SHOWN}")
    assert plain({"weights": SECRET, "rows": [f"from {SECRET}"]}) == {"weights": SHOWN, "rows": [f"from {SHOWN}"]}
