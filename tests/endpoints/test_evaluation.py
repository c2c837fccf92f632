"""Evaluation: the statistics by hand-checked values, and the way they are gathered from a classifier."""

from __future__ import annotations

import json
import math
import threading
from pathlib import Path

import pytest

from dogbreed_sdk.datasets.dataset import BreedDataset
from dogbreed_sdk.endpoints.evaluation import (
    ConfusedPair,
    Mistake,
    calibration_error,
    evaluate,
    summarize,
    wilson_interval,
)
from dogbreed_sdk.endpoints.evaluation.statistics import calibration_bins, coverage_curve
from dogbreed_sdk.errors import (
    DatasetError,
    DogBreedError,
    EndpointNotFoundError,
    LabelError,
    ModelError,
    UnsupportedImageError,
)
from dogbreed_sdk.labels import LabelMap
from dogbreed_sdk.predictions import Prediction, Rejection
from tests.endpoints.folder_classifier import CLASSES, FolderClassifier, draw, predicted


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three classes, four pictures each in test, named a0..a3, b0.., c0..; one in train."""
    return draw(tmp_path, splits={"train": 1, "test": 4})


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
    assert "1 picture could not be classified" in str(result)


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


class Telling(FolderClassifier):
    """Reports its classes."""

    def labels(self) -> LabelMap:
        return LabelMap(self.classes)


def test_classes_that_the_model_lacks_are_left_out_and_counted(folder: Path) -> None:
    """Counted as errors, they would make 8 right answers of 12 out of 8 of 8."""
    classifier, seen = Telling(CLASSES[:2]), list[tuple[int, int]]()
    result = evaluate(classifier, folder, progress=lambda *done: seen.append(done))
    assert classifier.calls == 8, "an endpoint charges for every request"
    assert seen[-1] == (8, 8)
    assert result.accuracy == 1.0
    assert (result.n, result.excluded, result.unknown_classes) == (8, 4, ("003.Beagle",))
    assert [entry.class_folder for entry in result.per_class] == list(CLASSES[:2])
    assert result.classes == CLASSES[:2]
    assert "4 pictures of classes that the model does not have were excluded: 003.Beagle" in str(result)
    assert result.to_dict()["unknown_classes"] == ["003.Beagle"]
    assert result.to_dict()["excluded"] == 4


def test_no_picture_is_classified_if_the_model_has_none_of_their_classes(folder: Path) -> None:
    classifier = Telling(("cat", "lynx"))
    with pytest.raises(LabelError, match=r"such as 'cat', but the pictures are of classes such as '001\.Boxer'"):
        evaluate(classifier, folder)
    assert classifier.calls == 0


@pytest.mark.parametrize("error", [LabelError("no labels"), ModelError("the picture is too small")])
def test_a_classifier_that_cannot_report_its_classes_is_evaluated_on_all_pictures(
    folder: Path, error: DogBreedError
) -> None:
    class Silent(FolderClassifier):
        def labels(self) -> LabelMap:
            raise error

    assert evaluate(Silent(), folder).n == 12


def test_accuracy_is_over_the_classes_that_the_model_has() -> None:
    truths = ["001.Boxer", "002.Pug", "003.Beagle", "003.Beagle"]
    predictions = [predicted([0.9, 0.1], CLASSES[:2]) for _ in truths]
    result = summarize(truths, predictions, classes=CLASSES, model_classes=CLASSES[:2])
    assert (result.accuracy, result.top5, result.n, result.excluded) == (0.5, 1.0, 2, 2)
    assert result.confusion == ((1, 0), (1, 0))


def test_a_model_without_any_of_the_pictures_classes_is_an_error() -> None:
    with pytest.raises(LabelError, match="trained on"):
        summarize(["003.Beagle"], [predicted([0.9, 0.1], CLASSES[:2])], classes=CLASSES, model_classes=CLASSES[:2])


def test_mistakes_are_kept_worst_first(folder: Path) -> None:
    """Worst is what gives the true class the least probability, not what is surest of its answer."""
    classifier = FolderClassifier(a0=[0.3, 0.7, 0.0], a1=[0.05, 0.55, 0.4], b2=[0.6, 0.39, 0.01], c3=[1.0, 0.0, 0.0])
    result = evaluate(classifier, folder)
    assert [mistake.path.stem for mistake in result.mistakes] == ["c3", "a1", "a0", "b2"]
    assert len(result.mistakes) == result.n - result.correct == 4
    worst, second = result.mistakes[:2]
    assert (worst.loss, worst.probability) == (math.inf, 1.0)
    assert second == Mistake(
        folder / "test" / CLASSES[0] / "a1.png", CLASSES[0], CLASSES[1], 0.55, pytest.approx(-math.log(0.05)), None
    )
    assert not second.is_correct


def test_the_loss_is_unknown_where_the_answer_does_not_name_the_true_class() -> None:
    scores = LabelMap(("cat", *CLASSES)).rank([0.5, 0.1, 0.35, 0.05], top_k=2)
    surer = LabelMap(("cat", *CLASSES)).rank([0.9, 0.02, 0.05, 0.03], top_k=2)
    answers = [Prediction.from_scores(scores), Prediction.from_scores(surer)]
    result = summarize(["001.Boxer", "003.Beagle"], answers, classes=CLASSES)
    assert [(mistake.loss, mistake.predicted) for mistake in result.mistakes] == [(None, "cat")] * 2
    # At most 0.05 is left for the second one's true class, and 0.35 for the first one's.
    assert [mistake.actual for mistake in result.mistakes] == ["003.Beagle", "001.Boxer"]


def test_most_confused_pairs_and_typical_pictures(folder: Path) -> None:
    classifier = FolderClassifier(
        a0=CLASSES[1], a1=CLASSES[1], b0=CLASSES[0], a2=[0.99, 0.005, 0.005], b1=[0.0, 0.5, 0.5]
    )
    result = evaluate(classifier, folder)
    assert result.most_confused() == (ConfusedPair(*CLASSES[:2], 2), ConfusedPair(CLASSES[1], CLASSES[0], 1))
    assert result.most_confused(1) == (ConfusedPair(*CLASSES[:2], 2),)
    # The surest right answers; of equal ones the first.
    assert [each.path.stem for each in result.typical] == ["a2", "a3", "b2", "b3", "b1", "c0", "c1", "c2"]


def test_rejected_pictures_are_kept_right_or_wrong() -> None:
    answers = [
        predicted([0.9, 0.05, 0.05], rejection=Rejection(False, 0.1, 0.5)),
        predicted([0.5, 0.3, 0.2], rejection=Rejection(True, 0.9, 0.5)),
        predicted([0.4, 0.35, 0.25], rejection=Rejection(True, 0.7, 0.5)),
    ]
    result = summarize(["001.Boxer", "001.Boxer", "002.Pug"], answers, classes=CLASSES)
    assert result.rejected is not None
    assert [(each.actual, each.is_correct) for each in result.rejected] == [("002.Pug", False), ("001.Boxer", True)]
    assert [mistake.rejected for mistake in result.mistakes] == [True]
    # The best score first, then the one at 0.7, which is wrong, then all.
    assert [(point.threshold, point.accuracy) for point in result.rejection_coverage] == [
        (0.1, 1.0), (0.7, 0.5), (0.9, pytest.approx(2 / 3)),
    ]  # fmt: skip
    without = summarize(["001.Boxer"], [predicted([0.9, 0.05, 0.05])], classes=CLASSES)
    assert (without.rejected, without.rejection_coverage) == (None, ())
    assert "2 rejected as none of the classes" in str(result)
    assert "rejected" not in str(without)


def test_json_lists_mistakes_with_the_promised_keys(folder: Path) -> None:
    document = json.loads(json.dumps(evaluate(FolderClassifier(b3=CLASSES[0]), folder).to_dict(), allow_nan=False))
    picture = str(folder / "test" / CLASSES[1] / "b3.png")
    expected = {"picture": picture, "actual": CLASSES[1], "predicted": CLASSES[0], "probability": 0.8, "rejected": None}
    assert document["mistakes"] == [expected]
    assert document["classes"] == list(CLASSES)
    assert document["confusion"] == [[4, 0, 0], [1, 3, 0], [0, 0, 4]]


@pytest.mark.parametrize(
    ("correct", "n", "low", "high"),
    # Values of R's binom::binom.confint(method = "wilson").
    [(0, 10, 0.0, 0.2775), (9, 10, 0.5958, 0.9821), (10, 10, 0.7225, 1.0), (50, 100, 0.4038, 0.5962), (0, 0, 0.0, 1.0)],
)
def test_the_interval_of_the_accuracy(correct: int, n: int, low: float, high: float) -> None:
    assert wilson_interval(correct, n) == (pytest.approx(low, abs=5e-5), pytest.approx(high, abs=5e-5))


def test_the_evaluation_has_its_interval(folder: Path) -> None:
    result = evaluate(FolderClassifier(a0=CLASSES[1]), folder)
    assert result.accuracy_interval == wilson_interval(11, 12)
    assert "91.7% right (95% interval 64.6% to 98.5%)" in str(result)


def test_calibration_bins_count_every_picture_once() -> None:
    bins = calibration_bins([0.1, 0.95, 0.9, 1.0, 0.0], [False, True, True, False, False], bins=2)
    assert [(each.low, each.high, each.n) for each in bins] == [(0.0, 0.5, 2), (0.5, 1.0, 3)]
    assert bins[0].accuracy == 0.0
    assert (bins[1].probability, bins[1].accuracy) == (pytest.approx(0.95), pytest.approx(2 / 3))
    assert calibration_bins([0.9], [True], bins=2)[0].accuracy is None


def test_coverage_rises_from_the_surest_answers_to_all() -> None:
    curve = coverage_curve([0.9, 0.5, 0.8, 0.8], [True, False, True, False])
    # The two answers at 0.8 pass a threshold together.
    assert [(point.threshold, point.coverage, point.accuracy) for point in curve] == [
        (0.9, 0.25, 1.0), (0.8, 0.75, pytest.approx(2 / 3)), (0.5, 1.0, 0.5),
    ]  # fmt: skip
    many = coverage_curve([number / 5_000 for number in range(5_000)], [True] * 5_000)
    assert len(many) == 100
    assert many[-1].coverage == 1.0
    assert coverage_curve([], []) == ()


def test_pictures_are_taken_a_few_at_a_time(tmp_path: Path) -> None:
    """A data set of a million pictures must not become a million waiting requests and answers."""
    draw(tmp_path, splits={"test": 70})
    classifier = FolderClassifier()
    ahead: list[int] = []
    evaluate(
        classifier,
        tmp_path / "test",
        max_concurrency=2,
        progress=lambda done, total: ahead.append(classifier.calls - done),  # noqa: ARG005
    )
    assert len(ahead) == 210
    assert max(ahead) <= 17


def test_right_answers_leave_only_numbers(folder: Path) -> None:
    result = evaluate(FolderClassifier(), folder, split="test")
    assert len(result.typical) == 9  # three per class, whatever their number
    assert (result.mistakes, result.most_confused()) == ((), ())
