"""Detections: the dogs of a picture, each with its place, found by classifying windows of the picture.

A model sees a picture at 224 to 300 pixels, in which a small dog has too few, and it names one class for several dogs.
A window around one dog is a picture of that dog alone.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Sequence
from concurrent.futures import CancelledError
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeAlias

from dogbreed_sdk.client import argument_checks, batch, responses
from dogbreed_sdk.client.images import Payload, decoded, to_payload, to_payload_and_size
from dogbreed_sdk.errors import DogBreedError
from dogbreed_sdk.predictions import Prediction

if TYPE_CHECKING:
    from threading import Event

    from PIL import Image

    from dogbreed_sdk.client.images import Picture
    from dogbreed_sdk.client.options import ClassifierOptions
    from dogbreed_sdk.client.transports import Response, Transport
    from dogbreed_sdk.labels import LabelMap

Box: TypeAlias = "tuple[int, int, int, int]"

# Windows are sent no larger, which is twice what most models see; the smallest show a model nothing but blur.
_LARGEST_SENT, _SMALLEST_SIDE = 448, 32
# Windows that overlap more are in the same place, as neighbors are, which overlap by half. On composites of two dogs
# (benchmarks/accuracy.py), 0.2 and 0.3 lose dogs, and 0.6 adds more wrong answers than dogs.
_SAME_PLACE = 0.4
# For models without a rejection rule: more probable than all other classes together.
_LEAST_PROBABILITY = 0.5


class Classifier(Protocol):
    """What `detect` needs of a `BreedClassifier`, which imports this module."""

    _transport: Transport

    @property
    def options(self) -> ClassifierOptions: ...  # noqa: D102

    @property
    def known_labels(self) -> LabelMap | None: ...  # noqa: D102

    def _predict(self, payload: Payload, *, top_k: int, cancelled: Event | None) -> Prediction: ...

    def _parsed(self, response: Response, top_k: int, start: float) -> Prediction: ...


@dataclass(frozen=True)
class Detection:
    """A dog in a picture, and where it is.

    Attributes:
        prediction: Of the window that looks most like a class.
        box: That window: left, top, right, bottom, in pixels of the upright picture. It contains the dog or most of it,
            but does not follow its outline.

    Examples:
        >>> found = classifier.detect("rex.jpg", windows=8)[0]
        >>> found.prediction.label, len(found.box)
        ('Basset hound', 4)
    """

    prediction: Prediction
    box: Box

    def __str__(self) -> str:
        return f"{self.prediction} at {', '.join(map(str, self.box))}"

    def to_dict(self) -> dict[str, object]:
        """The values for JSON; the keys are stable."""
        return {"box": list(self.box), "prediction": self.prediction.to_dict()}


def detect(
    classifier: Classifier,
    picture: Picture,
    *,
    windows: int,
    top_k: int,
    max_concurrency: int,
    cancelled: Event | None = None,
) -> list[Detection]:
    """Does the work of `BreedClassifier.detect`; sends no further requests once the event is set."""
    argument_checks.check_number("windows", windows, least=1, whole=True)
    argument_checks.check_number("max_concurrency", max_concurrency, least=1, whole=True)
    options = classifier.options
    payload, size = to_payload_and_size(
        picture, max_bytes=options.max_payload_bytes, allowed_hosts=options.allowed_hosts
    )
    image = decoded(payload)
    if (size[0] > size[1]) != (image.width > image.height):  # turned upright
        size = (size[1], size[0])
    boxes = boxes_of(size, windows)
    crops = [_cut(image, box, size) for box in boxes[1:]]
    predictions = _together(classifier, [image, *crops], top_k)
    if predictions is None:
        predictions = _concurrently(classifier, [payload, *crops], top_k, max_concurrency, cancelled)
    return distinct([Detection(*each) for each in zip(predictions, boxes, strict=True)])


def boxes_of(size: tuple[int, int], most: int) -> list[Box]:
    """The whole picture, and overlapping squares: of half of its side, of a third, …, all of a size or none.

    The squares of 1/n are as many for any ratio of the sides: n x n of them have the area of the picture. Neighbors
    overlap by half.

    Args:
        size: Width and height of the picture.
        most: The largest number of boxes.

    >>> [len(boxes_of(size, most)) for size in [(500, 500), (640, 480)] for most in (1, 16, 48)]
    [1, 10, 35, 1, 13, 43]
    """
    width, height = size
    found, side, part = [(0, 0, width, height)], max(size), 1
    while True:
        part += 1
        before, side = side, min(round(math.sqrt(width * height) / part), width, height)
        if side < _SMALLEST_SIDE:
            return found
        if side == before:  # a strip, whose shorter side is shorter still
            continue
        corners = [(left, top) for top in _starts(height, side) for left in _starts(width, side)]
        if len(found) + len(corners) > most:
            return found
        found += [(left, top, left + side, top + side) for left, top in corners]


def _starts(length: int, side: int) -> list[int]:
    """Where squares begin that cover a length evenly; the tolerance is for sides rounded to whole pixels."""
    steps = math.ceil((length - side) / (side / 2) - 0.1)
    return [round((length - side) * step / max(1, steps)) for step in range(max(0, steps) + 1)]


def _cut(image: Image.Image, box: Box, size: tuple[int, int]) -> Image.Image:
    """A box of the picture, of which the decoded image may be a reduced copy."""
    from PIL import Image  # noqa: PLC0415 - most clients need no Pillow

    across, down = image.width / size[0], image.height / size[1]
    cut = image.crop((round(box[0] * across), round(box[1] * down), round(box[2] * across), round(box[3] * down)))
    if max(cut.size) <= _LARGEST_SENT:
        return cut
    return cut.resize((_LARGEST_SENT, _LARGEST_SENT), Image.Resampling.LANCZOS)


def _together(classifier: Classifier, images: Sequence[Image.Image], top_k: int) -> list[Prediction] | None:
    """Predictions by a model in this process, which computes them in batches; None by any other."""
    transport, start = classifier._transport, time.monotonic()
    accept = responses.ACCEPT if classifier.known_labels is None else responses.ACCEPT_SCORES
    try:
        answers = transport.invoke_together(images, accept)
    except Exception as error:
        raise transport.translate(error) from error
    return None if answers is None else [classifier._parsed(answer, top_k, start) for answer in answers]


def _concurrently(
    classifier: Classifier,
    pictures: Sequence[Payload | Image.Image],
    top_k: int,
    max_concurrency: int,
    cancelled: Event | None,
) -> list[Prediction]:
    """Predictions by requests; the first failure ends them."""
    most = classifier.options.max_payload_bytes

    def predict(picture: Payload | Image.Image, unwanted: Event) -> Prediction:
        payload = picture if isinstance(picture, Payload) else to_payload(picture, max_bytes=most)
        return classifier._predict(payload, top_k=top_k, cancelled=unwanted)

    predictions: list[Prediction] = []
    with contextlib.closing(
        batch.in_order(
            predict,
            pictures,
            max_concurrency=max_concurrency,
            on_error="return",
            progress=None,
            abort=classifier._transport.abort,
        )
    ) as results:
        for result in results:
            if isinstance(result, DogBreedError):
                raise result
            if cancelled is not None and cancelled.is_set():
                raise CancelledError
            predictions.append(result)
    return predictions


def distinct(found: Sequence[Detection]) -> list[Detection]:
    """The dogs, most probable first: the best of the windows that show each of them.

    Overlapping windows of the same class show one dog, as far as a chain of them reaches. A window of another class is
    left out if a more probable dog has a window in the same place.
    """
    dogs: list[list[Detection]] = []
    for each in sorted(filter(_recognized, found), key=lambda one: -one.prediction.probability):
        overlaps = [max(_overlap(each.box, window.box) for window in dog) for dog in dogs]
        same = [
            dog
            for dog, overlap in zip(dogs, overlaps, strict=True)
            if overlap > 0 and dog[0].prediction.index == each.prediction.index
        ]
        if same:
            same[0].append(each)
        elif max(overlaps, default=0.0) <= _SAME_PLACE:
            dogs.append([each])
    return [dog[0] for dog in dogs]


def _recognized(found: Detection) -> bool:
    prediction = found.prediction
    if prediction.rejected is None:
        return prediction.probability > _LEAST_PROBABILITY
    return not prediction.rejected


def _overlap(one: Box, other: Box) -> float:
    """The share of the smaller box that is in the larger one: a part of a dog is the same dog as the whole of it."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    smaller = min((box[2] - box[0]) * (box[3] - box[1]) for box in (one, other))
    return max(0, width) * max(0, height) / smaller
