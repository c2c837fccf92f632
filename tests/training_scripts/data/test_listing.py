"""The one listing of a data set: what is a picture, what is left out and why, and which folders are splits."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest
from PIL import Image

from training_scripts.data import split_folders
from training_scripts.data.listing import UNSPLIT, LeftOut, Listing, list_data_set


def encoded(format_name: str) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (64, 64), "brown").save(file, format_name)
    return file.getvalue()


PNG = encoded("PNG")


def write(root: Path, *names: str, content: bytes = PNG) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    return root


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write(tmp_path / "data", *(f"{split}/{name}/0.png" for split in split_folders.SPLITS for name in "ab"))


def names(listing: Listing, root: Path) -> list[str]:
    return [path.relative_to(root).as_posix() for *_, path in listing.pictures()]


def left_out(root: Path) -> list[tuple[str, str]]:
    return [(one.path.relative_to(root).as_posix(), one.kind) for one in list_data_set(root).left_out]


@pytest.mark.parametrize(
    "folder", [".thumbnails", ".ipynb_checkpoints", "@eaDir", ".Trash-1000", ".git", "__MACOSX", "lost+found"]
)
def test_folders_of_systems_below_a_class_are_left_out_whole(root: Path, folder: str) -> None:
    before = names(list_data_set(root), root)
    write(root, f"train/a/{folder}/0.png", f"train/a/{folder}/deep/1.png", f"train/a/real/{folder}/2.png")
    write(root, "train/a/real/3.png", f"train/{folder}/4.png", f"{folder}/5.png")
    assert names(list_data_set(root), root) == [before[0], "train/a/real/3.png", *before[1:]]
    kind = "hidden" if folder.startswith(".") else "system-folder"
    assert sorted(left_out(root)) == sorted(
        (f"{place}{folder}", kind) for place in ("", "train/", "train/a/", "train/a/real/")
    )


class TestTheBytesDecide:
    @pytest.mark.parametrize(
        ("name", "format_name"),
        [
            ("x.jfif", "JPEG"),
            ("x.jpe", "JPEG"),
            ("x.JPG", "JPEG"),
            ("x.AVIF", "AVIF"),
            ("x", "JPEG"),
            ("x", "PNG"),
            ("x.dat", "GIF"),
            ("x.picture", "WEBP"),
            ("x", "BMP"),
            ("x", "TIFF"),
            ("x.pgm", "PPM"),
            ("x", "AVIF"),
        ],
    )
    def test_a_picture_counts_under_any_name(self, root: Path, name: str, format_name: str) -> None:
        write(root, f"train/a/{name}", content=encoded(format_name))
        assert f"train/a/{name}" in names(list_data_set(root), root)
        assert left_out(root) == []

    @pytest.mark.parametrize(
        "content",
        [b"", b"hello", b"BMW 1 series", b"P1 is the first", b"{}", b"%PDF-1.7", b"\0" * 64, b"MZ\x90\0" * 9],
    )
    def test_what_is_no_picture_is_left_out(self, root: Path, content: bytes) -> None:
        write(root, "train/a/notes", content=content)
        assert list_data_set(root).left_out == (LeftOut(root / "train/a/notes", "not-a-picture", "is not a picture"),)

    @pytest.mark.parametrize("content", [b"", b"<html>404</html>", PNG[:40]])
    def test_a_file_that_claims_to_be_a_picture_is_judged_by_decoding_it(self, root: Path, content: bytes) -> None:
        write(root, "train/a/claims.jpg", content=content)
        assert "train/a/claims.jpg" in names(list_data_set(root), root)

    @pytest.mark.parametrize(
        ("name", "content", "reason"),
        [
            ("x.heic", b"\0\0\0\x18ftypheic" + b"\0" * 16, "is a HEIC picture, which training does not read"),
            ("x", b"\0\0\0\x0cjP  \r\n\x87\n", "is a JPEG 2000 picture, which training does not read"),
            ("x.NEF", encoded("TIFF"), "is a camera's raw file, which training does not read"),
        ],
    )
    def test_formats_that_training_does_not_read_are_named(
        self, root: Path, name: str, content: bytes, reason: str
    ) -> None:
        write(root, f"train/a/{name}", content=content)
        assert list_data_set(root).left_out == (LeftOut(root / "train/a" / name, "unread-format", reason),)

    def test_a_pipe_is_not_waited_for(self, root: Path) -> None:
        os.mkfifo(root / "train/a/pipe.png")
        assert left_out(root) == [("train/a/pipe.png", "not-a-picture")]


class TestLinks:
    def test_links_to_files_and_folders_are_followed(self, root: Path, tmp_path: Path) -> None:
        write(tmp_path / "elsewhere", "1.png", "deep/2.png")
        (root / "train/a/linked").symlink_to(tmp_path / "elsewhere")
        (root / "train/a/file.png").symlink_to(tmp_path / "elsewhere/1.png")
        (root / "train/c").symlink_to(tmp_path / "elsewhere")
        listing = list_data_set(root)
        assert [name for name in names(listing, root) if name.startswith("train")] == [
            "train/a/0.png",
            "train/a/file.png",
            "train/a/linked/1.png",
            "train/a/linked/deep/2.png",
            "train/b/0.png",
            "train/c/1.png",
            "train/c/deep/2.png",
        ]

    def test_a_link_to_what_is_listed_anyway_counts_once(self, root: Path) -> None:
        before = names(list_data_set(root), root)
        (root / "train/a/up").symlink_to(root / "train/a")
        write(root, "train/b/inner/1.png")
        (root / "train/b/twice").symlink_to(root / "train/b/inner")
        assert names(list_data_set(root), root) == [*before[:2], "train/b/inner/1.png", *before[2:]]
        assert left_out(root) == [("train/a/up", "listed-already"), ("train/b/twice", "listed-already")]

    def test_a_link_that_leads_nowhere_is_unreadable(self, root: Path) -> None:
        (root / "train/a/gone.png").symlink_to("missing.png")
        (root / "train/a/circle").symlink_to("circle")
        reasons = {one.path.name: one.reason for one in list_data_set(root).unreadable}
        assert reasons["gone.png"] == "it is a link to missing.png, which does not exist"
        assert reasons["circle"].startswith("it is a link to circle: ")


class TestSplits:
    @pytest.mark.parametrize(
        ("train", "valid", "test"),
        [
            ("Train", "Valid", "Test"),
            ("TRAIN", "VAL", "TEST"),
            ("training", "validation", "testing"),
            ("Training Set", "dev", "test_set"),
        ],
    )
    def test_the_usual_spellings_are_known(self, root: Path, train: str, valid: str, test: str) -> None:
        for split, name in {"train": train, "valid": valid, "test": test}.items():
            (root / split).rename(root / "renaming")
            (root / "renaming").rename(root / name)
        listing = list_data_set(root)
        assert {split: paths[0].name for split, paths in listing.folders.items()} == {
            "train": train,
            "valid": valid,
            "test": test,
        }
        assert all(list(classes) == ["a", "b"] for classes in listing.splits.values())

    def test_what_lies_beside_the_splits_is_left_out(self, root: Path) -> None:
        write(root, "unlabeled/0.png", "README.md", ".DS_Store", "train/stray.png", "train/labels", content=PNG)
        write(root, "train/list.csv", content=b"a,b")
        assert left_out(root) == [
            (".DS_Store", "hidden"),
            ("README.md", "outside-splits"),
            ("unlabeled", "outside-splits"),
            ("train/labels", "outside-class"),
            ("train/list.csv", "not-a-picture"),
            ("train/stray.png", "outside-class"),
        ]

    def test_beside_other_classes_a_folder_of_pictures_is_a_class(self, tmp_path: Path) -> None:
        write(tmp_path, "train/0.png", "test/0.png", "bus/0.png")
        assert list(list_data_set(tmp_path).splits[UNSPLIT]) == ["bus", "test", "train"]

    def test_classes_may_be_named_train_and_test_within_a_split(self, tmp_path: Path) -> None:
        write(tmp_path, "train/train/0.png", "train/test/0.png", "test/train/0.png")
        assert list(list_data_set(tmp_path).splits["train"]) == ["test", "train"]

    def test_both_folders_of_a_split_are_named(self, root: Path) -> None:
        write(root, "val/a/1.png")
        assert list_data_set(root).folders["valid"] == (root / "val", root / "valid")
