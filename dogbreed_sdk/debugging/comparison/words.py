"""The sentences of a comparison: what leads it, and what each change did."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from dogbreed_sdk._util.formatting import interval, joined, number, percent
from dogbreed_sdk.debugging.comparison.effects import FEW_REPEATS, Effect
from dogbreed_sdk.debugging.comparison.parameters import Setting
from dogbreed_sdk.debugging.comparison.runs import ACCURACY, LOSS, ComparedRun, Result
from training_scripts._util.number_text import counted

if TYPE_CHECKING:
    from dogbreed_sdk.debugging.comparison.content import ComparisonContent

MAX_NAMES = 4


def value(measure: str, result: float | None) -> str:
    """A result: accuracies in percent, losses as numbers."""
    if result is None or not math.isfinite(result):
        return "—"
    return percent(result) if measure == ACCURACY else number(result)


def result(measure: str, found: Result | None) -> str:
    """A run's result, or a dash."""
    return value(measure, None if found is None else found.value)


def difference(effect: Effect, measure: str) -> str:
    """A difference with its interval: accuracies in points, losses as numbers."""
    scale = 100.0 if measure == ACCURACY else 1.0
    unit = " points" if measure == ACCURACY else ""
    if not math.isfinite(effect.half):
        return f"{number(scale * effect.difference, digits=3)}{unit}"
    return f"{interval(scale * effect.difference, scale * effect.half)}{unit}"


def ranked_by(content: ComparisonContent) -> str:
    """What ranks the runs: `validation accuracy`, `training loss`."""
    best = "" if content.split == "training" else "best "
    return f"{best}{content.split} {content.measure}"


def headline(content: ComparisonContent) -> str:
    """The best run, and by how much, in a sentence."""
    measure, best = content.measure, content.runs[0]
    if measure is None:
        return f"{len(content.runs)} runs without a common result."
    runs = content.runs
    worst = [run for run in runs if measure in run.results][-1]
    first, last = (value(measure, run.results[measure].value) for run in (best, worst))
    name = best.source if best.name.startswith("…") else best.name  # to be copied
    return f"{name} is the best of {len(runs)} runs: {ranked_by(content)} {first}; {worst.name} has {last}."


def change(effect: Effect) -> str:
    """What was changed: `lr 0.2 -> 0.002`, or the names of several parameters."""
    if len(effect.parameters) == 1 and not effect.unknown:
        [name] = effect.parameters
        return f"{name} {effect.before.values[name]} → {effect.after.values[name]}"
    return joined(effect.parameters, most=MAX_NAMES) or "no parameter"


def names(setting: Setting) -> str:
    """The names of a setting's runs."""
    return joined([run.name for run in setting.runs], most=2)


def outcome(effect: Effect, content: ComparisonContent) -> str:
    """What the change did, with its uncertainty, in a sentence or two."""
    measure = content.measure or ""
    better = "higher" if measure == ACCURACY else "lower"
    said = f"{content.split} {measure} {difference(effect, measure)} {better}"
    if effect.causes:
        changed = f": not attributed to {joined(effect.parameters, most=MAX_NAMES)}" if effect.parameters else ""
        return f"{said}. The cause differs ({_causes(effect)}){changed}."
    if effect.unknown:
        one = len(effect.unknown) == 1
        known = "is" if one else "are"
        return f"{said}. {joined(effect.unknown, most=MAX_NAMES)} {known} not recorded for both: not attributed."
    if not effect.is_single:
        return (
            f"{said}. {counted(len(effect.parameters), 'parameter')} changed: the effect cannot be attributed to one."
        )
    loss = _by_loss(effect, content)
    if effect.is_clear:
        return f"{said}.{loss}{_limits(effect)}"
    if not math.isfinite(effect.half):
        return f"{said}; how much of it is chance is unknown: repeat runs with other seeds.{loss}"
    return f"{said}: within chance.{loss}{_limits(effect)}"


def _by_loss(effect: Effect, content: ComparisonContent) -> str:
    found = content.by_loss(effect)
    if found is None:
        return ""
    changed = "lower" if found.after is effect.after else "higher"
    return f" The {content.split} loss is clearly {changed}, by {difference(found, LOSS)}."


def _causes(effect: Effect) -> str:
    """What is wrong with which runs, for the causes in which they differ."""
    runs = (*effect.before.runs, *effect.after.runs)
    return "; ".join(
        f"{cause}: {joined([run.name for run in runs if run.verdict.cause == cause], most=MAX_NAMES)}"
        for cause in effect.causes
    )


def _limits(effect: Effect) -> str:
    """What the interval leaves out."""
    if effect.source in ("pairs", "repeats", "few repeats"):
        return ""
    return " The luck of the seed is not in this interval." if effect.is_clear else ""


def noise(content: ComparisonContent) -> str:
    """How much runs differ by chance alone, in a sentence."""
    measure, spread = content.measure, content.noise
    if measure is None:
        return ""
    if spread.freedom:
        scale, unit = (100.0, " points") if measure == ACCURACY else (1.0, "")
        repeats = [group for group in content.settings if len(group.runs) > 1]
        more = [counted(len(repeats) - 2, "more setting")] if len(repeats) > 2 else []
        said = "; ".join([*(names(group) for group in repeats[:2]), *more])
        source = "intervals are at least that wide" if spread.freedom < FEW_REPEATS else "the intervals come from that"
        few = " One repeat says little: intervals may be wider. Repeat more." if spread.freedom < FEW_REPEATS else ""
        is_paired = any(effect.source == "pairs" for effect in content.effects)
        paired = " Settings that were repeated with the same seeds are compared seed by seed." if is_paired else ""
        return (
            f"Repeats of the same settings ({said}) differ by {number(scale * spread.deviation, digits=2)}{unit} "
            f"(standard deviation): {source}.{few}{paired}"
        )
    return (
        "No settings were repeated: intervals come from the validation samples alone. Repeat a run with another seed "
        "to learn how much is chance."
    )


def length(run: ComparedRun) -> str:
    """How long a run was: epochs, else steps."""
    epochs, steps = run.amount("epoch"), run.amount("step")
    if epochs is not None:
        shown = round(epochs, 1)
        return f"{number(shown)} epoch{'' if shown == 1 else 's'}"
    return "—" if steps is None else counted(int(steps), "step")
