"""FailureReason: at most AWS's 1,024 characters, and what they are is what matters most."""

from __future__ import annotations

import errno
import re
from pathlib import Path

import pytest

from dogbreed_sdk._util.log_file import LogFile
from dogbreed_sdk.local.failure_reason import brief, script_failure, unexpected
from dogbreed_sdk.local.folders import JobFolder
from dogbreed_sdk.local.jobs.state import MAXIMUM_FAILURE_CHARACTERS

FRAMES = ["Traceback (most recent call last):", '  File "/opt/ml/code/train.py", line 3, in <module>', "    main()"]
LONG = f"pictures differ: {'x' * 3000} and that is the end"


def reason(folder: Path, *tail: str, written: str = "") -> str:
    failure = folder / "failure"
    if written:
        failure.write_text(written)
    command = ["python", "train.py", "--lr", "0.1"]
    return script_failure(exit_status=1, command=command, failure_file=failure, tail=tail, folder=folder)


def message(text: str) -> str:
    return text.partition('ErrorMessage "')[2].rpartition('"\nCommand ')[0]


@pytest.mark.parametrize(
    "exception", [f"ValueError: {LONG}", "mine.Odd: first line\n" + "more\n" * 300 + "and that is the end"]
)
@pytest.mark.parametrize("place", ["log", "failure file"])
def test_a_long_message_keeps_the_type_its_beginning_and_its_end(tmp_path: Path, exception: str, place: str) -> None:
    lines = [*FRAMES, *exception.split("\n")]
    said = reason(tmp_path, *lines) if place == "log" else reason(tmp_path, written="\n".join(lines))
    assert len(said) <= MAXIMUM_FAILURE_CHARACTERS
    assert message(said).startswith(exception[:40])
    assert message(said).endswith("and that is the end")
    assert said.endswith('Command "python train.py --lr 0.1"')


def test_a_short_message_comes_with_its_frames(tmp_path: Path) -> None:
    assert message(reason(tmp_path, *FRAMES, "ValueError: no")) == "\n".join([*FRAMES[1:], "ValueError: no"])


def test_frames_go_before_any_of_the_message(tmp_path: Path) -> None:
    frames = [f'  File "{"deep/" * 30}{number}.py", line {number}' for number in range(12)]
    exception = "ValueError: " + "y" * 500
    said = message(reason(tmp_path, FRAMES[0], *frames, exception))
    assert said.startswith("…")
    assert said.endswith(exception)


def test_the_log_keeps_both_ends_of_a_long_line_for_it(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "log")
    log.write([*FRAMES, f"ValueError: {LONG}"])
    log.close()
    assert message(reason(tmp_path, *log.tail)).startswith("ValueError: pictures differ")


def test_a_search_repeats_the_exception_of_its_first_trial_and_not_the_frames(tmp_path: Path) -> None:
    said = brief(reason(tmp_path, *FRAMES, f"ValueError: {LONG}"), 400)
    assert len(said) <= 400
    assert 'ErrorMessage "ValueError: pictures differ' in said
    assert said.endswith('and that is the end"')
    assert brief("ClientError: the channel is empty", 400) == "ClientError: the channel is empty"


def test_the_scripts_traceback_counts_and_not_that_of_torchrun(tmp_path: Path) -> None:
    """torch.distributed writes the rank before each line of the script's traceback; torchrun adds one about itself."""
    script = [f"[rank1]: {line}" for line in (*FRAMES, "ValueError: no such breed")]
    launcher = [
        "E1130 torch/distributed/elastic/multiprocessing/api.py:1002] failed (exitcode: 1) local_rank: 0",
        "Traceback (most recent call last):",
        '  File "torch/distributed/launcher/api.py", line 386, in launch_agent',
        "    raise ChildFailedError(",
        "torch.distributed.elastic.multiprocessing.errors.ChildFailedError: ",
        "train.py FAILED",
    ]
    said = message(reason(tmp_path, *script, *launcher))
    assert "ValueError: no such breed" in said
    assert "ChildFailedError" not in said
    assert "rank1" not in said


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ValueError("odd"), r"InternalServerError: ValueError: odd\. The supervisor's log .*supervisor\.log has the"),
        (OSError(errno.ENOSPC, "full"), r"ClientError: The disk that holds .*/a is full"),
        (PermissionError("no"), r"InternalServerError: PermissionError: no\. "),
    ],
)
def test_a_supervisor_that_fails_names_its_log(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], error: Exception, expected: str
) -> None:
    assert re.match(expected, unexpected(error, JobFolder.of(tmp_path, "a")))
    assert f"{type(error).__name__}: " in capfd.readouterr().err
