"""A data set of three classes, and a classifier that knows the class from the folder, except where told otherwise."""

from __future__ import annotations

import threading
from pathlib import Path

from PIL import Image

from dogbreed_sdk.labels import LabelMap
from dogbreed_sdk.predictions import Prediction, Rejection

CLASSES = ("001.Boxer", "002.Pug", "003.Beagle")


def predicted(
    probabilities: list[float], classes: tuple[str, ...] = CLASSES, *, rejection: Rejection | None = None
) -> Prediction:
    """The prediction with these probabilities in the order of the classes."""
    return Prediction.from_scores(LabelMap(classes).rank(probabilities), rejection=rejection)


class FolderClassifier:
    """Answers with the class of the folder a picture lies in, except for the files it is told about.

    Args:
        classes: The classes that it has.
        answers: By the file's stem: another class, all probabilities, or an error.
    """

    def __init__(self, classes: tuple[str, ...] = CLASSES, **answers: str | list[float] | Exception) -> None:
        self.classes = classes
        self.answers = answers
        self.threads: set[int] = set()
        self.calls = 0

    def classify(self, picture: Path, /, *, top_k: int = 5) -> Prediction:
        self.threads.add(threading.get_ident())
        self.calls += 1
        answer = self.answers.get(picture.stem, picture.parent.name)
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, list):
            return predicted(answer, self.classes)
        others = 0.2 / max(1, len(self.classes) - 1)
        return predicted([0.8 if name == answer else others for name in self.classes], self.classes)


def draw(root: Path, *, splits: dict[str, int], classes: tuple[str, ...] = CLASSES) -> Path:
    """A data set with this many pictures per class and split, named a0, a1, ... in the first class, b0, ... ."""
    for split, count in splits.items():
        for letter, name in zip("abcdefghijklmnopqrstuvwxyz", classes, strict=False):
            target = root / split / name
            target.mkdir(parents=True)
            for number in range(count):
                color = (40 * number % 256, 9 * ord(letter) % 256, 30 * count % 256)
                Image.new("RGB", (8, 8), color).save(target / f"{letter}{number}.png")
    return root
