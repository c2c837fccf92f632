"""What a search tells of its trials: to a table of pandas, and about the best of them."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from dogbreed_sdk import ConfigurationError, Session, TuningJob
from dogbreed_sdk._util.progress import JobProgress
from dogbreed_sdk.jobs.trial import Trial
from tests.conftest import Workshop

SEARCHED = ["batch-size", "lr", "weight-decay"]


def test_trials_become_a_table_with_a_column_per_searched_hyperparameter(workshop: Workshop) -> None:
    table = workshop.tuning.dataframe()
    trials = workshop.tuning.trials()
    assert list(table.columns) == ["name", *SEARCHED, "objective", "status", "seconds", "started", "ended", "failure"]
    assert list(table["name"]) == [trial.name for trial in trials]
    assert {str(table[name].dtype) for name in ("lr", "weight-decay", "objective", "seconds")} == {"float64"}
    assert str(table["batch-size"].dtype) == "int64"
    assert table["objective"].min() == workshop.tuning.best.objective
    assert ((table["ended"] - table["started"]).dt.total_seconds() - table["seconds"]).abs().max() < 0.01


def test_without_pandas_the_package_is_named(workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ConfigurationError, match="'pandas' is needed to make a table of trials"):
        workshop.tuning.dataframe()


def test_the_best_trial_has_numbers_for_numbers_and_what_was_searched_apart(workshop: Workshop) -> None:
    best = workshop.tuning.best
    assert workshop.tuning.best_overall.job.name == best.job.name
    assert sorted(best.searched) == SEARCHED
    assert best.searched == {name: best.hyperparameters[name] for name in SEARCHED}
    assert isinstance(best.searched["lr"], float)
    assert best.searched["batch-size"] in (32, 64, 128)
    assert best.hyperparameters["epochs"] == 6
    assert best.hyperparameters["amp"] is True
    assert best.hyperparameters["optimizer"] == "adamw"
    settled = workshop.trainer._hyperparameters.settled(best.hyperparameters, "train_model")
    assert settled["lr"] == repr(best.searched["lr"])


class Scripted(TuningJob):
    """A search whose trials have ended before it has, as happens between two polls."""

    def __init__(self, session: Session, statuses: Sequence[str]) -> None:
        super().__init__("search", session)
        self._statuses = list(statuses)

    def describe(self) -> Any:
        return {
            "HyperParameterTuningJobStatus": self._statuses.pop(0) if len(self._statuses) > 1 else self._statuses[0],
            "HyperParameterTuningJobConfig": {
                "ResourceLimits": {"MaxNumberOfTrainingJobs": 4},
                "HyperParameterTuningJobObjective": {"MetricName": "loss"},
            },
            "CreationTime": datetime.now(timezone.utc),
        }

    def trials(self) -> list[Trial]:
        return [Trial("trial-1", {}, 0.5, "Completed", 1.0)]


def test_the_last_step_of_a_search_has_its_final_status(tmp_path: Path) -> None:
    steps: list[JobProgress] = []
    with Session.local(tmp_path) as session:
        Scripted(session, ["InProgress", "InProgress", "Completed"]).wait(progress=steps.append)
    assert [(step.job, step.status, step.fraction) for step in steps] == [
        ("trial-1", "Completed", 1.0),
        ("search", "InProgress", 0.25),
        ("search", "Completed", 1.0),
    ]
