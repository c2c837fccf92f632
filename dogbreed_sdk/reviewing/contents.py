"""The contents of a review, without the ways to show it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dogbreed_sdk.reviewing import proposal
from dogbreed_sdk.reviewing.findings import (
    IndistinctClasses,
    LabelCount,
    NearCopies,
    Outlier,
    ReviewedLabel,
)


@dataclass(frozen=True)
class ReviewContents:
    """What a review found; `DataReview` describes the attributes."""

    root: Path
    classes: tuple[str, ...]
    splits: Mapping[str, int]
    labels: tuple[ReviewedLabel, ...]
    near_copies: tuple[NearCopies, ...]
    outliers: tuple[Outlier, ...]
    indistinct_classes: tuple[IndistinctClasses, ...]
    label_counts: tuple[LabelCount, ...]
    expected_wrong: float
    accuracy: float
    not_judged: int
    skipped: tuple[str, ...]
    backbone: str
    seconds: Mapping[str, float]

    @property
    def flagged(self) -> tuple[ReviewedLabel, ...]:
        """The labels that are more likely wrong than right."""
        return tuple(label for label in self.labels if label.flagged)

    def ignore_list(self) -> dict[str, str]:
        """A proposal of pictures to ignore: path relative to the data set's folder -> reason.

        It has the flagged labels, nearly uniform pictures, and all but one of each group of near-copies: the one in
        test, else in valid, is kept. Outliers are not in it, because only somebody who looks at them can decide.
        """
        return proposal.propose(self.labels, self.near_copies, self.outliers)

    def to_dict(self) -> dict[str, object]:
        """The review as JSON-ready values, with stable keys."""
        return {
            "root": str(self.root),
            "backbone": self.backbone,
            "classes": list(self.classes),
            "splits": dict(self.splits),
            "accuracy": self.accuracy,
            "expected_wrong": self.expected_wrong,
            "not_judged": self.not_judged,
            "skipped": list(self.skipped),
            "seconds": dict(self.seconds),
            "labels": [label.to_dict() for label in self.labels],
            "near_copies": [group.to_dict() for group in self.near_copies],
            "outliers": [outlier.to_dict() for outlier in self.outliers],
            "indistinct_classes": [pair.to_dict() for pair in self.indistinct_classes],
            "label_counts": [count.to_dict() for count in self.label_counts],
            "ignore_list": self.ignore_list(),
        }
