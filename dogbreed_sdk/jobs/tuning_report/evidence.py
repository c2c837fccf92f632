"""Whether the objective depends on a hyperparameter, or on two together, by more than chance makes of few trials.

A quadratic curve (for numbers) or a mean per value (for categories) is fitted to the ranks of the objectives. How often
the same fit is at least as good after shuffling is the probability that the dependence is chance. It holds whatever the
search's strategy: the values that were tried are taken as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from dogbreed_sdk.jobs.trial import Trial
from dogbreed_sdk.jobs.tuning_report.facts import SearchFacts, category_of, place
from dogbreed_sdk.jobs.tuning_report.ranking import has_objective
from dogbreed_sdk.local.tuning.search_space import Range

Floats = NDArray[np.float64]

# Shufflings per question: the smallest probability that they can show is one in a thousand.
DRAWS = 999
# A dependence that chance shows this rarely is taken for real.
SIGNIFICANT = 0.1
# For two hyperparameters together, where there are many pairs to try: shared among all pairs.
SIGNIFICANT_OF_PAIRS = 0.05
# One trial says nothing about a category.
MIN_TRIALS_OF_CATEGORY = 2
# Fewer trials fit any surface of two hyperparameters.
MIN_TRIALS_FOR_PAIRS = 20
# Quartile distances beyond the worse quartile (Tukey's fence).
OUTLIER = 1.5
_SEED = 20


@dataclass(frozen=True)
class Interaction:
    """Two hyperparameters of which one's best value depends on the other.

    Attributes:
        names: The two.
        chance: How often chance alone shows as much.
        description: What is seen, in a sentence.
    """

    names: tuple[str, str]
    chance: float
    description: str


def judged(facts: SearchFacts, trials: Sequence[Trial]) -> list[Trial]:
    """The trials with an objective whose hyperparameters are all in the search's ranges."""
    return [
        trial
        for trial in trials
        if has_objective(trial)
        and all(place(entry, trial.hyperparameters.get(entry.name)) is not None for entry in facts.ranges)
    ]


def places(entry: Range, trials: Sequence[Trial]) -> Floats:
    """Where the trials' values lie in a range, 0 to 1, float64 [n]."""
    return np.array([place(entry, trial.hyperparameters[entry.name]) for trial in trials], dtype=np.float64)


def badness(trials: Sequence[Trial], *, maximize: bool) -> Floats:
    """The ranks of the objectives, 0 for the best, equal ones with their mean rank, float64 [n]."""
    values = np.array([trial.objective for trial in trials], dtype=np.float64)
    values = -values if maximize else values
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    means: Floats = (ends - counts + ends - 1) / 2
    return means[inverse]


def chance(entry: Range, trials: Sequence[Trial], *, maximize: bool) -> float:
    """How often chance alone shows as strong a dependence of the objective on a hyperparameter, 0 to 1.

    Args:
        entry: Its range.
        trials: Those of `judged`.
        maximize: Whether larger objectives are better.
    """
    design = _columns(entry, places(entry, trials))
    ranks = badness(trials, maximize=maximize)
    return _chance(np.ones((len(trials), 1)), design, ranks)


def is_worse(entry: Range, one: str, other: str, trials: Sequence[Trial], *, maximize: bool) -> bool:
    """Whether the trials with one category are worse than those with another by more than chance.

    Args:
        entry: The categorical range.
        one: The category that may be worse.
        other: The category to compare with.
        trials: Those of `judged`.
        maximize: Whether larger objectives are better.
    """
    named = [category_of(entry, trial.hyperparameters[entry.name]) for trial in trials]
    pair = [trial for trial, name in zip(trials, named, strict=True) if name in (one, other)]
    is_one = np.array([name == one for name in named if name in (one, other)])
    if min(is_one.sum(), (~is_one).sum()) < MIN_TRIALS_OF_CATEGORY:
        return False
    ranks = badness(pair, maximize=maximize)
    probability = _chance(np.ones((len(pair), 1)), is_one[:, None].astype(np.float64), ranks)
    return bool(ranks[is_one].mean() > ranks[~is_one].mean() and probability <= SIGNIFICANT)


def optimum(entry: Range, trials: Sequence[Trial], *, maximize: bool) -> float:
    """Where in a numeric range, 0 to 1, the curve that fits the ranks of the objectives is best.

    Args:
        entry: The range.
        trials: Those of `judged`.
        maximize: Whether larger objectives are better.
    """
    design = np.hstack([np.ones((len(trials), 1)), _columns(entry, places(entry, trials))])
    fitted, *_ = np.linalg.lstsq(design, badness(trials, maximize=maximize), rcond=None)
    grid = np.linspace(0, 1, 41)
    return float(grid[np.argmin(fitted[0] + fitted[1] * grid + fitted[2] * np.square(grid))])


def interactions(facts: SearchFacts, trials: Sequence[Trial]) -> list[Interaction]:
    """The pairs of hyperparameters that act together, the most certain first; none without strong evidence.

    Args:
        facts: The search.
        trials: Those of `judged`.
    """
    pairs = list(combinations(facts.ranges, 2))
    usable = _without_outliers(trials, maximize=facts.maximize)
    if len(usable) < MIN_TRIALS_FOR_PAIRS or not pairs:
        return []
    # Not their ranks: two effects that only add up would seem to act together.
    objectives = np.array([trial.objective for trial in usable], dtype=np.float64)
    found = []
    for one, other in pairs:
        first, second = _columns(one, places(one, usable)), _columns(other, places(other, usable))
        alone = np.hstack([np.ones((len(usable), 1)), first, second])
        products = (first[:, :, None] * second[:, None, :]).reshape(len(usable), -1)
        if alone.shape[1] + products.shape[1] > len(usable) // 2:
            continue
        probability = _chance(alone, products, objectives)
        if probability <= SIGNIFICANT_OF_PAIRS / len(pairs):
            description = _described(one, other, usable, badness(usable, maximize=facts.maximize))
            found.append(Interaction((one.name, other.name), probability, description))
    return sorted(found, key=lambda each: each.chance)


def _without_outliers(trials: Sequence[Trial], *, maximize: bool) -> list[Trial]:
    """The trials without those that went wrong altogether: one diverged loss would outweigh all others."""
    values = np.array([trial.objective for trial in trials], dtype=np.float64)
    if not len(values):
        return []
    low, high = np.percentile(values, [25, 75])
    room = OUTLIER * (high - low)
    kept = values >= low - room if maximize else values <= high + room
    return [trial for trial, keep in zip(trials, kept.tolist(), strict=True) if keep]


def _columns(entry: Range, where: Floats) -> Floats:
    """The terms of a fit: a number and its square, or one column per category but the first, float64 [n, k]."""
    if entry.kind == "categorical":
        codes = np.rint(where * max(1, len(entry.values) - 1)).astype(np.int64)
        columns: Floats = (codes[:, None] == np.unique(codes)[None, 1:]).astype(np.float64)
        return columns
    return np.stack([where, np.square(where)], axis=1)


def _chance(known: Floats, more: Floats, values: Floats) -> float:
    """How often shuffled residuals are explained as well by the further columns.

    Freedman and Lane's permutation test: what the known columns explain is removed first.
    """
    basis = _basis(known)
    residuals = values - basis @ (basis.T @ values)
    total = float(residuals @ residuals)
    added = _basis(more - basis @ (basis.T @ more))
    if total < 1e-9 or not added.shape[1]:
        return 1.0
    generator = np.random.default_rng(_SEED)
    shuffled = generator.permuted(np.tile(residuals, (DRAWS, 1)), axis=1)
    shuffled -= (shuffled @ basis) @ basis.T
    explained = np.square(shuffled @ added).sum(axis=1) / np.square(shuffled).sum(axis=1)
    observed = float(np.square(residuals @ added).sum()) / total
    return float((1 + (explained >= observed - 1e-12).sum()) / (1 + DRAWS))


def _basis(columns: Floats) -> Floats:
    """Orthonormal columns that span the same space, float64 [n, k]."""
    left, sizes, _ = np.linalg.svd(columns, full_matrices=False)
    kept: Floats = left[:, sizes > 1e-9 * max(1.0, float(sizes.max(initial=0.0)))]
    return kept


def _described(one: Range, other: Range, trials: Sequence[Trial], ranks: Floats) -> str:
    """How the best values of one hyperparameter move with the other: its median among the better half on each side."""
    if one.kind == "categorical" and other.kind != "categorical":
        one, other = other, one
    sides = _sides(other, places(other, trials))
    parts = []
    for word, chosen in sides:
        if chosen.sum() < 2:
            continue
        good = [index for index in np.flatnonzero(chosen).tolist() if ranks[index] <= np.median(ranks[chosen])]
        parts.append(f"with {word} the better trials have {_typical(one, [trials[index] for index in good])}")
    description = "; ".join(parts)
    return f"The best {one.name} depends on {other.name}: {description}."


def _sides(entry: Range, where: Floats) -> list[tuple[str, NDArray[np.bool_]]]:
    """The trials by a hyperparameter's value, or by the half of its range, with words for each part."""
    if entry.kind == "categorical":
        codes = np.rint(where * max(1, len(entry.values) - 1)).astype(np.int64)
        return [(f"{entry.name}={entry.values[code]}", codes == code) for code in np.unique(codes).tolist()]
    middle = float(np.median(where))
    return [(f"low {entry.name}", where <= middle), (f"high {entry.name}", where > middle)]


def _typical(entry: Range, trials: Sequence[Trial]) -> str:
    values = [trial.hyperparameters[entry.name] for trial in trials]
    if entry.kind == "categorical":
        named = [str(category_of(entry, value)) for value in values]
        return f"{entry.name}={max(sorted(set(named)), key=named.count)}"
    return f"{entry.name} near {float(np.median([float(str(value)) for value in values])):.3g}"
