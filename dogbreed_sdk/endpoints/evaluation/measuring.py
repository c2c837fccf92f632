"""Classifies the pictures of a data set, several at a time, and compares the answers with their class folders."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

from dogbreed_sdk.datasets.dataset import BreedDataset, LabeledPicture
from dogbreed_sdk.endpoints.evaluation.outcome import Evaluation, FailedPicture
from dogbreed_sdk.endpoints.evaluation.tally import Tally, other_classes
from dogbreed_sdk.errors import DogBreedError, ImageError, LabelError, ModelError
from dogbreed_sdk.predictions import Prediction

Progress = Callable[[int, int], None]

_TOP_K = 5
# The probability of the true class is wanted, however low it is. An endpoint sends those of all classes anyway.
_ALL_CLASSES = 1_000
# If the first pictures all fail, the endpoint is at fault, not the pictures.
_HOPELESS_AFTER = 10
# Enough that no thread waits for the slowest picture.
_AHEAD_PER_THREAD = 8


class Classifier(Protocol):
    """The classifier that `evaluate` needs, such as BreedClassifier."""

    def classify(self, picture: Any, /, *, top_k: int = ...) -> Prediction:
        """The ranked classes of one picture: its path, or the content of a picture in a shard."""
        ...


def evaluate(
    classifier: Classifier,
    dataset: BreedDataset | str | os.PathLike[str],
    *,
    split: str = "test",
    max_concurrency: int = 4,
    progress: Progress | None = None,
) -> Evaluation:
    """Classifies all pictures of a split and compares the predictions with their class folders.

    Classes are compared by folder name, so a data set may lack some of the model's classes. Pictures of classes that
    the model lacks are not classified but counted as excluded, if the classifier reports its classes
    (`BreedClassifier.labels`, which sends an endpoint one small request to learn them).

    Args:
        classifier: Has `classify(path, top_k=1000)`; it is called from several threads. A mistake's loss is known if
            the answer contains the true class.
        dataset: A data set, its folder, or the folder of one split (class folders without train, valid, test); a path
            or an s3:// URI.
        split: Name of the data set's split.
        max_concurrency: Number of pictures that are classified at the same time.
        progress: Called with (finished pictures, all pictures that are classified).

    Raises:
        DatasetError: The split does not exist.
        LabelError: The classifier has none of the pictures' classes.
        DogBreedError: The first ten pictures all failed although they are not broken; it is the first one's error.

    Examples:
        >>> evaluation = evaluate(classifier, dataset, split="test")
        >>> print(evaluation)
        91.7% right (95% interval ...), 100% in the top 5, ...
    """
    opened = dataset if isinstance(dataset, BreedDataset) else BreedDataset.open(dataset)
    every = opened.pictures(split if opened.folders else None)
    model_classes = _classes_of(classifier) if every else None
    pictures = every if model_classes is None else _of_classes(every, model_classes)
    tally = Tally(opened.classes, skipped=len(every) - len(pictures))
    outcomes = _classified(classifier, pictures, _ALL_CLASSES, max_concurrency=max_concurrency, progress=progress)
    for picture, outcome in zip(pictures, outcomes, strict=True):
        if isinstance(outcome, DogBreedError):
            tally.fail(picture.path, outcome)
        else:
            tally.add(picture.path, picture.class_folder, outcome)
    return tally.evaluation(model_classes)


def _classes_of(classifier: Classifier) -> tuple[str, ...] | None:
    """A classifier's classes; None if it does not report them."""
    labels = getattr(classifier, "labels", None)
    if not callable(labels):
        return None
    try:
        return tuple(labels().class_folders)
    except (LabelError, ModelError, ImageError):  # a model may fail with the picture that asks for labels only
        return None


def _of_classes(pictures: Sequence[LabeledPicture], model_classes: Sequence[str]) -> Sequence[LabeledPicture]:
    """The pictures of the model's classes.

    Raises:
        LabelError: There are none.
    """
    known = frozenset(model_classes)
    found = [picture for picture in pictures if picture.class_folder in known]
    if not found:
        raise other_classes(model_classes[0], pictures[0].class_folder)
    return found


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
    return list(_classified(classifier, pictures, _TOP_K, max_concurrency=max_concurrency, progress=progress))


def _classified(
    classifier: Classifier,
    pictures: Sequence[LabeledPicture],
    top_k: int,
    *,
    max_concurrency: int,
    progress: Progress | None,
) -> Iterator[Prediction | DogBreedError]:
    """Yields one result or error per picture, in order; only a few pictures are taken ahead."""

    def classify(picture: LabeledPicture) -> Prediction | DogBreedError:
        try:
            return classifier.classify(picture.readable, top_k=top_k)
        except DogBreedError as error:
            return error

    first: list[Prediction | DogBreedError] = []
    upcoming = iter(pictures)
    with ThreadPoolExecutor(max_concurrency) as pool:
        ahead: deque[Future[Prediction | DogBreedError]] = deque(
            pool.submit(classify, picture) for picture in islice(upcoming, _AHEAD_PER_THREAD * max_concurrency)
        )
        try:
            for done in range(1, len(pictures) + 1):
                outcome = ahead.popleft().result()
                ahead.extend(pool.submit(classify, picture) for picture in islice(upcoming, 1))
                if progress is not None:
                    progress(done, len(pictures))
                if done <= _HOPELESS_AFTER:
                    first.append(outcome)
                if done == min(_HOPELESS_AFTER, len(pictures)):
                    _raise_if_hopeless(first)
                yield outcome
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


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
    paths: Sequence[Path] = (),
    errors: Sequence[FailedPicture] = (),
    model_classes: Collection[str] | None = None,
) -> Evaluation:
    """The evaluation of predictions whose true class folders are known. No I/O.

    Args:
        truths: True class folder of each picture.
        predictions: Its prediction, with at least five scores (or all, if there are fewer).
        classes: The data set's class folders, in order.
        paths: The pictures. Default: numbered names.
        errors: Pictures that could not be classified.
        model_classes: The model's class folders; None if unknown, and then none counts as missing.

    Raises:
        DatasetError: There are no predictions.
        LabelError: No prediction names any of the classes, or the model has none of the pictures' classes.
    """
    tally = Tally(classes)
    named = paths or [Path(f"picture {number}") for number in range(1, len(truths) + 1)]
    for path, truth, found in zip(named, truths, predictions, strict=True):
        tally.add(path, truth, found)
    for failed in errors:
        tally.fail(failed.path, failed.error)
    return tally.evaluation(model_classes)
