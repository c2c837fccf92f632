"""Single validation pictures: a few with a huge loss, and many that contradict their labels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dogbreed_sdk.debugging.insights import statistics
from dogbreed_sdk.debugging.insights.insight import Insight
from dogbreed_sdk.debugging.insights.run import Run
from dogbreed_sdk.debugging.insights.words import listed, number, percent, plural

# One picture in a hundred, at least three, that cause a fifth of the loss: healthy runs show a tenth.
FEW_PICTURES, LARGE_SHARE = 0.01, 0.2
# Pictures answered worse than by guessing: one in a hundred in healthy runs on 120 breeds; with 10 % or 30 % of the
# labels drawn at random it was 11 % or 27 %.
CONTRADICTING = 0.05
# There the right answers were given with a certainty of at most the accuracy, in healthy runs with 4 points more; in
# runs with too large a learning rate, which contradict labels too, with 20 points more.
MODEST = 0.05
ENOUGH = 50


def look(run: Run) -> list[Insight]:
    """Wrong labels, where many pictures contradict theirs; else a few pictures that make much of the loss."""
    losses = run.picture_losses(run.best) if run.best is not None else None
    if losses is None or len(losses) < ENOUGH or losses.sum() <= 0 or not np.isfinite(losses).all():
        return []
    found = _contradicting(run, losses) or _huge(run, losses)
    return [found] if found else []


def _contradicting(run: Run, losses: NDArray[np.float64]) -> Insight | None:
    """Labels that the network contradicts with certainty too often."""
    if not run.chance or run.best is None or not run.valid.accuracy[run.best] > 0.3:
        return None
    accuracy, certainty = float(run.valid.accuracy[run.best]), run.certainty(run.best)
    if not certainty <= accuracy + MODEST:
        return None
    worse = losses > run.chance
    low, high = statistics.wilson(int(worse.sum()), len(losses))
    if low < CONTRADICTING:
        return None
    order = np.argsort(losses)[::-1][:10]
    names = names_of(run, order)
    return Insight(
        topic="labels",
        title=f"About {percent(round(float(worse.mean()), 2))} of the labels look wrong: the network contradicts them "
        "with certainty.",
        explanation="These pictures are answered worse than by guessing, while most others are right. In runs with "
        "good "
        "labels that happens to about 1 % of the pictures; the training labels have probably the same flaw.",
        evidence=(
            (
                f"{int(worse.sum())} of {len(losses)} validation pictures have a loss above {number(run.chance)}, "
                "that of "
                f"guessing (95 % interval of the share: {percent(low)} to {percent(high)})."
            ),
            (
                f"Right answers are given with {percent(certainty)} certainty, and {percent(accuracy)} are right: the "
                "network does not boast."
            ),
            *([f"Look at these first: {listed(names, most=10)}."] if names else []),
        ),
        confidence="medium",
        next_step="Check and correct the labels of these pictures, then of the training pictures.",
        severity="problem",
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
                f"The largest losses are {listed(number(loss) for loss in losses[order[:count]].tolist())}; the "
                "median is "
                f"{number(float(np.median(losses)))}."
            ),
            f"Without them the validation loss would be {number(rest)} instead of {number(float(losses.mean()))}.",
            *([f"They are {listed(names, most=10)}."] if names else []),
        ),
        next_step="Look at these pictures and their labels, and correct or remove what is wrong.",
        severity="hint",
        steps=(run.last_step(run.best),) if run.best is not None else (),
    )


def few_of(pictures: int) -> int:
    """One picture in a hundred, at least three."""
    return max(3, round(FEW_PICTURES * pictures))


def unusual_share(count: int, pictures: int) -> float:
    """The share of a loss that so many pictures hold only where they are unusual.

    In healthy runs the worst 1 % hold a tenth and the worst 5 % a third: it grows as the power 0.75 of their number.
    """
    return min(0.9, float(LARGE_SHARE * (count / (FEW_PICTURES * pictures)) ** 0.75))


def names_of(run: Run, places: NDArray[np.int64]) -> list[str]:
    """Names of validation pictures by their place in the split; none where they were not recorded."""
    names = run.trial.run.get("valid_names")
    if not isinstance(names, (list, tuple)) or not len(places) or len(names) <= int(places.max()):
        return []
    return [str(names[place]) for place in places.tolist()]
