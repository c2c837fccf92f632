"""Single validation pictures: a few with a huge loss, or many whose predictions contradict their labels."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dogbreed_sdk._util.formatting import joined, number, percent
from dogbreed_sdk.debugging.insights.insight import Insight
from training_scripts._util.number_text import counted
from training_scripts._util.wilson import wilson
from training_scripts.rules.evidence.run import Run

# The worst 1% of the pictures, at least three, cause a tenth of the loss in healthy runs. A fifth is unusual.
FEW_PICTURES, LARGE_SHARE = 0.01, 0.2
# In half of 80 healthy runs of other people's loops in the battery, a few pictures cause a large share of the loss: all
# others have a loss of nearly zero. So these few must also matter, or contradict the network completely. In those runs,
# some of which have wrong labels, they raise the loss by at most 0.05 of the chance-level loss, and the largest loss of
# a picture is 8.3. A label with a probability of less than one in a hundred thousand has a loss of 11.5.
FELT, HUGE = 0.1, -math.log(1e-5)
# Share of pictures with a contradiction, and how many times the share expected of a calibrated network.
CONTRADICTING, FAR_MORE = 0.05, 3.0
# With fewer classes, or an accuracy below a half, a mistake is not a contradiction.
ENOUGH_CLASSES, ENOUGH_RIGHT = 5, 0.5
# Labels are tested with limits on their probability of a half, a quarter, ... of chance level, up to this power.
HALVINGS = 8
# Healthy networks are slightly overconfident, by up to this factor.
BOAST = 1.5
ENOUGH = 50


def find(run: Run) -> list[Insight]:
    """Reports probably wrong labels; otherwise, a few pictures that cause a large share of the loss."""
    losses = run.picture_losses(run.best) if run.best is not None else None
    if losses is None or len(losses) < ENOUGH or losses.sum() <= 0 or not np.isfinite(losses).all():
        return []
    found = _contradicting(run, losses) or _huge(run, losses)
    return [found] if found else []


@dataclass(frozen=True)
class Contradiction:
    """Labels to which the network gives less probability than its confidence explains.

    Attributes:
        probability: The limit: such labels have a lower probability.
        seen: Which pictures have such a label, bool [n].
        expected: The largest share of such labels that a calibrated network would have.
        low: Lower end of the 95% interval of the observed share.
    """

    probability: float
    seen: NDArray[np.bool_]
    expected: float
    low: float


def contradiction(losses: NDArray[np.float64], right: NDArray[np.bool_], classes: int) -> Contradiction | None:
    """Finds labels that the network contradicts far more often than its confidence explains; None if there are too few.

    In a calibrated network, the true class has a probability below t only as often as the network itself predicts. All
    classes below t together have at most a probability of (classes - 1) t, and at most what the predicted class leaves.
    The confidence of wrong predictions was not recorded. But each right prediction with probability p represents 1/p
    predictions of its kind (Horvitz and Thompson, 1952), so right predictions show the confidence of all of them. An
    overconfident network exceeds the expected share too. It also makes more of all other mistakes than expected, so
    these are checked as well.

    If the training labels have the same flaw, the network has learned to expect it, and this test finds nothing. (With
    120 breeds and a tenth of the labels random, it found the flaw in validation labels alone, but not in both splits.)
    """
    sure = np.exp(-losses[right])
    weights = 1 / np.maximum(sure, 1 / classes)  # the predicted class has at least this probability
    for halving in range(1, HALVINGS + 1):
        limit = 0.5**halving / classes
        seen = losses > -math.log(limit)
        expected = float((weights * np.minimum((classes - 1) * limit, 1 - sure)).sum()) / len(losses)
        low, _ = wilson(int(seen.sum()), len(losses))
        mistakes, _ = wilson(int((~right & ~seen).sum()), len(losses))
        boasts = mistakes > BOAST * float((weights * (1 - sure)).sum()) / len(losses)
        if low > max(CONTRADICTING, FAR_MORE * expected) and not boasts:
            return Contradiction(limit, seen, expected, low)
    return None


def _contradicting(run: Run, losses: NDArray[np.float64]) -> Insight | None:
    """Reports labels that the network contradicts with high confidence too often."""
    shown = run.answers(run.best) if run.best is not None else None
    if shown is None or run.best is None or len(shown[0]) != len(losses) or (run.classes or 0) < ENOUGH_CLASSES:
        return None
    # A class that is never predicted was not learned, perhaps from too few training pictures; its labels may be right.
    places = np.flatnonzero(np.isin(shown[0], shown[1]))
    losses, right = losses[places], shown[0][places] == shown[1][places]
    if len(places) < ENOUGH or right.mean() <= ENOUGH_RIGHT:
        return None
    found = contradiction(losses, right, run.classes or 0)
    if found is None:
        return None
    share, names = float(found.seen.mean()), names_of(run, places[np.argsort(losses)[::-1][:10]])
    return Insight(
        topic="labels",
        title=(
            f"{percent(share)} of the validation labels contradict a network that is otherwise as accurate as "
            "it is confident: many of these labels may be wrong."
        ),
        explanation=(
            "When such a network is wrong, it still gives the right class some probability; to these labels it "
            "gives almost none. If the training labels had the same flaw, the network would have learned to "
            "expect it, so the flaw is in this split."
        ),
        evidence=(
            (
                f"{counted(int(found.seen.sum()), 'label')} of {len(losses)} (at least {percent(found.low)}, 95%) have "
                f"a probability below {number(found.probability)}; the network's confidence explains at most "
                f"{percent(found.expected)}."
            ),
            (
                f"Right predictions have a mean probability of {percent(run.certainty(run.best))}, and "
                f"{percent(float(right.mean()))} of all predictions are right."
            ),
            *([f"Look at these first: {joined(names, most=10)}."] if names else []),
        ),
        confidence="medium",
        next_step="Look at these pictures, and correct the labels that are wrong.",
        severity="hint",
        steps=(run.last_step(run.best),),
    )


def _huge(run: Run, losses: NDArray[np.float64]) -> Insight | None:
    """Reports a few pictures with a huge loss that cause a large share of the validation loss."""
    count = few_of(len(losses))
    order = np.argsort(losses)[::-1]
    share = float(losses[order[:count]].sum() / losses.sum())
    raised = float(losses.mean()) - float(losses[order[count:]].mean())
    matters = losses[order[0]] >= HUGE or raised >= FELT * run.scale
    if not matters or share < unusual_share(count, len(losses)):
        return None
    names = names_of(run, order[:count])
    rest = float(losses[order[count:]].mean())
    return Insight(
        topic="huge-losses",
        title=f"{counted(count, 'picture')} of {len(losses)} cause {percent(share)} of the validation loss.",
        explanation="The network is confident of another class for these pictures. Often the label is wrong, or the "
        "picture shows something else; then the data is at fault, not the network.",
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
    """One percent of the pictures, at least three."""
    return max(3, round(FEW_PICTURES * pictures))


def unusual_share(count: int, pictures: int) -> float:
    """The share of the loss from which on this many of the worst pictures are unusual.

    In healthy runs, the worst 1% cause a tenth of the loss and the worst 5% a third: the share grows as the number of
    pictures to the power of 0.75.
    """
    return min(0.9, float(LARGE_SHARE * (count / (FEW_PICTURES * pictures)) ** 0.75))


def names_of(run: Run, places: NDArray[np.int64]) -> list[str]:
    """Names of validation pictures by their index in the split; none if names were not recorded."""
    names = run.picture_names
    return [names[place] for place in places.tolist()] if len(places) and len(names) > int(places.max()) else []
