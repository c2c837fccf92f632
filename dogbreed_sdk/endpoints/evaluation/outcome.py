"""The outcome of an evaluation, with its forms for people and programs: text, JSON values, a page."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dogbreed_sdk._util.formatting import percent
from dogbreed_sdk.endpoints.evaluation.content import EvaluationContent
from training_scripts._util.number_text import counted

if TYPE_CHECKING:
    from dogbreed_sdk.endpoints.evaluation.explaining import Explainer

_SHOWN_CLASSES = 5
# The matrix of 20,000 classes would be 800 MB of zeros in JSON; that of 2,000 is 8 MB.
_MOST_IN_MATRIX = 2_000


@dataclass(frozen=True)
class FailedPicture:
    """A picture that could not be classified, and the error."""

    path: Path
    error: str


@dataclass(frozen=True, kw_only=True, repr=False)
class Evaluation(EvaluationContent):
    """The outcome of evaluate().

    Attributes:
        accuracy: Share of the classified pictures whose most probable class is correct.
        top5: Share whose correct class is among the five most probable.
        ece: Expected calibration error, 0 (probabilities match accuracy) to 1.
        n: Number of classified pictures.
        per_class: One entry per class of the data set that the model has, in the data set's order.
        classes: The class folders of the confusion matrix's rows and columns: those of `per_class`, then others that
            were predicted.
        confusion: ``confusion[i][j]`` is the number of pictures of class i that were classified as class j; its
            `cells()` are those with pictures.
        errors: Pictures that could not be classified; not counted anywhere else.
        unknown_classes: The data set's classes that the model does not have.
        excluded: Number of pictures of these classes; not classified, and not counted anywhere else.
        mistakes: The pictures that were classified wrong, worst first: by the loss, which is large where the model
            gives the true class little probability.
        typical: For each class, in order, up to three pictures that were classified correctly, the most probable ones.
        rejected: The pictures that the model's rejection rule calls none of its classes, right or wrong, worst first;
            None if the model has no such rule.
        calibration: The pictures in 15 bins of confidence.
        coverage: Accuracy against coverage if only answers from a probability on are used, by increasing coverage.
        rejection_coverage: The same for thresholds of the rejection score; empty if the model has no such rule.

    Examples:
        >>> evaluation = evaluate(classifier, "dogs")
        >>> for pair in evaluation.most_confused(3):
        ...     print(f"{pair.actual} was taken for {pair.predicted}: {pair.count}")
        002.Basset_hound was taken for 003.Beagle: 1
        >>> evaluation.to_html("mistakes.html").name
        'mistakes.html'
    """

    accuracy: float
    top5: float
    ece: float
    errors: tuple[FailedPicture, ...] = ()
    unknown_classes: tuple[str, ...] = ()
    excluded: int = 0

    def to_dict(self) -> dict[str, object]:
        """The evaluation as JSON-ready values, with stable keys.

        Returns:
            accuracy, top5, ece, n; per_class (`ClassResult.to_dict`); classes and confusion: ``confusion[i][j]`` is the
            number of pictures of classes[i] that were classified as classes[j], or null with more than 2,000 classes;
            confusion_cells: [i, j, number] of the cells with pictures; errors (picture, error); unknown_classes,
            excluded; mistakes, worst first (picture, actual and predicted class folder, probability
            of the predicted one, rejected: true, false, or null without a rejection rule).
        """
        return {
            "accuracy": self.accuracy,
            "top5": self.top5,
            "ece": self.ece,
            "n": self.n,
            "per_class": [result.to_dict() for result in self.per_class],
            "classes": list(self.classes),
            "confusion": [list(row) for row in self.confusion] if len(self.classes) <= _MOST_IN_MATRIX else None,
            "confusion_cells": [list(cell) for cell in self.confusion.cells()],
            "errors": [{"picture": str(failed.path), "error": failed.error} for failed in self.errors],
            "unknown_classes": list(self.unknown_classes),
            "excluded": self.excluded,
            "mistakes": [mistake.to_dict() for mistake in self.mistakes],
        }

    def to_html(self, path: str | os.PathLike[str], *, subject: str = "", classifier: Explainer | None = None) -> Path:
        """Writes one HTML page that needs no network: the statistics, and the mistakes with their pictures.

        Args:
            path: The file, or a folder for ``evaluation.html``.
            subject: What was evaluated on what, such as "endpoint dogs on ./dogs/test"; the page shows it.
            classifier: Shows for the worst mistakes where the evidence for the answer and for the true class is
                (`BreedClassifier.explain`), if its model runs in this process.

        Returns:
            The path of the file written. Pictures are read again: they must still be where they were evaluated.
        """
        from dogbreed_sdk.endpoints.evaluation.page.document import document  # noqa: PLC0415 - few look at a page
        from dogbreed_sdk.pages.document import write_page  # noqa: PLC0415

        page = document(self, subject=subject, numbers=self._numbers(), notes=self._notes(), classifier=classifier)
        return write_page(page, path, name="evaluation.html")

    def _numbers(self) -> list[tuple[str, str, str]]:
        """The key numbers: name, value and remark."""
        numbers = [
            ("mistakes", f"{len(self.mistakes):,}", f"of {counted(self.n, 'picture')}"),
            ("top 5", percent(self.top5), "true class among the five most probable"),
            ("calibration error", f"{self.ece:.3f}", "0 is perfect"),
        ]
        if self.rejected is not None:
            numbers.append(("rejected", f"{len(self.rejected):,}", "as none of the classes"))
        return numbers

    def _notes(self) -> list[str]:
        """One sentence for everything that was not evaluated."""
        # A page is passed on; the errors name whole paths.
        notes = [f"{each.path.name}: {each.error.replace(str(each.path), each.path.name)}" for each in self.errors]
        if self.excluded:
            notes.insert(0, f"{self._excluded()}.")
        return notes

    def _excluded(self) -> str:
        names, rest = ", ".join(self.unknown_classes[:_SHOWN_CLASSES]), len(self.unknown_classes) - _SHOWN_CLASSES
        more = f" and {rest} more" if rest > 0 else ""
        verb = "was" if self.excluded == 1 else "were"
        which = f"{counted(self.excluded, 'picture')} of classes that the model does not have"
        return f"{which} {verb} excluded: {names}{more}"

    def _repr_html_(self) -> str:
        from dogbreed_sdk.endpoints.evaluation.card import evaluation_card  # noqa: PLC0415 - only notebooks need it

        return evaluation_card(self, self._notes())

    def __repr__(self) -> str:
        return f"Evaluation(accuracy={self.accuracy:.4f}, n={self.n}, mistakes={len(self.mistakes)})"

    def __str__(self) -> str:
        low, high = self.accuracy_interval
        text = (
            f"{percent(self.accuracy)} right (95% interval {percent(low)} to {percent(high)}), {percent(self.top5)} in "
            f"the top 5, calibration error {self.ece:.3f}, n={self.n}"
        )
        if self.rejected:
            text += f"; {len(self.rejected)} rejected as none of the classes"
        if self.errors:
            text += f"; {counted(len(self.errors), 'picture')} could not be classified"
        if self.excluded:
            text += f"; {self._excluded()}"
        return text
