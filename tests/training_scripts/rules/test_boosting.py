"""Recordings of XGBoost: their metrics are the training and validation loss of every round."""

from __future__ import annotations

import math

import numpy as np

from training_scripts import rules
from training_scripts.recording.trial.trial import GLOBAL, MemoryTrial
from training_scripts.rules.evidence.epochs import epoch_losses
from training_scripts.rules.evidence.learning_curves import curves
from training_scripts.rules.evidence.run import Run

ROUNDS = 60


def boosted(*, turns: int, metric: str = "logloss") -> MemoryTrial:
    """Rounds as smdebug's hook for XGBoost records them; the validation loss rises after some of them."""
    trial = MemoryTrial(name="boosted", ended=True)
    for number in range(ROUNDS):
        trial.add_step(number, GLOBAL, global_step=number)
        train = 0.69 * math.exp(-number / 15) + 0.01
        rises = 0.012 * max(0, number - turns)
        trial.add(f"train-{metric}", number, GLOBAL, train, collection="metrics")
        valid = 0.6 * math.exp(-min(number, turns) / 15) + 0.1 + rises
        trial.add(f"validation-{metric}", number, GLOBAL, valid, collection="metrics")
    return trial


def test_each_round_is_an_epoch_with_both_losses() -> None:
    trial = boosted(turns=30)
    losses = epoch_losses(trial)
    assert losses.epochs.tolist() == list(range(1, ROUNDS + 1))
    assert losses.train[0] == trial.value("train-logloss", 0, GLOBAL)
    assert losses.valid[-1] == trial.value("validation-logloss", ROUNDS - 1, GLOBAL)
    best = curves(trial)["loss"].best
    assert best is not None
    assert curves(trial)["loss"].numbers[best] == 31


def test_overfitting_is_found_and_a_good_run_is_not_blamed() -> None:
    def status(trial: MemoryTrial) -> str:
        [result] = rules.evaluate(trial=trial, only=["Overfit"])
        return str(result.status)

    assert status(boosted(turns=15)) == rules.ISSUES_FOUND
    assert status(boosted(turns=ROUNDS)) == "NoIssuesFound"


def test_a_metric_that_should_rise_is_no_loss() -> None:
    assert Run.of(boosted(turns=30, metric="auc")) is None
    assert Run.of(boosted(turns=30, metric="error@0.7")) is not None


def test_other_recordings_without_modes_stay_as_they_are() -> None:
    trial = MemoryTrial(name="plain", ended=True)
    for number in range(5):
        trial.add_step(number, GLOBAL, global_step=number)
        trial.add("CrossEntropyLoss_output_0", number, GLOBAL, 1.0 / (number + 1), collection="losses")
    found = epoch_losses(trial)
    assert np.isfinite(found.train).all()
    assert np.isnan(found.valid).all()
