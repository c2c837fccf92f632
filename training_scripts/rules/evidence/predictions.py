"""The labels and predictions of a recorded run."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training_scripts.recording.trial.trial import EVAL, TRAIN
from training_scripts.rules.declaration import Parameters
from training_scripts.rules.evidence import selection, task
from training_scripts.rules.evidence.chance_level import learning
from training_scripts.rules.evidence.confusion import Confusion
from training_scripts.rules.evidence.epochs import loss_names, loss_series, training_loss
from training_scripts.rules.evidence.evidence import Evidence
from training_scripts.rules.findings import NotEvaluated

Integers = NDArray[np.int64]

NO_ANSWERS = (
    "No labels and predictions were recorded. Record the collections labels and predictions (recorder=builtin does with"
    " a valid split; for smdebug, save tensors named labels and predictions)."
)
NO_CLASSES = "The run has no classes: it predicts numbers."
SURELY = 0.01
"""Probability of any false alarm among all classes. It is divided among them (Bonferroni)."""


@dataclass(frozen=True)
class Answers:
    """Labels and predictions of the same pictures, as class indices [n], and the steps at which they were recorded."""

    labels: Integers
    predictions: Integers
    mode: str
    steps: tuple[int, ...]

    def confusion(self, *, classes: int = 0) -> Confusion:
        """How often pictures of one class were classified as another, with at least this many classes."""
        return Confusion.of(self.labels, self.predictions, classes=classes)


def indices(run: Evidence, value: NDArray[Any], *, argmax: bool) -> Integers | None:
    """Class indices of a run from recorded indices, or from one score per class; None for anything else."""
    if value.ndim == 2 and len(value) and value.shape[1] > 1 and (argmax or value.dtype.kind == "f"):
        value = value.argmax(axis=1)
    value = value.reshape(-1)
    if value.dtype.kind not in "biuf" or not value.size or not np.isfinite(value).all():
        return None
    indices = value.astype(np.int64)
    if (indices != value).any() or indices.min() < 0 or indices.max() >= task.most_classes(run):
        return None
    return indices


def why_no_answers(run: Evidence) -> str:
    """Why there are no labels and predictions to evaluate."""
    return NO_ANSWERS if task.has_classes(run) or run.run.get("task") != "regression" else NO_CLASSES


def recorded(run: Evidence, pattern: str, collection: str) -> list[str]:
    """Names of a collection's tensors, or of the tensors that match the pattern."""
    named = {name for name in run.recorded_names() if selection.matches(pattern, name)}
    return selection.natural(selection.members(run, collection) or named)


def recorded_labels(run: Evidence, pattern: str, mode: str, *, most: int | None = None) -> list[tuple[int, Integers]]:
    """Each step of a mode at which labels were recorded, and these labels as class indices [n].

    Args:
        run: The recording.
        pattern: Regular expression of the tensor, which counts if the collection labels is empty.
        mode: TRAIN, EVAL or GLOBAL.
        most: The number of steps to read, from the first one on; None for all.
    """
    found = []
    for name in recorded(run, pattern, "labels")[:1]:
        for step in run.steps_in_full(name, mode).tolist()[:most]:
            labels = indices(run, run.value(name, step, mode), argmax=False)
            if labels is not None:
                found.append((step, labels))
    return found


def recorded_answers(run: Evidence, parameters: Parameters, mode: str, *, last: int = 0) -> list[Answers]:
    """The labels and predictions at each recorded step of a mode, or only at the `last` ones."""
    labels = recorded(run, parameters["labels_regex"], "labels")
    predictions = recorded(run, parameters["predictions_regex"], "predictions")
    found = []
    for label, prediction in zip(labels[:1], predictions[:1], strict=False):
        there = np.intersect1d(run.steps_in_full(label, mode), run.steps_in_full(prediction, mode))
        for step in there[-last:].tolist():
            truth = indices(run, run.value(label, step, mode), argmax=parameters["argmax"])
            guess = indices(run, run.value(prediction, step, mode), argmax=parameters["argmax"])
            if truth is not None and guess is not None and len(truth) == len(guess):
                found.append(Answers(truth, guess, mode, (step,)))
    return found


def joined(answers: list[Answers], samples: int) -> Answers | None:
    """Merges the latest answers until they have this many samples; all answers if there are fewer."""
    count, chosen = 0, []
    for one in reversed(answers):
        chosen.append(one)
        count += len(one.labels)
        if count >= samples:
            break
    if not chosen:
        return None
    return Answers(
        np.concatenate([one.labels for one in chosen]),
        np.concatenate([one.predictions for one in chosen]),
        chosen[0].mode,
        tuple(sorted(step for one in chosen for step in one.steps)),
    )


def class_name(run: Evidence, index: int) -> str:
    """A class in words: its name, if the recording has it, and its index."""
    classes = run.run.get("classes")
    return f"{classes[index]} ({index})" if isinstance(classes, (list, tuple)) and index < len(classes) else f"{index}"


HALF_LEARNED = 0.6
"""With a loss above this share of the chance-level loss, many classes are not learned, even if it has settled."""

MOSTLY_LEARNED = 0.25
"""With a loss below this share of the chance-level loss, nearly all classes are learned.

If one class of four is not learned, the loss is higher."""


def knows_some(run: Evidence) -> bool:
    """Whether the model has learned most classes. Before that, it is normal that it predicts only a few of them."""
    seen = learning(run)
    number = (task.number_of_classes(run) or 0) if task.is_cross_entropy(run) else 0
    chance = math.log(number) if number > 1 else None if seen is None else seen.chance
    if seen is None:
        return not loss_names(run)  # one loss shows nothing yet; without any loss, only the answers can be evaluated
    if chance is None:
        return seen.learned
    # Classes are learned one after the other. While the loss can still fall, the missing ones may still be learned.
    settled = seen.settled and seen.final.mean < HALF_LEARNED * chance
    return settled or seen.final.mean < MOSTLY_LEARNED * chance


def refuse_without_numbers(run: Evidence) -> None:
    """Refuses to evaluate the predictions of a model whose loss is not finite.

    Raises:
        NotEvaluated: The last recorded loss is not a finite number.
    """
    series = loss_series(run, EVAL) or training_loss(run)
    if series is not None and len(series) and not np.isfinite(series.values[-1]):
        raise NotEvaluated(
            "The loss is not a finite number at the end, so the model's predictions mean nothing: see ExplodingTensor."
        )


def train_steps(run: Evidence, steps: tuple[int, ...]) -> tuple[int, ...]:
    """The TRAIN steps after which the evaluations took place, since the curves are plotted over TRAIN steps."""
    train, evaluated = run.steps(TRAIN), run.steps(EVAL)
    place = np.searchsorted(evaluated.steps, steps)
    known = place < len(evaluated.steps)
    before = np.searchsorted(train.global_steps, evaluated.global_steps[place[known]]) - 1
    return tuple(train.steps[before[before >= 0]].tolist())


def unused_outputs(facts: Mapping[str, object], counts: Integers, validated: Sequence[Integers]) -> Integers:
    """Outputs of a loop's model that no label uses. They are not missing classes: nothing says that more exist.

    Args:
        facts: Of the run. A run that gives its classes names, or that counts pictures of folders, has them all.
        counts: Training labels of each output, int64 [outputs].
        validated: Validation labels, int64 [n] each.

    Returns:
        The outputs, ascending.
    """
    names = facts.get("classes")
    if facts.get("recorder") != "loop" or not isinstance(names, (list, tuple)) or list(names) != [*range(len(counts))]:
        return np.zeros(0, dtype=np.int64)
    used = counts > 0
    for labels in validated:
        used[labels[(labels >= 0) & (labels < len(used))]] = True
    return np.flatnonzero(~used)
