"""What `tune` prints about the trials of a search."""

from __future__ import annotations

import pytest

from dogbreed_sdk.cli import training_commands
from dogbreed_sdk.jobs.training_job import TrainingJob
from dogbreed_sdk.jobs.tuning_job import BestTrial, _trial_line
from dogbreed_sdk.session import Session
from tests.jobs import searches

pytestmark = pytest.mark.extras


def test_an_objective_has_the_same_digits_wherever_it_is_shown(
    session: Session, capsys: pytest.CaptureFixture[str]
) -> None:
    """A report of the search writes 0 and 0.05, too."""
    trials = [searches.trial(1, 0.0, lr=0.01), searches.trial(2, 0.05, lr=0.1), searches.trial(3, None, lr=1.0)]
    best = BestTrial(TrainingJob("dogs-001", session), 0.0, {"lr": 0.01}, {"lr": 0.01})
    training_commands._print_trials(best, trials)
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert rows[1][2:5] == ["0", "*", "Completed"]
    assert [row[2] for row in rows[2:]] == ["0.05", "-"]
    assert training_commands._best_lines("dogs", best)[1] == "objective 0 with lr 0.01"
    assert _trial_line(trials[0], "valid:loss") == "valid:loss 0  lr=0.01"
