"""Names of class folders: those that confuse are named for what they are, with a remedy."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest

from dogbreed_sdk.datasets.class_names import find_label_names, find_names, meant
from dogbreed_sdk.datasets.findings import Finding

NFC, NFD = unicodedata.normalize("NFC", "Épagneul"), unicodedata.normalize("NFD", "Épagneul")
FOLDER = Path("/dogs/train")


def findings(*names: str) -> dict[str, Finding]:
    return {finding.code: finding for finding in find_names(FOLDER, sorted(names))}


@pytest.mark.parametrize(
    ("name", "original"),
    [
        ("caf#U00e9", "café"),
        ("#L01f436 dog", "\N{DOG FACE} dog"),
        ("cafÃ©", "café"),
        ("Ã‰pagneul", "Épagneul"),
        ("├ëpagneul", "Épagneul"),
        ("Épagneul", "Épagneul"),
        ("Pug#1", "Pug#1"),
        ("北京犬", "北京犬"),
    ],
)
def test_what_a_name_was_before_it_was_unpacked(name: str, original: str) -> None:
    assert meant(name) == original


def test_names_that_a_wrong_locale_has_spoiled() -> None:
    odd = findings("Boxer", "caf#U00e9")["odd-name"]
    assert odd.message == "The class folder 'caf#U00e9' was probably named 'café' before it was unpacked."
    assert odd.remedy == "Unpack it again with LC_ALL=C.UTF-8, or rename it in every split."
    assert odd.paths == (FOLDER / "caf#U00e9",)


def test_one_class_in_two_normal_forms() -> None:
    found = findings("Boxer", NFC, NFD)
    assert list(found) == ["normal-form"]
    assert found["normal-form"].message == (
        f"The class {NFC} has 2 folders, named in the Unicode normal forms NFD and NFC."
    )
    assert set(found["normal-form"].paths) == {FOLDER / NFC, FOLDER / NFD}


def test_folders_named_by_numbers() -> None:
    found = findings("1", "2", "10")
    assert "(1, 10, 2), so predictions will be numbers" in found["numeric-names"].message
    assert "10 comes before 2: the index of a class does not follow its number" in found["number-order"].message
    assert list(findings("01", "02", "10")) == ["numeric-names"]


@pytest.mark.parametrize("names", [("1.Pug", "2.Boxer", "10.Corgi"), ("1_Pug", "2_Boxer", "10_Corgi")])
def test_numbers_before_names(names: tuple[str, ...]) -> None:
    assert list(findings(*names)) == ["number-order"]


@pytest.mark.parametrize("names", [("001.Pug", "010.Boxer"), ("Boxer", "3 Bears", "Pug"), ("北京犬", NFC)])
def test_nothing_is_wrong_with_these(names: tuple[str, ...]) -> None:
    assert findings(*names) == {}


def test_a_locale_without_utf_8_is_named_and_not_the_folder(tmp_path: Path) -> None:
    for split in ("train", "valid", "test"):
        for name in ("Boxer", NFC):
            (tmp_path / split / name).mkdir(parents=True)
            (tmp_path / split / name / "0.png").write_bytes(b"")
    done = subprocess.run(
        [sys.executable, "-X", "utf8=0", "-m", "dogbreed_sdk.cli", "data", "check", str(tmp_path), "--json"],
        capture_output=True,
        check=False,
        env={**os.environ, "LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0", "PYTHONIOENCODING": ""},
    )
    errors = [one for one in json.loads(done.stdout)["findings"] if one["code"] in ("locale", "odd-name")]
    assert [(one["level"], one["message"], one["remedy"]) for one in errors] == [
        (
            "error",
            f"Names of class folders are UTF-8, which this process's locale (LC_ALL, LANG) excludes: {NFC}.",
            "Set LC_ALL=C.UTF-8 or PYTHONUTF8=1, and run it again.",
        )
    ]


def test_the_names_of_numbered_labels_belong_into_a_file() -> None:
    (finding,) = find_label_names(FOLDER, ["0", "1", "2", "10"])
    assert finding.message == "The labels of the shards are numbers (0, 1, 2, 10), so predictions will be numbers."
    assert "into classes.txt beside the shards" in finding.remedy
    assert not list(find_label_names(FOLDER, ["02.Pug", "1.Boxer"]))
