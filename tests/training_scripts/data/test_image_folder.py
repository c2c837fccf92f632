"""Data sets: which folders are splits, which class has which index, and what identifies the content."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from training_scripts.data.image_folder import (
    DataError,
    channel_classes,
    check_skipped,
    find_splits,
    fingerprint,
    read_dataset,
    split_folders,
)


def write(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(name.encode())
    return root


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write(
        tmp_path / "data",
        *(f"train/{name}/{number}.jpg" for name in ("1", "10", "2") for number in range(2)),
        "valid/10/0.jpg",
        "test/1/0.jpg",
        "test/2/0.png",
    )


class TestFolders:
    def test_a_channel_for_each_split(self, root: Path) -> None:
        environ = {f"SM_CHANNEL_{split.upper()}": str(root / split) for split in ("train", "valid", "test")}
        assert split_folders(environ) == {split: root / split for split in ("train", "valid", "test")}

    def test_one_channel_with_the_three_folders(self, root: Path) -> None:
        assert split_folders({"SM_CHANNEL_TRAINING": str(root)}) == find_splits(root)

    @pytest.mark.parametrize("name", ["validation", "val"])
    def test_other_names_of_the_validation_split(self, root: Path, name: str) -> None:
        environ = {"SM_CHANNEL_TRAIN": str(root / "train"), f"SM_CHANNEL_{name.upper()}": str(root / "valid")}
        assert split_folders(environ)["valid"] == root / "valid"
        (root / "valid").rename(root / name)
        assert find_splits(root)["valid"] == root / name

    @pytest.mark.parametrize(
        ("train", "valid", "test"),
        [("TRAINING", "VALIDATION", "TESTING"), ("Train", "Val", "Test"), ("TRAIN_SET", "DEV", "TEST-SET")],
    )
    def test_channels_may_have_any_usual_spelling(self, root: Path, train: str, valid: str, test: str) -> None:
        named = {"train": train, "valid": valid, "test": test}
        environ = {f"SM_CHANNEL_{name}": str(root / split) for split, name in named.items()}
        assert split_folders(environ) == {split: root / split for split in named}
        assert channel_classes(environ) == ("1", "10", "2")

    def test_two_channels_for_one_split_are_named(self, root: Path) -> None:
        environ = {"SM_CHANNEL_TRAINING": str(root), "SM_CHANNEL_DEV": str(root / "test")}
        with pytest.raises(DataError, match=r"Two folders for the valid split: .*/test and .*/valid\. Keep one"):
            split_folders(environ)

    def test_two_validation_folders_are_refused(self, root: Path) -> None:
        shutil.copytree(root / "valid", root / "val")
        with pytest.raises(DataError, match=r"Two folders for the valid split"):
            find_splits(root)

    def test_without_a_train_channel_the_message_lists_the_channels_there_are(self) -> None:
        with pytest.raises(DataError, match=r"the channels features, test\. Pass a channel named train"):
            split_folders({"SM_CHANNEL_TEST": "/x", "SM_CHANNEL_FEATURES": "/y"})
        with pytest.raises(DataError, match=r"the job has no channel"):
            split_folders({})

    def test_a_folder_without_train_is_no_data_set(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match=r"has no folder named train"):
            find_splits(tmp_path)
        with pytest.raises(DataError, match=r"does not exist"):
            find_splits(tmp_path / "nowhere")


class TestClasses:
    def test_indices_follow_the_train_split_sorted_by_folder_name(self, root: Path) -> None:
        dataset = read_dataset(find_splits(root))
        assert dataset.classes == ("1", "10", "2")
        assert [(sample.name, sample.class_index) for sample in dataset.splits["train"][2:4]] == [
            ("10/0.jpg", 1),
            ("10/1.jpg", 1),
        ]

    def test_a_class_missing_elsewhere_shifts_no_index(self, root: Path) -> None:
        splits = read_dataset(find_splits(root)).splits
        assert [sample.class_index for sample in splits["valid"]] == [1]
        assert [(sample.name, sample.class_index) for sample in splits["test"]] == [("1/0.jpg", 0), ("2/0.png", 2)]

    def test_a_class_unknown_to_the_train_split_is_named(self, root: Path) -> None:
        write(root, "test/3/0.jpg")
        with pytest.raises(DataError, match=r"The test split has classes that the train split lacks: 3 "):
            read_dataset(find_splits(root))

    def test_a_class_with_nothing_to_train_on_is_named(self, root: Path) -> None:
        write(root, "train/20/notes.txt")
        with pytest.raises(DataError, match=r"without a picture in the train split: 20\."):
            read_dataset(find_splits(root))

    def test_a_split_without_pictures_is_refused(self, root: Path) -> None:
        (root / "valid/10/0.jpg").unlink()
        with pytest.raises(DataError, match=r"The valid split has no picture"):
            read_dataset(find_splits(root))

    def test_a_whole_data_set_in_place_of_its_train_split_is_recognized(self, root: Path) -> None:
        with pytest.raises(DataError, match=r"channel named training"):
            read_dataset({"train": root})

    def test_a_class_may_be_named_like_a_split(self, tmp_path: Path) -> None:
        root = write(tmp_path, *(f"{split}/{name}/0.jpg" for split in ("train", "valid") for name in ("car", "train")))
        assert read_dataset(find_splits(root)).classes == ("car", "train")

    def test_only_pictures_count(self, root: Path) -> None:
        write(
            root, "train/1/.hidden.jpg", "train/1/Thumbs.db", "train/1/below/3.JPEG", "train/.git/x.jpg", "train/a.jpg"
        )
        dataset = read_dataset(find_splits(root))
        assert [sample.name for sample in dataset.splits["train"] if sample.class_index == 0] == [
            "1/0.jpg",
            "1/1.jpg",
            "1/below/3.JPEG",
        ]


class TestFingerprint:
    def test_stays_what_it_was_for_an_ordinary_data_set(self, root: Path) -> None:
        """Features and uploads that exist are found by it."""
        write(root, "train/1/deep/er/x.PNG", "train/1/deep/0.webp", "train/1/notes.txt", "train/1/.x.jpg", "README.md")
        before = "d025cacd300117f57b9abcc801b8f75eb7e18394cc0cbc801cb77c37f33ad458"
        assert fingerprint(read_dataset(find_splits(root))) == before

    def test_does_not_depend_on_where_the_data_lie(self, root: Path, tmp_path: Path) -> None:
        elsewhere = shutil.copytree(root, tmp_path / "elsewhere")
        assert fingerprint(read_dataset(find_splits(root))) == fingerprint(read_dataset(find_splits(elsewhere)))

    @pytest.mark.parametrize("change", ["content", "name", "split"])
    def test_changes_with_the_data(self, root: Path, change: str) -> None:
        before = fingerprint(read_dataset(find_splits(root)))
        picture = root / "train/10/1.jpg"
        if change == "content":
            picture.write_bytes(picture.read_bytes()[::-1])
        else:
            picture.rename(root / ("train/10/2.jpg" if change == "name" else "valid/10/1.jpg"))
        assert fingerprint(read_dataset(find_splits(root))) != before

    def test_takes_names_that_are_no_unicode(self, root: Path) -> None:
        shutil.copy(root / "train/1/0.jpg", bytes(root / "train/1") + b"/\xff.jpg")
        assert len(fingerprint(read_dataset(find_splits(root)))) == 64

    def test_names_the_file_that_cannot_be_read(self, root: Path) -> None:
        dataset = read_dataset(find_splits(root))
        (root / "train/2/1.jpg").unlink()
        with pytest.raises(DataError, match=r"Cannot read .*train/2/1\.jpg: No such file"):
            fingerprint(dataset)


class TestSkipped:
    @pytest.mark.parametrize(("total", "skipped"), [(3, 2), (10, 2), (100, 5), (1000, 50), (10, 0)])
    def test_a_few_are_allowed(self, total: int, skipped: int) -> None:
        check_skipped("train", total, ["x"] * skipped)

    @pytest.mark.parametrize(("total", "skipped"), [(10, 3), (100, 6), (1000, 51), (2, 2)])
    def test_more_are_refused_with_the_first_names(self, total: int, skipped: int) -> None:
        rule = "Up to 5% of a split, or 2 pictures if that is more, may be unreadable, but never all of them"
        message = rf"{skipped} of the {total:,} pictures of the train split.*{rule}.*a0, a1"
        with pytest.raises(DataError, match=message):
            check_skipped("train", total, [f"a{number}" for number in range(skipped)])
