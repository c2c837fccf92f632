"""What an evaluation found: statistics, and what the model made of each picture that it got wrong."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from dogbreed_sdk.endpoints.evaluation.matrix import ConfusionMatrix
from dogbreed_sdk.endpoints.evaluation.statistics import CalibrationBin, CoveragePoint
from training_scripts._util.wilson import wilson

# Enough to see what a class looks like.
TYPICAL_PER_CLASS = 3


@dataclass(frozen=True, slots=True)
class PictureResult:
    """What the model made of one picture.

    Attributes:
        path: The picture; only its name in the data set where it is not on this machine.
        actual: Its true class folder.
        predicted: The class folder with the highest probability.
        probability: The probability of that class, 0 to 1; None where it was not recorded.
        loss: -log of the probability of the true class; infinite if that is 0; None where it is unknown.
        rejected: Whether the picture looks like none of the classes; None if the model has no rejection rule.
    """

    path: Path
    actual: str
    predicted: str
    probability: float | None
    loss: float | None
    rejected: bool | None

    @property
    def is_correct(self) -> bool:
        """Whether the predicted class is the true one."""
        return self.actual == self.predicted

    def to_dict(self) -> dict[str, object]:
        """The result as JSON-ready values, with stable keys."""
        return {
            "picture": str(self.path),
            "actual": self.actual,
            "predicted": self.predicted,
            "probability": self.probability,
            "rejected": self.rejected,
        }


@dataclass(frozen=True, slots=True)
class Mistake(PictureResult):
    """A picture whose predicted class is not its true one.

    Attributes:
        path: The picture; only its name in the data set where it is not on this machine.
        actual: Its true class folder.
        predicted: The class folder with the highest probability.
        probability: The probability of that class, 0 to 1; None where it was not recorded.
        loss: -log of the probability of the true class; infinite if that is 0; None where it is unknown.
        rejected: Whether the picture looks like none of the classes; None if the model has no rejection rule.

    Examples:
        >>> for mistake in evaluate(classifier, dataset).mistakes:
        ...     print(mistake.path.name, "is a", mistake.actual, "and was taken for a", mistake.predicted)
        Basset_hound_023.jpg is a 002.Basset_hound and was taken for a 003.Beagle
    """


@dataclass(frozen=True, slots=True)
class ConfusedPair:
    """Two classes, and how many pictures of the first were classified as the second."""

    actual: str
    predicted: str
    count: int


@dataclass(frozen=True)
class ClassResult:
    """The result of one class.

    Attributes:
        class_folder: The true class.
        label: Its display name.
        n: Number of its classified pictures.
        correct: Number of those that were classified correctly.
        accuracy: correct / n, or None without pictures.
        confused_with: The class folder that it was most often classified as instead, or None.
        confused: How often.
    """

    class_folder: str
    label: str
    n: int
    correct: int
    accuracy: float | None
    confused_with: str | None
    confused: int

    def to_dict(self) -> dict[str, object]:
        """The result as JSON-ready values, with stable keys."""
        return {
            "class_folder": self.class_folder,
            "label": self.label,
            "n": self.n,
            "correct": self.correct,
            "accuracy": self.accuracy,
            "confused_with": self.confused_with,
            "confused": self.confused,
        }


@dataclass(frozen=True, kw_only=True)
class EvaluationContent:
    """What pages show of a model's answers on labeled pictures: of an evaluation, or of a run's validation split.

    Attributes:
        n: Number of classified pictures.
        per_class: One entry per class of the data set that the model has, in the data set's order.
        classes: The class folders of the confusion matrix's rows and columns: those of `per_class`, then others that
            were predicted.
        confusion: confusion[i][j] = number of pictures of class i that were classified as class j; its `cells()` are
            those with pictures.
        mistakes: The pictures that were classified wrong, worst first: by the loss, which is large where the model
            gives the true class little probability.
        typical: For each class, in order, up to three pictures that were classified correctly, the most probable ones.
        rejected: The pictures that the model's rejection rule calls none of its classes, right or wrong, worst first;
            None if the model has no such rule.
        calibration: The pictures in 15 bins of confidence; empty where probabilities are unknown.
        coverage: Accuracy against coverage if only answers from a probability on are used, by increasing coverage.
        rejection_coverage: The same for thresholds of the rejection score; empty if the model has no such rule.
    """

    n: int
    per_class: tuple[ClassResult, ...]
    classes: tuple[str, ...]
    confusion: ConfusionMatrix = field(repr=False)
    mistakes: tuple[Mistake, ...] = field(default=(), repr=False)
    typical: tuple[PictureResult, ...] = field(default=(), repr=False)
    rejected: tuple[PictureResult, ...] | None = field(default=None, repr=False)
    calibration: tuple[CalibrationBin, ...] = field(default=(), repr=False)
    coverage: tuple[CoveragePoint, ...] = field(default=(), repr=False)
    rejection_coverage: tuple[CoveragePoint, ...] = field(default=(), repr=False)

    @property
    def correct(self) -> int:
        """Number of pictures that were classified correctly."""
        return sum(result.correct for result in self.per_class)

    @property
    def accuracy_interval(self) -> tuple[float, float]:
        """The 95% confidence interval of the accuracy (Wilson): what to expect on other pictures of this kind."""
        return wilson(self.correct, self.n)

    def most_confused(self, limit: int = 10) -> tuple[ConfusedPair, ...]:
        """The pairs of classes that were confused most often: true class, predicted class, number of pictures.

        Args:
            limit: The largest number of pairs.
        """
        pairs = [
            ConfusedPair(self.classes[row], self.classes[column], count)
            for row, column, count in self.confusion.cells()
            if row != column
        ]
        return tuple(sorted(pairs, key=lambda pair: -pair.count)[:limit])
