"""Which change did what: the effect of each parameter that was changed alone, with its uncertainty.

Where settings were repeated with other seeds, the spread between repeats is the uncertainty. Without repeats, or with a
single one that shows less, it comes from the validation samples, one by one where both runs were validated on the same:
the luck of the seed is not in it then.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from dogbreed_sdk.debugging.comparison import defects
from dogbreed_sdk.debugging.comparison.parameters import MISSING, Setting, seeds_of
from dogbreed_sdk.debugging.comparison.runs import ACCURACY, LOSS, ComparedRun
from training_scripts._util.wilson import Z95
from training_scripts.rules.evidence.statistics import standard_error, t_quantile

# Below this many repeats, beyond the first run of each setting, their spread is a guess.
FEW_REPEATS = 2
# A smaller difference than this many samples' is never called clear.
_LEAST_SAMPLES = 1.0


@dataclass(frozen=True)
class Noise:
    """The spread between runs that differ in chance alone.

    Attributes:
        deviation: Standard deviation of the result of a single run; NaN without repeats.
        freedom: Degrees of freedom: repeats beyond the first one of each setting.
    """

    deviation: float
    freedom: int


@dataclass(frozen=True)
class Effect:
    """What the change from one setting to another did.

    Attributes:
        parameters: The names of the parameters that were changed.
        before: The setting with the worse result.
        after: The setting with the better result.
        difference: How much better the result is: above 0, whatever the measure.
        half: Half of the 95% interval of the difference; NaN if unknown.
        source: Where the interval comes from: pairs (of repeats with the same seed), repeats, few repeats, samples (one
            by one), sizes, or nothing. From too few repeats it is the least that it can be.
        among: The number of comparisons with the same best setting, for which the interval is widened.
    """

    parameters: tuple[str, ...]
    before: Setting
    after: Setting
    difference: float
    half: float
    source: str
    among: int = 1

    @property
    def is_single(self) -> bool:
        """Whether a single parameter was changed, to which the effect can be attributed."""
        return len(self.parameters) == 1 and not self.unknown and not self.causes

    @property
    def unknown(self) -> list[str]:
        """The parameters that only one of the settings has recorded."""
        return self.before.unknown(self.after)

    @cached_property
    def causes(self) -> list[str]:
        """The causes of problems that only one of the settings has, except those that the change brings about."""
        apart = _causes(self.before) ^ _causes(self.after)
        return sorted(cause for cause in apart if not defects.is_brought_about(cause, self.parameters))

    @property
    def is_clear(self) -> bool:
        """Whether the difference is larger than its uncertainty."""
        return math.isfinite(self.half) and self.difference > self.half


def _causes(setting: Setting) -> set[str]:
    return {run.verdict.cause for run in setting.runs} - {""}


def noise(groups: Sequence[Setting], measure: str) -> Noise:
    """The spread between repeats, pooled over all settings that have any."""
    squares, freedom = 0.0, 0
    for group in groups:
        values = np.array(_values(group, measure))
        if len(values) > 1:
            squares += float(np.square(values - values.mean()).sum())
            freedom += len(values) - 1
    return Noise(math.sqrt(squares / freedom) if freedom else math.nan, freedom)


def effects(groups: Sequence[Setting], measure: str) -> list[Effect]:
    """The effects of changes: first those of single parameters, the largest first, then those of several at once.

    Each setting is compared with the best one of those that differ from it in the same single parameter; a setting
    without such a relative of the overall best, with that.
    """
    known = [group for group in groups if _values(group, measure)]
    if len(known) < 2:
        return []
    spread = noise(known, measure)
    better = sorted(known, key=lambda group: _mean(group, measure), reverse=measure == ACCURACY)
    single = list(_single(better, measure, spread))
    best = better[0]
    related = {id(group) for effect in single if effect.after is best for group in (effect.before, effect.after)}
    several = [
        _effect(group, best, measure, spread)
        for group in better[1:]
        if id(group) not in related and (len(group.differing(best)) != 1 or group.unknown(best))
    ]
    return [*sorted(single, key=lambda effect: (not effect.is_single, -effect.difference)), *several]


def _single(better: Sequence[Setting], measure: str, spread: Noise) -> Iterator[Effect]:
    """Pairs that differ in one parameter: every member of such a family against the family's best."""
    for name in better[0].values:
        families: dict[tuple[str, ...], list[Setting]] = {}
        for group in better:
            if group.values[name] == MISSING:  # unknown: it may be the same as in any of the others
                continue
            key = tuple(value for other, value in group.values.items() if other != name)
            families.setdefault(key, []).append(group)
        for best, *others in families.values():
            for group in others:
                if group.differing(best):  # else only what is wrong with them differs
                    yield _effect(group, best, measure, spread, among=len(others))


def _effect(before: Setting, after: Setting, measure: str, spread: Noise, *, among: int = 1) -> Effect:
    difference = abs(_mean(after, measure) - _mean(before, measure))
    # Of several comparisons with the best, one looks clear by chance more often: the interval is widened for that.
    normal = Z95 if among == 1 else NormalDist().inv_cdf(1 - 0.05 / among / 2)
    half, source = _repeated(before, after, spread, measure, normal)
    if spread.freedom < FEW_REPEATS:  # they alone would say nothing (Student's t for one is 12.7), or there are none
        sampled, named = _sampled(_first(before, measure), _first(after, measure), measure, normal)
        half, source = max((half, source), (sampled, named), key=lambda each: each[0] if math.isfinite(each[0]) else -1)
    return Effect(tuple(before.differing(after)), before, after, difference, half, source, among)


def by_loss(effect: Effect, groups: Sequence[Setting]) -> Effect | None:
    """The same change's effect on the loss, if it is clear; from the setting with the higher loss to the other one."""
    pair = (effect.before, effect.after)
    if not all(_values(group, LOSS) for group in pair):
        return None
    before, after = sorted(pair, key=lambda group: -_mean(group, LOSS))
    found = _effect(before, after, LOSS, noise(groups, LOSS), among=effect.among)
    return replace(found, parameters=effect.parameters) if found.is_clear else None


def _repeated(before: Setting, after: Setting, spread: Noise, measure: str, normal: float) -> tuple[float, str]:
    if not spread.freedom:
        return math.nan, ""
    apart = _paired(before, after, measure)
    if len(apart) > FEW_REPEATS:
        quantile = t_quantile(len(apart) - 1, normal)
        return quantile * standard_error(apart), "pairs"
    counts = len(_values(before, measure)), len(_values(after, measure))
    error = spread.deviation * math.sqrt(1 / counts[0] + 1 / counts[1])
    few = spread.freedom < FEW_REPEATS
    return (normal if few else t_quantile(spread.freedom, normal)) * error, "few repeats" if few else "repeats"


def _paired(before: Setting, after: Setting, measure: str) -> NDArray[np.float64]:
    """The differences between runs with the same seed, [n]; empty if the settings do not have the same seeds, once."""
    found: list[dict[tuple[str, ...], float]] = []
    for group in (before, after):
        seeds = {seeds_of(run): run.results[measure].value for run in group.runs if measure in run.results}
        if len(seeds) < len(group.runs) or () in seeds or not all(map(math.isfinite, seeds.values())):
            return np.zeros(0)
        found.append(seeds)
    first, second = found
    return np.array([second[seed] - first[seed] for seed in first]) if first.keys() == second.keys() else np.zeros(0)


def _sampled(one: ComparedRun, other: ComparedRun, measure: str, normal: float) -> tuple[float, str]:
    """Half of the interval that the validation samples alone give."""
    first, second = one.samples(measure), other.samples(measure)
    if first is not None and second is not None and np.array_equal(first[1], second[1]) and len(first[1]) > 1:
        apart = second[0] - first[0]
        error = standard_error(apart)
        least = _LEAST_SAMPLES / len(apart) if measure == ACCURACY else 0.0
        return max(normal * error, least), "samples"
    errors = [run.results[measure].error for run in (one, other)]
    half = normal * math.hypot(*errors)
    return (half, "sizes") if math.isfinite(half) and half > 0 else (math.nan, "")


def _first(group: Setting, measure: str) -> ComparedRun:
    return next(run for run in group.runs if measure in run.results)


def _values(group: Setting, measure: str) -> list[float]:
    found = (run.results.get(measure) for run in group.runs)
    return [result.value for result in found if result is not None and math.isfinite(result.value)]


def _mean(group: Setting, measure: str) -> float:
    return float(np.mean(_values(group, measure)))
