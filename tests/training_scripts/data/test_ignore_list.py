"""The ignore list: its format, and the pictures that it keeps out of listings, features and training."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from training_scripts.data import faults, ignore_list, image_folder, listing
from training_scripts.data.image_folder import find_splits, read_dataset, read_unsplit

LISTED = ("train/a/1.jpg", "train/a/2.jpg", "train/b/1.jpg", "valid/a/1.jpg", "valid/b/1.jpg")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in LISTED:
        path = tmp_path / "dogs" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"picture " + name.encode())
    return tmp_path / "dogs"


def ignore(root: Path, text: str) -> None:
    (root / ignore_list.FILE_NAME).write_bytes(text.encode("utf-8", "surrogateescape"))


def names(dataset: image_folder.DataSet) -> list[str]:
    return [f"{split}/{sample.name}" for split, samples in dataset.splits.items() for sample in samples]


def test_a_line_has_a_path_and_the_reason_as_a_comment() -> None:
    text = "\ufeff# reviewed\r\n\r\ntrain/a/1.jpg  # likely b\r\n  ./train/a/2.jpg\nvalid/a/no#comment.jpg\n"
    assert ignore_list.parse(text.encode()) == {
        "train/a/1.jpg": "likely b",
        "./train/a/2.jpg": "",
        "valid/a/no#comment.jpg": "",
    }


@pytest.mark.parametrize(
    "path",
    [
        "train/a/plain name.jpg",
        "train/a/odd #name.jpg",
        "#first.jpg",
        " spaces around ",
        '"quoted".jpg',
        'train/"a/1.jpg',
        "line\nbreak.jpg",
        "line\u2028break.jpg",
        "trailing\u00a0",
        os.fsdecode(b"train/a/\xff.jpg"),
        "train/ü/日本.jpg",
    ],
)
def test_every_path_survives_the_file(path: str) -> None:
    text = ignore_list.render({path: "a\nreason", "next": ""})
    assert ignore_list.parse(text.encode("utf-8", "surrogateescape")) == {path: "a reason", "next": ""}


def test_listed_pictures_are_left_out_with_the_reason(root: Path) -> None:
    before = image_folder.fingerprint(read_dataset(find_splits(root)))
    ignore(root, "train/a/2.jpg # likely b\nvalid/b/1.jpg\n")
    dataset = read_dataset(find_splits(root))
    assert names(dataset) == ["train/a/1.jpg", "train/b/1.jpg", "valid/a/1.jpg"]
    assert dataset.ignored == ("dogbreed-ignore.txt: 2 pictures are ignored",)
    (root / "train/a/2.jpg").unlink()
    (root / "valid/b/1.jpg").unlink()
    ignore(root, "")
    assert image_folder.fingerprint(read_dataset(find_splits(root))) == image_folder.fingerprint(dataset) != before


def test_what_the_list_names_in_vain_is_reported_and_no_fault(root: Path) -> None:
    ignore(root, "train/a/2.jpg\ntrain/a/9.jpg\n/train/b/1.jpg\n../dogs/train/b/1.jpg\ntrain/b\n")
    listed = listing.list_data_set(root)
    assert faults.find(listed) == []
    assert list(faults.ignored(listed)) == [
        "dogbreed-ignore.txt: 1 picture is ignored",
        (
            "dogbreed-ignore.txt: 4 paths name no picture of this data set: train/a/9.jpg, /train/b/1.jpg, "
            "../dogs/train/b/1.jpg and 1 more"
        ),
    ]


def test_spellings_of_splits_and_unicode_forms_do_not_matter(root: Path) -> None:
    (root / "valid").rename(root / "Validation")
    (root / "train/a/1.jpg").rename(root / "train/a/u\u0308.jpg")
    ignore(root, "Val/b/1.jpg\ntraining/a/\u00fc.jpg\n")
    dataset = read_dataset(find_splits(root))
    assert names(dataset) == ["train/a/2.jpg", "train/b/1.jpg", "valid/a/1.jpg"]
    assert dataset.ignored == ("dogbreed-ignore.txt: 2 pictures are ignored",)


def test_a_folder_of_classes_has_its_own_list(root: Path) -> None:
    (root / "train/test").mkdir()
    (root / "train/test/1.jpg").write_bytes(b"a class may be called test")
    ignore(root / "train", "a/2.jpg\ntest/1.jpg\ntesting/1.jpg\n")
    listed = listing.list_splits({listing.UNSPLIT: root / "train"})
    assert [path.relative_to(root).as_posix() for *_, path in listed.pictures()] == ["train/a/1.jpg", "train/b/1.jpg"]
    assert listed.ignored_nothing == ("testing/1.jpg",)
    assert [one.kind for one in listed.left_out] == ["ignored", "ignored"]


def test_a_class_without_pictures_is_the_usual_fault(root: Path) -> None:
    ignore(root, "train/b/1.jpg\n")
    with pytest.raises(image_folder.DataError, match="Classes without a picture in the train split: b"):
        read_dataset(find_splits(root))


def test_a_list_that_cannot_be_read_is_a_fault(root: Path) -> None:
    (root / ignore_list.FILE_NAME).mkdir()
    with pytest.raises(image_folder.DataError, match=r"dogbreed-ignore\.txt: Is a directory"):
        read_dataset(find_splits(root))


def test_without_a_list_nothing_is_said(root: Path) -> None:
    assert read_dataset(find_splits(root)).ignored == ()
    assert read_unsplit(root / "train").ignored == ()


def test_a_list_on_one_instance_counts_on_all(root: Path, tmp_path: Path) -> None:
    shards = {"one": ("train/a/1.jpg", "valid/a/1.jpg"), "other": ("train/a/2.jpg", "train/b/1.jpg", "valid/b/1.jpg")}
    for shard, held in shards.items():
        for name in held:
            path = tmp_path / shard / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes((root / name).read_bytes())
    ignore(tmp_path / "one", "train/a/2.jpg\nvalid/a/1.jpg\nvalid/a/9.jpg\n")
    listed = [listing.list_splits({s: tmp_path / shard / s for s in ("train", "valid")}) for shard in shards]
    everybody: list[listing.Names] = []
    keep: Callable[[listing.Names], list[listing.Names]] = lambda mine: [everybody.append(mine) or mine]  # type: ignore[func-returns-value]  # noqa: E731
    for each in listed:
        listing.with_others(each, keep)
    for each in listed:
        merged = listing.with_others(each, lambda _mine: everybody)
        pictures = [path.relative_to(path.parents[2]).as_posix() for *_, path in merged.pictures()]
        assert pictures == ["train/a/1.jpg", "train/b/1.jpg", "valid/b/1.jpg"]
        assert merged.ignored_nothing == ("valid/a/9.jpg",)
