"""What features show: planted wrong labels, copies, outliers and twins are found, and nothing is where nothing is."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from dogbreed_sdk.reviewing import confusion, copies, heads, neighbors, outliers
from dogbreed_sdk.reviewing.examine import Examined, examine, judge_labels
from dogbreed_sdk.reviewing.mixture import LabelModel
from dogbreed_sdk.reviewing.stored import StoredPictures

pytestmark = pytest.mark.extras

CLASSES, EACH, WIDTH = 12, 40, 48
SPLITS = ("train",) * 28 + ("valid",) * 6 + ("test",) * 6


def unit(features: np.ndarray) -> np.ndarray:
    return (features / np.linalg.norm(features, axis=1, keepdims=True)).astype(np.float32)


def make(seed: int = 0, *, overlap: float = 0.35) -> tuple[StoredPictures, list[bytes]]:
    """Pictures of 12 classes as clusters of features, and random thumbnails."""
    generator = np.random.default_rng(seed)
    centers = generator.normal(size=(CLASSES, WIDTH))
    targets = np.repeat(np.arange(CLASSES), EACH)
    features = unit(centers[targets] + generator.normal(scale=1 / overlap / 3, size=(len(targets), WIDTH)))
    splits = SPLITS * CLASSES
    names = tuple(f"{splits[number]}/{target:03}/{number}.jpg" for number, target in enumerate(targets.tolist()))
    thumbnails = [generator.integers(0, 256, 816, np.uint8).tobytes() for _ in targets]
    classes = tuple(f"{number:03}" for number in range(CLASSES))
    pictures = StoredPictures(
        names, tuple(map(Path, names)), splits, targets, features, classes, skipped=(), backbone="planted"
    )
    return pictures, thumbnails


def run(pictures: StoredPictures, thumbnails: list[bytes]) -> Examined:
    return examine(pictures, [str(number) for number in range(len(pictures))], thumbnails)


@pytest.fixture(scope="module")
def clean() -> Examined:
    return run(*make())


def test_where_nothing_is_wrong_little_is_found(clean: Examined) -> None:
    assert clean.accuracy > 0.9
    assert clean.expected_wrong < 1.5
    assert sum(label.flagged for label in clean.labels) <= 1
    assert len(clean.labels) == CLASSES * EACH
    assert clean.near_copies == clean.indistinct == ()
    assert len(clean.outliers) <= 8


@pytest.mark.parametrize("seed", range(3))
def test_exchanged_labels_come_first_and_their_number_is_estimated(seed: int) -> None:
    pictures, thumbnails = make(seed)
    generator = np.random.default_rng(seed)
    wrong = generator.choice(len(pictures), 24, replace=False)
    targets = pictures.targets.copy()
    targets[wrong] = (targets[wrong] + generator.integers(1, CLASSES, 24)) % CLASSES
    found = run(dataclasses.replace(pictures, targets=targets), thumbnails)
    exchanged = {pictures.names[index] for index in wrong}
    first = [label.picture for label in found.labels[: int(0.07 * len(pictures))]]
    assert len(exchanged & set(first)) >= 0.9 * len(exchanged)
    assert 15 <= found.expected_wrong <= 33
    flagged = [label for label in found.labels if label.flagged]
    assert len({label.picture for label in flagged} & exchanged) >= 0.85 * len(flagged)
    assert [label.score for label in found.labels] == sorted((label.score for label in found.labels), reverse=True)
    right = {name: pictures.classes[target] for name, target in zip(pictures.names, pictures.targets, strict=True)}
    assert np.mean([label.likely == right[label.picture] for label in flagged]) > 0.9


def test_classes_with_the_same_pictures_are_not_told_apart() -> None:
    pictures, thumbnails = make()
    generator = np.random.default_rng(1)
    twins = np.flatnonzero(np.isin(pictures.targets, (3, 7)))
    targets = pictures.targets.copy()
    targets[twins] = generator.permutation(targets[twins])
    found = run(dataclasses.replace(pictures, targets=targets), thumbnails)
    assert [pair.classes for pair in found.indistinct] == [("003", "007")]
    assert 0.4 <= found.indistinct[0].accuracy <= 0.6
    assert found.indistinct[0].pictures == 2 * EACH
    assert {(count.given, count.likely) for count in found.counts[:2]} == {("003", "007"), ("007", "003")}
    # Whoever mixed them up cannot be seen in a single picture.
    assert found.expected_wrong < 10


def test_two_classes_with_few_pictures_are_not_called_the_same() -> None:
    logits = np.zeros((8, 2), np.float32)
    assert confusion.indistinct_pairs(logits, np.array([0, 1] * 4)) == []
    (pair,) = confusion.indistinct_pairs(np.zeros((80, 2), np.float32), np.array([0, 1] * 40))
    assert (pair.accuracy, pair.pictures) == (0.5, 80)


def test_near_copies_are_grouped_across_splits_first() -> None:
    pictures, thumbnails = make()
    features = pictures.features.copy()
    train, test, other = 0, EACH - 1, 5
    features[test] = unit(features[train][None] + np.float32(0.002))[0]
    features[other + 1] = features[other]
    thumbnails[test] = mirrored(thumbnails[train])
    thumbnails[other + 1] = thumbnails[other]
    # The same features with another thumbnail are another picture: flat walls, drawings.
    features[EACH + 1] = features[EACH]
    found = run(dataclasses.replace(pictures, features=features), thumbnails)
    names = pictures.names
    assert [group.pictures for group in found.near_copies] == [
        (names[test], names[train]),
        (names[other], names[other + 1]),
    ]
    assert [group.splits for group in found.near_copies] == [("train", "test"), ("train",)]
    assert [group.leaks for group in found.near_copies] == [True, False]
    assert found.near_copies[1].similarity == 1
    assert 0.99 < found.near_copies[0].similarity <= 1
    assert found.near_copies[0].classes == ("000",)


def mirrored(thumbnail: bytes) -> bytes:
    return np.frombuffer(thumbnail, np.uint8).reshape(16, 17, 3)[:, ::-1].tobytes()


def test_identical_files_and_equal_hashes_are_near_copies_whatever_their_features() -> None:
    pictures, thumbnails = make()
    digests = [str(number) for number in range(len(pictures))]
    digests[9] = digests[4] = digests[200]
    thumbnails[30] = thumbnails[10]
    found = examine(pictures, digests, thumbnails)
    assert [group.pictures for group in found.near_copies] == [
        (pictures.names[30], pictures.names[10]),  # valid before train
        tuple(pictures.names[index] for index in (4, 9, 200)),
    ]
    assert found.near_copies[1].similarity == 1


def test_copies_stay_in_one_fold_and_cannot_vouch_for_each_other() -> None:
    pictures, thumbnails = make()
    features, targets = pictures.features.copy(), pictures.targets.copy()
    features[:3] = features[0]
    targets[:3] = 5
    for number in (1, 2):
        thumbnails[number] = thumbnails[0]
    found = run(dataclasses.replace(pictures, features=features, targets=targets), thumbnails)
    assert {label.picture for label in found.labels[:3]} == set(pictures.names[:3])
    assert all(label.flagged and label.likely == "000" for label in found.labels[:3])
    groups = np.arange(len(targets))
    groups[:3] = 0
    assert len(set(heads.folds(targets, groups)[:3].tolist())) == 1


def test_folds_spread_every_class() -> None:
    targets = np.repeat(np.arange(7), 11)
    fold = heads.folds(targets, np.arange(len(targets)))
    for label in range(7):
        assert np.ptp(np.bincount(fold[targets == label], minlength=heads.FOLDS)) <= 1


def test_strangers_and_uniform_pictures_are_outliers() -> None:
    pictures, thumbnails = make()
    features = pictures.features.copy()
    stranger = unit(np.random.default_rng(5).normal(size=(1, WIDTH)))[0]
    features[17] = stranger - features.mean(0) * (stranger @ features.mean(0)) * 30
    features[17] /= np.linalg.norm(features[17])
    thumbnails[100] = bytes([120, 121, 122] * 272)
    found = run(dataclasses.replace(pictures, features=features), thumbnails)
    reasons = {outlier.picture: outlier.reason for outlier in found.outliers}
    assert reasons[pictures.names[17]] == "unlike the others"
    assert found.outliers[0].picture == pictures.names[17]
    assert reasons[pictures.names[100]] == "nearly uniform"


def test_a_class_with_one_picture_is_not_judged() -> None:
    pictures, thumbnails = make()
    targets = pictures.targets.copy()
    targets[targets == 11] = 10
    targets[0] = 11
    found = run(dataclasses.replace(pictures, targets=targets), thumbnails)
    assert found.not_judged == 1
    assert pictures.names[0] not in {label.picture for label in found.labels}


def test_neighbors_are_those_of_all_directions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbors, "_DIRECTIONS", 24)
    generator = np.random.default_rng(0)
    features = unit(generator.normal(size=(300, 16)) @ generator.normal(size=(16, 60)))
    likeness = features @ features.T
    np.fill_diagonal(likeness, -np.inf)
    found = neighbors.nearest(features)
    assert np.array_equal(found.indices[:, 0], likeness.argmax(1))
    assert np.allclose(found.similarities, np.sort(likeness, 1)[:, ::-1][:, : neighbors.COUNT], atol=1e-5)
    few = neighbors.nearest(features[:4])
    assert few.indices.shape == (4, 3)
    assert not np.isin(np.arange(4)[:, None], few.indices[:, :, None].max()).all()


@pytest.mark.parametrize("share", [0.0, 0.1, 0.3])
def test_the_share_of_wrong_labels_is_that_of_the_mixture(share: float) -> None:
    generator = np.random.default_rng(2)
    logits = generator.normal(scale=3, size=(4000, 8)).astype(np.float32)
    probability = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    targets = (probability.cumsum(1) > generator.random((4000, 1))).argmax(1)
    wrong = generator.random(4000) < share
    targets = np.where(wrong, (targets + generator.integers(1, 8, 4000)) % 8, targets)
    model = LabelModel.fit(logits * 5, targets)
    assert model.wrong_share == pytest.approx(share, abs=0.02)
    assert model.temperature == pytest.approx(5, rel=0.1)


def test_confident_learning_counts_as_in_its_paper() -> None:
    """Thresholds are 0.7 and 0.6: the third picture confidently belongs to class 1, the last to neither."""
    probabilities = np.array([[0.9, 0.1], [0.8, 0.2], [0.4, 0.6], [0.1, 0.9], [0.2, 0.8], [0.9, 0.1]], np.float32)
    joint = confusion.confident_joint(probabilities, np.array([0, 0, 0, 1, 1, 1]))
    assert joint.tolist() == [[2, 1], [1, 2]]


def test_work_is_done_in_little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of a few rows give what one block gives."""
    pictures, _ = make()
    whole = neighbors.nearest(pictures.features)
    monkeypatch.setattr(neighbors, "_BLOCK_BYTES", 12 * len(pictures) * 7)
    parts = neighbors.nearest(pictures.features)
    assert np.array_equal(whole.indices, parts.indices)
    judged = judge_labels(pictures.features, pictures.targets, (), classes=CLASSES)
    assert judged.known.all()


def test_groups_chain_from_the_strongest_link() -> None:
    found = copies._connected({(1, 2): 0.9, (2, 3): 0.8, (3, 1): 0.7, (5, 4): 1.0})
    assert [(group.pictures, group.similarity) for group in found] == [((1, 2, 3), 0.8), ((4, 5), 1.0)]


def test_outlier_scores_do_not_count_a_picture_as_its_own_class() -> None:
    features = unit(np.eye(4, 6) + 0.01)
    scored = outliers.scores(features, np.array([0, 1, 2, 2]), classes=3)
    assert (scored > 0.8).all()
