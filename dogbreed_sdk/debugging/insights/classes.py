"""Classes: unequal numbers of pictures, classes that are never predicted, pairs that are confused with each other."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dogbreed_sdk._util.formatting import joined, number, percent
from dogbreed_sdk.debugging.insights.convergence import outlook
from dogbreed_sdk.debugging.insights.insight import Insight, Severity
from dogbreed_sdk.debugging.insights.smallness import few_pictures
from training_scripts._util.number_text import counted
from training_scripts._util.wilson import Z95
from training_scripts.rules.evidence import statistics
from training_scripts.rules.evidence.predictions import knows_some
from training_scripts.rules.evidence.run import Run

# Ratio of the largest to the smallest class. AWS's ClassImbalance fires at 10, but a smaller ratio already does harm if
# the small classes do worse.
IMBALANCE = 3.0
SIGNIFICANT = 0.05
# Small classes that do worse by less than the first share are usual; by more than the second, they are not learned.
FELT, SEVERE = 0.1, 0.2
# Classes differ in difficulty. One with less than this share of the usual accuracy is more than difficult.
FAR_BELOW = 0.5
# A pair must be confused at least this many times, and in at least this share of its pictures. A quarter is half of
# what a coin toss gives; the rule Confusion has the same limit.
FEWEST, MIXED = 3, 0.25
# With this many validation pictures per class, the confusion of a pair is certain. At most this many pairs are named.
SURE, NAMED = 30, 3


def find(run: Run) -> list[Insight]:
    """What the labels and predictions of the best epoch show about classes."""
    if run.best is None or not run.classes:
        return []
    shown = run.answers(run.best)
    if shown is None:
        return []
    labels, answers = shown
    imbalance = _imbalance(run, labels, answers)
    found = [imbalance]
    # While the network still learns, or has not learned most classes, single ones show little.
    if run.epochs > 1 and outlook(run) is None and knows_some(run.trial):
        if not few_pictures(run):
            found.append(_weak_classes(run, labels, answers, explained=imbalance is not None))
        told = found[-1].evidence if found[-1] is not None and found[-1].topic == "weak-classes" else ()
        found.append(_confused(run, labels, answers, " ".join(told)))
    return [insight for insight in found if insight is not None]


def _imbalance(run: Run, labels: NDArray[np.int64], answers: NDArray[np.int64]) -> Insight | None:
    """Reports classes with few training pictures that do worse than those with many."""
    counts = run.class_counts
    if len(counts) != run.classes or counts.max() < IMBALANCE * max(counts.min(), 1):
        return None
    poor = counts <= np.median(counts) / 1.5 if (counts <= np.median(counts) / 1.5).any() else counts < counts.mean()
    of_poor = poor[labels]
    if not of_poor.any() or of_poor.all():
        return None
    right = labels == answers
    few, many = right[of_poor], right[~of_poor]
    pooled = right.mean()
    error = float(np.sqrt(pooled * (1 - pooled) * (1 / len(few) + 1 / len(many))))
    score = float((many.mean() - few.mean()) / error) if error > 0 else 0.0
    if score < Z95:
        return None
    smallest = [_name(run, int(place)) for place in np.argsort(counts, kind="stable")[:3]]
    return Insight(
        topic="class-imbalance",
        title=f"Classes with few training pictures do worse: {percent(float(few.mean()))} right against "
        f"{percent(float(many.mean()))} for the others.",
        explanation="The network sees the large classes more often and predicts them when in doubt.",
        evidence=(
            (
                f"Training pictures per class: {int(counts.min())} to {int(counts.max())}; the smallest are "
                f"{joined(smallest)}."
            ),
            (
                f"{_classes(int(poor.sum()))} with at most "
                f"{int(counts[poor].max()):,} pictures, compared over {len(few):,} validation pictures of these "
                f"classes and {len(many):,} of the others: the difference is {number(score)} standard errors."
            ),
        ),
        confidence="high" if score > 3.3 else "medium",
        next_step="Collect pictures of the small classes, or leave out some of the large ones"
        + ("; train_model weights all pictures equally." if run.words.is_ours else ", or weight the loss by class."),
        severity=_severity(float(many.mean() - few.mean()), score),
    )


def _severity(difference: float, score: float) -> Severity:
    """How serious it is that small classes do worse by this share. A few points are usual: less was seen of them."""
    if difference > SEVERE and score > 3.3:
        return "problem"
    return "hint" if difference > FELT else "info"


def _weak_classes(
    run: Run, labels: NDArray[np.int64], answers: NDArray[np.int64], *, explained: bool
) -> Insight | None:
    """Reports classes whose accuracy is too low to be chance, and classes that are never predicted."""
    right = labels == answers
    overall = float(right.mean())
    totals = np.bincount(labels, minlength=run.classes or 0)
    hits = np.bincount(labels[right], minlength=run.classes or 0)
    given = np.bincount(answers, minlength=run.classes or 0)
    present = np.flatnonzero(totals)
    chances = {int(c): statistics.at_most(int(hits[c]), int(totals[c]), overall) for c in present}
    weak = [c for c in _false_discoveries(chances) if hits[c] / totals[c] < overall]
    if not weak:
        return None
    never = [c for c in weak if not given[c]]
    weak.sort(key=lambda c: (hits[c] / totals[c], chances[c]))
    title = (
        f"{_classes(len(never))} {'is' if len(never) == 1 else 'are'} never predicted: "
        f"{joined([_name(run, c) for c in never], most=3)}."
        if never
        else f"{joined([_name(run, c) for c in weak], most=3)}: far fewer correct predictions than for other classes."
    )
    return Insight(
        topic="weak-classes",
        title=title,
        explanation=(
            "Chance with a few validation pictures does not explain this: each class was tested against "
            f"the overall accuracy ({percent(overall)}), and at most {percent(SIGNIFICANT)} of the named classes "
            "are expected to be false alarms (Benjamini-Hochberg)."
        ),
        evidence=tuple(
            f"{_name(run, c)}: {int(hits[c])} of {int(totals[c])} right, predicted {int(given[c])} times; most often "
            f"misclassified as {_taken_for(run, labels, answers, c)}."
            for c in weak[:5]
        ),
        confidence="high" if min(chances[c] for c in weak) < 1e-4 else "medium",
        next_step=_for_weak(run, weak),
        severity="problem"
        if len(never) > 0.05 * len(present) and not explained
        else "hint"
        if never or (run.does_well and any(hits[c] < FAR_BELOW * overall * totals[c] for c in weak))
        else "info",
    )


def _for_weak(run: Run, weak: Sequence[int]) -> str:
    """What to do about classes that do badly; those without any training pictures need some first."""
    counts = run.class_counts
    missing = [_name(run, c) for c in weak if c < len(counts) and not counts[c]]
    if missing:
        return f"Add training pictures of {joined(missing, most=3)}: there are none."
    return (
        "Look at the training pictures of these classes. Are the labels right? Are there enough pictures, and are they "
        "as varied as those of other classes?"
    )


def _confused(run: Run, labels: NDArray[np.int64], answers: NDArray[np.int64], told: str) -> Insight | None:
    """Reports pairs that are confused more often than if mistakes were spread evenly, if not reported already."""
    mistakes, classes = int((labels != answers).sum()), run.classes or 0
    if classes < 3 or mistakes < FEWEST:
        return None
    pairs = [
        pair
        for pair in _pairs(labels, answers, classes)
        if not (_name(run, pair[1]) in told and _name(run, pair[2]) in told)
    ]
    if not pairs:
        return None
    every = classes * (classes - 1) / 2
    _, one, other, shown = pairs[0]
    others = f" ({counted(len(pairs) - 1, 'more pair')} alike)" if len(pairs) > 1 else ""
    sure = min(shown for *_, shown in pairs) >= 2 * SURE
    return Insight(
        topic="confused-classes",
        title=f"{_name(run, one)} and {_name(run, other)} are confused with each other more often than chance "
        f"explains{others}.",
        explanation=f"Spread evenly over all {int(every)} pairs, each would have {number(mistakes / every)} mistakes. "
        + (
            "Such classes look alike, or their pictures are mixed up."
            if sure
            else f"With about {counted(shown // 2, 'validation picture')} per class, this shows which classes look "
            "alike, but not how often they are confused."
        ),
        evidence=tuple(
            f"{_name(run, a)} was classified as {_name(run, b)} {_times(labels, answers, a, b)}, the reverse happened "
            f"{_times(labels, answers, b, a)} ({count:,} validation pictures of both)."
            for _, a, b, count in pairs[:NAMED]
        ),
        confidence="high" if sure else "medium",
        next_step="Collect more pictures of these classes."
        if few_pictures(run)
        else "Compare both classes' pictures: are the labels right? More pictures of just these classes may help.",
        severity="info",
    )


def _pairs(labels: NDArray[np.int64], answers: NDArray[np.int64], classes: int) -> list[tuple[int, int, int, int]]:
    """Number of mistakes, both classes, and number of pictures of each pair that stands out, worst first."""
    wrong = labels != answers
    expected = float(wrong.sum()) / (every := classes * (classes - 1) / 2)
    low, high = np.minimum(labels[wrong], answers[wrong]), np.maximum(labels[wrong], answers[wrong])
    pairs, counts = np.unique(low * classes + high, return_counts=True)
    sizes = np.bincount(labels, minlength=classes)
    found = []
    for pair, count in zip(pairs.tolist(), counts.tolist(), strict=True):
        chance = statistics.poisson_at_least(count, expected) * every  # Bonferroni: all pairs were tested
        one, other = pair // classes, pair % classes
        shown = int(sizes[one] + sizes[other])
        if count >= FEWEST and chance < SIGNIFICANT and count >= MIXED * shown:
            found.append((count, one, other, shown))
    return sorted(found, reverse=True)


def _times(labels: NDArray[np.int64], answers: NDArray[np.int64], label: int, answer: int) -> str:
    return counted(int(((labels == label) & (answers == answer)).sum()), "time")


def _false_discoveries(chances: dict[int, float]) -> list[int]:
    """The classes that stand out, with a limited share of false alarms (Benjamini and Hochberg, 1995)."""
    ordered = sorted(chances, key=lambda c: chances[c])
    passing = [rank for rank, c in enumerate(ordered, 1) if chances[c] <= SIGNIFICANT * rank / len(ordered)]
    return ordered[: max(passing)] if passing else []


def _taken_for(run: Run, labels: NDArray[np.int64], answers: NDArray[np.int64], label: int) -> str:
    others: Sequence[int] = answers[(labels == label) & (answers != label)].tolist()
    if not others:
        return "nothing else"
    counts = np.bincount(others)
    return f"{_name(run, int(counts.argmax()))} ({int(counts.max())})"


def _classes(count: int) -> str:
    return "1 class" if count == 1 else f"{count} classes"


def _name(run: Run, label: int) -> str:
    return run.class_names[label] if label < len(run.class_names) else f"class {label}"
