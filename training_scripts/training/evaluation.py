"""Evaluates a trained network: metrics, the temperature of its probabilities, its rejection rule."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from training_scripts._util.number_text import percent_text
from training_scripts.models import rejection
from training_scripts.models.calibration import (
    Passes,
    calibration_error,
    fit_temperature_in_blocks,
    reliability,
)
from training_scripts.models.record import MAX_CONFUSED, EvaluationRecord, ReliabilityBin
from training_scripts.models.rejection import Rejection
from training_scripts.rules.evidence.confusion import Confusion
from training_scripts.training.answers import Evaluation
from training_scripts.training.metrics import EpochMetrics, format_epoch
from training_scripts.training.stop_signal import Stopped
from training_scripts.training.trainer import Outcome, Trainer

if TYPE_CHECKING:
    from torch import Tensor

# Fitting a temperature takes several passes over the logits. Logits beyond this are computed again in each.
_KEPT_BYTES = 128 << 20


@dataclass(frozen=True)
class ModelEvaluation:
    """The evaluation of the weights that were kept.

    Attributes:
        metrics: Name to value.
        temperature: Divisor of the logits that calibrates the probabilities; 1 if it could not be fitted.
        rejection: Rule that recognizes pictures of none of the classes; None if it could not be fitted.
        record: The results by class on the test split, or on the valid split if the test split was not evaluated; None
            if neither was.
    """

    metrics: Mapping[str, float]
    temperature: float
    rejection: Rejection | None
    record: EvaluationRecord | None = None


def evaluate_model(
    trainer: Trainer, outcome: Outcome, *, epochs: int, report: Callable[[str], object] = print
) -> ModelEvaluation:
    """Evaluates the kept weights and reports the closing line. A stopped run skips the test split.

    Of several processes, the first one alone fits the temperature and the rejection rule, which the others lack.

    Args:
        trainer: A trainer whose run is over; its network holds the kept weights.
        outcome: Result of its `run`.
        epochs: The number of epochs in the hyperparameters.
        report: Takes one line of log at a time.
    """
    metrics, temperature = dict(outcome.metrics), 1.0
    bins: dict[str, list[Tensor]] = {}
    test: Evaluation | None = None
    try:
        if trainer.has("test"):
            test = trainer.evaluate("test")
            metrics |= {"test:loss": test.loss, "test:accuracy": test.accuracy}
    except Stopped:
        report("asked to stop: the test split was not evaluated")
    if not trainer.is_first:
        return ModelEvaluation(metrics, temperature, None)
    if outcome.valid:
        temperature, bins["valid"] = _calibrated(outcome.valid)
    if test:
        bins["test"] = reliability(test.logits(), (1.0, temperature))
    report(format_epoch(EpochMetrics(outcome.epoch, epochs, metrics, best=True)))
    for split, (plain, calibrated) in bins.items():
        before, after = calibration_error(plain), calibration_error(calibrated)
        metrics |= {f"{split}:ece_uncalibrated": before, f"{split}:ece": after}
        report(f"{split} calibration error {before:.4f}, at temperature {temperature:.4f} {after:.4f}")
    rule = fit_rejection(trainer, outcome.valid, report=report)
    if rule and test:
        metrics["test:kept"] = _share_kept(rule, test.features)
        report(f"of the test pictures {metrics['test:kept']:.4f} are taken for one of the classes")
    split, measured = ("test", test) if test else ("valid", outcome.valid)
    record = _record(split, measured, bins[split][1], trainer) if measured else None
    return ModelEvaluation(metrics | {"epoch": float(outcome.epoch)}, temperature, rule, record)


def _calibrated(seen: Evaluation) -> tuple[float, list[Tensor]]:
    """The temperature fitted on a split, and the bins of `reliability` there without it and with it."""
    passes = seen.logits(kept_bytes=_KEPT_BYTES)
    temperature = fit_temperature_in_blocks(passes)
    return temperature, reliability(passes, (1.0, temperature))


def _record(split: str, seen: Evaluation, bins: Tensor, trainer: Trainer) -> EvaluationRecord:
    """The results by class, for the bundle."""
    answers = seen.answers
    counts = Confusion.of(answers.targets.numpy(), answers.predictions.numpy(), classes=trainer.network.classes)
    confused = sorted(counts.mistakes(), key=lambda mistake: -mistake[2])[:MAX_CONFUSED]
    return EvaluationRecord(
        split=split,
        pictures=tuple(counts.totals.tolist()),
        predicted=tuple(counts.called.tolist()),
        correct=tuple(counts.right.tolist()),
        confused=tuple(confused),
        reliability=tuple(
            # Rounding in the sum of probabilities must not lead out of their range.
            ReliabilityBin(int(pictures), min(1.0, confidence / pictures), right / pictures)
            if pictures
            else ReliabilityBin(0, 0.0, 0.0)
            for pictures, confidence, right in bins.tolist()
        ),
    )


def _share_kept(rule: Rejection, passes: Passes) -> float:
    kept = rows = 0
    for features, targets in passes():
        kept += int((rule.scores(None, features) <= rule.threshold).sum())
        rows += len(targets)
    return kept / rows


def fit_rejection(
    trainer: Trainer, valid: Evaluation | None, *, report: Callable[[str], object] = print
) -> Rejection | None:
    """The rule that recognizes pictures of none of the classes, fitted on the valid split.

    If that split lacks two pictures of each class, the train split is used, provided that its features are stored: then
    the backbone was not trained on its pictures, so they are as good as new ones. Otherwise there is no such rule.

    Args:
        trainer: A trainer whose run is over; its network holds the kept weights.
        valid: The evaluation of these weights on the valid split.
        report: Takes one line of log at a time.
    """
    classes = trainer.network.classes
    rule = rejection.fit_in_blocks(valid.features, classes=classes) if valid else None
    if rule is None and trainer.network.backbone is None:
        try:
            rule = rejection.fit_in_blocks(lambda: trainer.features("train"), classes=classes)
        except Stopped:
            report("asked to stop: the rejection rule was not fitted")
    if rule is None:
        report("the model rejects no picture: fitting a rejection rule takes at least two valid pictures of each class")
        return None
    report(
        f"rejection of pictures of no class: {rule.method} above {rule.threshold:.4f}, fitted to keep "
        f"{percent_text(rule.kept)}"
    )
    return rule
