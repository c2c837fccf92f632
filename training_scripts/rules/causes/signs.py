"""What the detectors of causes read from a run: losses, the recorder's numbers per step, updates and gradients."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from training_scripts._util.number_text import number_text
from training_scripts._util.wilson import wilson
from training_scripts.recording.trial.layout import LEARNING_RATE
from training_scripts.recording.trial.trial import EVAL, TRAIN, Series
from training_scripts.rules.evidence import learning_rate, selection
from training_scripts.rules.evidence.chance_level import SIGMAS, Learning, learning
from training_scripts.rules.evidence.epochs import loss_names
from training_scripts.rules.evidence.evidence import Evidence
from training_scripts.rules.evidence.run import Run
from training_scripts.rules.evidence.task import CROSS_ENTROPY
from training_scripts.rules.findings import RuleResult
from training_scripts.rules.tensors.vanishing_gradient import Gradients

Floats = NDArray[np.float64]
Issues = Mapping[str, RuleResult]

NEVER_NEGATIVE = re.compile(
    r"cross_?entropy|nll|bce|binary|mse|mean_?squared|l1|mae|huber|hinge|margin|poisson|ctc|focal|dice|quantile", re.I
)
"""Names of losses that have no negative values, if they get what they expect."""

NOT_LEARNED = 0.8
"""The loss as a share of its start or of the chance-level loss above which a run has hardly learned."""

HALF_WAY = 0.5
"""A run that has come this far from guessing toward right answers has learned most of what is easy to learn."""


class Signs:
    """The signs of one run, each computed once.

    Attributes:
        evidence: The recording.
        issues: The rules that found something, by name.
    """

    def __init__(self, evidence: Evidence, issues: Issues) -> None:
        self.evidence = evidence
        self.issues = issues

    @cached_property
    def run(self) -> Run | None:
        """The run; None if it has no training loss."""
        return Run.of(self.evidence)

    @cached_property
    def seen(self) -> Learning | None:
        """What the training loss shows; None if fewer than two finite values were recorded."""
        return learning(self.evidence)

    @cached_property
    def gradients(self) -> Gradients | None:
        """The gradients of the weights; None if there are none."""
        return Gradients.of(self.evidence)

    @property
    def chance(self) -> float | None:
        """The chance-level training loss; None if unknown."""
        return None if self.seen is None else self.seen.chance

    @cached_property
    def classes(self) -> int | None:
        """Number of classes; None if unknown."""
        named = self.run.classes if self.run is not None else None
        if named:
            return named
        chance = self.chance
        return round(math.exp(chance)) if chance is not None else None

    @cached_property
    def takes_logits(self) -> bool:
        """Whether the loss's name says that it takes logits."""
        return any(CROSS_ENTROPY.search(name) and "nll" not in name.lower() for name in loss_names(self.evidence))

    @cached_property
    def never_negative(self) -> bool:
        """Whether the loss's name says that it cannot be negative."""
        return any(NEVER_NEGATIVE.search(name) for name in loss_names(self.evidence))

    def scalar(self, name: str, mode: str = TRAIN) -> Series | None:
        """A tensor of one element per step; None if it was not recorded."""
        if name not in self.evidence.recorded_names():
            return None
        return self.evidence.reduction(name, "mean", mode)

    @cached_property
    def rates(self) -> Series | None:
        """The learning rate of each step; None if unknown."""
        return self.scalar(LEARNING_RATE)

    @cached_property
    def accuracy(self) -> tuple[float, float]:
        """Training and validation accuracy at the end, as shares; NaN if unknown."""
        run = self.run
        if run is None or not run.epochs:
            return math.nan, math.nan
        return float(run.train.accuracy[-1]), self.valid_accuracy(run.epochs - 1)

    def valid_accuracy(self, epoch: int) -> float:
        """The validation accuracy after an epoch (from 0), from the predictions or from the curve; NaN if unknown."""
        run = self.run
        if run is None or not 0 <= epoch < run.epochs:
            return math.nan
        shown = run.answers(epoch)
        return float((shown[0] == shown[1]).mean()) if shown is not None else float(run.valid.accuracy[epoch])

    @cached_property
    def answers_well(self) -> bool:
        """Whether validation answers are significantly better than guesses; False if unknown."""
        run = self.run
        if run is None or not run.epochs or not self.classes or not run.valid_size:
            return False
        right = self.accuracy[1]
        return math.isfinite(right) and wilson(right * run.valid_size, run.valid_size)[0] > self.majority

    @cached_property
    def valid_accuracies(self) -> Floats:
        """The validation accuracy after each validated epoch, as shares; empty if unknown."""
        validated = self.run.validated if self.run is not None else ()
        values = [self.valid_accuracy(int(epoch)) for epoch in validated]
        return np.array([value for value in values if math.isfinite(value)], np.float64)

    @cached_property
    def majority(self) -> float:
        """The validation accuracy of answering with the most frequent class always, as a share; NaN if unknown."""
        run, classes = self.run, self.classes
        if run is None or not classes:
            return math.nan
        shown = run.answers(run.epochs - 1)
        counts = np.bincount(shown[0]) if shown is not None else run.class_counts
        return float(counts.max() / counts.sum()) if counts.sum() else 1 / classes

    @cached_property
    def better_than_guessing(self) -> bool:
        """Whether validation was ever better than guessing, by its answers or its loss; False if unknown.

        The best of many epochs must be better by three standard errors; all epochs on average, by two.
        """
        run, right, majority = self.run, self.valid_accuracies, self.majority
        if run is None:
            return False
        if len(right) and run.valid_size and math.isfinite(majority):
            error = math.sqrt(majority * (1 - majority) / run.valid_size)
            if right.max() > majority + SIGMAS * error or right.mean() > majority + 2 * error:
                return True
        if self.chance is None or not len(run.validated):
            return False
        highest = (run.valid.loss + SIGMAS * run.valid.error)[run.validated]
        return bool((highest < self.chance).any())

    @property
    def answers_right(self) -> bool:
        """Whether nearly all answers are right, in training or validation; False if unknown."""
        return any(math.isfinite(value) and value > 0.9 for value in self.accuracy)

    @cached_property
    def hardly_learned(self) -> bool:
        """Whether the loss ended near its start or near chance level, and answers are no better than guesses."""
        seen = self.seen
        if seen is None or seen.learned:
            return False
        start = min(seen.initial.mean, seen.chance) if seen.chance is not None else seen.initial.mean
        return bool(seen.final.mean > NOT_LEARNED * start)

    @cached_property
    def learned_most(self) -> bool:
        """Whether the run came at least half of the way: from guessing to no loss in training, or to all answers right.

        A network learns on while one unit in ten is alive, so blocked gradients are not what such a run suffers from.
        """
        seen, right = self.seen, self.accuracy[1]
        if seen is not None and seen.learned:
            start = seen.chance if seen.chance is not None else seen.initial.mean
            if 0 <= seen.final.mean < HALF_WAY * start:
                return True
        return self.answers_well and right > 1 - HALF_WAY * (1 - self.majority)

    @property
    def usual_update_sentence(self) -> tuple[str, ...]:
        """A sentence on `usual_update`; empty if it is unknown."""
        if not math.isfinite(self.usual_update):
            return ()
        usual, typical = number_text(self.usual_update, 1), number_text(learning_rate.TYPICAL_UPDATE)
        return (f"A step changes weights by {usual} of their norm; {typical} is usual.",)

    @cached_property
    def trained(self) -> list[str]:
        """Names of all trained parameters, biases included."""
        names = {*selection.weights(self.evidence), *selection.members(self.evidence, "biases")}
        with_gradient = {name.removeprefix(selection.GRADIENT) for name in selection.gradients(self.evidence)}
        return selection.natural(names & with_gradient if with_gradient else names)

    @cached_property
    def updates(self) -> dict[str, Series]:
        """The update of each trained weight as a share of its norm, at the saved steps."""
        found = {}
        for name in selection.trained_weights(self.evidence):
            series = self.evidence.reduction(name, "update_ratio", TRAIN)
            if series is None:
                series = self._moves(name)
            if series is not None and len(series):
                found[name] = series
        return found

    def _moves(self, name: str) -> Series | None:
        """Update ratios from weights in full; they cover all steps between two saves."""
        steps = self.evidence.steps_in_full(name, TRAIN)
        if len(steps) < 2:
            return None
        values = [self.evidence.value(name, int(step), TRAIN).astype(np.float64).ravel() for step in steps]
        if any(value.shape != values[0].shape for value in values):
            return None
        gaps = np.diff(steps)
        ratios = [
            float(np.linalg.norm(after - before) / (np.linalg.norm(before) + 1e-12) / gap)
            for before, after, gap in zip(values[:-1], values[1:], gaps, strict=True)
        ]
        return Series(steps[:-1], np.array(ratios))

    @cached_property
    def usual_update(self) -> float:
        """The usual update of a weight as a share of its norm; NaN if unknown."""
        recorded = learning_rate.usual_update(self.evidence)
        if math.isfinite(recorded):
            return recorded
        medians = [float(np.median(series.values)) for series in self.updates.values()]
        medians = [value for value in medians if math.isfinite(value)]
        return float(np.median(medians)) if medians else math.nan

    def total(self, kind: str = "weights") -> Series | None:
        """The total norm of all trained weights, of their gradients, or of their updates, at the saved steps.

        Args:
            kind: weights, gradients or updates.
        """
        columns = []
        for name in self.trained:
            tensor = selection.GRADIENT + name if kind == "gradients" else name
            length = self.evidence.reduction(tensor, "l2", TRAIN)
            if kind == "updates" and length is not None:
                ratio = self.evidence.reduction(name, "update_ratio", TRAIN)
                if ratio is None or len(ratio) != len(length):
                    return None
                length = Series(length.steps, length.values * ratio.values)
            if length is not None:
                columns.append(length)
        if not columns:
            return None
        longest = max((column.steps for column in columns), key=len)
        rows = [column.values for column in columns if np.array_equal(column.steps, longest)]
        return Series(longest, np.sqrt(np.square(np.array(rows)).sum(axis=0)))

    def of_epochs(self, name: str, mode: str) -> list[Floats]:
        """The values of a tensor of one element in each epoch's steps of a mode."""
        series, run = self.scalar(name, mode), self.run
        if series is None or run is None:
            return []
        groups = run.eval_steps if mode == EVAL else run.train_steps
        return [series.values[np.isin(series.steps, steps)] for steps in groups]
