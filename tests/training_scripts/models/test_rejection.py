"""Rejection: far features score high, the threshold keeps the stated share, and a forged rule is refused."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.training_scripts.conftest import write_bundle
from tests.training_scripts.models.test_bundle import forge, put
from tests.training_scripts.small_datasets import CLASSES, clouds
from training_scripts.models import rejection
from training_scripts.models.bundle import read_description
from training_scripts.models.description import BundleError
from training_scripts.models.model import load
from training_scripts.models.rejection import Rejection

WIDTH = 1280


def seen(rows: int = 400, **settings: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """Features and labels of clouds, one a class."""
    split = clouds(rows=rows, **settings)["valid"]
    return torch.from_numpy(split.features[:, 0]), torch.from_numpy(split.targets)


def fitted(features: torch.Tensor, labels: torch.Tensor, **settings: Any) -> Rejection:
    rule = rejection.fit(features, labels, classes=int(labels.max()) + 1, **settings)
    assert rule is not None
    return rule


def scores(rule: Rejection, features: torch.Tensor) -> torch.Tensor:
    return rule.scores(torch.zeros(len(features), 4), features)


def test_the_score_is_one_less_the_cosine_to_the_nearest_class() -> None:
    means = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    rule = Rejection("cosine", 0.5, 0.98, tensors={"class_means": means})
    pictures = torch.tensor([[5.0, 0.0], [3.0, 4.0], [-1.0, 0.0], [-1.0, -1.0]])
    found = scores(rule, pictures)
    assert found.dtype == torch.float64
    assert found.tolist() == pytest.approx([0.0, 0.2, 1.0, 1 + math.sqrt(0.5)])


def test_features_without_direction_or_number_are_far_from_every_class() -> None:
    rule = Rejection("cosine", 0.5, 0.98, tensors={"class_means": torch.eye(2)})
    found = scores(rule, torch.tensor([[0.0, 0.0], [math.nan, 1.0], [math.inf, 1.0]]))
    assert found.tolist() == [1.0, 2.0, 2.0]


def test_a_picture_alone_gets_the_score_it_has_among_others() -> None:
    features, labels = seen()
    rule = fitted(features, labels)
    together = scores(rule, features)
    assert torch.allclose(scores(rule, features[7:8]), together[7:8], rtol=0, atol=1e-12)


def test_the_fit_by_hand() -> None:
    """Two classes of two pictures: each is compared with the other of its class, and with the other class's mean."""
    features = torch.tensor([[1.0, 0.0], [4.0, 3.0], [0.0, 2.0], [0.0, 1.0]])
    labels = torch.tensor([0, 0, 1, 1])
    rule = fitted(features, labels)
    # 0.2 between the first two; the others have each other, at 0. Four pictures cannot promise more than 4 of 5.
    assert rule.threshold == pytest.approx(0.2)
    assert (rule.kept, rule.parameters) == (0.8, {"pictures": 4.0})
    expected = torch.nn.functional.normalize(torch.tensor([[5.0, 3.0], [0.0, 1.0]]), dim=1)
    assert torch.allclose(rule.tensors["class_means"], expected)


@pytest.mark.parametrize("kept", [0.9, 0.95, 0.98])
def test_the_threshold_keeps_the_stated_share_of_pictures_never_seen(kept: float) -> None:
    features, labels = seen(rows=4000, spread=1.5)
    shares = []
    for part in range(4):  # each fitted on a quarter, and asked about the others
        own = torch.arange(len(labels)) // 4 % 4 == part
        rule = fitted(features[own], labels[own], kept=kept)
        assert rule.kept == kept
        shares.append(float((scores(rule, features[~own]) <= rule.threshold).double().mean()))
    assert sum(shares) / 4 == pytest.approx(kept, abs=0.01)


@pytest.mark.parametrize("rows", [8, 24, 48])
def test_of_few_pictures_all_are_kept_and_the_share_that_can_be_promised_is_stated(rows: int) -> None:
    features, labels = seen(rows=rows)
    rule = fitted(features, labels)
    assert rule.kept == rows / (rows + 1)
    assert bool((scores(rule, features) <= rule.threshold).all())


def test_what_is_far_from_all_classes_is_rejected() -> None:
    features, labels = seen(spread=0.5)
    rule = fitted(features, labels)
    elsewhere = torch.randn(200, features.shape[1], generator=torch.Generator().manual_seed(5))
    assert float((scores(rule, features) > rule.threshold).double().mean()) <= 0.02
    assert float((scores(rule, elsewhere) > rule.threshold).double().mean()) > 0.95


def test_without_two_pictures_of_each_class_or_with_broken_features_there_is_no_rule() -> None:
    features, labels = seen(rows=8)
    assert rejection.fit(features[:4], labels[:4], classes=4) is None
    assert rejection.fit(features, labels, classes=5) is None
    assert rejection.fit(features[:0], labels[:0], classes=4) is None
    broken = features.clone()
    broken[3, 1] = math.nan
    assert rejection.fit(broken, labels, classes=4) is None


def dense(features: torch.Tensor, labels: torch.Tensor) -> tuple[float, torch.Tensor]:
    """The threshold and the class means, from the cosines of all pictures with all classes at once."""
    pictures, classes = features.double(), int(labels.max()) + 1
    sums = torch.zeros(classes, features.shape[1], dtype=torch.float64).index_add_(0, labels, pictures)
    directions, means = (torch.nn.functional.normalize(each, dim=1) for each in (pictures, sums))
    likeness = directions @ means.T
    others = torch.nn.functional.normalize(sums[labels] - pictures, dim=1)
    likeness[torch.arange(len(labels)), labels] = (directions * others).sum(1)
    ordered = (1 - likeness.amax(1)).sort().values
    return float(ordered[min(math.ceil((len(ordered) + 1) * rejection.KEPT), len(ordered)) - 1]), means.float()


@pytest.mark.parametrize("classes", [3, 50])
def test_blocks_give_the_rule_of_all_cosines_at_once(classes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    features, labels = seen(rows=8 * classes, classes=classes, spread=2.0)
    threshold, means = dense(features, labels)
    monkeypatch.setattr(rejection, "_BLOCK", 2_000)
    blocks = list(zip(features.split(33), labels.split(33), strict=True))
    rule = rejection.fit_in_blocks(lambda: blocks, classes=classes)
    assert rule is not None
    assert rule.threshold == pytest.approx(threshold, abs=1e-6)
    assert torch.allclose(rule.tensors["class_means"], means, atol=1e-7)
    nearest = 1 - (torch.nn.functional.normalize(features.double(), dim=1) @ means.double().T).amax(1)
    assert torch.allclose(rule.scores(None, features), nearest, rtol=0, atol=1e-12)


def test_of_very_many_cosines_an_even_share_of_the_pictures_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    features, labels = seen(rows=4000, spread=1.5)
    whole = fitted(features, labels)
    monkeypatch.setattr(rejection, "MOST_COSINES", 4000 * 4 // 3)
    blocks = list(zip(features.split(700), labels.split(700), strict=True))
    rule = rejection.fit_in_blocks(lambda: blocks, classes=4)
    assert rule is not None
    assert torch.equal(rule.tensors["class_means"], whole.tensors["class_means"])
    assert rule.parameters == {"pictures": 1000.0}
    share = float((scores(whole, features) <= rule.threshold).double().mean())
    assert share == pytest.approx(rejection.KEPT, abs=0.01)


@pytest.fixture
def rejecting(tmp_path: Path) -> Path:
    """A bundle with a rule."""
    return write_bundle(tmp_path / "bundle", rejection=of_a_bundle())


def of_a_bundle() -> Rejection:
    features = torch.randn(30, WIDTH, generator=torch.Generator().manual_seed(1)) + 1
    return fitted(features, torch.arange(30) % len(CLASSES))


def test_a_rule_comes_back_from_its_bundle_and_the_model_applies_it(rejecting: Path) -> None:
    written = of_a_bundle()
    values = json.loads((rejecting / "model.json").read_text())
    assert values["format_version"] == 1
    assert values["rejection"] == {
        "method": "cosine",
        "threshold": written.threshold,
        "kept": 30 / 31,
        "parameters": {"pictures": 30.0},
    }
    assert read_description(rejecting).rejection == written
    model = load(rejecting)
    inputs = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        logits, features = model.forward_with_features(inputs)
        assert torch.equal(model(inputs), logits)
    assert features.shape == (2, WIDTH)
    assert model.rejection
    assert torch.equal(model.rejection.scores(logits, features), written.scores(logits, features))


def test_a_bundle_without_the_key_answers_without_rejection(written_bundle: Path) -> None:
    assert "rejection" not in json.loads((written_bundle / "model.json").read_text())
    assert load(written_bundle).rejection is None


def test_a_rule_changes_no_weight_and_no_answer(written_bundle: Path, rejecting: Path) -> None:
    one, other = (torch.load(folder / "model.pth", weights_only=True) for folder in (written_bundle, rejecting))
    assert other.keys() - one.keys() == {"rejection.class_means"}
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda rule: rule.update(method="energy"), "unknown method 'energy'"),
        (lambda rule: rule.update(method=["cosine"]), "unknown"),
        (lambda rule: rule.update(method="x" * 10_000), r"unknown method 'x{40}'"),
        (lambda rule: rule.pop("threshold"), "'threshold' is missing"),
        (lambda rule: rule.update(threshold="0.4"), "threshold is not a finite number"),
        (lambda rule: rule.update(threshold=True), "threshold is not a finite number"),
        (lambda rule: rule.update(threshold=10**400), "is invalid"),
        (lambda rule: rule.update(kept=0), "kept"),
        (lambda rule: rule.update(kept=1.5), "kept"),
        (lambda rule: rule.update(parameters=[1]), "parameters"),
        (lambda rule: rule.update(parameters={"pictures": None}), "pictures is not a finite number"),
    ],
)
def test_a_forged_rule_is_refused(rejecting: Path, change: Callable[[dict[str, Any]], object], reason: str) -> None:
    forge(rejecting, lambda values: change(values["rejection"]))
    with pytest.raises(BundleError, match=reason):
        read_description(rejecting)


@pytest.mark.parametrize("value", [None, [], "cosine", math.nan, 3])
def test_a_rule_that_is_no_object_is_refused(rejecting: Path, value: object) -> None:
    forge(rejecting, lambda values: values.update(rejection=value))
    with pytest.raises(BundleError, match="is invalid"):
        read_description(rejecting)


@pytest.mark.parametrize(
    "means",
    [
        None,
        torch.ones(3, WIDTH + 1),
        torch.ones(2, WIDTH),
        torch.ones(WIDTH),
        torch.ones(1, 1).expand(10**7, 10**7),  # four bytes that claim to be 400 terabytes
        torch.ones(3, WIDTH, dtype=torch.float64),
        torch.ones(3, WIDTH, dtype=torch.complex64),
        torch.full((3, WIDTH), math.nan),
        torch.ones(3, WIDTH, device="meta"),
    ],
)
def test_class_means_that_do_not_fit_are_refused(rejecting: Path, means: torch.Tensor | None) -> None:
    state = torch.load(rejecting / "model.pth", weights_only=True)
    state.pop("rejection.class_means")
    if means is not None:
        state["rejection.class_means"] = means
    put(rejecting, state)
    with pytest.raises(BundleError, match=r"class_means|other things than plain tensors"):
        load(rejecting)
