"""The drawn sample: repeatable, laid out as planned, of dogs that differ, in seconds."""

from __future__ import annotations

import hashlib
import sys
import time
from pathlib import Path

import pytest
from PIL import Image, ImageChops, ImageStat

from dogbreed_sdk._util.cores import CORES_VARIABLE
from dogbreed_sdk.datasets.dataset import BreedDataset
from dogbreed_sdk.datasets.sample import sample
from dogbreed_sdk.datasets.sample.breeds import BREEDS
from dogbreed_sdk.errors import ConfigurationError, DatasetError
from training_scripts._util.class_names import display_name


def digests(root: Path) -> dict[str, str]:
    return {
        path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in root.rglob("*.jpg")
    }


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> BreedDataset:
    return BreedDataset.sample(tmp_path_factory.mktemp("sample") / "dogs", breeds=3, per_breed=12)


def test_breeds_are_numbered_in_the_order_of_their_names() -> None:
    folders = sorted(breed.folder for breed in BREEDS)
    assert [int(folder[:3]) for folder in folders] == list(range(1, len(BREEDS) + 1))
    names = [display_name(folder) for folder in folders]
    assert names == sorted(names)


def test_the_layout_is_a_data_set_in_three_splits(drawn: BreedDataset) -> None:
    assert drawn.classes == ("002.Basset_hound", "003.Beagle", "010.Labrador_retriever")
    assert drawn.splits == {"train": 24, "valid": 6, "test": 6}
    assert {picture.index for picture in drawn.pictures("test")} == {0, 1, 2}


def test_every_picture_is_a_photograph_sized_jpeg_and_no_two_are_alike(drawn: BreedDataset) -> None:
    for path in drawn.root.rglob("*.jpg"):
        with Image.open(path) as image:
            assert image.format == "JPEG"
            assert image.mode == "RGB"
            assert 224 <= min(image.size) <= max(image.size) <= 320
            assert min(ImageStat.Stat(image).stddev) > 10
    assert len(set(digests(drawn.root).values())) == len(drawn)


def test_the_same_seed_draws_the_same_bytes_and_another_one_does_not(drawn: BreedDataset, tmp_path: Path) -> None:
    again = BreedDataset.sample(tmp_path / "again", breeds=3, per_breed=12)
    other = BreedDataset.sample(tmp_path / "other", breeds=3, per_breed=12, seed=1)
    assert digests(again.root) == digests(drawn.root)
    assert again.fingerprint == drawn.fingerprint
    assert not set(digests(other.root).values()) & set(digests(drawn.root).values())


def test_a_breed_does_not_depend_on_which_others_are_drawn(drawn: BreedDataset, tmp_path: Path) -> None:
    fewer = digests(BreedDataset.sample(tmp_path / "fewer", breeds=2, per_breed=12).root)
    assert fewer.items() < digests(drawn.root).items()


def test_every_breed_can_be_told_from_its_twin() -> None:
    for first, second in zip(BREEDS[::2], BREEDS[1::2], strict=True):
        pictures = [sample.draw_dog(breed, sample.random.Random(3)) for breed in (first, second)]
        difference = ImageChops.difference(*pictures).convert("L")
        assert ImageStat.Stat(difference).mean[0] > 2, (first.folder, second.folder)


def test_all_breeds_are_drawn_without_delay(tmp_path: Path) -> None:
    started = time.process_time()
    BreedDataset.sample(tmp_path / "dogs", breeds=12, per_breed=6)
    # 72 pictures, 25 ms each when measured.
    assert time.process_time() - started < 60


def test_an_existing_sample_is_used_again_and_not_drawn_again(drawn: BreedDataset) -> None:
    def never(done: int, total: int) -> None:
        raise AssertionError("drawn again")

    assert BreedDataset.sample(drawn.root, breeds=3, per_breed=12, progress=never).root == drawn.root
    with pytest.raises(DatasetError, match="already exists and is not empty"):
        BreedDataset.sample(drawn.root, breeds=3, per_breed=12, seed=5)


def test_an_interrupted_drawing_leaves_nothing(tmp_path: Path) -> None:
    def interrupt(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        BreedDataset.sample(tmp_path / "dogs", breeds=2, per_breed=6, progress=interrupt)
    assert list(tmp_path.iterdir()) == []


def test_progress_counts_every_picture(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    BreedDataset.sample(tmp_path / "dogs", breeds=2, per_breed=6, progress=lambda *done: seen.append(done))
    assert seen == [(number, 12) for number in range(1, 13)]


@pytest.mark.parametrize("numbers", [{"breeds": 1}, {"breeds": 13}, {"per_breed": 5}])
def test_numbers_outside_their_range_are_refused(tmp_path: Path, numbers: dict[str, int]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(numbers))):
        BreedDataset.sample(tmp_path / "dogs", **numbers)


def test_several_processes_draw_what_one_draws(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = sample.plan(breeds=2, per_breed=6, seed=3)
    monkeypatch.setattr(sample, "_LEAST_SHARE", 4)
    seen: list[tuple[int, int]] = []
    for cores in ("1", "3"):
        monkeypatch.setenv(CORES_VARIABLE, cores)
        sample.draw(plan, tmp_path / cores, progress=lambda *counts: seen.append(counts))
    assert digests(tmp_path / "3") == digests(tmp_path / "1")
    assert len(digests(tmp_path / "1")) == 12
    assert seen[:12] == [(number, 12) for number in range(1, 13)]
    assert seen[-1] == (12, 12)


def test_what_a_process_did_not_draw_is_drawn_after_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = sample.plan(breeds=2, per_breed=6, seed=3)
    monkeypatch.setattr(sample, "_LEAST_SHARE", 4)
    monkeypatch.setenv(CORES_VARIABLE, "2")
    monkeypatch.setattr(sys, "executable", "/bin/false")
    sample.draw(plan, tmp_path)
    assert len(digests(tmp_path)) == 12
