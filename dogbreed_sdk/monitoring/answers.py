"""The answers that are compared: those on the validation split (the baseline), and those to captured requests."""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dogbreed_sdk import defaults
from dogbreed_sdk.endpoints.evaluation import classify_all
from dogbreed_sdk.errors import ConfigurationError, DogBreedError, LabelError, ModelError
from dogbreed_sdk.labels import LabelMap
from training_scripts._util.atomic import write_atomically

if TYPE_CHECKING:
    from dogbreed_sdk.client.classifier import BreedClassifier
    from dogbreed_sdk.datasets.dataset import BreedDataset
    from dogbreed_sdk.endpoints.captured import CapturedRequest
    from dogbreed_sdk.predictions import Prediction

FORMAT, FORMAT_VERSION = "dogbreed-baseline", 1


@dataclass(frozen=True)
class Answer:
    """What the model said about one picture.

    Attributes:
        class_folder: The class with the largest probability.
        probability: That probability: the model's confidence.
        rejected: Whether the picture looked like none of the classes; None if the model has no rejection rule.
        rejection_score: How little it resembled any class; None likewise.
    """

    class_folder: str
    probability: float
    rejected: bool | None = None
    rejection_score: float | None = None

    @classmethod
    def of(cls, prediction: Prediction) -> Answer:
        """The answer in a prediction."""
        return cls(prediction.class_folder, prediction.probability, prediction.rejected, prediction.rejection_score)

    @property
    def strangeness(self) -> float:
        """How unusual the picture is to the model: its rejection score, or else its lack of confidence."""
        return 1.0 - self.probability if self.rejection_score is None else self.rejection_score


@dataclass(frozen=True, repr=False)
class Baseline:
    """The model's answers on pictures as they should be: the validation split.

    Attributes:
        classes: The model's class folders, in index order.
        answers: Its answers.
        model_id: SHA-256 of the model's weights, if the endpoint returns it.
        digests: SHA-256 of the pictures; captured requests with the same pictures are left out.

    Examples:
        >>> baseline = Baseline.classify(classifier, dataset)
        >>> len(baseline.answers)
        12
        >>> baseline.save("baseline.json")
        >>> Baseline.load("baseline.json") == baseline
        True
    """

    classes: tuple[str, ...]
    answers: tuple[Answer, ...]
    model_id: str | None = None
    digests: frozenset[str] = frozenset()

    def __repr__(self) -> str:
        return f"Baseline(answers={len(self.answers)}, classes={len(self.classes)}, model_id={self.model_id!r})"

    @classmethod
    def classify(
        cls,
        classifier: BreedClassifier,
        dataset: BreedDataset,
        *,
        split: str = "valid",
        max_concurrency: int = defaults.MANY_CONCURRENCY,
        progress: Callable[[int, int], None] | None = None,
    ) -> Baseline:
        """Classifies the pictures of a split.

        Args:
            classifier: Of the endpoint.
            dataset: The data set that the model was trained on.
            split: Its split; a folder of classes without splits is taken whole.
            max_concurrency: Pictures that are classified at the same time.
            progress: Called with (finished pictures, all pictures).

        Raises:
            DatasetError: The split does not exist.
            ConfigurationError: No picture could be classified.
        """
        pictures = dataset.pictures(split if dataset.folders else None)
        outcomes = classify_all(classifier, pictures, max_concurrency=max_concurrency, progress=progress)
        found = [outcome for outcome in outcomes if not isinstance(outcome, DogBreedError)]
        if not found:
            raise ConfigurationError(
                f"None of the {len(pictures):,} pictures of the split {split} could be classified."
            )
        classes = tuple(classifier.labels().class_folders)
        digests = frozenset(digest(picture.read()) for picture in pictures)
        return cls(classes, tuple(map(Answer.of, found)), found[-1].model_id, digests)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Baseline:
        """Reads what `save` wrote.

        Args:
            path: The JSON file.

        Raises:
            ConfigurationError: It is not such a file.
        """
        try:
            document: Any = json.loads(Path(path).read_bytes())
            if document["format"] != FORMAT or document["version"] > FORMAT_VERSION:
                raise ValueError("of another format")
            answers = tuple(Answer(**answer) for answer in document["answers"])
            return cls(tuple(document["classes"]), answers, document["model_id"], frozenset(document["digests"]))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ConfigurationError(
                f"{path} is not a baseline: {error}. Write one with `dogbreed monitor --data DATA --save-baseline`."
            ) from error

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the answers as JSON, so that the pictures need not be classified again.

        Args:
            path: The JSON file to write.
        """
        document = {"format": FORMAT, "version": FORMAT_VERSION, **asdict(self), "digests": sorted(self.digests)}
        write_atomically(Path(path), json.dumps(document).encode())


@dataclass(frozen=True)
class Seen:
    """A captured request with its answer.

    Attributes:
        time: When the model answered.
        variant: The production variant.
        answer: Its answer.
        picture: The picture, if requests are captured.
        uri: The capture file.
        event_id: Id of the record in that file.
    """

    time: datetime
    variant: str
    answer: Answer
    picture: bytes | None = field(default=None, repr=False)
    uri: str = ""
    event_id: str = ""


@dataclass
class Captured:
    """Captured requests, sorted.

    Attributes:
        seen: Those that count.
        repeated: Number of requests with a picture that had come before: it counts once.
        validation: Number of requests with a picture of the validation split.
        other_models: Number of answers of other models than the baseline's.
        unreadable: Number of answers that could not be read.
    """

    seen: list[Seen] = field(default_factory=list)
    repeated: int = 0
    validation: int = 0
    other_models: int = 0
    unreadable: int = 0

    def left_out(self) -> dict[str, int]:
        """How many requests do not count, by the reason."""
        return {
            "repeated": self.repeated,
            "validation": self.validation,
            "other_models": self.other_models,
            "unreadable": self.unreadable,
        }


def sort_captured(requests: Iterable[CapturedRequest], baseline: Baseline, *, kept_pictures: int) -> Captured:
    """Sorts captured requests into those that count and others.

    Args:
        requests: The captured requests.
        baseline: The model's answers on the validation split.
        kept_pictures: How many pictures are kept: those of the strangest answers.
    """
    found, labels, known = Captured(), LabelMap.from_list(list(baseline.classes)), set(baseline.classes)
    before: set[str] = set()
    for request in requests:
        picture = request.picture
        name = None if picture is None else digest(picture)
        if name in baseline.digests:
            found.validation += 1
            continue
        if name in before:
            found.repeated += 1
            continue
        try:
            prediction = request.prediction(labels, top_k=1)
        except ModelError:
            found.unreadable += 1
            continue
        except LabelError:  # another number of classes
            found.other_models += 1
            continue
        if baseline.model_id not in (None, prediction.model_id) or prediction.class_folder not in known:
            found.other_models += 1
        else:
            if name is not None:
                before.add(name)
            answer = Answer.of(prediction)
            found.seen.append(Seen(request.time, request.variant, answer, picture, request.uri, request.event_id))
            if len(found.seen) % 1000 == 0:
                _forget_pictures(found.seen, kept_pictures)
    _forget_pictures(found.seen, kept_pictures)
    return found


def _forget_pictures(seen: list[Seen], kept: int) -> None:
    """Keeps the pictures of the strangest answers only: a week of photographs does not fit into memory."""
    strange = sorted(range(len(seen)), key=lambda index: -seen[index].answer.strangeness)
    for index in strange[kept:]:
        if seen[index].picture is not None:
            seen[index] = replace(seen[index], picture=None)


def counts(answers: Iterable[Answer], classes: Iterable[str]) -> list[int]:
    """How often each class was the answer."""
    found = Counter(answer.class_folder for answer in answers)
    return [found[each] for each in classes]


def digest(picture: bytes) -> str:
    """SHA-256 of a picture's file content."""
    return hashlib.sha256(picture).hexdigest()
