"""Data sets: found, checked, split and uploaded; every finding has its file and its remedy."""

from __future__ import annotations

import hashlib
import json
import os
import struct
from pathlib import Path
from types import SimpleNamespace

import pytest
from PIL import Image

from dogbreed_sdk.datasets.dataset import BreedDataset
from dogbreed_sdk.datasets.findings import Finding
from dogbreed_sdk.errors import ConfigurationError, DatasetError

BREEDS = ("001.Boxer", "002.Pug")


def write_picture(path: Path, *, side: int = 64) -> None:
    """A small picture whose content follows from its place, so that no two places share one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    color = tuple(hash_of(f"{path.parent.parent.name}/{path.parent.name}/{path.stem}")[:3])
    Image.new("RGB", (side, side), color).save(path, "PNG")


def hash_of(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def make(root: Path, **counts: int) -> Path:
    """A data set with the given number of pictures a class in each split."""
    for split, count in counts.items():
        for breed in BREEDS:
            for number in range(count):
                write_picture(root / split / breed / f"{number:02d}.png")
    return root


@pytest.fixture
def good(tmp_path: Path) -> Path:
    return make(tmp_path / "dogs", train=12, valid=3, test=3)


def findings(root: Path, code: str) -> list[Finding]:
    """The findings of one code; all of them must be complete sentences with a remedy and a path."""
    report = BreedDataset.from_folder(root).check()
    for finding in report.findings:
        assert finding.message.endswith(".")
        assert finding.remedy.endswith(".")
        assert finding.paths
    return [finding for finding in report.findings if finding.code == code]


class TestIgnoreList:
    def test_its_pictures_are_not_part_of_the_data_set(self, good: Path) -> None:
        before = BreedDataset.from_folder(good).fingerprint
        (good / "dogbreed-ignore.txt").write_text("train/001.Boxer/03.png  # likely 002.Pug\nvalid/002.Pug/9.png\n")
        dataset = BreedDataset.from_folder(good)
        assert dataset.splits == {"train": 23, "valid": 6, "test": 6}
        assert good / "train/001.Boxer/03.png" not in [picture.path for picture in dataset.pictures("train")]
        assert dataset.fingerprint != before
        (only,) = findings(good, "ignored")
        assert (only.level, only.paths, only.detail) == ("note", (good / "train/001.Boxer/03.png",), "likely 002.Pug")
        (missing,) = findings(good, "ignored-nothing")
        assert missing.message == "valid/002.Pug/9.png in dogbreed-ignore.txt is not a picture of this data set."
        assert dataset.check().ok

    def test_it_decides_what_is_divided(self, good: Path, tmp_path: Path) -> None:
        (good / "train/dogbreed-ignore.txt").write_text("001.Boxer/03.png\n")
        divided = BreedDataset.from_folder(good / "train").split(tmp_path / "split")
        assert len(divided) == 23


class TestFolder:
    def test_what_a_data_set_knows(self, good: Path) -> None:
        dataset = BreedDataset.from_folder(str(good))
        assert dataset.root == good
        assert dataset.classes == BREEDS
        assert dataset.labels.labels == ("Boxer", "Pug")
        assert dataset.splits == {"train": 24, "valid": 6, "test": 6}
        assert len(dataset) == 36
        first = dataset.pictures("valid")[0]
        assert (first.path, first.class_folder, first.index) == (good / "valid/001.Boxer/00.png", "001.Boxer", 0)

    @pytest.mark.parametrize("name", ["validation", "Val", "dev"])
    def test_other_names_of_the_validation_split(self, good: Path, name: str) -> None:
        (good / "valid").rename(good / name)
        dataset = BreedDataset.from_folder(good)
        assert dataset.splits["valid"] == len(dataset.pictures(name)) == 6
        assert dataset.folders["valid"] == good / name
        assert dataset.check().ok

    def test_the_fingerprint_follows_content_and_not_the_place(self, good: Path) -> None:
        before = BreedDataset.from_folder(good).fingerprint
        moved = good.rename(good.with_name("moved"))
        assert BreedDataset.from_folder(moved).fingerprint == before
        write_picture(moved / "train" / BREEDS[0] / "99.png")
        assert BreedDataset.from_folder(moved).fingerprint != before

    def test_a_folder_of_classes_has_no_splits_yet(self, good: Path) -> None:
        dataset = BreedDataset.from_folder(good / "train")
        assert (dataset.splits, dataset.folders, len(dataset)) == ({}, {}, 24)
        assert len(dataset.pictures()) == 24
        with pytest.raises(DatasetError, match="no test split; existing splits: none"):
            dataset.pictures("test")

    def test_folders_that_are_no_data_set(self, tmp_path: Path, good: Path) -> None:
        with pytest.raises(DatasetError, match="does not exist"):
            BreedDataset.from_folder(tmp_path / "missing")
        with pytest.raises(DatasetError, match="is a file"):
            BreedDataset.from_folder(good / "train/001.Boxer/00.png")
        with pytest.raises(DatasetError, match="contains no folders"):
            BreedDataset.from_folder(good / "train/001.Boxer")
        (tmp_path / "packed").mkdir()
        (tmp_path / "packed/train-000000.tar.gz").touch()
        with pytest.raises(DatasetError, match=r"compressed tars .*\. Decompress them: gunzip .*\.tar\.gz$"):
            BreedDataset.from_folder(tmp_path / "packed")
        with pytest.raises(DatasetError, match=r"but .*/dogs looks like one"):
            BreedDataset.from_folder(tmp_path)

    def test_a_data_set_that_several_folders_wrap_is_named(self, tmp_path: Path, good: Path) -> None:
        (tmp_path / "download/archive").mkdir(parents=True)
        good.rename(tmp_path / "download/archive/dogs")
        with pytest.raises(DatasetError, match=r"but .*/download/archive/dogs looks like one; pass that folder"):
            BreedDataset.from_folder(tmp_path / "download")

    def test_what_training_would_refuse_is_a_data_set_error(self, good: Path) -> None:
        write_picture(good / "test" / "003.Poodle" / "00.png")
        with pytest.raises(DatasetError, match=r"003\.Poodle"):
            _ = BreedDataset.from_folder(good).classes


class TestCheck:
    def test_nothing_is_wrong_with_a_good_one(self, good: Path) -> None:
        seen: list[tuple[int, int]] = []
        report = BreedDataset.from_folder(good).check(progress=lambda *done: seen.append(done))
        assert report.ok
        assert report.findings == ()
        assert report.classes == BREEDS
        assert report.counts["valid"] == {"001.Boxer": 3, "002.Pug": 3}
        assert seen[-1] == (36, 36)
        report.raise_for_errors()

    def test_the_report_as_a_dictionary_is_json(self, good: Path) -> None:
        (good / "train" / BREEDS[0] / "00.png").write_bytes(b"")
        as_dict = json.loads(json.dumps(BreedDataset.from_folder(good).check().to_dict()))
        assert list(as_dict) == ["ok", "root", "classes", "splits", "counts", "findings"]
        assert as_dict["splits"] == {"train": 24, "valid": 6, "test": 6}
        assert list(as_dict["findings"][0]) == ["level", "code", "message", "paths", "remedy"]

    def test_missing_splits(self, tmp_path: Path) -> None:
        root = make(tmp_path / "dogs", train=12)
        assert [finding.level for finding in findings(root, "missing-split")] == ["warning", "warning"]
        (root / "train").rename(root / "test")
        assert findings(root, "missing-split")[0].level == "error"

    def test_a_folder_of_classes_must_be_split_first(self, good: Path) -> None:
        report = BreedDataset.from_folder(good / "train").check()
        assert [finding.code for finding in report.errors] == ["no-splits"]
        with pytest.raises(DatasetError, match=r"cannot be trained on:\n- .*Divide it with BreedDataset\.split"):
            report.raise_for_errors()

    def test_classes_that_are_unknown_missing_or_empty(self, good: Path) -> None:
        (good / "valid" / "002.Pug").rename(good / "valid" / "003.Poodle")
        (good / "train" / "004.Empty").mkdir()
        (unknown,) = findings(good, "unknown-class")
        assert (unknown.level, unknown.paths) == ("error", (good / "valid/003.Poodle",))
        missing = {finding.paths for finding in findings(good, "missing-class")}
        assert missing == {
            (good / "valid/002.Pug", good / "valid/004.Empty"),
            (good / "test/004.Empty",),
        }
        assert findings(good, "empty-class")[0].paths == (good / "train/004.Empty",)

    def test_an_empty_split(self, good: Path) -> None:
        for path in (good / "test").rglob("*.png"):
            path.unlink()
        assert findings(good, "empty-split")[0].paths == (good / "test",)

    @pytest.mark.parametrize("content", [b"", b"<html>", b"\xff\xd8\xff\xe0 no more", None])
    def test_broken_files_are_named_with_their_reason(self, good: Path, content: bytes | None) -> None:
        path = good / "train" / BREEDS[0] / "03.png"
        whole = path.read_bytes()
        path.write_bytes(whole[: len(whole) // 2] if content is None else content)
        (finding,) = findings(good, "corrupt")
        assert (finding.level, finding.paths) == ("warning", (path,))
        assert str(path) in finding.message
        assert BreedDataset.from_folder(good).check().ok

    def test_more_broken_files_than_training_accepts_are_an_error(self, good: Path) -> None:
        for number in range(3):
            (good / "train" / BREEDS[0] / f"{number:02d}.png").write_bytes(b"broken")
        (finding,) = findings(good, "too-many-corrupt")
        assert finding.level == "error"
        assert "3 of the 24 pictures of the train split" in finding.message

    def test_a_bomb_is_found_by_its_header(self, good: Path) -> None:
        path = good / "train" / BREEDS[0] / "03.png"
        data = bytearray(path.read_bytes())
        data[16:24] = struct.pack(">II", 50_000, 50_000)
        path.write_bytes(data)
        assert findings(good, "corrupt")[0].paths == (path,)

    def test_tiny_and_foreign_files(self, good: Path) -> None:
        write_picture(good / "train" / BREEDS[1] / "tiny.png", side=20)
        (good / "train" / BREEDS[1] / "notes.txt").write_text("hello")
        (good / "train" / "labels.csv").write_text("a,b")
        assert "20 x 20" in findings(good, "tiny")[0].message
        assert {finding.paths[0].name for finding in findings(good, "not-a-picture")} == {"notes.txt", "labels.csv"}

    def test_the_same_picture_twice(self, good: Path) -> None:
        def copy(source: str, target: str) -> Path:
            (good / target).write_bytes((good / source).read_bytes())
            return good / target

        copy("train/001.Boxer/00.png", "test/001.Boxer/copy.png")
        copy("train/001.Boxer/01.png", "train/002.Pug/copy.png")
        copy("train/001.Boxer/02.png", "train/001.Boxer/copy.png")
        (split,) = findings(good, "duplicate-across-splits")
        assert split.paths == (good / "train/001.Boxer/00.png", good / "test/001.Boxer/copy.png")
        assert split.level == "error"
        (label,) = findings(good, "duplicate-across-classes")
        assert "001.Boxer and 002.Pug" in label.message
        assert findings(good, "duplicate")[0].level == "note"

    def test_a_picture_in_all_three_splits_names_them_in_their_order(self, good: Path) -> None:
        content = (good / "train/001.Boxer/00.png").read_bytes()
        for split in ("test", "valid"):
            (good / split / "001.Boxer/copy.png").write_bytes(content)
        (finding,) = findings(good, "duplicate-across-splits")
        assert finding.message.startswith("The same picture is in the splits train, valid and test: ")

    def test_a_test_split_made_of_training_pictures_is_an_error(self, good: Path) -> None:
        for number in range(3):
            source = good / "train/001.Boxer" / f"{number:02d}.png"
            (good / "test/001.Boxer" / f"{number:02d}.png").write_bytes(source.read_bytes())
        (finding,) = findings(good, "leak")
        assert finding.level == "error"
        assert "3 of the 6 pictures of the test split" in finding.message

    def test_imbalance_and_too_few_pictures(self, tmp_path: Path) -> None:
        root = tmp_path / "dogs"
        for breed, count in (("a", 40), ("b", 12), ("c", 3)):
            for split, share in (("train", count), ("valid", 1), ("test", 1)):
                for number in range(share):
                    write_picture(root / split / breed / f"{number}.png")
        (finding,) = findings(root, "imbalance")
        assert finding.level == "warning"
        assert "13.3 times" in finding.message
        assert findings(root, "few-pictures")[0].paths == (root / "train/c",)
        assert findings(root, "few-pictures")[0].message.startswith("1 class has fewer than 10 pictures")

    def test_one_class_cannot_be_told_apart(self, tmp_path: Path) -> None:
        for split in ("train", "valid", "test"):
            write_picture(tmp_path / "dogs" / split / "only" / "0.png")
        assert findings(tmp_path / "dogs", "one-class")[0].level == "error"

    def test_names_that_confuse(self, tmp_path: Path) -> None:
        for split in ("train", "valid", "test"):
            for name in ("1.Pug", "10.Boxer", "2.pug", "3.Beagle "):
                write_picture(tmp_path / "dogs" / split / name / "0.png")
        assert findings(tmp_path / "dogs", "odd-name")[0].paths[0].name == "3.Beagle "
        assert "1.Pug and 2.pug" in findings(tmp_path / "dogs", "same-label")[0].message
        assert "10 comes before 2" in findings(tmp_path / "dogs", "number-order")[0].message

    def test_errors_come_first_and_the_text_has_everything(self, good: Path) -> None:
        (good / "train" / "notes.txt").write_text("x")
        write_picture(good / "test" / "003.Poodle" / "00.png")
        report = BreedDataset.from_folder(good).check()
        assert [finding.level for finding in report.findings] == ["error", "note"]
        assert "error: The test split has classes that the train split lacks: 003.Poodle" in str(report)
        assert "pictures: train 24, valid 6, test 7" in str(report)


class TestSplit:
    @pytest.fixture
    def plain(self, tmp_path: Path) -> Path:
        for breed, count in (("Boxer", 20), ("Pug", 40)):
            for number in range(count):
                write_picture(tmp_path / "plain" / breed / f"{number:02d}.png")
        return tmp_path / "plain"

    @staticmethod
    def contents(dataset: BreedDataset) -> dict[str, set[bytes]]:
        return {split: {picture.path.read_bytes() for picture in dataset.pictures(split)} for split in dataset.splits}

    def test_every_class_is_divided_alike_and_nothing_is_lost(self, plain: Path) -> None:
        before = sorted(plain.rglob("*"))
        dataset = BreedDataset.from_folder(plain).split(valid=0.2, test=0.1)
        assert dataset.root == plain.with_name("plain-split")
        counts = dataset.check().counts
        assert counts == {
            "train": {"Boxer": 14, "Pug": 28},
            "valid": {"Boxer": 4, "Pug": 8},
            "test": {"Boxer": 2, "Pug": 4},
        }
        assert sum(map(len, self.contents(dataset).values())) == 60
        assert sorted(plain.rglob("*")) == before

    def test_files_are_hard_links(self, plain: Path) -> None:
        path = BreedDataset.from_folder(plain).split().pictures("test")[0].path
        assert path.samefile(plain / path.relative_to(plain.with_name("plain-split") / "test"))

    def test_copies_are_made_where_links_are_impossible(self, plain: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(*_: object, **__: object) -> None:
            raise OSError("cross-device link")

        monkeypatch.setattr(os, "link", refuse)
        assert len(BreedDataset.from_folder(plain).split()) == 60

    def test_the_seed_decides_and_file_names_do_not(self, plain: Path, tmp_path: Path) -> None:
        dataset = BreedDataset.from_folder(plain)
        first = self.contents(dataset.split(tmp_path / "first"))
        assert self.contents(dataset.split(tmp_path / "again")) == first
        assert self.contents(dataset.split(tmp_path / "other", seed=1)) != first
        for path in list(plain.rglob("*.png")):
            path.rename(path.with_name(f"renamed-{hash_of(path.name).hex()[:8]}.png"))
        assert self.contents(BreedDataset.from_folder(plain).split(tmp_path / "renamed")) == first

    def test_copies_of_a_picture_stay_together(self, plain: Path, tmp_path: Path) -> None:
        for path in list((plain / "Boxer").iterdir())[:10]:
            (plain / "Pug" / f"copy-{path.name}").write_bytes(path.read_bytes())
        report = BreedDataset.from_folder(plain).split(tmp_path / "out").check()
        codes = {finding.code for finding in report.findings}
        assert "duplicate-across-classes" in codes
        assert "duplicate-across-splits" not in codes

    def test_broken_files_stay_behind(self, plain: Path) -> None:
        (plain / "Pug" / "broken.jpg").write_bytes(b"broken")
        assert len(BreedDataset.from_folder(plain).split()) == 60

    def test_small_classes_reach_every_split(self, tmp_path: Path) -> None:
        for number in range(3):
            write_picture(tmp_path / "few" / "Pug" / f"{number}.png")
            write_picture(tmp_path / "few" / "Boxer" / f"{number}.png")
        assert BreedDataset.from_folder(tmp_path / "few").split().splits == {"train": 2, "valid": 2, "test": 2}

    def test_a_share_of_nothing_makes_no_split(self, plain: Path) -> None:
        assert set(BreedDataset.from_folder(plain).split(test=0).splits) == {"train", "valid"}

    @pytest.mark.parametrize("shares", [{"valid": 0.6, "test": 0.4}, {"valid": -0.1}, {"test": 1.0}])
    def test_impossible_shares_are_refused(self, plain: Path, shares: dict[str, float]) -> None:
        with pytest.raises(ConfigurationError, match="leave something for train"):
            BreedDataset.from_folder(plain).split(**shares)
        assert not plain.with_name("plain-split").exists()

    def test_what_is_split_or_there_already_is_left_alone(self, good: Path, plain: Path) -> None:
        with pytest.raises(DatasetError, match="already has splits: train, valid, test"):
            BreedDataset.from_folder(good).split()
        with pytest.raises(DatasetError, match="already exists and is not empty"):
            BreedDataset.from_folder(plain).split(good)


class TestUpload:
    def test_local_jobs_read_the_folder_where_it_lies(self, good: Path) -> None:
        session = SimpleNamespace(is_local=True)
        assert BreedDataset.from_folder(good).upload(session) == good.as_uri()

    def test_elsewhere_it_goes_under_its_fingerprint(self, good: Path) -> None:
        class Storage:
            def upload_files(self, files: dict[str, Path], uri: str, *, progress: object, transfer: object) -> None:
                self.call = (files, uri, progress, transfer)

        session = SimpleNamespace(is_local=False, base_uri="s3://bucket/dogbreed", storage=Storage())
        dataset = BreedDataset.from_folder(good)
        uri = dataset.upload(session, progress=print)
        assert uri == f"s3://bucket/dogbreed/datasets/{dataset.fingerprint[:16]}"
        files, *others = session.storage.call
        assert others == [uri, print, None]  # whoever has a callback sees no lines as well
        assert files == {
            path.relative_to(good).as_posix(): path for path in good.rglob("*") if path.suffix in {".jpg", ".png"}
        }

    def test_the_address_and_the_names_there_do_not_depend_on_how_splits_are_spelled(self, good: Path) -> None:
        before = BreedDataset.from_folder(good)
        fingerprint, names = before.fingerprint, set(before._files())
        for split, name in (("train", "Training"), ("valid", "val"), ("test", "TEST")):
            (good / split).rename(good / name)
        after = BreedDataset.from_folder(good)
        assert after.fingerprint == fingerprint
        assert set(after._files()) == names

    def test_names_that_s3_cannot_hold_are_found_before(self, good: Path) -> None:
        odd = Path(os.fsdecode(bytes(good / "train" / BREEDS[0]) + b"/caf\xe9.png"))
        (good / "train" / BREEDS[0] / "00.png").rename(odd)
        (finding,) = findings(good, "odd-file-name")
        assert (finding.level, finding.paths) == ("warning", (odd,))
        with pytest.raises(DatasetError, match="is not UTF-8, which S3 cannot store; rename it"):
            BreedDataset.from_folder(good)._files()


def test_the_class_itself_takes_a_path_as_text(good: Path) -> None:
    assert BreedDataset(str(good)).splits == BreedDataset.from_folder(good).splits
