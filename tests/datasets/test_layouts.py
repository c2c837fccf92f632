"""Layouts that people download: recognized, named with the command that converts them, and converted."""

from __future__ import annotations

import errno
import os
import pickle
import random
import shlex
import shutil
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dogbreed_sdk.cli import main
from dogbreed_sdk.datasets import layouts
from dogbreed_sdk.datasets.dataset import BreedDataset
from dogbreed_sdk.errors import DatasetError
from dogbreed_sdk.jobs.trainer import BreedTrainer
from dogbreed_sdk.session import Session

pytestmark = pytest.mark.extras

ALL_TO_TRAIN = {"valid": 0.0, "test": 0.0}


def draw(path: Path) -> None:
    """A picture of colored blots, which is like no other."""
    path.parent.mkdir(parents=True, exist_ok=True)
    blots = random.Random("/".join(path.parts[-3:])).randbytes(3 * 5 * 5)
    Image.frombytes("RGB", (5, 5), blots).resize((64, 64), Image.Resampling.BICUBIC).save(path, "PNG")


def make(root: Path, names: Iterable[str]) -> Path:
    for name in names:
        draw(root / name)
    return root


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def converted(root: Path, **settings: object) -> list[str]:
    """What the folder becomes: the paths below the new data set, which must be fit to train on."""
    dataset = BreedDataset.convert(root, root.parent / "converted", **(ALL_TO_TRAIN | settings))  # type: ignore[arg-type]
    assert dataset.splits["train"]
    return sorted(path.relative_to(dataset.root).as_posix() for path in dataset.root.rglob("*") if path.is_file())


def description(root: Path) -> str:
    layout = layouts.recognize(root)
    assert layout is not None
    return str(layout)


class TestCifar:
    @pytest.fixture
    def batches(self, tmp_path: Path) -> Path:
        folder = tmp_path / "download" / "cifar-10-batches-py"
        folder.mkdir(parents=True)
        rows = np.random.default_rng(0).integers(0, 256, (6, 3072), dtype=np.uint8)

        def save(name: str, content: dict[bytes, object]) -> None:
            (folder / name).write_bytes(pickle.dumps(content, protocol=2))

        save("batches.meta", {b"label_names": [b"cat", b"dog"], b"num_vis": 3072})
        save("data_batch_1", {b"data": rows[:2], b"labels": [0, 1]})
        save("data_batch_2", {b"data": rows[2:4], b"labels": [1, 0]})
        save("test_batch", {b"data": rows[4:], b"labels": [0, 1]})
        return folder

    def test_batches_become_pictures_pixel_by_pixel(self, batches: Path) -> None:
        root = batches.parent
        assert description(root) == "CIFAR-10's Python batches (2 classes, 6 pictures)"
        assert converted(root) == [
            "test/cat/test_batch_00000.png",
            "test/dog/test_batch_00001.png",
            "train/cat/data_batch_1_00000.png",
            "train/cat/data_batch_2_00001.png",
            "train/dog/data_batch_1_00001.png",
            "train/dog/data_batch_2_00000.png",
        ]
        rows = np.random.default_rng(0).integers(0, 256, (6, 3072), dtype=np.uint8)
        with Image.open(root.parent / "converted/train/dog/data_batch_1_00001.png") as image:
            assert (np.asarray(image) == rows[1].reshape(3, 32, 32).transpose(1, 2, 0)).all()

    @pytest.mark.parametrize("form", ["gztar", "zip"])
    def test_the_archive_as_it_is_published(self, batches: Path, tmp_path: Path, form: str) -> None:
        archive = shutil.make_archive(str(tmp_path / "cifar-10-python"), form, batches.parent)
        dataset = BreedDataset.convert(archive, tmp_path / "cifar")
        assert (dataset.classes, dataset.splits) == (("cat", "dog"), {"train": 4, "test": 2})
        assert sorted(path.name for path in tmp_path.iterdir()) == ["cifar", Path(archive).name, "download"]

    def test_an_archive_that_is_broken_leaves_nothing_behind(self, batches: Path, tmp_path: Path) -> None:
        archive = Path(shutil.make_archive(str(tmp_path / "cifar"), "gztar", batches.parent))
        archive.write_bytes(archive.read_bytes()[:-900])
        with pytest.raises(DatasetError, match="the archive is broken"):
            BreedDataset.convert(archive, tmp_path / "converted")
        assert sorted(path.name for path in tmp_path.iterdir()) == ["cifar.tar.gz", "download"]

    @pytest.mark.parametrize("name", [b"../../outside", b"/outside", b".hidden", b" "])
    def test_a_class_name_cannot_lead_elsewhere(self, batches: Path, tmp_path: Path, name: bytes) -> None:
        (batches / "batches.meta").write_bytes(pickle.dumps({b"label_names": [name, b"dog"]}, protocol=2))
        with pytest.raises(DatasetError, match=r"batches\.meta names the class '.*', which cannot be a folder's name"):
            BreedDataset.convert(batches, tmp_path / "converted")
        assert sorted(path.name for path in tmp_path.iterdir()) == ["download"]

    def test_the_finer_classes_of_cifar_100(self, tmp_path: Path) -> None:
        folder = tmp_path / "cifar-100-python"
        folder.mkdir()
        rows = np.random.default_rng(1).integers(0, 256, (2, 3072), dtype=np.uint8)
        meta = {b"fine_label_names": [b"wolf", b"fox"], b"coarse_label_names": [b"animal"]}
        (folder / "meta").write_bytes(pickle.dumps(meta, protocol=2))
        train = {b"data": rows, b"fine_labels": [1, 0], b"coarse_labels": [0, 0]}
        (folder / "train").write_bytes(pickle.dumps(train, protocol=2))
        assert converted(folder) == ["train/fox/train_00000.png", "train/wolf/train_00001.png"]

    def test_a_pickle_that_names_a_function_is_refused_and_not_run(self, batches: Path, tmp_path: Path) -> None:
        class Evil:
            def __reduce__(self) -> tuple[object, tuple[str]]:
                return os.mkdir, (str(tmp_path / "ran"),)

        (batches / "data_batch_1").write_bytes(pickle.dumps({b"data": Evil(), b"labels": []}, protocol=2))
        with pytest.raises(DatasetError, match=r"data_batch_1 is not a batch of CIFAR: it names posix\.mkdir"):
            BreedDataset.convert(batches, tmp_path / "converted")
        assert not (tmp_path / "ran").exists()
        assert not (tmp_path / "converted").exists()

    @pytest.mark.parametrize(
        ("batch", "message"),
        [
            ({b"data": np.zeros((1, 3071), np.uint8), b"labels": [0]}, "its data are not rows of 3,072 bytes"),
            ({b"data": np.zeros((1, 3072), np.uint8), b"labels": [0, 1]}, "has 1 pictures, but not as many labels"),
            ({b"data": np.zeros((1, 3072), np.uint8), b"labels": [2]}, "the label 2; there are 2 classes"),
            ([], "contains list"),
        ],
    )
    def test_a_batch_that_is_none_is_named(self, batches: Path, batch: object, message: str, tmp_path: Path) -> None:
        (batches / "data_batch_2").write_bytes(pickle.dumps(batch, protocol=2))
        with pytest.raises(DatasetError, match=message) as caught:
            BreedDataset.convert(batches, tmp_path / "converted")
        assert "data_batch_2" in str(caught.value)


class TestTables:
    def test_kaggles_folder_and_table(self, tmp_path: Path) -> None:
        root = make(tmp_path / "kaggle", ["train/a1.jpg", "train/b2.jpg", "train/c3.jpg", "test/d4.jpg"])
        write(root / "labels.csv", "id,breed\na1,pug\nb2,boxer\nc3,pug\n")
        write(root / "sample_submission.csv", "id,pug,boxer\nd4,0.5,0.5\n")
        assert description(root) == "pictures with their classes in labels.csv (2 classes, 3 pictures)"
        layout = layouts.recognize(root)
        assert layout is not None
        assert layout.left_out == ("1 picture without a class in labels.csv",)
        assert converted(root) == ["train/boxer/b2.jpg", "train/pug/a1.jpg", "train/pug/c3.jpg"]

    def test_a_column_of_splits_and_one_of_numbers(self, tmp_path: Path) -> None:
        root = make(tmp_path / "birds", ["x/1.jpg", "x/2.jpg", "y/1.jpg", "y/2.jpg"])
        table = "class id;filepaths;labels;data set\n0;x/1.jpg;jay;train\n1;y/1.jpg;owl;train\n"
        write(root / "birds.csv", table + "0;./x/2.jpg;jay;test\n1;imgs\\y\\2.jpg;owl;valid\n")
        assert converted(root) == ["test/jay/2.jpg", "train/jay/1.jpg", "train/owl/1.jpg", "valid/owl/2.jpg"]

    def test_a_table_for_each_split(self, tmp_path: Path) -> None:
        root = make(tmp_path / "data", [f"images/{number}.png" for number in range(5)])
        write(root / "train.csv", "image,label\n0.png,a\n1.png,b\n2.png,b\n")
        write(root / "val.csv", "image,label\n3.png,a\n4.png,b\n")
        assert converted(root) == [
            *("train/a/0.png", "train/b/1.png", "train/b/2.png"),
            *("valid/a/3.png", "valid/b/4.png"),
        ]

    def test_a_table_elsewhere_is_named(self, tmp_path: Path) -> None:
        root = make(tmp_path / "pictures", ["0.png", "1.png"])
        table = write(tmp_path / "elsewhere.csv", "file,kind\n0,a\n1,b\n")
        assert converted(root, labels=table) == ["train/a/0.png", "train/b/1.png"]
        other = write(tmp_path / "other.csv", "city,height\nRome,21\n")
        with pytest.raises(
            DatasetError, match=r"other\.csv does not list the pictures in .*pictures with their classes"
        ):
            BreedDataset.convert(root, tmp_path / "again", labels=other)

    @pytest.mark.parametrize("name", ["../escaped", ".hidden", "a/b", "bell\x07"])
    def test_a_class_that_cannot_be_a_folder(self, tmp_path: Path, name: str) -> None:
        root = make(tmp_path / "pictures", ["0.png", "1.png"])
        write(root / "labels.csv", f"id,label\n0,{name}\n1,b\n")
        with pytest.raises(DatasetError, match=r"labels\.csv names the class .* which cannot be a folder's name"):
            BreedDataset.convert(root, tmp_path / "converted")

    def test_two_files_of_a_name_both_stay(self, tmp_path: Path) -> None:
        root = make(tmp_path / "pictures", ["a/0.png", "b/0.png", "b/1.png"])
        write(root / "labels.csv", "file,label\na/0.png,pug\nb/0.png,pug\nb/1.png,jay\n")
        assert converted(root) == ["train/jay/1.png", "train/pug/0-2.png", "train/pug/0.png"]


class TestNames:
    def test_oxfords_pictures_with_their_own_splits(self, tmp_path: Path) -> None:
        pictures = [f"{breed}_{number}" for breed in ("Abyssinian", "american_bulldog") for number in range(1, 4)]
        root = make(tmp_path / "pets", [f"images/{name}.jpg" for name in pictures])
        write(root / "annotations/trainval.txt", "".join(f"{name} 1 1 1\n" for name in pictures if name[-1] != "3"))
        write(root / "annotations/test.txt", "".join(f"{name} 1 1 1\n" for name in pictures if name[-1] == "3"))
        assert converted(root) == [
            *("test/Abyssinian/Abyssinian_3.jpg", "test/american_bulldog/american_bulldog_3.jpg"),
            *("train/Abyssinian/Abyssinian_1.jpg", "train/Abyssinian/Abyssinian_2.jpg"),
            *("train/american_bulldog/american_bulldog_1.jpg", "train/american_bulldog/american_bulldog_2.jpg"),
        ]

    def test_dogs_vs_cats(self, tmp_path: Path) -> None:
        names = [f"train/{animal}.{number}.jpg" for animal in ("cat", "dog") for number in range(2)]
        root = make(tmp_path / "dogs-vs-cats", [*names, "test1/1.jpg", "test1/2.jpg"])
        assert converted(root) == [
            *("train/cat/cat.0.jpg", "train/cat/cat.1.jpg", "train/dog/dog.0.jpg", "train/dog/dog.1.jpg")
        ]

    def test_a_flat_folder_gets_all_splits(self, tmp_path: Path) -> None:
        root = make(tmp_path / "flat", [f"{name} ({number}).png" for name in ("Pug", "Jay") for number in range(10)])
        dataset = BreedDataset.convert(root, tmp_path / "converted", valid=0.2, test=0.1)
        assert dataset.splits == {"train": 14, "valid": 4, "test": 2}
        assert dataset.classes == ("Jay", "Pug")

    def test_a_cameras_names_are_no_classes(self, tmp_path: Path) -> None:
        root = make(tmp_path / "camera", [f"IMG_{number:04}.jpg" for number in range(4)])
        assert layouts.recognize(root) is None
        with pytest.raises(DatasetError, match="contains no folders; expected train/<class>/<picture>"):
            BreedDataset.convert(root, tmp_path / "converted")


class TestFolders:
    def test_stanfords_images_beside_annotations(self, tmp_path: Path) -> None:
        breeds = ("n02085620-Chihuahua", "n02110958-pug")
        root = make(tmp_path / "dogs", [f"Images/{breed}/{number}.jpg" for breed in breeds for number in range(2)])
        write(root / f"Annotation/{breeds[0]}/0", "<annotation/>")
        assert description(root) == "class folders in Images, beside Annotation (2 classes, 4 pictures)"
        assert converted(root) == [f"train/{breed}/{number}.jpg" for breed in breeds for number in range(2)]

    def test_splits_that_say_so_in_longer_names(self, tmp_path: Path) -> None:
        places = [("seg_train/seg_train", 3), ("seg_test/seg_test", 1), ("seg_pred/seg_pred", 0)]
        names = [f"{place}/{kind}/{number}.jpg" for place, count in places for kind in "ab" for number in range(count)]
        root = make(tmp_path / "intel", [*names, "seg_pred/seg_pred/7.jpg"])
        assert converted(root) == sorted(
            f"{split}/{kind}/{number}.jpg"
            for split, count in (("train", 3), ("test", 1))
            for kind in "ab"
            for number in range(count)
        )

    def test_splits_that_a_person_has_to_name(self, tmp_path: Path) -> None:
        names = [
            f"{place}/{kind}/{number}.png"
            for place, count in (("A", 1), ("B", 3))
            for kind in "xy"
            for number in range(count)
        ]
        root = make(tmp_path / "data", names)
        with pytest.raises(DatasetError, match=r"Confirm them with folders=\{'train': 'B', 'test': 'A'\}"):
            BreedDataset.convert(root, tmp_path / "converted")
        result = converted(root, folders={"train": "B", "test": "A"})
        assert [name for name in result if name.startswith("test")] == ["test/x/0.png", "test/y/0.png"]
        with pytest.raises(DatasetError, match=r"data/C, the valid split's folder, does not exist"):
            BreedDataset.convert(root, tmp_path / "again", folders={"train": "B", "valid": "C"})

    @pytest.mark.parametrize(
        "names",
        [
            ["train/a/0.png", "test/a/0.png"],
            ["Train/a/0.png", "Valid/a/0.png"],
            ["a/0.png", "b/0.png"],
            ["a/a_1.png", "a/a_2.png", "b/b_1.png", "b/b_2.png"],
        ],
    )
    def test_ours_need_no_conversion(self, tmp_path: Path, names: list[str]) -> None:
        root = make(tmp_path / "data", names)
        assert layouts.recognize(root) is None
        with pytest.raises(DatasetError, match="needs no conversion"):
            BreedDataset.convert(root, tmp_path / "converted")


class TestMissingSplits:
    @pytest.fixture
    def halves(self, tmp_path: Path) -> BreedDataset:
        names = [f"train/{kind}/{number}.png" for kind in "ab" for number in range(10)]
        return BreedDataset.from_folder(make(tmp_path / "data", [*names, "test/a/0.png", "test/b/0.png"]))

    def test_valid_is_made_of_train_and_test_stays(self, halves: BreedDataset) -> None:
        complete = halves.split_from_train(valid=0.2)
        assert complete.splits == {"train": 16, "valid": 4, "test": 2}
        assert complete.root == halves.root.with_name("data-split")
        test = [picture.path.relative_to(complete.root).as_posix() for picture in complete.pictures("test")]
        assert test == ["test/a/0.png", "test/b/0.png"]
        with pytest.raises(DatasetError, match="no split is missing"):
            complete.split_from_train()

    def test_on_the_command_line(
        self, halves: BreedDataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main(["data", "split", str(halves.root), str(tmp_path / "out"), "--from-train", "--valid", "0.1"]) == 0
        assert "train 18, valid 2, test 2" in capsys.readouterr().out

    def test_copies_of_a_picture_stay_on_one_side(self, tmp_path: Path) -> None:
        root = make(tmp_path / "data", [f"{kind}/{number}.png" for kind in "ab" for number in range(6)])
        with Image.open(root / "a/0.png") as image:
            image.resize((48, 48)).save(root / "a/small.jpg", quality=60)
        divided = BreedDataset.from_folder(root).split(valid=0.3, test=0.3)
        where = {picture.path.name for picture in divided.pictures("train") if picture.class_folder == "a"}
        assert {"0.png", "small.jpg"} <= where


def test_check_names_the_layout_and_not_what_follows_from_it(tmp_path: Path) -> None:
    names = [f"Images/n02085620-{breed}/{number}.jpg" for breed in ("Chihuahua", "pug") for number in range(2)]
    root = make(tmp_path / "dogs", names)
    write(root / "Annotation/n02085620-pug/0", "<annotation/>")
    errors = BreedDataset.from_folder(root).check().errors
    assert [(error.code, error.remedy) for error in errors] == [
        ("layout", f"Convert it with BreedDataset.convert() or `dogbreed data convert {root} DEST`.")
    ]


def test_the_printed_command_converts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = make(tmp_path / "my pets", [f"{name}_{number}.png" for name in ("Pug", "Jay") for number in range(8)])
    assert main(["data", "check", str(root)]) == 1
    error = capsys.readouterr().err
    assert "pictures in one folder, the class in each file's name (2 classes, 16 pictures)" in error
    assert f"data convert '{root}' DEST" in error
    assert main(["data", "convert", str(root), str(tmp_path / "out")]) == 0
    assert main(["data", "check", str(tmp_path / "out"), "--json"]) == 0


class TestSourcesThatCannotBeRead:
    def test_a_missing_folder_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(DatasetError, match=r"nope does not exist; pass a data set's folder"):
            BreedDataset.convert(tmp_path / "nope", tmp_path / "dest")

    def test_a_folder_that_cannot_be_listed_is_named(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        closed = tmp_path / "images"
        closed.mkdir()

        def refuse(path: object) -> None:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))

        monkeypatch.setattr(os, "scandir", refuse)  # modes do not hold for root
        with pytest.raises(DatasetError, match=r"Cannot read .*images: Permission denied\. Make it readable"):
            BreedDataset.convert(closed, tmp_path / "dest")


class TestLayoutsThatCheckNames:
    """Check, split and training name one layout, and the command that converts it."""

    def test_kaggles_train_folder_beside_its_table(self, tmp_path: Path, session: Session) -> None:
        root = make(tmp_path / "dog breeds", [f"train/{n}.png" for n in range(16)] + ["test/x.png"])
        rows = "".join(f"{n},{('pug', 'boxer')[n % 2]}\n" for n in range(16))
        write(root / "labels.csv", f"id,breed\n{rows}")
        found = BreedDataset.from_folder(root).check().findings
        command = f"dogbreed data convert '{root}' DEST"
        assert [(finding.level, finding.code) for finding in found] == [("error", "layout")]
        assert command in found[0].remedy
        with pytest.raises(DatasetError, match=r"pictures with their classes in labels\.csv") as refused:
            BreedTrainer(session=session).train(root)
        assert command in str(refused.value)

    def test_split_names_the_layout_of_folders_that_are_no_classes(self, tmp_path: Path) -> None:
        root = make(tmp_path / "dogs", [f"Images/{breed}/{number}.jpg" for breed in "ab" for number in range(2)])
        write(root / "Annotation/a/0", "<annotation/>")
        with pytest.raises(DatasetError, match=r"class folders in Images, beside Annotation .* `dogbreed data convert"):
            BreedDataset.from_folder(root).split(tmp_path / "out")

    def test_a_guess_leaves_the_way_to_divide_open(self, tmp_path: Path) -> None:
        root = make(tmp_path / "pets", [f"{kind}/{place}/{n}.png" for kind in "xyz" for place in "io" for n in (1, 2)])
        (error,) = BreedDataset.from_folder(root).check().errors
        assert f"if these folders are classes, divide it with `dogbreed data split {root} DEST`" in error.remedy
        assert BreedDataset.from_folder(root).split(tmp_path / "out").classes == ("x", "y", "z")

    def test_a_split_under_another_name_beside_train(self, tmp_path: Path) -> None:
        names = [f"{split}/{kind}/{n}.png" for split in ("train", "holdout", "test") for kind in "ab" for n in (1, 2)]
        root = make(tmp_path / "my data", names)
        report = BreedDataset.from_folder(root).check()
        (missing,) = [finding for finding in report.findings if finding.code == "missing-split"]
        command = missing.remedy.split("`")[1]
        assert "--valid-folder holdout" in command
        assert main([str(tmp_path / "out") if word == "DEST" else word for word in shlex.split(command)[1:]]) == 0
        assert BreedDataset.from_folder(tmp_path / "out").splits == {"train": 4, "valid": 4, "test": 4}


class TestRefusals:
    @pytest.mark.parametrize(
        ("splits", "advice"),
        [
            (("training", "validation", "testing"), "It can be used as it is."),
            (("train", "test"), "DEST --from-train`."),
        ],
    )
    def test_split_says_what_to_do_with_splits_that_are_there(
        self, tmp_path: Path, splits: tuple[str, ...], advice: str
    ) -> None:
        root = make(tmp_path / "data", [f"{split}/{kind}/0.png" for split in splits for kind in "ab"])
        with pytest.raises(DatasetError) as refused:
            BreedDataset.from_folder(root).split(tmp_path / "out")
        assert str(refused.value).endswith(advice)

    def test_from_train_without_splits_names_the_command_that_divides(self, tmp_path: Path) -> None:
        root = make(tmp_path / "my data", ["a/0.png", "b/0.png"])
        with pytest.raises(DatasetError) as refused:
            BreedDataset.from_folder(root).split_from_train(tmp_path / "out")
        assert f"`dogbreed data split '{root}' DEST`" in str(refused.value)
