"""How far a job is: the percentage of `wait` never falls, whatever the lines of the log count."""

from __future__ import annotations

from datetime import datetime, timezone
from types import SimpleNamespace

import pytest

from dogbreed_sdk._util.progress import JobProgress
from dogbreed_sdk.jobs.training_progress import TrainingProgress
from training_scripts.training.metrics import EpochMetrics, format_epoch, format_feature_pass, format_within_epoch


def epoch(number: int, *, best: bool = False) -> str:
    return format_epoch(EpochMetrics(number, 3, {"valid:loss": 0.5}, best=best))


PASS = [format_feature_pass(done, 100, 9.0, 3.0) for done in (50, 100)]
WITHIN = [line for number in (1, 2, 3) for line in (format_within_epoch(number, 3, 600, 1000, 1.0), epoch(number))]


def shown(lines: list[str], program: str) -> list[JobProgress]:
    """What a job with this log shows, all lines at the first look."""
    steps: list[JobProgress] = []

    log = SimpleNamespace(new_lines=lambda **_: lines)
    described = {
        "TrainingJobStatus": "InProgress",
        "CreationTime": datetime.now(timezone.utc),
        "HyperParameters": {"sagemaker_program": f'"{program}.py"'},
    }
    TrainingProgress("job", describe=lambda: described, log=log, progress=steps.append).poll()  # type: ignore[arg-type, return-value]
    return steps


@pytest.mark.parametrize(
    ("lines", "program", "expected"),
    [
        ([*WITHIN, epoch(3, best=True)], "train_model", [20, 33, 53, 67, 87, 100]),
        ([*PASS, epoch(1), epoch(2), epoch(3)], "train_model", [40, 80, 87, 93, 100]),
        (PASS, "extract_features", [50, 100]),
        ([epoch(2), epoch(1), epoch(3)], "train_model", [67, 67, 100]),
    ],
)
def test_the_share_done_never_falls(lines: list[str], program: str, expected: list[int]) -> None:
    steps = shown(lines, program)
    percentages = [round(100 * step.fraction) for step in steps if step.fraction is not None]
    assert percentages == sorted(percentages)
    assert list(dict.fromkeys(percentages)) == list(dict.fromkeys(expected))


def test_what_a_script_warns_of_is_always_shown() -> None:
    lines = [epoch(1), "continuing after epoch 1 from here", "warning: training diverged", "skipped a picture"]
    messages = [step.message for step in shown(lines, "train_model")]
    assert messages[1:3] == lines[1:3]
    assert "skipped a picture" not in messages
