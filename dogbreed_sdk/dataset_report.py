"""What a check of a data set found: findings with their files and remedies, and the report that holds them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from dogbreed_sdk.errors import DatasetError
from training_scripts.safe_text import printable

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
    """

    level: Level
    code: str
    message: str
    paths: tuple[Path, ...]
    remedy: str

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
        lines = [printable(f"{finding.message} {finding.remedy}") for finding in self.errors]
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

    def __str__(self) -> str:
        splits = ", ".join(f"{split} {sum(counts.values())}" for split, counts in self.counts.items())
        lines = [f"{self.root}: {len(self.classes)} classes; pictures: {splits or 'none'}"]
        lines += [f"{finding.level}: {finding.message} {finding.remedy}" for finding in self.findings]
        return "\n".join(map(printable, lines if self.findings else [*lines, "nothing to complain about"]))
