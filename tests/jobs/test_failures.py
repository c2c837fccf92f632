"""Reasons and logs in, an explanation out."""

from __future__ import annotations

import pytest

from dogbreed_sdk.jobs.failures import TRACEBACK_LINES, diagnose

TRACEBACK = [
    "epoch 1/10 train:loss=0.5",
    "Traceback (most recent call last):",
    '  File "train_model.py", line 3, in <module>',
    "    import simplejpeg",
    "ModuleNotFoundError: No module named 'simplejpeg'",
    "supervisor: exit status 1",
]


def test_the_traceback_ends_with_the_exception_and_not_with_what_follows() -> None:
    failure = diagnose("AlgorithmError: ExecuteUserScriptError", TRACEBACK)
    assert failure.traceback.splitlines() == TRACEBACK[1:5]
    assert failure.cause == "ModuleNotFoundError: No module named 'simplejpeg'"
    assert "'simplejpeg'" in failure.fix


@pytest.mark.parametrize(
    "exception",
    ["subprocess.TimeoutExpired: Command 'x' timed out after 5 seconds", "mine.DataCorrupt: record 7", "StopIteration"],
)
def test_an_exception_may_have_any_name(exception: str) -> None:
    log = ["Traceback (most recent call last):", '  File "x.py", line 1', "    run()", exception, "ValueError: later"]
    failure = diagnose("", log)
    assert failure.cause == exception
    assert failure.traceback.splitlines() == log[:4]


def test_channels_of_pictures_are_no_channels_of_jobs() -> None:
    assert diagnose("RuntimeError: expected input to have 3 channels, but got 4 channels instead", []).fix == ""


def test_of_several_tracebacks_the_last_counts() -> None:
    later = ["Traceback (most recent call last):", '  File "b.py", line 1', "RuntimeError: CUDA out of memory"]
    failure = diagnose("", [*TRACEBACK, *later])
    assert failure.cause == "RuntimeError: CUDA out of memory"
    assert "batch-size" in failure.fix


def test_a_long_traceback_is_cut_at_its_beginning() -> None:
    frames = [f'  File "deep.py", line {number}' for number in range(100)]
    failure = diagnose("", ["Traceback (most recent call last):", *frames, "ValueError: deep"])
    assert len(failure.traceback.splitlines()) == TRACEBACK_LINES
    assert failure.traceback.endswith("ValueError: deep")


def test_a_message_of_a_script_needs_no_traceback() -> None:
    failure = diagnose("AlgorithmError", ["reading data", "error: lr: -1 is not a number above 0"])
    assert failure.cause == "lr: -1 is not a number above 0"
    assert failure.traceback == ""


def test_without_a_log_sagemakers_reason_speaks() -> None:
    reason = 'AlgorithmError: ExecuteUserScriptError:\nExitCode 1\nErrorMessage "disk full"\nCommand "python x.py"'
    assert diagnose(reason, []).cause == "disk full"


@pytest.mark.parametrize(
    ("reason", "advice"),
    [
        ("OSError: [Errno 28] No space left on device", "disk"),
        ("AlgorithmError: ExecuteUserScriptError:\nExitCode -9", "memory"),
        ("CapacityError: Unable to provision requested ML compute capacity", "instance"),
        ("no training pictures: the job has the channels features. Pass a channel named train", "URI"),
        ("Data download failed: channel 'train': no objects found below s3://bucket/dogs", "URI"),
        ("ClientError: AccessDenied when calling PutObject", "role"),
    ],
)
def test_common_causes_come_with_a_remedy(reason: str, advice: str) -> None:
    assert advice in diagnose(reason, []).fix


def test_an_unknown_cause_is_told_without_a_guess() -> None:
    assert diagnose("Something new", []).fix == ""


def test_without_a_log_the_exception_is_found_below_its_frames() -> None:
    message = '  File "x.py", line 3, in <module>\n    main()\nValueError: no dogs\nin this folder'
    reason = f'AlgorithmError: ExecuteUserScriptError:\nExitCode 1\nErrorMessage "{message}"\nCommand "python x.py"'
    assert diagnose(reason, []).cause == "ValueError: no dogs"


@pytest.mark.parametrize(
    ("reason", "advice"),
    [
        ("it printed 'nan' for the objective metric 'loss', which is not a finite number. Perhaps", "learning rates"),
        ("its log has no line that the Regex of the objective metric 'loss' matches", "metric definition"),
    ],
)
def test_an_objective_that_is_not_there_comes_with_a_remedy(reason: str, advice: str) -> None:
    assert advice in diagnose(reason, []).fix
