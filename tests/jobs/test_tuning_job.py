"""What a search tells of its trials: to a table of pandas, and about the best of them."""

from __future__ import annotations

import sys

import pytest

from dogbreed_sdk import ConfigurationError
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
