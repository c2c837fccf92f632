"""Judging: the rule of rejection comes from the valid split, or from train features no backbone learned from."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.training_scripts.small_datasets import clouds, same_weights
from tests.training_scripts.training.test_trainer import TinyBackbone, picture_trainer, trainer
from training_scripts.data.batches import FeatureBatches
from training_scripts.features.store import SplitFeatures
from training_scripts.models import rejection
from training_scripts.training.evaluation import ModelEvaluation, evaluate_model, fit_rejection
from training_scripts.training.stop_signal import StopFlag
from training_scripts.training.trainer import Trainer


def with_only(splits: dict[str, SplitFeatures], split: str, rows: slice) -> dict[str, SplitFeatures]:
    """The splits with only these rows of one of them."""
    whole = splits[split]
    return splits | {split: SplitFeatures(whole.features[rows], whole.targets[rows], whole.names[rows])}


def judged(run: Trainer, lines: list[str]) -> ModelEvaluation:
    return evaluate_model(run, run.run(), epochs=6, report=lines.append)


def test_the_rule_is_fitted_on_the_valid_split_and_measured_on_the_test_split(tmp_path: Path) -> None:
    lines: list[str] = []
    splits = clouds()
    evaluated = judged(trainer(tmp_path, FeatureBatches(splits)), lines)
    valid = torch.from_numpy(splits["valid"].features[:, 0])
    assert evaluated.rejection == rejection.fit(valid, torch.from_numpy(splits["valid"].targets), classes=4)
    assert evaluated.rejection
    assert f"rejection of pictures of no class: cosine above {evaluated.rejection.threshold:.4f}" in "\n".join(lines)
    test = torch.from_numpy(splits["test"].features[:, 0])
    kept = evaluated.rejection.scores(test, test) <= evaluated.rejection.threshold
    assert evaluated.metrics["test:kept"] == pytest.approx(float(kept.double().mean()))
    assert {"valid:ece", "test:ece", "test:accuracy", "epoch"} <= evaluated.metrics.keys()


def test_judging_changes_neither_weights_nor_metrics(tmp_path: Path) -> None:
    run = trainer(tmp_path)
    outcome = run.run()
    before = run.network.learned()
    evaluated = evaluate_model(run, outcome, epochs=6, report=lambda _: None)
    assert same_weights(before, run.network.learned())
    assert {name: evaluated.metrics[name] for name in outcome.metrics} == outcome.metrics


@pytest.mark.parametrize("rows", [slice(0), slice(6)], ids=["no valid split", "a class with one valid picture"])
def test_where_the_valid_split_does_not_do_stored_train_features_serve(tmp_path: Path, rows: slice) -> None:
    evaluated = judged(trainer(tmp_path, FeatureBatches(with_only(clouds(), "valid", rows))), [])
    assert evaluated.rejection
    assert evaluated.rejection.parameters == {"pictures": 64.0}


def test_without_a_valid_split_and_stored_features_nothing_is_rejected(tmp_path: Path) -> None:
    lines: list[str] = []
    run = picture_trainer(tmp_path, TinyBackbone().requires_grad_(False), [])
    assert fit_rejection(run, None, report=lines.append) is None
    assert lines == [
        "the model rejects no picture: fitting a rejection rule takes at least two valid pictures of each class"
    ]


def test_a_tuned_backbone_is_judged_by_the_features_it_gives_at_last(tmp_path: Path) -> None:
    backbone = TinyBackbone().requires_grad_(False)
    run = picture_trainer(tmp_path, backbone, list(backbone.norm.requires_grad_(True).parameters()))
    evaluated = judged(run, [])
    pictures, labels = (torch.cat(parts) for parts in zip(*run._batches.plain("valid", 8), strict=True))
    with torch.inference_mode():
        features = backbone(pictures)
    expected = rejection.fit(features, labels, classes=3)
    assert evaluated.rejection
    assert expected
    assert evaluated.rejection.threshold == pytest.approx(expected.threshold, abs=1e-6)


def test_a_run_asked_to_stop_is_judged_by_what_there_is(tmp_path: Path) -> None:
    stop, lines = StopFlag(), []
    run = trainer(tmp_path, FeatureBatches(with_only(clouds(), "valid", slice(0))), stop=stop)
    outcome = run.run()
    stop.request()
    evaluated = evaluate_model(run, outcome, epochs=6, report=lines.append)
    assert evaluated.rejection is None
    assert "test:accuracy" not in evaluated.metrics
    assert "asked to stop: the rejection rule was not fitted" in lines
