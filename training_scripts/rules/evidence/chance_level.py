"""Whether a run has learned: compares its training loss with the initial loss and with the chance-level loss."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training_scripts.recording.trial.trial import TRAIN, Trial
from training_scripts.rules.evidence import curves, selection, task
from training_scripts.rules.evidence import evidence as evidences
from training_scripts.rules.evidence.curves import Level
from training_scripts.rules.evidence.epochs import epoch_losses, loss_names, training_loss
from training_scripts.rules.evidence.evidence import Evidence
from training_scripts.rules.evidence.recorded import whole_numbers

Floats = NDArray[np.float64]

BINARY = re.compile(r"bce|binary", re.IGNORECASE)

BELOW_CHANCE = 0.99
"""Below this share of the chance-level loss, a loss counts as better than guessing.

With two classes, 60% right instead of 50%, the least that counts as learning, gives a share of 0.97. With half of the
labels wrong, a model that has learned reaches 0.99."""

CLEARLY_BELOW_CHANCE = 0.8
"""A run that begins below this share of the chance-level loss starts from a model that has learned something.

The loss of a random initialization is above the chance-level loss on average, and never this far below it."""

FALLEN = 0.01
"""A relative fall of the loss by less than this does not count: fitting a bias to the class frequencies achieves it."""

SIGMAS = 3.0
"""A difference counts from three standard errors on. Chance causes one in 700 such cases, and many are tested."""


@dataclass(frozen=True)
class Learning:
    """What the training loss shows.

    Attributes:
        steps: TRAIN steps of the loss [n], finite ones only.
        values: The loss at each [n].
        chance: The chance-level loss; None if the number of classes is unknown.
        entropy: Whether the loss is a cross-entropy, whose absolute value has a meaning.
        initial: The loss at the beginning.
        final: The loss at the end.
        learned: Whether the loss ended clearly below chance level and its initial value, or was low from the start.
        falling: Whether it fell significantly over the second half of the recording.
        settled: Whether it certainly fell by less than 5% over that half.
    """

    steps: NDArray[np.int64]
    values: Floats
    chance: float | None
    entropy: bool
    initial: Level
    final: Level
    learned: bool
    falling: bool
    settled: bool

    @property
    def floor(self) -> float:
        """Below this, a flat loss may have converged."""
        if self.chance is not None:
            return CLEARLY_BELOW_CHANCE * self.chance
        # The lowest chance-level loss, that of two classes, is ln 2.
        return math.log(2) if self.entropy else math.inf


def learning(trial: Trial) -> Learning | None:
    """What the training loss shows; None if fewer than two finite values were recorded."""
    run = evidences.of(trial)
    if "learning" not in run.kept:
        with np.errstate(all="ignore"):  # sums over a diverged loss overflow too
            run.kept["learning"] = _learning(run)
    kept: Learning | None = run.kept["learning"]
    return kept


def _learning(run: Evidence) -> Learning | None:
    series = training_loss(run)
    if series is None:
        return None
    finite = np.isfinite(series.values)
    steps, values = series.steps[finite], series.values[finite]
    if len(values) < 2:
        return None
    chance = chance_loss(run)
    entropy = chance is not None or task.is_cross_entropy(run)
    initial, final = _ends(values)
    before, after = _halves(values[len(values) // 2 :])
    falling = fell(before, after) or _epochs_fall(run)
    at_most = before.mean - after.mean + 2 * math.hypot(before.error, after.error)
    settled = not falling and at_most < 0.05 * abs(before.mean)
    learned = _learned(values, initial, final, chance, entropy=entropy)
    return Learning(steps, values, chance, entropy, initial, final, learned, falling, settled)


def _ends(values: Floats) -> tuple[Level, Level]:
    """The loss at the beginning (a tenth, at most five steps) and at the end (a fifth)."""
    first = values[: min(max(len(values) // 10, 1), 5)]
    last = values[-max(len(values) // 5, min(3, len(values) - 1)) :]
    if first.max() > 3 * abs(first[0]):
        first = first[:1]  # the loss leaped up within the first steps, so only the first one counts
    noise = curves.usual_jitter(values)
    beginning = Level(float(first.mean()), noise / math.sqrt(len(first)))
    end = curves.level(last)
    return beginning, end if math.isfinite(end.error) else Level(end.mean, noise)


def _learned(values: Floats, initial: Level, final: Level, chance: float | None, *, entropy: bool) -> bool:
    halves = _halves(values)
    fallen = fell(initial, final) or fell(*halves)
    if chance is not None:
        sure = final.mean + SIGMAS * final.error < BELOW_CHANCE * chance
        # Slightly better than chance counts if the whole second half shows it and the end does not contradict it.
        later = max(final, halves[1])
        sure = sure or (later.mean < BELOW_CHANCE * chance and later.mean + SIGMAS * later.error < chance)
        return final.mean < CLEARLY_BELOW_CHANCE * chance or (fallen and sure)
    if entropy and final.mean < math.log(2) / 2:
        return True
    return fallen


def fell(before: Level, after: Level) -> bool:
    """Whether a loss fell by enough to matter, and significantly."""
    difference = before.mean - after.mean
    errors = math.hypot(before.error, after.error)
    return difference > FALLEN * abs(before.mean) and difference > SIGMAS * errors


def _halves(values: Floats) -> tuple[Level, Level]:
    half = len(values) // 2
    if not half:
        return Level(float(values[0]), math.inf), Level(float(values[0]), math.inf)
    return curves.level(values[:half]), curves.level(values[half:])


def _epochs_fall(run: Evidence) -> bool:
    """Whether each epoch of the second half has a lower mean than the one before; all of them see the same pictures."""
    means = epoch_losses(run).train
    tail = means[len(means) // 2 :]
    return len(tail) >= 4 and bool((np.diff(tail) < 0).all()) and bool(tail[-1] < (1 - FALLEN) * tail[0])


def chance_loss(trial: Trial) -> float | None:
    """The chance-level loss: ln of the number of classes, or the entropy of the classes if their counts are known."""
    run = evidences.of(trial)
    if "chance" not in run.kept:
        run.kept["chance"] = _chance_loss(run)
    kept: float | None = run.kept["chance"]
    return kept


def _chance_loss(run: Evidence) -> float | None:
    names = loss_names(run)
    if any(BINARY.search(name) for name in names):
        return math.log(2)
    if not task.is_cross_entropy(run):
        return None
    counts = whole_numbers(run.run.get("class_counts"))
    if counts is not None and len(counts) > 1 and counts.any():
        shares = counts / counts.sum()
        shares = shares[shares > 0]
        return float(-(shares * np.log(shares)).sum()) or None
    classes = run.run.get("classes")
    number = len(classes) if isinstance(classes, (list, tuple)) else classes if isinstance(classes, int) else None
    shares_of_labels = None if number else task.label_shares(run)
    if shares_of_labels is not None:
        shares = shares_of_labels[shares_of_labels > 0]
        return float(-(shares * np.log(shares)).sum()) or None
    if not number:
        number = _outputs(run)
    return math.log(number) if number and number > 1 else None


def _outputs(run: Evidence) -> int | None:
    """The number of classes, from the gradient of the last bias.

    The gradient of the cross-entropy with respect to the logits sums to zero over the classes. So does the gradient of
    the last layer's bias, but that of no other layer. Its size n follows from its reductions:
    l2^2 = n (std^2 + mean^2).
    """
    for name in reversed(selection.gradients(run)):
        if not name.endswith("bias"):
            continue
        series = {kind: run.reduction(name, kind, TRAIN) for kind in ("mean", "abs_mean", "std", "l2")}
        mean, size, spread, length = series["mean"], series["abs_mean"], series["std"], series["l2"]
        if mean is None or size is None or spread is None or length is None:
            continue
        if not len(mean) == len(size) == len(spread) == len(length):
            continue
        known = (size.values > 1e-9) & np.isfinite(length.values)  # below that is float32 noise
        if not known.any() or (np.abs(mean.values[known]) > 1e-4 * size.values[known]).any():
            continue
        number = np.square(length.values[known]) / (np.square(spread.values[known]) + np.square(mean.values[known]))
        return round(float(np.median(number)))
    return None
