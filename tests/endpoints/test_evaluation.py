"""Evaluation: the statistics by hand-checked values, and the way they are gathered from a classifier."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest
from PIL import Image

from dogbreed_sdk.datasets.dataset import BreedDataset
from dogbreed_sdk.endpoints.evaluation import calibration_error, evaluate, summarize
from dogbreed_sdk.errors import DatasetError, EndpointNotFoundError, LabelError, UnsupportedImageError
from dogbreed_sdk.labels import LabelMap
from dogbreed_sdk.predictions import Prediction

CLASSES = ("001.Boxer", "002.Pug", "003.Beagle")


def predicted(probabilities: list[float], classes: tuple[str, ...] = CLASSES) -> Prediction:
    return Prediction.from_scores(LabelMap(classes).rank(probabilities, top_k=5))


class FolderClassifier:
    """Answers with the class of the folder a picture lies in, except for the files it is told about."""

    def __init__(self, classes: tuple[str, ...] = CLASSES, **answers: str | Exception) -> None:
        self.classes = classes
        self.answers = answers
        self.threads: set[int] = set()

    def classify(self, picture: Path, /, *, top_k: int = 5) -> Prediction:
        self.threads.add(threading.get_ident())
        answer = self.answers.get(picture.stem, picture.parent.name)
        if isinstance(answer, Exception):
            raise answer
        others = 0.2 / max(1, len(self.classes) - 1)
        return predicted([0.8 if name == answer else others for name in self.classes], self.classes)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three classes, four pictures each in test, named a0..a3, b0.., c0..; one in train."""
    for split, count in (("train", 1), ("test", 4)):
        for letter, name in zip("abc", CLASSES, strict=True):
            target = tmp_path / split / name
            target.mkdir(parents=True)
            for number in range(count):
                Image.new("RGB", (8, 8), (number, ord(letter), count)).save(target / f"{letter}{number}.png")
    return tmp_path


def test_accuracy_top_five_and_confusion() -> None:
    classes = tuple(f"{number:03d}.Breed_{number}" for number in range(1, 9))
    truths = [classes[0], classes[0], classes[1], classes[7]]
    predictions = [
        predicted([0.6, 0.2, 0.2, 0, 0, 0, 0, 0], classes),
        predicted([0.2, 0.7, 0.1, 0, 0, 0, 0, 0], classes),
        predicted([0.3, 0.2, 0.5, 0, 0, 0, 0, 0], classes),
        predicted([0.5, 0.2, 0.1, 0.1, 0.06, 0.04, 0, 0], classes),
    ]
    result = summarize(truths, predictions, classes=classes)
    assert (result.n, result.accuracy, result.top5) == (4, 0.25, 0.75)
    assert result.confusion[0][:3] == (1, 1, 0)
    assert result.confusion[1][2] == result.confusion[7][0] == 1
    first, second, third = result.per_class[:3]
    assert (first.n, first.correct, first.accuracy, first.confused_with, first.confused) == (2, 1, 0.5, classes[1], 1)
    assert (second.accuracy, second.confused_with) == (0.0, classes[2])
    assert (third.n, third.accuracy, third.confused_with) == (0, None, None)


@pytest.mark.parametrize(
    ("probabilities", "right", "expected"),
    [
        ([1.0] * 4, [True] * 4, 0.0),
        ([1.0] * 4, [False] * 4, 1.0),
        ([0.75] * 4, [True, True, True, False], 0.0),
        # Two bins: (0.9 - 0.5) over two pictures, (0.6 - 1.0) over two pictures.
        ([0.9, 0.9, 0.6, 0.6], [True, False, True, True], 0.4),
        # One bin, (0.4, 0.4666...]: errors of both signs cancel inside it.
        ([0.41, 0.45], [True, False], 0.07),
        ([0.0], [False], 0.0),
    ],
)
def test_calibration_error(probabilities: list[float], right: list[bool], expected: float) -> None:
    assert calibration_error(probabilities, right) == pytest.approx(expected)


def test_bins_are_closed_above() -> None:
    # 1/3 is the upper edge of the first of three bins, so both pictures share it; 0.34 is in the next one.
    assert calibration_error([1 / 3, 0.1], [True, False], bins=3) == pytest.approx((1 - 1 / 3 - 0.1) / 2)
    assert calibration_error([0.34, 0.1], [True, False], bins=3) == pytest.approx((0.66 + 0.1) / 2)


def test_a_split_of_a_data_set_is_evaluated_in_threads(folder: Path) -> None:
    classifier = FolderClassifier(a0=CLASSES[1], c1=CLASSES[0])
    seen: list[tuple[int, int]] = []
    result = evaluate(
        classifier, BreedDataset.from_folder(folder), max_concurrency=3, progress=lambda *done: seen.append(done)
    )
    assert result.accuracy == pytest.approx(10 / 12)
    assert result.ece == pytest.approx(abs(0.8 - 10 / 12))
    assert result.confusion == ((3, 1, 0), (0, 4, 0), (1, 0, 3))
    assert seen == [(number, 12) for number in range(1, 13)]
    assert threading.get_ident() not in classifier.threads
    assert len(classifier.threads) <= 3


def test_a_split_folder_and_another_split_can_be_named(folder: Path) -> None:
    assert evaluate(FolderClassifier(), folder / "test").n == 12
    assert evaluate(FolderClassifier(), str(folder), split="train").n == 3
    with pytest.raises(DatasetError, match="no valid split; existing splits: train, test"):
        evaluate(FolderClassifier(), folder, split="valid")


def test_the_dictionary_has_the_promised_keys_and_is_json(folder: Path) -> None:
    as_dict = json.loads(json.dumps(evaluate(FolderClassifier(a0=CLASSES[1]), folder).to_dict()))
    assert list(as_dict)[:5] == ["accuracy", "top5", "ece", "n", "per_class"]
    assert as_dict["per_class"][0] == {
        "class_folder": "001.Boxer",
        "label": "Boxer",
        "n": 4,
        "correct": 3,
        "accuracy": 0.75,
        "confused_with": "002.Pug",
        "confused": 1,
    }


def test_pictures_that_fail_are_listed_and_not_counted(folder: Path) -> None:
    classifier = FolderClassifier(a0=UnsupportedImageError("a0.png is broken"), b0=CLASSES[0])
    result = evaluate(classifier, folder)
    assert result.n == 11
    assert result.accuracy == pytest.approx(10 / 11)
    assert [(failed.path.name, failed.error) for failed in result.errors] == [("a0.png", "a0.png is broken")]
    assert "1 pictures could not be classified" in str(result)


def test_an_endpoint_that_never_answers_ends_the_evaluation(folder: Path) -> None:
    class Missing:
        def classify(self, picture: Path, /, *, top_k: int = 5) -> Prediction:
            raise EndpointNotFoundError("there is no endpoint pets")

    with pytest.raises(EndpointNotFoundError, match="no endpoint pets"):
        evaluate(Missing(), folder)


def test_nothing_but_broken_pictures_is_said(folder: Path) -> None:
    class Picky:
        def classify(self, picture: Path, /, *, top_k: int = 5) -> Prediction:
            raise UnsupportedImageError(f"{picture.name} is broken")

    with pytest.raises(DatasetError, match=r"12 failed: a0\.png is broken"):
        evaluate(Picky(), folder)


def test_mistakes_of_the_program_are_not_hidden(folder: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        evaluate(FolderClassifier(b2=ZeroDivisionError("a bug")), folder)


def test_a_class_the_data_lacks_is_shown_as_what_it_was_taken_for(folder: Path) -> None:
    classes = (*CLASSES, "004.Poodle")
    result = evaluate(FolderClassifier(classes, a0="004.Poodle"), folder)
    assert result.classes == classes
    assert result.confusion[0] == (3, 0, 0, 1)
    assert result.per_class[0].confused_with == "004.Poodle"
    assert len(result.per_class) == 3


def test_a_classifier_for_other_classes_is_an_error_not_zero_accuracy() -> None:
    with pytest.raises(LabelError, match="'cat'"):
        summarize(["001.Boxer"], [predicted([1.0, 0.0], ("cat", "lynx"))], classes=CLASSES)


def test_classes_that_the_model_lacks_are_left_out_and_counted(folder: Path) -> None:
    """Counted as errors, they would make 8 right answers of 12 out of 8 of 8."""

    class Telling(FolderClassifier):
        def labels(self) -> LabelMap:
            return LabelMap(self.classes)

    result = evaluate(Telling(CLASSES[:2]), folder)
    assert result.accuracy == 1.0
    assert (result.n, result.excluded, result.unknown_classes) == (8, 4, ("003.Beagle",))
    assert [entry.class_folder for entry in result.per_class] == list(CLASSES[:2])
    assert result.classes == CLASSES[:2]
    assert "4 pictures of classes that the model does not have were excluded: 003.Beagle" in str(result)
    assert result.to_dict()["unknown_classes"] == ["003.Beagle"]
    assert result.to_dict()["excluded"] == 4


def test_accuracy_is_over_the_classes_that_the_model_has() -> None:
    truths = ["001.Boxer", "002.Pug", "003.Beagle", "003.Beagle"]
    predictions = [predicted([0.9, 0.1], CLASSES[:2]) for _ in truths]
    result = summarize(truths, predictions, classes=CLASSES, model_classes=CLASSES[:2])
    assert (result.accuracy, result.top5, result.n, result.excluded) == (0.5, 1.0, 2, 2)
    assert result.confusion == ((1, 0), (1, 0))


def test_a_model_without_any_of_the_pictures_classes_is_an_error() -> None:
    with pytest.raises(LabelError, match="trained on"):
        summarize(["003.Beagle"], [predicted([0.9, 0.1], CLASSES[:2])], classes=CLASSES, model_classes=CLASSES[:2])
