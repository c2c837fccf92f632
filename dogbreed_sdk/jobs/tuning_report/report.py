"""TuningReport: a search in a terminal, a notebook, as JSON, or as one HTML file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from dogbreed_sdk._util.formatting import plain
from dogbreed_sdk.jobs.trial import Trial
from dogbreed_sdk.jobs.tuning_report import next_search
from dogbreed_sdk.jobs.tuning_report.content import TuningContent
from dogbreed_sdk.jobs.tuning_report.ranking import has_objective
from training_scripts._util.number_text import counted

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class TuningReport(TuningContent):
    """What a search found: its trials, what mattered, and what to search next. `TuningJob.report` makes one.

    Attributes:
        facts: The search's settings and ranges.
        trials: All trials, in the order in which they were created.
        ranked: The trials, best first; those without an objective last.
    """

    def to_dict(self) -> dict[str, Any]:
        """The report as plain values for JSON.

        Returns:
            source, status, strategy; objective (metric, type); counts (by status); seconds; best (a trial, or None);
            trials, best first (rank, name, status, reason, objective, hyperparameters, seconds, ended, definition);
            improvements (number, name, objective: the best so far, in the order of the ends); importance (shares,
            chances, trials, reason); interactions (names, chance, description); next_search (reason, changes,
            ranges, fixed, command, python); failure.
        """
        facts, proposal, found = self.facts, self.next_search, self.importance
        rows = [_row(trial, rank) for rank, trial in enumerate(self.ranked, 1)]
        document: dict[str, Any] = plain(
            {
                "source": facts.name,
                "status": facts.status,
                "strategy": facts.strategy,
                "objective": {"metric": facts.metric, "type": "Maximize" if facts.maximize else "Minimize"},
                "counts": self.counts,
                "seconds": facts.seconds,
                "best": None if self.best is None else rows[0],
                "trials": rows,
                "improvements": [
                    {"number": number, "name": trial.name, "objective": trial.objective}
                    for number, trial in self.improvements()
                ],
                "importance": {
                    "shares": found.shares,
                    "chances": found.chances,
                    "trials": found.trials,
                    "reason": found.reason,
                },
                "interactions": [
                    {"names": each.names, "chance": each.chance, "description": each.description}
                    for each in self.interactions
                ],
                "next_search": {
                    "reason": proposal.reason,
                    "changes": [
                        {"name": each.name, "change": each.change, "reason": each.reason} for each in proposal.ranges
                    ],
                    "ranges": next_search.wire(proposal.ranges),
                    "fixed": {each.name: each.value for each in proposal.ranges if each.value is not None},
                    "command": next_search.command(facts, proposal.ranges),
                    "python": next_search.python(proposal.ranges) if proposal.ranges else None,
                },
                "failure": facts.failure,
            }
        )
        return document

    def to_text(self, *, width: int = 100) -> str:
        """The report as text for a terminal.

        Args:
            width: Characters per line.
        """
        from dogbreed_sdk.jobs.tuning_report.text import summary  # noqa: PLC0415

        return summary(self, width=width)

    def headline(self) -> str:
        """The best trial and the state of the search in one line."""
        from dogbreed_sdk.jobs.tuning_report.text import headline, state  # noqa: PLC0415

        return f"{headline(self)} {state(self)}"

    def to_html(self, path: str | Path) -> Path:
        """Writes the report as one HTML file that needs no network.

        Args:
            path: The file, or a folder for ``report.html``.

        Returns:
            The path of the file written.
        """
        from dogbreed_sdk.jobs.tuning_report.page import document  # noqa: PLC0415
        from dogbreed_sdk.pages.document import write_page  # noqa: PLC0415

        return write_page(document(self), path, name="report.html")

    def plot(self) -> Figure:
        """Plots each trial's objective over each hyperparameter, on the range's scale, with matplotlib (extra: plots).

        Returns:
            A figure with one axes per searched hyperparameter; the best trial is a star.

        Raises:
            ConfigurationError: No trial has reported the objective yet, or matplotlib is not installed.

        Examples:
            >>> tuning.report().plot().savefig("trials.png")
        """
        from dogbreed_sdk.jobs.tuning_report.plots import trials  # noqa: PLC0415

        return trials(self)

    def __str__(self) -> str:
        return self.to_text()

    def __repr__(self) -> str:
        return f"TuningReport({self.source!r}, {counted(len(self.trials), 'trial')})"

    def _repr_html_(self) -> str:
        from dogbreed_sdk.jobs.tuning_report.notebook import fragment  # noqa: PLC0415

        return fragment(self)


def _row(trial: Trial, rank: int) -> dict[str, object]:
    return {
        "rank": rank if has_objective(trial) else None,
        "name": trial.name,
        "status": trial.status,
        "reason": trial.reason,
        "objective": trial.objective,
        "hyperparameters": dict(trial.hyperparameters),
        "seconds": None if trial.seconds is None else round(trial.seconds, 2),
        "ended": None if trial.ended is None else trial.ended.isoformat(),
        "definition": trial.definition,
    }
