"""Judges a trained network: metrics, the temperature of its probabilities, and what it rejects."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from training_scripts.models import rejection
from training_scripts.models.calibration import expected_calibration_error, fit_temperature
from training_scripts.models.rejection import Rejection
from training_scripts.training.metrics import EpochMetrics, format_epoch
from training_scripts.training.stop_signal import Stopped
from training_scripts.training.trainer import Evaluation, Outcome, Trainer


@dataclass(frozen=True)
class Judgement:
    """What is known of the kept weights.

    Attributes:
        metrics: Name to value.
        temperature: What logits are divided by to give honest probabilities; 1 where it could not be fitted.
        rejection: What tells pictures of none of the classes; None where it could not be fitted.
    """

    metrics: Mapping[str, float]
    temperature: float
    rejection: Rejection | None


def judge(trainer: Trainer, outcome: Outcome, *, epochs: int, report: Callable[[str], Any] = print) -> Judgement:
    """Judges the kept weights and reports the closing line. A stopped run skips the test split.

    Args:
        trainer: Has finished; its network holds the kept weights.
        outcome: What its `run` gave.
        epochs: How many epochs the run was asked for.
        report: Takes one line of log at a time.
    """
    metrics, temperature = dict(outcome.metrics), 1.0
    judged = {"valid": outcome.valid} if outcome.valid else {}
    if outcome.valid:
        temperature = fit_temperature(outcome.valid.logits, outcome.valid.labels)
    try:
        if trainer.has("test"):
            judged["test"] = test = trainer.evaluate("test")
            metrics |= {"test:loss": test.loss, "test:accuracy": test.accuracy}
    except Stopped:
        report("asked to stop: the test split was not judged")
    report(format_epoch(EpochMetrics(outcome.epoch, epochs, metrics, best=True)))
    for split, seen in judged.items():
        before = expected_calibration_error(seen.logits, seen.labels)
        after = expected_calibration_error(seen.logits, seen.labels, temperature=temperature)
        metrics |= {f"{split}:ece_uncalibrated": before, f"{split}:ece": after}
        report(f"{split} calibration error {before:.4f}, at temperature {temperature:.4f} {after:.4f}")
    rule = fit_rejection(trainer, outcome.valid, report=report)
    if rule and "test" in judged:
        kept = rule.scores(judged["test"].logits, judged["test"].features) <= rule.threshold
        metrics["test:kept"] = float(kept.double().mean())
        report(f"of the test pictures {metrics['test:kept']:.4f} are taken for one of the classes")
    return Judgement(metrics | {"epoch": float(outcome.epoch)}, temperature, rule)


def fit_rejection(
    trainer: Trainer, valid: Evaluation | None, *, report: Callable[[str], Any] = print
) -> Rejection | None:
    """What tells pictures of no class, fitted on the valid split.

    Where that has not two pictures of each class, the train split serves if its features are stored: the backbone has
    not learned from its pictures then, and they are as good as new ones. Else there is no such rule.

    Args:
        trainer: Has finished; its network holds the kept weights.
        valid: The valid split as these weights see it.
        report: Takes one line of log at a time.
    """
    rule = _fitted(valid) if valid else None
    if rule is None and trainer.network.backbone is None:
        try:
            rule = _fitted(trainer.evaluate("train"))
        except Stopped:
            report("asked to stop: what to reject was not fitted")
    if rule is None:
        report("the model rejects no picture: that takes a valid split with at least two pictures of each class")
        return None
    report(
        f"rejection of pictures of no class: {rule.method} above {rule.threshold:.4f}, fitted to keep {rule.kept:.2%}"
    )
    return rule


def _fitted(seen: Evaluation) -> Rejection | None:
    return rejection.fit(seen.features, seen.labels, classes=seen.logits.shape[1])
