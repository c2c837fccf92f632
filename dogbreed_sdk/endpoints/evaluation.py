"""Evaluates a classifier on labeled pictures: accuracy, calibration, and which classes it confuses."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from dogbreed_sdk.datasets.dataset import BreedDataset, LabeledPicture
from dogbreed_sdk.errors import DatasetError, DogBreedError, ImageError, LabelError
from dogbreed_sdk.labels import display_name
from dogbreed_sdk.predictions import Prediction

Progress = Callable[[int, int], None]

# The number of bins in Guo et al., "On Calibration of Modern Neural Networks" (ICML 2017), section 2.
CALIBRATION_BINS = 15
_TOP_K = 5
_SHOWN_CLASSES = 5
# If the first pictures all fail, the endpoint is at fault, not the pictures.
_HOPELESS_AFTER = 10


class Classifier(Protocol):
    """The classifier that `evaluate` needs, such as BreedClassifier."""

    def classify(self, picture: Path, /, *, top_k: int = ...) -> Prediction:
        """The ranked classes of one picture."""
        ...


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


@dataclass(frozen=True)
class FailedPicture:
    """A picture that could not be classified, and the error."""

    path: Path
    error: str


@dataclass(frozen=True)
class Evaluation:
    """The outcome of evaluate().

    Attributes:
        accuracy: Share of the classified pictures whose most probable class is correct.
        top5: Share whose correct class is among the five most probable.
        ece: Expected calibration error, 0 (probabilities match accuracy) to 1.
        n: Number of classified pictures.
        per_class: One entry per class of the data set that the model has, in the data set's order.
        classes: The class folders of the confusion matrix's rows and columns: those of `per_class`, then others that
            were predicted.
        confusion: confusion[i][j] = number of pictures of class i that were classified as class j.
        errors: Pictures that could not be classified; not counted anywhere else.
        unknown_classes: The data set's classes that the model does not have.
        excluded: Number of classified pictures of these classes; not counted anywhere else.
    """

    accuracy: float
    top5: float
    ece: float
    n: int
    per_class: tuple[ClassResult, ...]
    classes: tuple[str, ...]
    confusion: tuple[tuple[int, ...], ...]
    errors: tuple[FailedPicture, ...] = ()
    unknown_classes: tuple[str, ...] = ()
    excluded: int = 0

    def to_dict(self) -> dict[str, object]:
        """The evaluation as JSON-ready values, with stable keys."""
        return {
            "accuracy": self.accuracy,
            "top5": self.top5,
            "ece": self.ece,
            "n": self.n,
            "per_class": [result.to_dict() for result in self.per_class],
            "classes": list(self.classes),
            "confusion": [list(row) for row in self.confusion],
            "errors": [{"picture": str(failed.path), "error": failed.error} for failed in self.errors],
            "unknown_classes": list(self.unknown_classes),
            "excluded": self.excluded,
        }

    def __str__(self) -> str:
        text = f"{self.accuracy:.1%} right, {self.top5:.1%} in the top 5, calibration error {self.ece:.3f}, n={self.n}"
        if self.errors:
            text += f"; {len(self.errors)} pictures could not be classified"
        if self.excluded:
            names, rest = ", ".join(self.unknown_classes[:_SHOWN_CLASSES]), len(self.unknown_classes) - _SHOWN_CLASSES
            more = f" and {rest} more" if rest > 0 else ""
            text += f"; {self.excluded} pictures of classes that the model does not have were excluded: {names}{more}"
        return text


def evaluate(
    classifier: Classifier,
    data: BreedDataset | str | os.PathLike[str],
    *,
    split: str = "test",
    max_concurrency: int = 4,
    progress: Progress | None = None,
) -> Evaluation:
    """Classifies all pictures of a split and compares the predictions with their class folders.

    Classes are compared by folder name, so a data set may lack some of the model's classes. Pictures of classes that
    the model lacks are excluded and counted separately, if the classifier reports its classes
    (`BreedClassifier.labels`).

    Args:
        classifier: Has `classify(path, top_k=5)`; it is called from several threads.
        data: A data set, its folder, or the folder of one split (class folders without train, valid, test); a path or
            an s3:// URI.
        split: Name of the data set's split.
        max_concurrency: Number of pictures that are classified at the same time.
        progress: Called with (finished pictures, all pictures).

    Raises:
        DatasetError: The split does not exist.
        LabelError: The classifier has none of the data set's classes.
        DogBreedError: The first ten pictures all failed although they are not broken; it is the first one's error.
    """
    dataset = data if isinstance(data, BreedDataset) else BreedDataset.open(data)
    pictures = dataset.pictures(split if dataset.folders else None)
    outcomes = classify_all(classifier, pictures, max_concurrency=max_concurrency, progress=progress)
    truths, predictions, errors = [], [], []
    for picture, outcome in zip(pictures, outcomes, strict=True):
        if isinstance(outcome, DogBreedError):
            errors.append(FailedPicture(picture.path, str(outcome)))
        else:
            truths.append(picture.class_folder)
            predictions.append(outcome)
    known = _classes_of(classifier) if predictions else None
    return summarize(truths, predictions, classes=dataset.classes, errors=tuple(errors), model_classes=known)


def _classes_of(classifier: Classifier) -> tuple[str, ...] | None:
    """A classifier's classes; None if it does not report them."""
    labels = getattr(classifier, "labels", None)
    if not callable(labels):
        return None
    try:
        return tuple(labels().class_folders)
    except LabelError:
        return None


def classify_all(
    classifier: Classifier,
    pictures: Sequence[LabeledPicture],
    *,
    max_concurrency: int,
    progress: Progress | None,
) -> list[Prediction | DogBreedError]:
    """Classifies pictures; one result or error per picture, in order.

    Raises:
        DogBreedError: The first ten pictures all failed although they are not broken; it is the first one's error.
    """

    def classify(picture: LabeledPicture) -> Prediction | DogBreedError:
        try:
            return classifier.classify(picture.path, top_k=_TOP_K)
        except DogBreedError as error:
            return error

    outcomes: list[Prediction | DogBreedError] = []
    with ThreadPoolExecutor(max_concurrency) as pool:
        try:
            for outcome in pool.map(classify, pictures):
                outcomes.append(outcome)
                if progress is not None:
                    progress(len(outcomes), len(pictures))
                if len(outcomes) == min(_HOPELESS_AFTER, len(pictures)):
                    _raise_if_hopeless(outcomes)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return outcomes


def _raise_if_hopeless(outcomes: Sequence[Prediction | DogBreedError]) -> None:
    """Raises the first error if all outcomes are errors and none is about a picture itself."""
    errors = [outcome for outcome in outcomes if isinstance(outcome, DogBreedError)]
    if len(errors) == len(outcomes) and not any(isinstance(error, ImageError) for error in errors):
        raise errors[0]


def summarize(
    truths: Sequence[str],
    predictions: Sequence[Prediction],
    *,
    classes: Sequence[str],
    errors: tuple[FailedPicture, ...] = (),
    model_classes: Collection[str] | None = None,
) -> Evaluation:
    """The statistics of predictions whose true class folders are known. No I/O.

    Args:
        truths: True class folder of each picture.
        predictions: Its prediction, with at least five scores (or all, if there are fewer).
        classes: The data set's class folders, in order.
        errors: Pictures that could not be classified.
        model_classes: The model's class folders; None if unknown, and then none counts as missing.

    Raises:
        DatasetError: There are no predictions.
        LabelError: No prediction names any of the classes, or the model has none of the pictures' classes.
    """
    if not predictions:
        reason = f": {errors[0].error}" if errors else ""
        raise DatasetError(f"No picture could be classified, so there is no accuracy; {len(errors)} failed{reason}")
    known = tuple(classes) if model_classes is None else tuple(filter(set(model_classes).__contains__, classes))
    shared = set(known)
    answers = [(truth, found) for truth, found in zip(truths, predictions, strict=True) if truth in shared]
    if not answers or not any(score.class_folder in shared for _, found in answers for score in found.scores):
        raise LabelError(
            f"The classifier predicts classes such as {predictions[0].class_folder!r}, but the data set's "
            f"{len(classes)} classes are such as {classes[0]!r}; evaluate on data with the classes it was trained on"
        )
    right = [found.class_folder == truth for truth, found in answers]
    near = [truth in {score.class_folder for score in found.scores[:_TOP_K]} for truth, found in answers]
    numbered = (*known, *sorted({found.class_folder for _, found in answers} - shared))
    confusion = _confusion([truth for truth, _ in answers], [found.class_folder for _, found in answers], numbered)
    return Evaluation(
        accuracy=sum(right) / len(right),
        top5=sum(near) / len(near),
        ece=calibration_error([found.probability for _, found in answers], right),
        n=len(answers),
        per_class=tuple(_class_result(index, numbered, confusion[index]) for index in range(len(known))),
        classes=numbered,
        confusion=confusion,
        errors=errors,
        unknown_classes=tuple(name for name in classes if name not in shared),
        excluded=len(predictions) - len(answers),
    )


def calibration_error(probabilities: Sequence[float], right: Sequence[bool], *, bins: int = CALIBRATION_BINS) -> float:
    """Expected calibration error: the mean distance between confidence and accuracy, over bins of confidence.

    Bins are of equal width, open below and closed above: ((m - 1) / bins, m / bins]. Source: Guo et al., "On
    Calibration of Modern Neural Networks" (ICML 2017), equation 3.

    Args:
        probabilities: Probability of the predicted class, one per picture, 0 to 1.
        right: Whether that class is correct.
        bins: Number of bins.

    Returns:
        0 if probabilities match the accuracy exactly, up to 1.

    >>> calibration_error([0.9, 0.9, 0.9, 0.9], [True, True, False, False])
    0.4
    """
    confidence, correct = [0.0] * bins, [0] * bins
    for probability, hit in zip(probabilities, right, strict=True):
        index = _bin(probability, bins)
        confidence[index] += probability
        correct[index] += hit
    total = sum(abs(expected - actual) for expected, actual in zip(confidence, correct, strict=True))
    return total / len(probabilities)


def _bin(probability: float, bins: int) -> int:
    """The bin whose upper edge is the first one not below the probability."""
    return next((index for index in range(bins) if probability <= (index + 1) / bins), bins - 1)


def _confusion(truths: Sequence[str], answers: Sequence[str], classes: Sequence[str]) -> tuple[tuple[int, ...], ...]:
    index = {name: position for position, name in enumerate(classes)}
    rows = [[0] * len(classes) for _ in classes]
    for truth, answer in zip(truths, answers, strict=True):
        rows[index[truth]][index[answer]] += 1
    return tuple(tuple(row) for row in rows)


def _class_result(index: int, classes: Sequence[str], row: Sequence[int]) -> ClassResult:
    total, correct = sum(row), row[index]
    others = [(count, -position) for position, count in enumerate(row) if position != index and count]
    count, position = max(others, default=(0, 0))
    return ClassResult(
        class_folder=classes[index],
        label=display_name(classes[index]),
        n=total,
        correct=correct,
        accuracy=correct / total if total else None,
        confused_with=classes[-position] if others else None,
        confused=count,
    )
