"""Near-copies: what re-encoding, resizing and brightening leave alike is grouped, and nothing else."""

from __future__ import annotations

import io
import random
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageDraw, ImageOps

from dogbreed_sdk import datasets
from dogbreed_sdk.datasets import near_copies
from dogbreed_sdk.datasets.dataset import BreedDataset


def encoded(image: Image.Image, quality: int) -> Image.Image:
    file = io.BytesIO()
    image.convert("RGB").save(file, "JPEG", quality=quality)
    return Image.open(io.BytesIO(file.getvalue()))


COPIES = {
    "re-encoded": lambda image: encoded(image, 30),
    "thumbnail": lambda image: encoded(image.resize((128, 128 * image.height // image.width)), 75),
    "double": lambda image: encoded(image.resize((2 * image.width, 2 * image.height), Image.Resampling.BICUBIC), 90),
    "square": lambda image: encoded(image.resize((224, 224)), 90),
    "brighter": lambda image: encoded(image.point(lambda value: min(255, int(value * 1.05) + 3)), 85),
    "png": lambda image: image,
}
DIFFERENT = {
    "mirrored": ImageOps.mirror,
    "cut out": lambda image: image.crop((image.width // 5, image.height // 5, image.width, image.height)),
}


@pytest.fixture(scope="module")
def photographs(test_data: Path) -> list[Image.Image]:
    paths = sorted((test_data / "photos-full-size").rglob("*.jpg"))[::4]
    assert len(paths) >= 20
    return [Image.open(path).convert("RGB") for path in paths]


@pytest.mark.parametrize("kind", COPIES)
def test_copies_of_photographs_are_found(photographs: list[Image.Image], kind: str) -> None:
    thumbnails = {}
    for number, image in enumerate(photographs):
        thumbnails[number, "original"] = near_copies.thumbnail(image)
        thumbnails[number, "copy"] = near_copies.thumbnail(COPIES[kind](image))
    groups = near_copies.group(thumbnails)
    assert all(len(alike) == 2 and alike[0][0] == alike[1][0] for alike in groups), "different photographs are alike"
    assert len(groups) >= 0.95 * len(photographs)


@pytest.mark.parametrize("kind", DIFFERENT)
def test_other_pictures_of_a_motif_are_not_copies(photographs: list[Image.Image], kind: str) -> None:
    thumbnails = {}
    for number, image in enumerate(photographs):
        thumbnails[number, "original"] = near_copies.thumbnail(image)
        thumbnails[number, "other"] = near_copies.thumbnail(DIFFERENT[kind](image))
    assert near_copies.group(thumbnails) == []


def test_photographs_of_dogs_are_all_different(test_data: Path) -> None:
    thumbnails = {}
    for path in sorted((test_data / "dogs" / "test").rglob("*.jpg")):
        with Image.open(path) as image:
            image.draft("RGB", (112, 112))
            thumbnails[path] = near_copies.thumbnail(image)
    assert len(thumbnails) >= 1000
    assert near_copies.group(thumbnails) == []


def test_drawings_with_one_outline_and_other_colors_are_different() -> None:
    def disc(color: str) -> bytes:
        image = Image.new("RGB", (64, 64), "white")
        ImageDraw.Draw(image).ellipse((12, 12, 50, 50), fill=color)
        return near_copies.thumbnail(image)

    assert near_copies.group({name: disc(name) for name in ("red", "blue", "green")}) == []
    assert near_copies.group({"one": disc("red"), "two": disc("red"), "other": disc("blue")}) == [("one", "two")]


def test_plain_surfaces_are_not_judged() -> None:
    plain = {level: near_copies.thumbnail(Image.new("L", (64, 64), level)) for level in range(0, 250, 10)}
    assert near_copies.group(plain) == []


@pytest.mark.extras
def test_many_pictures_on_one_background_take_no_quadratic_time() -> None:
    from dogbreed_sdk.datasets import near_copies_arrays  # noqa: PLC0415 - NumPy loads

    generator = random.Random(0)
    thumbnails = {}
    for number in range(3000):  # 4.5 million pairs
        image = Image.new("RGB", (34, 32), "white")
        left = generator.randrange(24)
        ImageDraw.Draw(image).rectangle((left, 14, left + 6, 17), fill="black")
        thumbnails[number] = near_copies.thumbnail(image)
    compared = 0
    original = near_copies_arrays.agreeing

    def counting(thumbnails: Any, pairs: Any, **bounds: Any) -> Any:
        nonlocal compared
        compared += len(pairs)
        return original(thumbnails, pairs, **bounds)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(near_copies_arrays, "agreeing", counting)
        near_copies.group(thumbnails)
    assert compared < 100_000


class TestCheck:
    @pytest.fixture
    def root(self, tmp_path: Path, photographs: list[Image.Image]) -> Path:
        root = tmp_path / "dogs"
        for number, image in enumerate(photographs[:12]):
            split = ("train", "train", "valid", "test")[number % 4]
            path = root / split / "ab"[number // 4 % 2] / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            image.reduce(2).save(path)
        return root

    @pytest.mark.parametrize(
        ("place", "code", "level"),
        [
            ("test/a/thumbnail.jpg", "near-copy-across-splits", "error"),
            ("train/b/thumbnail.jpg", "near-copy-across-classes", "warning"),
            ("train/a/thumbnail.jpg", "near-copy", "note"),
        ],
    )
    def test_a_thumbnail_is_named_with_its_original(self, root: Path, place: str, code: str, level: str) -> None:
        with Image.open(root / "train/a/0.png") as image:
            COPIES["thumbnail"](image).save(root / place)
        report = BreedDataset.from_folder(root).check()
        (finding,) = [finding for finding in report.findings if "copy" in finding.code]
        assert (finding.code, finding.level) == (code, level)
        assert sorted(finding.paths) == sorted([root / "train/a/0.png", root / place])
        assert all(str(path) in finding.message for path in finding.paths)
        assert report.ok == (level != "error")

    def test_pictures_that_differ_are_not_mentioned(self, root: Path) -> None:
        assert not [finding for finding in BreedDataset.from_folder(root).check().findings if "cop" in finding.code]


@pytest.mark.extras
def test_without_numpy_the_same_pictures_are_grouped(
    photographs: list[Image.Image], monkeypatch: pytest.MonkeyPatch
) -> None:
    from dogbreed_sdk.datasets import near_copies_arrays  # noqa: PLC0415 - NumPy loads

    thumbnails = {}
    for number, image in enumerate(photographs):
        thumbnails[number, "original"] = near_copies.thumbnail(image)
        for kind in ("thumbnail", "mirrored"):
            thumbnails[number, kind] = near_copies.thumbnail({**COPIES, **DIFFERENT}[kind](image))
    hashes = near_copies_arrays.hashes(list(thumbnails.values()), width=17, height=16)
    as_numbers = [int.from_bytes(row.astype(">u2").tobytes(), "big") for row in hashes]
    assert as_numbers == [near_copies._difference_hash(thumbnail) for thumbnail in thumbnails.values()]
    found = near_copies.group(thumbnails)
    assert len(found) >= 0.95 * len(photographs)
    monkeypatch.setitem(sys.modules, "dogbreed_sdk.datasets.near_copies_arrays", None)
    monkeypatch.delattr(datasets, "near_copies_arrays")
    assert near_copies.group(thumbnails) == found
