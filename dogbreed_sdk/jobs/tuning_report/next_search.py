"""What to search next: ranges narrowed around the best, extended where the best lies at an edge, or kept.

A range is changed only where the objective depends on the hyperparameter by more than chance (`evidence.chance`).
"""

from __future__ import annotations

import json
import math
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from dogbreed_sdk import defaults
from dogbreed_sdk._util.formatting import joined
from dogbreed_sdk._util.polling import FINAL_STATUSES
from dogbreed_sdk.jobs.trial import Trial
from dogbreed_sdk.jobs.tuning_report.evidence import SIGNIFICANT, is_worse, judged, optimum
from dogbreed_sdk.jobs.tuning_report.facts import SearchFacts, category_of, place
from dogbreed_sdk.jobs.tuning_report.ranking import best_first
from dogbreed_sdk.local.tuning.search_space import Range
from training_scripts._util.number_text import number_text
from training_scripts.training.hyperparameters import table
from training_scripts.training.parameters import write

# Fewer trials with an objective show nothing that another few could not turn round.
MIN_TRIALS = 6
# The trials whose values a narrower range covers: the best third, at least three.
TOP_SHARE = 1 / 3
MIN_TOP = 3
# Within this share of a range from one end, the best may lie beyond the end.
EDGE = 0.12
# The better trials, too, must lie in the outer half of that side.
EDGE_OF_TOP = 0.5
# A curve fitted to all trials that is best at an end says the same if the best trial is not far from there.
NEAR_EDGE = 0.3
# A narrowed range covers the better trials and this share of the old range on each side of them.
MARGIN = 0.08
LEAST_WIDTH = 0.15
# A range that would keep more than this is not worth another one.
WORTH_NARROWING = 0.75
# An extended range reaches beyond the edge by half of the old range, on its scale, but by this factor at most.
LARGEST_FACTOR = 10.0
_ROUNDING = 1e-9
KEPT, NARROWED, EXTENDED, FIXED = "kept", "narrowed", "extended", "fixed"


@dataclass(frozen=True)
class NextRange:
    """What to do with one hyperparameter in the next search.

    Attributes:
        name: The hyperparameter.
        change: kept, narrowed, extended or fixed.
        range: The range to search; None if it is fixed.
        value: The value to give all trials if it is fixed; None otherwise.
        reason: Why, in a sentence.
    """

    name: str
    change: str
    range: Range | None
    value: str | None
    reason: str


@dataclass(frozen=True)
class NextSearch:
    """The next search.

    Attributes:
        ranges: One entry per hyperparameter, in the search's order; empty without enough trials.
        reason: Why there is no proposal; empty with one.
    """

    ranges: tuple[NextRange, ...] = ()
    reason: str = ""

    @property
    def has_changes(self) -> bool:
        """Whether the proposal differs from the search that was made."""
        return any(entry.change != KEPT for entry in self.ranges)


def next_search(facts: SearchFacts, trials: Sequence[Trial], chances: Mapping[str, float]) -> NextSearch:
    """What to search next.

    Args:
        facts: The search.
        trials: Its trials.
        chances: Hyperparameter -> how often chance alone shows as strong a dependence.
    """
    usable = best_first(judged(facts, trials), maximize=facts.maximize)
    if not facts.ranges:
        return NextSearch(reason="The ranges of the search are unknown.")
    if len(usable) < MIN_TRIALS:
        return NextSearch(
            reason=f"Too few trials to say where to search next: {len(usable)} with an objective, and it takes "
            f"{MIN_TRIALS}. Search the same ranges with more trials."
        )
    top = usable[: max(MIN_TOP, math.ceil(TOP_SHARE * len(usable)))]
    return NextSearch(tuple(_next(facts, entry, usable, top, chances.get(entry.name, 1.0)) for entry in facts.ranges))


def _next(
    facts: SearchFacts, entry: Range, usable: Sequence[Trial], top: Sequence[Trial], probability: float
) -> NextRange:
    if probability > SIGNIFICANT:
        reason = "No clear effect: the differences may be chance."
        return NextRange(entry.name, KEPT, entry, None, reason)
    if entry.kind == "categorical":
        return _winners(facts, entry, usable)
    return _numeric(facts, entry, usable, top)


def _winners(facts: SearchFacts, entry: Range, usable: Sequence[Trial]) -> NextRange:
    """The categories that are not clearly worse than that of the best trial, and those that were not tried enough."""
    best = str(category_of(entry, usable[0].hyperparameters[entry.name]))
    kept = tuple(value for value in entry.values if not is_worse(entry, value, best, usable, maximize=facts.maximize))
    if len(kept) == len(entry.values):
        return NextRange(entry.name, KEPT, entry, None, "No value is clearly worse than that of the best trial.")
    worse = joined([value for value in entry.values if value not in kept])
    reason = f"{worse} did worse than {best}, by more than chance."
    if len(kept) == 1:
        return NextRange(entry.name, FIXED, None, best, reason)
    return NextRange(entry.name, NARROWED, replace(entry, values=kept), None, reason)


def _numeric(facts: SearchFacts, entry: Range, usable: Sequence[Trial], top: Sequence[Trial]) -> NextRange:
    where = [_place(entry, trial) for trial in top]
    best, middle = where[0], sorted(where)[len(where) // 2]
    lowest, highest = max(0.0, min(where) - MARGIN), min(1.0, max(where) + MARGIN)
    best_value = number_text(float(str(top[0].hyperparameters[entry.name])), 3)
    fitted = optimum(entry, usable, maximize=facts.maximize)
    for edge, distance, side in ((0.0, best, middle), (1.0, 1 - best, 1 - middle)):
        if (distance <= EDGE and side <= EDGE_OF_TOP) or (distance <= NEAR_EDGE and fitted == edge):
            beyond = _beyond(facts, entry, high=edge == 1.0)
            if beyond is None:
                break  # nothing is allowed there
            kept = lowest if edge == 1.0 else highest
            low, high = (_value(entry, kept), beyond) if edge == 1.0 else (beyond, _value(entry, kept))
            end = "upper" if edge == 1.0 else "lower"
            reason = f"The best value, {best_value}, lies at or near the {end} end: better ones may lie beyond it."
            return NextRange(entry.name, EXTENDED, _rounded(entry, low, high), None, reason)
    if highest - lowest < LEAST_WIDTH:
        lowest, highest = max(0.0, best - LEAST_WIDTH / 2), min(1.0, best + LEAST_WIDTH / 2)
    if highest - lowest > WORTH_NARROWING:
        reason = f"The best {len(top)} trials are spread over most of the range."
        return NextRange(entry.name, KEPT, entry, None, reason)
    reason = f"The best value is {best_value}, and the best {len(top)} trials lie around it."
    narrowed = _rounded(entry, _value(entry, lowest), _value(entry, highest))
    return NextRange(entry.name, NARROWED, narrowed, None, reason)


def _place(entry: Range, trial: Trial) -> float:
    found = place(entry, trial.hyperparameters[entry.name])
    assert found is not None  # `judged` has kept only such trials
    return found


def bounds(entry: Range) -> tuple[float, float]:
    """The lowest and highest value of a numeric range, as the hyperparameter has them."""
    return (1.0 - entry.high, 1.0 - entry.low) if entry.reverse else (entry.low, entry.high)


def _value(entry: Range, share: float) -> float:
    """The value at a place of the range; the inverse of `place`."""
    share = 1.0 - share if entry.reverse else share
    if entry.logarithmic:
        number = entry.low * (entry.high / entry.low) ** share
    else:
        number = entry.low + share * (entry.high - entry.low)
    return float(1.0 - number if entry.reverse else number)


def _beyond(facts: SearchFacts, entry: Range, *, high: bool) -> float | None:
    """How far the range can reach beyond one of its ends; None if that end is the last value allowed."""
    low, top = bounds(entry)
    edge = top if high else low
    if entry.logarithmic and not entry.reverse:
        factor = min(math.sqrt(top / low), LARGEST_FACTOR)
        wanted = edge * factor if high else edge / factor
    elif entry.reverse:
        factor = min(math.sqrt(entry.high / entry.low), LARGEST_FACTOR)
        wanted = 1 - (1 - edge) / factor if high else 1 - min(1.0, (1 - edge) * factor)
    else:
        wanted = edge + (top - low) / 2 if high else edge - (top - low) / 2
    lowest, highest = _allowed(facts, entry)
    wanted = min(wanted, highest) if high else max(wanted, lowest)
    return None if (wanted <= edge if high else wanted >= edge) else wanted


def _allowed(facts: SearchFacts, entry: Range) -> tuple[float, float]:
    """The values that make sense: those that our script accepts; for others, a range that ends at 0 or 1 ends there."""
    low, high = bounds(entry)
    if facts.is_ours:
        row = next((row for row in table("hpo") if row.name == entry.name.replace("_", "-")), None)
        if row is not None:
            least = -math.inf if row.minimum is None else row.minimum
            most = math.inf if row.maximum is None else row.maximum
            # An excluded end is approached, not reached.
            least = low / LARGEST_FACTOR if row.open_minimum and low > 0 else least
            return least, (high + most) / 2 if row.open_maximum else most
    least = 1 if entry.kind == "integer" and low >= 1 else 0 if low >= 0 else -math.inf
    return least, 1 if low >= 0 and high <= 1 and not entry.logarithmic else math.inf


def _rounded(entry: Range, low: float, high: float) -> Range:
    """A range with round ends, none of which cuts off a value that it should contain."""
    if entry.kind == "integer":
        least = 1 if entry.logarithmic else -math.inf
        return replace(entry, low=max(math.floor(low), least), high=math.ceil(high))
    if entry.reverse:  # the distance to 1 counts, and is what the range holds
        low, high = 1.0 - high, 1.0 - low
    found = _round(low, math.floor), _round(high, math.ceil)
    # Rounding must not leave the old range where the new one ends inside it.
    low = entry.low if found[0] < entry.low <= low * (1 + _ROUNDING) else found[0]
    high = entry.high if found[1] > entry.high >= high * (1 - _ROUNDING) else found[1]
    return replace(entry, low=low, high=min(high, 1.0) if entry.reverse else high)


def _round(value: float, toward: Any) -> float:
    """Two significant digits."""
    if value == 0:
        return 0.0
    unit = 10.0 ** (math.floor(math.log10(abs(value))) - 1)
    return float(f"{toward(round(value / unit, 6)) * unit:.2g}")


# ---------------------------------------------------------------- as something to copy


def wire(entries: Sequence[NextRange]) -> dict[str, list[dict[str, object]]]:
    """SageMaker's ParameterRanges of a proposal, without those hyperparameters that it fixes."""
    found: dict[str, list[dict[str, object]]] = {}
    for entry in entries:
        chosen = entry.range
        if chosen is None:
            continue
        if chosen.kind == "categorical":
            found.setdefault("CategoricalParameterRanges", []).append(
                {"Name": entry.name, "Values": list(chosen.values)}
            )
            continue
        low, high = map(_written, bounds(chosen))
        kind = "IntegerParameterRanges" if chosen.kind == "integer" else "ContinuousParameterRanges"
        found.setdefault(kind, []).append(
            {"Name": entry.name, "MinValue": low, "MaxValue": high, "ScalingType": _scaling(chosen)}
        )
    return found


def python(entries: Sequence[NextRange]) -> str:
    """The proposal as the dictionary that `BreedTrainer.tune` takes, and the hyperparameters of all trials."""
    lines = []
    for entry in entries:
        chosen = entry.range
        if chosen is None:
            continue
        if chosen.kind == "categorical":
            value = f"CategoricalParameter({list(chosen.values)!r})"
        else:
            kind = "IntegerParameter" if chosen.kind == "integer" else "ContinuousParameter"
            low, high = map(_written, bounds(chosen))
            value = f'{kind}({low}, {high}, scaling_type="{_scaling(chosen)}")'
        lines.append(f"    {json.dumps(entry.name)}: {value},")
    fixed = {entry.name: entry.value for entry in entries if entry.value is not None}
    searched = "\n".join(["search = {", *lines, "}"])
    return f"{searched}\nhyperparameters = {json.dumps(fixed)}" if fixed else searched


def command(facts: SearchFacts, entries: Sequence[NextRange]) -> str | None:
    """The command that makes the next search and learns from this one; None for scripts of other authors."""
    searched = [entry for entry in entries if entry.range is not None]
    if not facts.is_ours or not searched:
        return None
    words = ["dogbreed", "tune", "DATA"]
    for entry in searched:
        words += ["--search", f"{entry.name}={_option(entry.range)}"]
    fixed = {**_shared(facts), **{entry.name: entry.value for entry in entries if entry.value is not None}}
    for name, value in fixed.items():
        words += [f"--{name}", str(value)]
    words += ["--objective", facts.metric]
    if facts.strategy != defaults.TUNING_STRATEGY:
        words += ["--strategy", facts.strategy]
    if facts.limit not in (None, defaults.TUNING_MAX_JOBS):
        words += ["--max-jobs", str(facts.limit)]
    if facts.status in FINAL_STATUSES:  # SageMaker learns from searches that have ended
        words += ["--warm-start", facts.name]
    return shlex.join(words)


def _option(entry: Range | None) -> str:
    assert entry is not None
    if entry.kind == "categorical":
        return ",".join(entry.values)
    low, high = map(_written, bounds(entry))
    scale = {"Logarithmic": "log", "ReverseLogarithmic": "reverse-log"}.get(_scaling(entry), "linear")
    return f"{low}:{high}:{scale}"


def _shared(facts: SearchFacts) -> dict[str, str]:
    """The hyperparameters of all trials that are not this SDK's defaults, and that its command has options for."""
    rows = {row.name: row for row in table("hpo")}
    return {
        name: value
        for name, value in (facts.shared or {}).items()
        if (row := rows.get(name.replace("_", "-"))) is not None and value != write(row.default)
    }


def _scaling(entry: Range) -> str:
    return "ReverseLogarithmic" if entry.reverse else "Logarithmic" if entry.logarithmic else "Linear"


def _written(value: float) -> str:
    return str(int(value)) if float(value).is_integer() and abs(value) < 1e15 else f"{value:.12g}"
