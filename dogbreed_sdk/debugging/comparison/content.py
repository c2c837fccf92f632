"""What a comparison shows: the runs best first, the measure that ranks them, and the effects of changes.

Everything that draws a comparison (text, page, notebook) takes a `ComparisonContent`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from dogbreed_sdk.debugging.comparison import effects, parameters, spellings
from dogbreed_sdk.debugging.comparison.effects import Effect
from dogbreed_sdk.debugging.comparison.parameters import Setting
from dogbreed_sdk.debugging.comparison.runs import (
    ACCURACY,
    LOSS,
    VALIDATION,
    ComparedRun,
    short_names,
)
from dogbreed_sdk.errors import ConfigurationError
from training_scripts.rules.findings import ISSUES_FOUND, NO_ISSUES_FOUND

if TYPE_CHECKING:
    from dogbreed_sdk.debugging.content import ReportContent


class ComparisonContent:
    """The content of a comparison.

    Attributes:
        given: The runs in the order in which they were given.
    """

    def __init__(self, reports: Sequence[ReportContent]) -> None:
        """A comparison of loaded reports.

        Raises:
            ConfigurationError: There are fewer than two.
        """
        if len(reports) < 2:
            raise ConfigurationError("A comparison needs at least two runs; DebugReport.load shows a single one.")
        names = short_names([report.source for report in reports])
        self.given = tuple(ComparedRun(report, name) for report, name in zip(reports, names, strict=True))
        columns = spellings.columns(run.names for run in self.given)
        for run in self.given:
            run.columns = columns

    @cached_property
    def measure(self) -> str | None:
        """What ranks the runs: accuracy if all have it, else the loss; None if the runs have no common result.

        Runs without any result, such as those whose loss was never finite, do not count: they are last.
        """
        judged = [run for run in self.given if run.results]
        for name in (ACCURACY, LOSS):
            found = [run.results.get(name) for run in judged]
            splits = {result.split for result in found if result is not None}
            comparable = name == ACCURACY or len(self.loss_kinds) == 1
            if len(found) > 1 and None not in found and len(splits) == 1 and comparable:
                return name
        return None

    @property
    def split(self) -> str:
        """The split of the results that rank the runs: validation or training."""
        measure = self.measure or ""
        found = [run.results[measure] for run in self.given if measure in run.results]
        return found[0].split if found else VALIDATION

    @cached_property
    def loss_kinds(self) -> list[str]:
        """What the runs' losses are, each kind once."""
        return list(dict.fromkeys(run.loss_kind for run in self.given if run.loss_kind))

    @cached_property
    def runs(self) -> tuple[ComparedRun, ...]:
        """The runs, best first; as given if nothing ranks them."""
        measure = self.measure
        if measure is None:
            return self.given
        sign = -1.0 if measure == ACCURACY else 1.0

        def key(run: ComparedRun) -> tuple[float, float]:
            """The result; among equal accuracies, the loss."""
            found, loss = run.results.get(measure), run.results.get(LOSS)
            return math.inf if found is None else sign * found.value, math.inf if loss is None else loss.value

        return tuple(sorted(self.given, key=key))

    @cached_property
    def differing(self) -> list[str]:
        """The names of the parameters that differ."""
        return parameters.differing(self.given)

    @cached_property
    def settings(self) -> list[Setting]:
        """The runs grouped into repeats."""
        return parameters.settings(self.runs)

    @cached_property
    def noise(self) -> effects.Noise:
        """The spread between repeats in the ranking measure."""
        return effects.noise(self.settings, self.measure or LOSS)

    @cached_property
    def effects(self) -> list[effects.Effect]:
        """What each change did to the ranking measure."""
        return [] if self.measure is None else effects.effects(self.settings, self.measure)

    def by_loss(self, effect: Effect) -> Effect | None:
        """A change's clear effect on the loss, where accuracy alone does not show it or shows the opposite."""
        if self.measure != ACCURACY or not effect.is_single or len(self.loss_kinds) != 1:
            return None
        if len({run.results[LOSS].split for run in self.given if LOSS in run.results}) != 1:
            return None
        found = effects.by_loss(effect, self.settings)
        return None if found is None or (effect.is_clear and found.after is effect.after) else found

    @cached_property
    def rules(self) -> dict[str, list[str]]:
        """Rule -> its status in each run, in the order of `runs`; rules with an issue first, then by name.

        Rules that were evaluated in no run are left out.
        """
        found: dict[str, list[str]] = {}
        for place, run in enumerate(self.runs):
            for result in run.report.rules:
                found.setdefault(result.name, [""] * len(self.runs))[place] = result.status
        shown = {name: row for name, row in found.items() if {ISSUES_FOUND, NO_ISSUES_FOUND} & set(row)}
        return dict(sorted(shown.items(), key=lambda item: -item[1].count(ISSUES_FOUND)))

    @cached_property
    def notes(self) -> list[str]:
        """What a reader must know before believing the comparison, in sentences."""
        found = []
        if len(self.loss_kinds) > 1:
            named = ", ".join(self.loss_kinds)
            found.append(f"The runs have different losses ({named}), whose values cannot be compared.")
        if self.measure is None:
            found.append("The runs have no common result that could rank them; they stand in the order given.")
        sizes = {parameters.value_of(run, "validation samples") for run in self.given}
        if self.split == VALIDATION and self.measure is not None and len(sizes) > 1:
            found.append("The runs were validated on different numbers of samples: their results compare only roughly.")
        for run in self.given:
            if run.has_diverged:
                found.append(f"The training loss of {run.name} was not finite at the end.")
            if not run.is_whole:
                found.append(f"{run.name} is {_state(run)}: its results are of its beginning only.")
        return found


def _state(run: ComparedRun) -> str:
    if run.report.is_running:
        return "still running"
    return "incomplete" if run.report.has_no_end else run.report.status.lower()
