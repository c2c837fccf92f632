"""What a check of a data set found: findings with their files and remedies, and the report that holds them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from dogbreed_sdk.datasets import report_text
from dogbreed_sdk.errors import DatasetError
from training_scripts._util.safe_text import printable

Level = Literal["error", "warning", "note"]
_LEVELS: tuple[Level, ...] = ("error", "warning", "note")


@dataclass(frozen=True)
class Finding:
    """One thing about a data set that somebody should know.

    Attributes:
        level: "error" where training would refuse the data or its numbers would mean nothing, "warning" where
            the result suffers, "note" where it is merely good to know.
        code: A short name that stays, such as "duplicate-across-splits".
        message: What was found, and where.
        paths: The files or folders it is about.
        remedy: What to do.
        detail: What is particular to these files where many findings are shown together, such as "32 x 32 pixels".
    """

    level: Level
    code: str
    message: str
    paths: tuple[Path, ...]
    remedy: str
    detail: str = ""

    def to_dict(self) -> dict[str, object]:
        """The finding as JSON-ready values, with keys that stay."""
        return {
            "level": self.level,
            "code": self.code,
            "message": self.message,
            "paths": [str(path) for path in self.paths],
            "remedy": self.remedy,
        }


@dataclass(frozen=True)
class DatasetReport:
    """The outcome of BreedDataset.check().

    Attributes:
        root: The data set's folder.
        classes: The class folders of the train split, in index order.
        counts: Split -> class folder -> number of picture files. Without splits, the one split is "unsplit".
        findings: What was found, errors first.
    """

    root: Path
    classes: tuple[str, ...]
    counts: Mapping[str, Mapping[str, int]]
    findings: tuple[Finding, ...]

    def __post_init__(self) -> None:
        ranked = sorted(self.findings, key=lambda finding: _LEVELS.index(finding.level))
        object.__setattr__(self, "findings", tuple(ranked))

    @property
    def ok(self) -> bool:
        """Whether there is no error; warnings and notes may be there."""
        return not self.errors

    @property
    def errors(self) -> tuple[Finding, ...]:
        """The findings that forbid training."""
        return tuple(finding for finding in self.findings if finding.level == "error")

    @property
    def warnings(self) -> tuple[Finding, ...]:
        """The findings that will cost accuracy."""
        return tuple(finding for finding in self.findings if finding.level == "warning")

    def raise_for_errors(self) -> None:
        """Does nothing if the report is ok.

        Raises:
            DatasetError: Names every error with its remedy.
        """
        if self.ok:
            return
        lines = [printable(report_text.sentence(group)) for group in report_text.grouped(self.errors)]
        raise DatasetError(f"{self.root} is not fit to train on:\n" + "\n".join(f"- {line}" for line in lines))

    def to_dict(self) -> dict[str, object]:
        """The report as JSON-ready values, with keys that stay."""
        return {
            "ok": self.ok,
            "root": str(self.root),
            "classes": list(self.classes),
            "splits": {split: sum(counts.values()) for split, counts in self.counts.items()},
            "counts": {split: dict(counts) for split, counts in self.counts.items()},
            "findings": [finding.to_dict() for finding in self.findings],
        }

    def to_text(self, *, width: int | None = None) -> str:
        """The report for people: findings of a kind together, with their number and the first three files.

        Args:
            width: Columns at which sentences are broken; default: one line each, as `str` has them.
        """
        return report_text.describe(self, width=width)

    def __str__(self) -> str:
        return self.to_text()
