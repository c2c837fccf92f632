"""Single validation pictures: a few with a huge loss, and many that contradict their labels."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dogbreed_sdk.debugging.formatting import joined, number, percent, plural
from dogbreed_sdk.debugging.insights.insight import Insight
from training_scripts.rules.evidence import statistics
from training_scripts.rules.evidence.run import Run

# One picture in a hundred, at least three, that cause a fifth of the loss: healthy runs show a tenth.
FEW_PICTURES, LARGE_SHARE = 0.01, 0.2
# Three times as many contradictions as a network gives that is as sure as it is right, and five in a hundred.
CONTRADICTING, FAR_MORE = 0.05, 3.0
# With fewer classes, or more mistakes than right answers, a mistake is not a contradiction.
ENOUGH_CLASSES, ENOUGH_RIGHT = 5, 0.5
# How far below guessing a label's probability is looked for: a half, a quarter, ... of it.
HALVINGS = 8
# Healthy networks are a little surer than right.
BOAST = 1.5
ENOUGH = 50


def find(run: Run) -> list[Insight]:
    """Wrong labels, where many pictures contradict theirs; else a few pictures that make much of the loss."""
    losses = run.picture_losses(run.best) if run.best is not None else None
    if losses is None or len(losses) < ENOUGH or losses.sum() <= 0 or not np.isfinite(losses).all():
        return []
    found = _contradicting(run, losses) or _huge(run, losses)
    return [found] if found else []


@dataclass(frozen=True)
class Contradiction:
    """Labels with less probability than the network's own certainty explains.

    Attributes:
        probability: Labels with less than this are meant.
        seen: Which pictures have such a label, bool [n].
        expected: At most this share has one, if the network is as right as it is sure.
        low: Lower end of the 95 % interval of the share seen.
    """

    probability: float
    seen: NDArray[np.bool_]
    expected: float
    low: float


def contradiction(losses: NDArray[np.float64], right: NDArray[np.bool_], classes: int) -> Contradiction | None:
    """Finds labels that the network contradicts far more than its own certainty explains; None where it does not.

    A network that is as right as it is sure gives each picture's label a probability below t only as often as it says
    itself: all classes below t together hold at most (classes - 1) t, and at most what its answer leaves. How sure it
    was of wrong answers was not recorded; but each right answer of probability p stands for 1/p pictures of its kind
    (Horvitz and Thompson, 1952), so right answers show the certainty over all of them. An overconfident network breaks
    this at every probability; its other mistakes show it, which are then too many as well.

    Wrong labels of the training split as well are learned, and expected by the network: those it cannot detect. (On 120
    breeds with a tenth of the labels drawn at random: found where only validation labels were, not where both were.)
    """
    sure = np.exp(-losses[right])
    weights = 1 / np.maximum(sure, 1 / classes)  # an answer has at least that probability
    for halving in range(1, HALVINGS + 1):
        limit = 0.5**halving / classes
        seen = losses > -math.log(limit)
        expected = float((weights * np.minimum((classes - 1) * limit, 1 - sure)).sum()) / len(losses)
        low, _ = statistics.wilson(int(seen.sum()), len(losses))
        mistakes, _ = statistics.wilson(int((~right & ~seen).sum()), len(losses))
        boasts = mistakes > BOAST * float((weights * (1 - sure)).sum()) / len(losses)
        if low > max(CONTRADICTING, FAR_MORE * expected) and not boasts:
            return Contradiction(limit, seen, expected, low)
    return None


def _contradicting(run: Run, losses: NDArray[np.float64]) -> Insight | None:
    """Labels that the network contradicts with certainty too often."""
    shown = run.answers(run.best) if run.best is not None else None
    if shown is None or run.best is None or len(shown[0]) != len(losses) or (run.classes or 0) < ENOUGH_CLASSES:
        return None
    right = shown[0] == shown[1]
    found = contradiction(losses, right, run.classes or 0) if right.mean() > ENOUGH_RIGHT else None
    if found is None:
        return None
    share, names = float(found.seen.mean()), names_of(run, np.argsort(losses)[::-1][:10])
    return Insight(
        topic="labels",
        title=(
            f"{percent(share)} of the validation labels contradict a network that is otherwise as accurate as "
            "it is certain: many of them may be wrong."
        ),
        explanation=(
            "Where such a network errs, it gives the right class some probability; to these labels it "
            "gives almost none. If the training labels had the same flaw, the network would have learned to "
            "expect it; so the flaw is in this split."
        ),
        evidence=(
            (
                f"{plural(int(found.seen.sum()), 'label')} of {len(losses)} (at least {percent(found.low)}, 95 %) have "
                f"a probability below {number(found.probability)}; by the network's own certainty at most "
                f"{percent(found.expected)} would."
            ),
            (
                f"Right predictions are made with {percent(run.certainty(run.best))} certainty, and "
                f"{percent(float(right.mean()))} are right."
            ),
            *([f"Look at these first: {joined(names, most=10)}."] if names else []),
        ),
        confidence="medium",
        next_step="Look at these pictures, and correct the labels that are wrong.",
        severity="hint",
        steps=(run.last_step(run.best),),
    )


def _huge(run: Run, losses: NDArray[np.float64]) -> Insight | None:
    """A few pictures that make much of the validation loss."""
    count = few_of(len(losses))
    order = np.argsort(losses)[::-1]
    share = float(losses[order[:count]].sum() / losses.sum())
    if share < unusual_share(count, len(losses)):
        return None
    names = names_of(run, order[:count])
    rest = float(losses[order[count:]].mean())
    return Insight(
        topic="huge-losses",
        title=f"{plural(count, 'picture')} of {len(losses)} cause {percent(share)} of the validation loss.",
        explanation="The network is certain of another class there. Often the label is wrong, or the picture shows "
        "something else; then the picture is at fault, not the network.",
        evidence=(
            (
                f"The largest losses are {joined([number(loss) for loss in losses[order[:count]].tolist()])}; the "
                f"median is {number(float(np.median(losses)))}."
            ),
            f"Without them the validation loss would be {number(rest)} instead of {number(float(losses.mean()))}.",
            *([f"They are {joined(names, most=10)}."] if names else []),
        ),
        next_step="Look at these pictures and their labels, and correct or remove what is wrong.",
        severity="hint",
        steps=(run.last_step(run.best),) if run.best is not None else (),
    )


def few_of(pictures: int) -> int:
    """One picture in a hundred, at least three."""
    return max(3, round(FEW_PICTURES * pictures))


def unusual_share(count: int, pictures: int) -> float:
    """The share of a loss that this many pictures hold only where they are unusual.

    In healthy runs the worst 1 % hold a tenth and the worst 5 % a third: it grows as the power 0.75 of their number.
    """
    return min(0.9, float(LARGE_SHARE * (count / (FEW_PICTURES * pictures)) ** 0.75))


def names_of(run: Run, places: NDArray[np.int64]) -> list[str]:
    """Names of validation pictures by their place in the split; none where they were not recorded."""
    names = run.trial.run.get("valid_names")
    if not isinstance(names, (list, tuple)) or not len(places) or len(names) <= int(places.max()):
        return []
    return [str(names[place]) for place in places.tolist()]
