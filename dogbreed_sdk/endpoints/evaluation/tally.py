"""Gathers an evaluation picture by picture: mistakes are kept whole, of right answers only what statistics need."""

from __future__ import annotations

import heapq
import math
from array import array
from collections import Counter
from collections.abc import Collection, Sequence
from itertools import count
from pathlib import Path

from dogbreed_sdk.endpoints.evaluation.content import TYPICAL_PER_CLASS, Mistake, PictureResult
from dogbreed_sdk.endpoints.evaluation.outcome import Evaluation, FailedPicture
from dogbreed_sdk.endpoints.evaluation.statistics import calibration_bins, coverage_curve, error_of
from dogbreed_sdk.endpoints.evaluation.tables import class_results, confusion_matrix, worst_first
from dogbreed_sdk.errors import DatasetError, LabelError
from dogbreed_sdk.predictions import Prediction

_TOP = 5


class Tally:
    """What is known of the pictures classified so far.

    A right answer takes about 20 bytes, a mistake or a rejected picture about 200, so that millions of pictures fit
    into memory.

    Args:
        classes: The data set's class folders, in order.
        skipped: Number of pictures that are not classified since the model does not have their classes.
    """

    def __init__(self, classes: Sequence[str], *, skipped: int = 0) -> None:
        self._classes = tuple(classes)
        self._skipped = skipped
        self._errors: list[FailedPicture] = []
        self._pairs: Counter[tuple[str, str]] = Counter()
        self._near: Counter[str] = Counter()
        self._named: set[str] = set()
        self._first: Prediction | None = None
        self._mistakes: list[tuple[float, Mistake]] = []
        self._rejected: list[tuple[float, PictureResult]] = []
        self._typical: dict[str, list[tuple[float, int, PictureResult]]] = {}
        self._numbers = count()
        # One entry per picture: its class's index, whether the answer is right, its probability and rejection score.
        self._indices = {name: index for index, name in enumerate(self._classes)}
        self._truths, self._right = array("i"), array("b")
        self._probabilities, self._rejection_scores = array("d"), array("d")

    def fail(self, path: Path, error: Exception | str) -> None:
        """Counts a picture that could not be classified."""
        self._errors.append(FailedPicture(path, str(error)))

    def add(self, path: Path, actual: str, prediction: Prediction) -> None:
        """Counts a classified picture.

        Args:
            path: The picture.
            actual: Its true class folder.
            prediction: With at least five scores (or all, if there are fewer); the loss is known if it has that of the
                true class.
        """
        self._first = self._first or prediction
        predicted, probability = prediction.class_folder, prediction.probability
        of_truth = next((score.probability for score in prediction.scores if score.class_folder == actual), None)
        loss = None if of_truth is None else -math.log(of_truth) if of_truth > 0 else math.inf
        self._pairs[actual, predicted] += 1
        self._near[actual] += any(score.class_folder == actual for score in prediction.scores[:_TOP])
        self._named.update(score.class_folder for score in prediction.scores[:_TOP])
        self._truths.append(self._indices.setdefault(actual, len(self._indices)))
        self._right.append(actual == predicted)
        self._probabilities.append(probability)
        score = prediction.rejection_score
        self._rejection_scores.append(math.nan if score is None else score)
        kind = PictureResult if actual == predicted else Mistake
        result = kind(path, actual, predicted, probability, loss, prediction.rejected)
        # A true class that is not among the scores is less probable than the last of them.
        badness = loss if loss is not None else -math.log(max(prediction.scores[-1].probability, 1e-300))
        if isinstance(result, Mistake):
            self._mistakes.append((badness, result))
        else:
            self._keep_typical(result, probability)
        if prediction.rejected:
            self._rejected.append((badness, result))

    def _keep_typical(self, result: PictureResult, probability: float) -> None:
        kept = self._typical.setdefault(result.actual, [])
        entry = (probability, -next(self._numbers), result)  # of equal ones the first pictures
        if len(kept) < TYPICAL_PER_CLASS:
            heapq.heappush(kept, entry)
        elif entry > kept[0]:
            heapq.heapreplace(kept, entry)

    def evaluation(self, model_classes: Collection[str] | None = None) -> Evaluation:
        """The statistics of the pictures so far.

        Args:
            model_classes: The model's class folders; None if unknown, and then none counts as missing.

        Raises:
            DatasetError: No picture was classified.
            LabelError: No prediction names any of the classes, or the model has none of the pictures' classes.
        """
        if self._first is None:
            reason = f": {self._errors[0].error}" if self._errors else ""
            raise DatasetError(
                f"No picture could be classified, so there is no accuracy; {len(self._errors)} failed{reason}"
            )
        has = None if model_classes is None else set(model_classes)
        known = self._classes if has is None else tuple(name for name in self._classes if name in has)
        shared = set(known)
        pairs = {pair: number for pair, number in self._pairs.items() if pair[0] in shared}
        n = sum(pairs.values())
        if not n or not self._named & shared:
            raise other_classes(self._first.class_folder, self._classes[0])
        numbered = (*known, *sorted({predicted for _, predicted in pairs} - shared))
        confusion = confusion_matrix(pairs, numbered)
        right, probabilities, scores = self._of_classes(shared)
        bins = calibration_bins(probabilities, right)
        return Evaluation(
            accuracy=sum(right) / n,
            top5=sum(number for name, number in self._near.items() if name in shared) / n,
            ece=error_of(bins),
            n=n,
            per_class=class_results(confusion, numbered, len(known)),
            classes=numbered,
            confusion=confusion,
            errors=tuple(self._errors),
            unknown_classes=tuple(name for name in self._classes if name not in shared),
            excluded=self._skipped + self._pairs.total() - n,
            mistakes=worst_first(each for each in self._mistakes if each[1].actual in shared),
            typical=tuple(each for name in known for each in self._typical_of(name)),
            rejected=None
            if self._first.rejected is None
            else worst_first(each for each in self._rejected if each[1].actual in shared),
            calibration=bins,
            coverage=coverage_curve(probabilities, right),
            rejection_coverage=() if any(map(math.isnan, scores)) else coverage_curve(scores, right, ascending=True),
        )

    def _of_classes(self, names: Collection[str]) -> tuple[Sequence[int], Sequence[float], Sequence[float]]:
        """Of each picture of some classes, whether its answer is right, its probability, and its rejection score."""
        wanted = {self._indices[name] for name in names}
        rows = [row for row, index in enumerate(self._truths) if index in wanted]
        return (
            [self._right[row] for row in rows],
            [self._probabilities[row] for row in rows],
            [self._rejection_scores[row] for row in rows],
        )

    def _typical_of(self, name: str) -> list[PictureResult]:
        return [result for _, _, result in sorted(self._typical.get(name, ()), reverse=True, key=lambda each: each[:2])]


def other_classes(predicted: str, actual: str) -> LabelError:
    """The error for pictures of other classes than the model's, of which one class folder each is given."""
    return LabelError(
        f"The classifier predicts classes such as {predicted!r}, but the pictures are of classes such as {actual!r}; "
        "evaluate on data with the classes it was trained on"
    )
