"""The order and size of batches: data that are not shuffled, and a last batch that is much smaller."""

from __future__ import annotations

import itertools
import math

import numpy as np
from numpy.typing import NDArray

from training_scripts._util.number_text import number_text, percent_text
from training_scripts.recording.trial.layout import STEP_SIZE
from training_scripts.recording.trial.trial import TRAIN
from training_scripts.rules.causes.cause import Cause
from training_scripts.rules.causes.signs import Signs
from training_scripts.rules.evidence.predictions import recorded_labels

Floats = NDArray[np.float64]

FEW_SAMPLES, FEW_BATCHES, MOST_BATCHES = 4, 4, 64
ALIKE = 0.2
"""Correlation of two labels of a batch: 0 if batches are drawn at random (± 0.07 for 15 batches of 4 samples and less
for larger ones), 1 if each has one class."""
REPEATS = 0.5
"""Correlation of the losses of two epochs, position by position: 0 with shuffling."""
NEIGHBORS = 0.3
"""Correlation of neighboring losses within an epoch: sorted data come in blocks."""
BAD = 0.8
"""The validation loss as a share of the chance-level loss above which the order did harm."""
MOSTLY_RIGHT = 0.6
"""A model that knows only the classes that it saw last answers less often right."""
SMALL, SMALL_OF_SOUND = 0.25, 0.125
"""A last batch of at most this share of the others; in a run that does well, only a still smaller one matters."""
NOISIER = 2.5
"""Its loss scatters this many times as much as those of the others; a quarter of the samples explains a factor of 2."""
VISIBLE = 0.3
"""It is off by at least this share of the usual loss."""


def find(signs: Signs) -> Cause | None:
    """Data that were sorted by class."""
    return _of_labels(signs) or _of_losses(signs)


def _of_labels(signs: Signs) -> Cause | None:
    """The labels of the saved training batches."""
    recorded = recorded_labels(signs.evidence, "^labels$", TRAIN, most=MOST_BATCHES)
    batches = [(step, labels) for step, labels in recorded if len(labels) >= FEW_SAMPLES]
    if len(batches) < FEW_BATCHES:
        return None
    alike, classes = _alike(batches)
    if not alike > ALIKE:
        return None
    distinct = np.median([len(np.unique(labels)) for _, labels in batches])
    return _sorted(
        signs,
        (
            (
                f"The labels of {len(batches)} recorded batches have {number_text(float(distinct), 2)} of {classes} "
                "classes each (median); drawn at random, they would have nearly all."
            ),
        ),
        steps=tuple(step for step, _ in batches),
    )


def _alike(batches: list[tuple[int, NDArray[np.int64]]]) -> tuple[float, int]:
    """The correlation of labels within a batch, from the variance beyond that of random draws; and the classes."""
    classes = int(max(labels.max() for _, labels in batches)) + 1
    counts = np.array([np.bincount(labels, minlength=classes) for _, labels in batches], dtype=np.float64)
    sizes = counts.sum(axis=1, keepdims=True)
    shares = counts.sum(axis=0) / counts.sum()
    shown = shares > 0
    if shown.sum() < 2:
        return 0.0, int(shown.sum())
    expected = sizes * shares[shown]
    spread = float((np.square(counts[:, shown] - expected) / expected).sum() / (len(counts) * (shown.sum() - 1)))
    return (spread - 1) / (float(sizes.mean()) - 1), int(shown.sum())


def _of_losses(signs: Signs) -> Cause | None:
    """Losses that repeat from epoch to epoch, in blocks, while validation is bad."""
    run, chance = signs.run, signs.chance
    table = _table(signs)
    if run is None or chance is None or table is None or not len(run.validated):
        return None
    if not float(run.valid.loss[run.validated[-3:]].min()) > BAD * chance:
        return None
    if signs.valid_accuracy(run.epochs - 1) > MOSTLY_RIGHT:
        return None
    repeats, neighbors = _repeats(table[1:, :-1])
    if not (repeats > REPEATS and neighbors > NEIGHBORS):
        return None
    return _sorted(
        signs,
        (
            (
                f"The losses of two epochs correlate by {repeats:+.2f}, step by step, and neighbors by "
                f"{neighbors:+.2f}: "
                "each epoch has the same blocks in the same order. With shuffling, both are about 0."
            ),
            (
                f"The validation loss is {number_text(float(run.valid.loss[run.validated[-1]]), 3)}; guessing gives "
                f"{number_text(chance, 3)}."
            ),
        ),
        steps=(run.last_step(0),),
    )


def _table(signs: Signs) -> Floats | None:
    """The training losses [epochs, steps] of the epochs as long as the first; None if there are too few."""
    run = signs.run
    if run is None:
        return None
    rows = [run.losses.values[np.isin(run.losses.steps, steps)] for steps in run.train_steps]
    length = len(rows[0]) if rows else 0
    rows = [row for row in rows if len(row) == length and np.isfinite(row).all()]
    return np.array(rows) if len(rows) >= 3 and length >= 6 else None


def _repeats(table: Floats) -> tuple[float, float]:
    """Mean correlation of each epoch with the next one, and of neighbors within epochs."""
    places = np.arange(table.shape[1])
    flat = np.array([row - np.polyval(np.polyfit(places, row, 1), places) for row in table])
    pairs = [np.corrcoef(one, other)[0, 1] for one, other in itertools.pairwise(flat)]
    near = [np.corrcoef(row[:-1], row[1:])[0, 1] for row in flat]
    return float(np.nan_to_num(np.mean(pairs))), float(np.nan_to_num(np.mean(near)))


def _sorted(signs: Signs, evidence: tuple[str, ...], steps: tuple[int, ...]) -> Cause:
    run = signs.run
    told = ""
    if run is not None and run.epochs:
        right = signs.valid_accuracy(run.epochs - 1)
        told = f" Validation accuracy is {percent_text(right)}." if math.isfinite(right) else ""
    return Cause(
        id="sorted-data",
        title="The training data are not shuffled: each batch has only a few classes, in the same order in every "
        "epoch.",
        explanation=(
            "The network learns the class that it is shown and forgets the ones before it: the loss falls within a "
            f"class, jumps where the next one begins, and validation knows only the last ones.{told}"
        ),
        evidence=evidence,
        advice="Shuffle the training data: DataLoader(..., shuffle=True). The learning rate is not the cause.",
        steps=steps[:20],
    )


def small_last_batch(signs: Signs) -> Cause | None:
    """A last batch of each epoch that is so small that its loss stands out."""
    table = _table(signs)
    if table is None or signs.run is None:
        return None
    share = _last_share(signs)
    if share is not None and share > (SMALL_OF_SOUND if signs.run.does_well else SMALL):
        return None
    level = np.median(table[:, :-1], axis=1)
    others = table[:, -6:-1] - level[:, None]
    last = table[:, -1] - level
    usual = float(np.sqrt(np.mean(np.square(others))))
    scatter = float(np.sqrt(np.mean(np.square(last))))
    outliers = np.abs(last) > 2 * np.abs(others).max(axis=1)
    if scatter < NOISIER * usual or np.median(np.abs(last) / np.maximum(np.abs(level), 1e-12)) < VISIBLE:
        return None
    if share is None and outliers.mean() < 0.5:
        return None
    ends = tuple(signs.run.last_step(epoch) for epoch in range(signs.run.epochs))
    known = share is not None
    size = f"{100 * share:.0f}% of the samples of the others" if share is not None else "probably far fewer samples"
    drop = "Set drop-last=true" if signs.run.words.is_ours else "Drop the last batch (DataLoader(..., drop_last=True))"
    return Cause(
        id="small-last-batch",
        title=f"The loss leaps at the last step of each epoch, which has {size}.",
        explanation=(
            "The mean over few samples is noisy, and so is their gradient: the weights that are evaluated right after "
            "it are the ones it moved. With batch normalization, its statistics are wrong too."
        ),
        evidence=(
            (
                f"The loss of the last step is off by {number_text(scatter, 2)} from the epoch's usual loss; that of "
                f"the steps before it by {number_text(usual, 2)} ({number_text(scatter / max(usual, 1e-12), 2)} times)."
            ),
        ),
        advice=f"{drop}, or choose a batch size that leaves at least half a batch at the end. The learning rate is not "
        "the cause.",
        confidence="high" if known else "medium",
        severity="hint",
        steps=ends[:20],
    )


def _last_share(signs: Signs) -> float | None:
    """The size of each epoch's last batch as a share of the others; None if unknown."""
    sizes = [values for values in signs.of_epochs(STEP_SIZE, TRAIN) if len(values) > 1]
    if sizes:
        return float(np.median([values[-1] / np.median(values[:-1]) for values in sizes]))
    run = signs.run
    if run is None or not run.batch_size or not run.size("train"):
        return None
    rest = (run.size("train") or 0) % run.batch_size
    return rest / run.batch_size if rest else 1.0
