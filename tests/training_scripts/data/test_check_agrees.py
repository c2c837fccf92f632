"""`check` reports as errors exactly what training refuses, in training's words."""

from __future__ import annotations

import ctypes
import io
import json
import os
import shutil
import subprocess
import sys
import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from dogbreed_sdk.client import images
from dogbreed_sdk.datasets.dataset import BreedDataset
from tests.training_scripts.data.test_listing import PNG, encoded, write
from training_scripts.data import decoding, formats, image_folder, preprocessing
from training_scripts.data.batches import PictureBatches

# What spoils conclusions and not training.
ONLY_IN_CHECK = {"leak", "duplicate-across-splits", "near-copy-across-splits"}
PREPROCESSING = preprocessing.Preprocessing(32, 32, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5), "bilinear")

# Judges a folder as `check` and as training does, without decoding; it runs where modes hold.
JUDGES = """
import json, sys
from pathlib import Path
from dogbreed_sdk.datasets.dataset import BreedDataset
from dogbreed_sdk.errors import DatasetError
from training_scripts.data import image_folder as data
answers = {}
for root in map(Path, sys.argv[1:]):
    try:
        answers[str(root)] = [[f"{one.message} {one.remedy}" for one in BreedDataset.from_folder(root).check().errors]]
    except DatasetError as error:
        answers[str(root)] = [[str(error)]]
    try:
        data.fingerprint(data.read_dataset(data.split_folders({"SM_CHANNEL_TRAINING": str(root)})))
        answers[str(root)].append("")
    except data.DataError as error:
        answers[str(root)].append(str(error))
print(json.dumps(answers))
"""


@pytest.fixture
def good(tmp_path: Path) -> Path:
    """Three train pictures of each of two classes, one to validate and one to test, none of them equal."""
    root = tmp_path / "dogs"
    for number, split in enumerate(("train", "valid", "test")):
        for shade, name in enumerate(("Boxer", "Pug")):
            for count in range(3 if split == "train" else 1):
                write(root, f"{split}/{name}/{count}.png", content=picture(number, shade, count))
    return root


def picture(*numbers: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (64, 64), tuple(60 * number for number in numbers)).save(file, "PNG")
    return file.getvalue()


def refusal(root: Path) -> str:
    """What training says of a data set, or nothing where it trains."""
    try:
        dataset = image_folder.read_dataset(image_folder.split_folders({"SM_CHANNEL_TRAINING": str(root)}))
        image_folder.check_several_classes(dataset.classes)
        image_folder.fingerprint(dataset)
        batches = PictureBatches(dataset, PREPROCESSING, (preprocessing.PLAIN,), workers=1)
        for split in dataset.splits:
            for _ in batches.plain(split, 8):
                pass
    except image_folder.DataError as error:
        return str(error)
    return ""


def rename(*pairs: tuple[str, str]) -> Callable[[Path], None]:
    def make(root: Path) -> None:
        for old, new in pairs:
            (root / old).rename(root / new)

    return make


def writing(*names: str, content: bytes = PNG) -> Callable[[Path], None]:
    return lambda root: void(write(root, *names, content=content))


def void(_: object) -> None:
    """Makes an action of an expression."""


def links(**targets: str) -> Callable[[Path], None]:
    def make(root: Path) -> None:
        for name, target in targets.items():
            (root / "train/Boxer" / name).symlink_to(target)

    return make


def flatten(root: Path) -> None:
    for path in sorted(root.glob("*/*/*.png")):
        path.rename(path.parent.parent / f"{path.parent.name}{path.name}")
    for folder in root.glob("*/*/"):
        folder.rmdir()


def spell_in_two_forms(root: Path) -> None:
    (root / "train/Pug").rename(root / "train" / unicodedata.normalize("NFC", "Épagneul"))
    for split in ("valid", "test"):
        (root / split / "Pug").rename(root / split / unicodedata.normalize("NFD", "Épagneul"))


def in_latin_1(root: Path) -> None:
    for split in ("train", "valid", "test"):
        (root / split / "Pug").rename(root / split / os.fsdecode("Épagneul".encode("latin-1")))


def move_up(folder: Path) -> None:
    for entry in list(folder.iterdir()):
        entry.rename(folder.parent / entry.name)
    folder.rmdir()


def nest(root: Path) -> None:
    root.rename(root.with_name("inner"))
    root.mkdir()
    root.with_name("inner").rename(root / "train")
    shutil.copytree(root / "train/valid", root / "valid")


TRAINED_ON = {
    "as it should be": void,
    "capitals": rename(("train", "Train"), ("valid", "Valid"), ("test", "Test")),
    "long names": rename(("train", "training"), ("valid", "validation"), ("test", "testing")),
    "folders of systems": writing("train/Boxer/.thumbnails/0.png", "train/@eaDir/Boxer/0.png", "__MACOSX/train/0.png"),
    "classes named train and test": rename(
        *(
            (f"{split}/{name}", f"{split}/{new}")
            for split in ("train", "valid", "test")
            for name, new in (("Boxer", "train"), ("Pug", "test"))
        )
    ),
    "a linked folder": lambda root: (root / "train/Boxer/more").symlink_to(root / "train/Pug"),
    "a link in a circle": lambda root: (root / "train/Boxer/up").symlink_to(".."),
    "two broken pictures": writing("train/Boxer/8.jpg", "train/Boxer/9.jpg", content=b"broken"),
    "a picture without a suffix": writing("train/Boxer/8", content=encoded("JPEG")),
    "a class missing in test": lambda root: shutil.rmtree(root / "test/Pug"),
    "no test split": lambda root: shutil.rmtree(root / "test"),
    "an AVIF picture": writing("train/Boxer/8.avif", content=encoded("AVIF")),
}
REFUSED = {
    "valid and val": (writing("val/Boxer/0.png"), "two-folders"),
    "train and Train": (writing("Train/Boxer/0.png"), "two-folders"),
    "no train split": (lambda root: shutil.rmtree(root / "train"), "missing-split"),
    "no splits": (
        lambda root: [shutil.rmtree(root / name) for name in ("valid", "test")] and move_up(root / "train"),
        "no-splits",
    ),
    "pictures without class folders": (flatten, "empty-split"),
    "a data set in the train split": (nest, "nested-splits"),
    "an unknown class": (writing("test/Corgi/0.png"), "unknown-class"),
    "two normal forms": (spell_in_two_forms, "normal-form"),
    "a name in Latin-1": (in_latin_1, "odd-name"),
    "an empty class": (lambda root: (root / "train/Corgi").mkdir(), "empty-class"),
    "a class of notes": (writing("train/Corgi/notes.txt", content=b"notes"), "empty-class"),
    "an empty split": (lambda root: [path.unlink() for path in (root / "test").rglob("*.png")], "empty-split"),
    "a dangling link": (links(gone="/missing.png"), "unreadable"),
    "a file that breaks off": (links(**{"x.jpg": "/proc/self/mem"}), "unreadable"),
    "a link to itself": (links(circle="circle"), "unreadable"),
    "a link to a split that is gone": (
        lambda root: shutil.rmtree(root / "valid") or (root / "valid").symlink_to("/gone"),
        "unreadable",
    ),
    "a single class": (
        lambda root: [shutil.rmtree(root / split / "Pug") for split in ("train", "valid", "test")],
        "one-class",
    ),
    "three broken pictures": (
        writing("train/Boxer/7.jpg", "train/Boxer/8.jpg", "train/Boxer/9.jpg", content=b"broken"),
        "too-many-corrupt",
    ),
    "a split of broken pictures": (writing("test/Boxer/0.png", "test/Pug/0.png", content=b""), "too-many-corrupt"),
    "a class of broken pictures": (writing("train/Corgi/0.png", content=b"broken"), "class-lost"),
}


@pytest.mark.parametrize("make", TRAINED_ON.values(), ids=TRAINED_ON)
def test_what_training_takes_has_no_error(good: Path, make: Callable[[Path], object]) -> None:
    make(good)
    assert refusal(good) == ""
    report = BreedDataset.from_folder(good).check()
    assert [finding.message for finding in report.errors if finding.code not in ONLY_IN_CHECK] == []


@pytest.mark.parametrize(("make", "code"), REFUSED.values(), ids=REFUSED)
def test_what_training_refuses_is_an_error_in_its_words(good: Path, make: Callable[[Path], object], code: str) -> None:
    make(good)
    report = BreedDataset.from_folder(good).check()
    errors = [finding for finding in report.errors if finding.code not in ONLY_IN_CHECK]
    assert {finding.code for finding in errors} == {code}
    assert refusal(good).splitlines() == [f"{finding.message} {finding.remedy}" for finding in errors]


@pytest.mark.parametrize("format_name", formats.READ_FORMATS)
def test_classify_and_training_take_the_same_files(good: Path, format_name: str) -> None:
    content = encoded(format_name)
    write(good, "train/Boxer/photo", content=content)
    assert images.to_payload(content).body
    assert decoding.decode(content).size == (64, 64)
    assert good / "train/Boxer/photo" in [
        sample.path for sample in image_folder.read_dataset(image_folder.find_splits(good)).splits["train"]
    ]


def without_rights_over_files() -> None:
    """Makes modes hold for root: what the child may then not read, no capability opens."""
    if os.geteuid() == 0:
        libc = ctypes.CDLL(None, use_errno=True)
        drop_from_bounding_set = 24
        for capability in (1, 2):  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
            libc.prctl(drop_from_bounding_set, capability, 0, 0, 0)


UNREADABLE = ("train/Boxer/inner", "train/Boxer", "train/Boxer/inner/0.png", "valid", "train/Boxer/notes", ".")


def test_what_cannot_be_read_is_named_alike(tmp_path: Path) -> None:
    roots = {}
    for number, closed in enumerate(UNREADABLE):
        root = tmp_path / f"dogs{number}"
        write(root, *(f"{split}/{name}/0.png" for split in ("train", "valid", "test") for name in ("Boxer", "Pug")))
        write(root, "train/Boxer/inner/0.png", "train/Boxer/notes")
        roots[str(root)] = root / closed
    try:
        for path in roots.values():
            path.chmod(0)
        done = subprocess.run(
            [sys.executable, "-c", JUDGES, *roots],
            capture_output=True,
            check=True,
            preexec_fn=without_rights_over_files,
        )
    finally:
        for path in roots.values():
            path.chmod(0o700)
    answers = json.loads(done.stdout)
    for root, closed in roots.items():
        reported, refused = answers[root]
        assert refused == f"Cannot read {closed}: Permission denied. Make it readable, or remove it."
        assert reported[0] == refused
