"""DatasetReport: the outcome of a data set's check."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dogbreed_sdk.datasets import report_text
from dogbreed_sdk.datasets.findings import LEVELS, Finding
from dogbreed_sdk.errors import DatasetError
from training_scripts._util.safe_text import printable


@dataclass(frozen=True, repr=False)
class DatasetReport:
    """The outcome of BreedDataset.check().

    Attributes:
        root: The data set's folder.
        classes: The class folders of the train split, in index order.
        counts: Split -> class folder -> number of picture files. Without splits, the one split is "unsplit".
        findings: The findings, errors first.
    """

    root: Path
    classes: tuple[str, ...]
    counts: Mapping[str, Mapping[str, int]]
    findings: tuple[Finding, ...]

    def __post_init__(self) -> None:
        ranked = sorted(self.findings, key=lambda finding: LEVELS.index(finding.level))
        object.__setattr__(self, "findings", tuple(ranked))

    @property
    def ok(self) -> bool:
        """Whether there are no errors; there may be warnings and notes."""
        return not self.errors

    @property
    def errors(self) -> tuple[Finding, ...]:
        """The findings that prevent training."""
        return tuple(finding for finding in self.findings if finding.level == "error")

    @property
    def warnings(self) -> tuple[Finding, ...]:
        """The findings that reduce accuracy."""
        return tuple(finding for finding in self.findings if finding.level == "warning")

    def raise_for_errors(self) -> None:
        """Does nothing if the report is ok.

        Raises:
            DatasetError: There are errors; the message lists them with their remedies.
        """
        if self.ok:
            return
        lines = [printable(report_text.sentence(group)) for group in report_text.grouped(self.errors)]
        raise DatasetError(f"{self.root} cannot be trained on:\n" + "\n".join(f"- {line}" for line in lines))

    def to_dict(self) -> dict[str, object]:
        """The report as JSON-ready values, with stable keys."""
        return {
            "ok": self.ok,
            "root": str(self.root),
            "classes": list(self.classes),
            "splits": {split: sum(counts.values()) for split, counts in self.counts.items()},
            "counts": {split: dict(counts) for split, counts in self.counts.items()},
            "findings": [finding.to_dict() for finding in self.findings],
        }

    def to_text(self, *, width: int | None = None) -> str:
        """The report as text: findings grouped by kind, with their number and the first three files.

        Args:
            width: Columns at which sentences are wrapped; default: one line each, as in `str(report)`.
        """
        return report_text.describe(
            self.findings,
            root=self.root,
            class_count=len(self.classes),
            split_sizes={split: sum(counts.values()) for split, counts in self.counts.items()},
            width=width,
        )

    def __str__(self) -> str:
        return self.to_text()

    def __repr__(self) -> str:
        numbers = {level: sum(finding.level == level for finding in self.findings) for level in LEVELS}
        found = ", ".join(f"{number} {level}{'s' if number != 1 else ''}" for level, number in numbers.items())
        return f"DatasetReport({str(self.root)!r}: {len(self.classes)} classes, {found})"

    def _repr_html_(self) -> str:
        from dogbreed_sdk.datasets.cards import report_card  # noqa: PLC0415 - only notebooks need it

        sizes = {split: sum(counts.values()) for split, counts in self.counts.items()}
        return report_card(self.root.name, len(self.classes), sizes, self.findings)
