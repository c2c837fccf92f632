"""The report for people: kinds of findings with their number and the first files, readable at 80 columns."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from dogbreed_sdk.datasets.dataset import BreedDataset
from dogbreed_sdk.datasets.findings import Finding
from dogbreed_sdk.datasets.report import DatasetReport
from dogbreed_sdk.errors import DatasetError
from tests.datasets.test_dataset import BREEDS, make, write_picture


@pytest.fixture
def good(tmp_path: Path) -> Path:
    return make(tmp_path / "dogs", train=12, valid=3, test=3)


def checked(root: Path) -> DatasetReport:
    return BreedDataset.from_folder(root).check()


def test_a_hundred_files_of_a_kind_are_one_paragraph(good: Path) -> None:
    for number in range(100):
        (good / "train" / BREEDS[0] / f"._{number:02d}.png").write_bytes(b"\0\5\x16\7")
    report = checked(good)
    assert str(report).splitlines() == [
        f"{good}: 2 classes; pictures: train 24, valid 6, test 6",
        "note: 100 files and folders are hidden or belong to the system. They are ignored; no action needed.",
        "    train/001.Boxer/._00.png: macOS's metadata",
        "    train/001.Boxer/._01.png: macOS's metadata",
        "    train/001.Boxer/._02.png: macOS's metadata",
        "    and 97 more",
        "1 note",
    ]
    assert [finding["code"] for finding in report.to_dict()["findings"]] == ["hidden"] * 100


def test_small_pictures_are_one_warning_with_their_sizes(tmp_path: Path) -> None:
    for split in ("train", "valid", "test"):
        for breed in BREEDS:
            for number in range(10):
                write_picture(tmp_path / "dogs" / split / breed / f"{number}.png", side=32)
    lines = str(checked(tmp_path / "dogs")).splitlines()
    assert lines[1] == "warning: 60 pictures are tiny. Replace them with larger ones or delete them."
    assert lines[2] == "    train/001.Boxer/0.png: 32 x 32 pixels"
    assert lines[5:] == ["    and 57 more", "1 warning"]


def test_copies_are_shown_side_by_side(good: Path) -> None:
    for number in range(2):
        shutil.copy(good / f"train/001.Boxer/0{number}.png", good / f"test/001.Boxer/copy{number}.png")
    text = str(checked(good))
    assert "error: 2 pictures are in more than one split. Keep one copy of each, or all in one split." in text
    assert "    train/001.Boxer/00.png, test/001.Boxer/copy0.png" in text


def test_one_of_a_kind_keeps_its_own_sentence(good: Path) -> None:
    write_picture(good / "train" / BREEDS[0] / "tiny.png", side=20)
    assert str(checked(good)).splitlines()[1:] == [
        "warning: train/001.Boxer/tiny.png has only 20 x 20 pixels. Replace it with a larger picture or delete it.",
        "1 warning",
    ]


def test_sentences_are_broken_at_a_width_and_paths_are_not(good: Path) -> None:
    write_picture(good / "test" / "003.Poodle" / "00.png")
    for number in range(5):
        (good / "train" / BREEDS[0] / f"{number}.dat").write_bytes(b"\0\0\0\x18ftypheic" + b"\0" * 16)
    lines = checked(good).to_text(width=60).splitlines()
    assert "error: The test split has classes that the train split" in lines
    assert "  lacks: 003.Poodle (in test). Add them to the train split" in lines
    assert max(map(len, lines[1:])) <= 60
    assert "    train/001.Boxer/0.dat: a HEIC picture" in lines


def test_errors_of_a_kind_are_raised_together(tmp_path: Path) -> None:
    odd = [Finding("error", "odd-name", f"{name} is odd.", (tmp_path / name,), "Rename it.") for name in "ab"]
    with pytest.raises(DatasetError) as raised:
        DatasetReport(tmp_path, (), {}, tuple(odd)).raise_for_errors()
    assert str(raised.value).splitlines()[1:] == ["- 2 class folders have unusual names. Rename them in every split."]
