"""Comparison: several recorded runs in a terminal, a notebook, as JSON, or as one HTML file."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from dogbreed_sdk._util.formatting import plain, whole
from dogbreed_sdk.debugging.comparison import parameters, words
from dogbreed_sdk.debugging.comparison.content import ComparisonContent
from dogbreed_sdk.debugging.comparison.effects import Effect
from dogbreed_sdk.debugging.comparison.runs import ComparedRun


class Comparison(ComparisonContent):
    """Recorded runs side by side: curves, results against the parameters that differ, rules, and what changed what.

    `DebugReport.compare` creates one.

    Attributes:
        given: The runs in the order in which they were given.
        runs: The runs, best first.
        effects: What each change did, with its uncertainty.
    """

    def to_dict(self) -> dict[str, Any]:
        """The comparison as plain values for JSON.

        Returns:
            headline; ranked_by (measure, split; None if nothing ranks the runs); runs, best first (rank, name, source,
            status, verdict, parameters, results by measure: value, error, epoch, split; epochs, steps, samples,
            seconds); differing (the parameters that differ) and shared (those that do not, with their values);
            effects (parameters, before and after: values and runs; difference, half, clear, single, unknown, causes,
            source, text);
            noise (deviation, repeats, text); rules (name -> status by run); notes; problems.
        """
        measure = self.measure
        document: dict[str, Any] = plain(
            {
                "headline": words.headline(self),
                "ranked_by": None if measure is None else {"measure": measure, "split": self.split},
                "runs": [_run(run, rank if measure else None) for rank, run in enumerate(self.runs, 1)],
                "differing": self.differing,
                "shared": parameters.shared(self.given),
                "effects": [self._effect(effect) for effect in self.effects],
                "noise": {
                    "deviation": self.noise.deviation,
                    "repeats": self.noise.freedom,
                    "text": words.noise(self),
                },
                "rules": {
                    name: dict(zip([run.name for run in self.runs], row, strict=True))
                    for name, row in self.rules.items()
                },
                "notes": self.notes,
                "problems": [f"{run.name}: {problem}" for run in self.runs for problem in run.report.problems],
            }
        )
        return document

    def to_text(self, *, width: int = 100) -> str:
        """The comparison as text for a terminal.

        Args:
            width: Characters per line.
        """
        from dogbreed_sdk.debugging.comparison.text import summary  # noqa: PLC0415

        return summary(self, width=width)

    def to_html(self, path: str | Path) -> Path:
        """Writes the comparison as one HTML file of less than 2 MB that needs no network.

        Args:
            path: The file, or a folder for ``comparison.html``.

        Returns:
            The path of the file written.
        """
        from dogbreed_sdk.debugging.comparison.page import document  # noqa: PLC0415
        from dogbreed_sdk.pages.document import write_page  # noqa: PLC0415

        return write_page(document(self), path, name="comparison.html")

    def __str__(self) -> str:
        return self.to_text()

    def __repr__(self) -> str:
        return f"Comparison({', '.join(repr(run.name) for run in self.given)})"

    def _repr_html_(self) -> str:
        from dogbreed_sdk.debugging.comparison.notebook import fragment  # noqa: PLC0415

        return fragment(self)

    def _effect(self, effect: Effect) -> dict[str, object]:
        return {
            "parameters": effect.parameters,
            "before": {"values": effect.before.values, "runs": [run.name for run in effect.before.runs]},
            "after": {"values": effect.after.values, "runs": [run.name for run in effect.after.runs]},
            "difference": effect.difference,
            "half": effect.half,
            "clear": effect.is_clear,
            "single": effect.is_single,
            "unknown": effect.unknown,
            "causes": effect.causes,
            "source": effect.source,
            "text": f"{words.change(effect)}: {words.outcome(effect, self)}",
        }


def _run(run: ComparedRun, rank: int | None) -> dict[str, object]:
    from dogbreed_sdk.debugging.verdict import verdict  # noqa: PLC0415

    judged = verdict(run.report)
    epochs, seconds = run.amount("epoch"), run.seconds
    return {
        "rank": rank,
        "name": run.name,
        "source": whole(run.source),
        "status": run.report.status,
        "verdict": {"level": judged.level, "headline": judged.headline},
        "parameters": dict(run.parameters),
        "results": {
            name: {"value": each.value, "error": each.error, "epoch": each.epoch, "split": each.split}
            for name, each in run.results.items()
        },
        "epochs": None if epochs is None else round(epochs, 3),
        "steps": run.amount("step"),
        "samples": run.amount("samples"),
        "seconds": None if seconds is None or not math.isfinite(seconds) else round(seconds, 2),
    }
