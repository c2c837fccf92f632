"""The findings of a review, as plain values."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Literal

OutlierReason = Literal["unlike the others", "nearly uniform"]


@dataclass(frozen=True)
class ReviewedLabel:
    """How a picture's label compares with a prediction by a head that was not trained on the picture.

    Attributes:
        picture: Path relative to the data set's folder, with forward slashes.
        given: Its class folder.
        likely: The class folder that the head predicts.
        score: The probability that the label is wrong, 0 to 1.
        flagged: Whether the label is more likely wrong than right.
    """

    picture: str
    given: str
    likely: str
    score: float
    flagged: bool

    def to_dict(self) -> dict[str, object]:
        """The finding as JSON-ready values."""
        return asdict(self)


@dataclass(frozen=True)
class NearCopies:
    """Pictures that look the same: identical, edited, or of one series.

    Attributes:
        pictures: Paths relative to the data set's folder.
        similarity: Of the least similar two that are known to look the same; 1 if they are identical.
        splits: The splits that have one of them.
        classes: Their class folders.
    """

    pictures: tuple[str, ...]
    similarity: float
    splits: tuple[str, ...]
    classes: tuple[str, ...]

    @property
    def leaks(self) -> bool:
        """Whether they are in more than one split, so that a model is tested on what it has learned."""
        return len(self.splits) > 1

    def to_dict(self) -> dict[str, object]:
        """The finding as JSON-ready values."""
        return {
            "pictures": list(self.pictures),
            "similarity": self.similarity,
            "splits": list(self.splits),
            "classes": list(self.classes),
        }


@dataclass(frozen=True)
class Outlier:
    """A picture that is unlike all others, or shows nothing.

    Attributes:
        picture: Path relative to the data set's folder.
        score: Its distance from the others, 0 to 2; higher is less similar.
        given: Its class folder.
        reason: Why it is listed.
    """

    picture: str
    score: float
    given: str
    reason: OutlierReason

    def to_dict(self) -> dict[str, object]:
        """The finding as JSON-ready values."""
        return asdict(self)


@dataclass(frozen=True)
class IndistinctClasses:
    """Two classes that a head cannot tell apart.

    Attributes:
        classes: The two class folders.
        accuracy: How often a picture of the two is more like its own class; 0.5 is chance.
        pictures: Number of pictures of both.
    """

    classes: tuple[str, str]
    accuracy: float
    pictures: int

    def to_dict(self) -> dict[str, object]:
        """The finding as JSON-ready values."""
        return {"classes": list(self.classes), "accuracy": self.accuracy, "pictures": self.pictures}


@dataclass(frozen=True)
class LabelCount:
    """How many pictures with one label confidently belong to another class, by confident learning.

    Attributes:
        given: The class folder that they are in.
        likely: The class that they are like.
        count: Number of pictures.
    """

    given: str
    likely: str
    count: int

    def to_dict(self) -> dict[str, object]:
        """The count as JSON-ready values."""
        return asdict(self)
