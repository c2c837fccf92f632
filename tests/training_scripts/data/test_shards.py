"""Data sets in shards: WebDataset's tars and parquet files give the pictures that class folders give."""

from __future__ import annotations

import io
import itertools
import json
import os
import pickle
import random
import shutil
import sys
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import webdataset
from PIL import Image
from pyarrow import parquet

from training_scripts.data import batches, faults, image_folder, listing
from training_scripts.data.image_folder import DataError
from training_scripts.data.shards import files, labels, located, parquet_shard, tar_shard
from training_scripts.data.shards.split import ShardSplit
from training_scripts.data.sharing import Division
from training_scripts.training.processes import Place, Processes

pytestmark = pytest.mark.extras

NAMES = ["Boxer", "Pug", "Collie"]
NO_LABEL = "it has no label: neither a .cls, .json or .txt beside it, nor a class folder in its name"
Row = tuple[str, bytes, int]


def picture(number: int) -> bytes:
    file = io.BytesIO()
    Image.frombytes("RGB", (8, 8), random.Random(number).randbytes(192)).save(file, "PNG")
    return file.getvalue()


ROWS: dict[str, list[Row]] = {
    split: [(f"{number:04d}", picture(first + number), number % 3) for number in range(count)]
    for split, first, count in (("train", 0, 12), ("valid", 100, 6), ("test", 200, 6))
}


def write_tar(path: Path, members: Sequence[tuple[str, bytes]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


def members(rows: Sequence[Row]) -> Iterator[tuple[str, bytes]]:
    for key, content, label in rows:
        yield f"{key}.png", content
        yield f"{key}.cls", str(label).encode()


def write_parquet(path: Path, rows: Sequence[Row], *, names: Sequence[str] = NAMES, group: int = 3) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    columns = {
        "image": pa.array([{"bytes": content, "path": key} for key, content, _ in rows], image),
        "label": pa.array([label for *_, label in rows], pa.int64()),
    }
    features = {"image": {"_type": "Image"}, "label": {"names": list(names), "_type": "ClassLabel"}}
    table = pa.table(columns).replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    parquet.write_table(table, path, row_group_size=group)
    return path


def tars(root: Path) -> Path:
    for split, rows in ROWS.items():
        for shard in range(2):
            write_tar(root / f"{split}-{shard:04d}.tar", list(members(rows[shard::2])))
    (root / "classes.txt").write_text("\n".join(NAMES) + "\n")
    return root


def parquets(root: Path) -> Path:
    for split, rows in ROWS.items():
        name = "validation" if split == "valid" else split
        for shard in range(2):
            write_parquet(root / "data" / f"{name}-{shard:05d}-of-00002.parquet", rows[shard::2])
    return root


@pytest.fixture(params=["tar", "parquet"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return (tars if request.param == "tar" else parquets)(tmp_path / "data-set")


def read(root: Path) -> image_folder.DataSet:
    return image_folder.read_dataset(image_folder.find_splits(root))


def unreadable(root: Path) -> dict[str, str]:
    """What the listing names as unreadable: path relative to the folder -> reason."""
    found = listing.list_data_set(root).unreadable
    return {os.path.relpath(one.path, root): one.reason for one in found}


def test_every_picture_has_its_content_and_class(root: Path) -> None:
    dataset = read(root)
    assert dataset.classes == tuple(NAMES)
    for split, rows in ROWS.items():
        expected = sorted((content, label) for _, content, label in rows)
        samples = dataset.splits[split]
        assert sorted((sample.read(), sample.class_index) for sample in samples) == expected
        assert len({sample.name for sample in samples}) == len(rows)
        assert [samples[place].read() for place in (-1, 0)] == [list(samples)[-1].read(), next(iter(samples)).read()]
        assert all(sample.exists() and sample.size() > 0 for sample in samples)


def test_a_picture_is_found_by_its_path_and_by_that_below_its_split(root: Path) -> None:
    for split, samples in read(root).splits.items():
        for sample in samples:
            assert located.sample(sample.path).read() == sample.read()
            assert located.sample(root / split / sample.name).read() == sample.read()
    assert located.sample(root / "classes.txt").shard is None
    with pytest.raises(OSError, match="missing"):
        located.sample(root / "train-0000.tar" / "missing.png").read()


def test_the_fingerprint_follows_from_names_contents_and_classes(root: Path, tmp_path: Path) -> None:
    before = image_folder.fingerprint(read(root))
    moved = root.rename(tmp_path / "elsewhere")
    assert image_folder.fingerprint(read(moved)) == before
    if (moved / "classes.txt").exists():
        (moved / "classes.txt").write_text("Boxer\nCollie\nPug\n")
        assert image_folder.fingerprint(read(moved)) != before


def test_samples_survive_pickling(root: Path) -> None:
    sample = read(root).splits["train"][5]
    assert pickle.loads(pickle.dumps(sample)).read() == sample.read()


def test_pictures_of_the_ignore_list_are_left_out(root: Path) -> None:
    whole = read(root).splits["train"]
    (root / "dogbreed-ignore.txt").write_text(f"train/{whole[3].name}  # blurred\ntrain/none.png\n")
    dataset = read(root)
    assert [sample.name for sample in dataset.splits["train"]] == [
        sample.name for row, sample in enumerate(whole) if row != 3
    ]
    assert [sample.read() for sample in dataset.splits["train"][2:5]] == [whole[row].read() for row in (2, 4, 5)]
    left_out = [one for one in listing.list_data_set(root).left_out if one.kind == "ignored"]
    assert [(one.path, one.reason) for one in left_out] == [(whole[3].path, "is in dogbreed-ignore.txt: blurred")]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["train-0000.tar", "validation-0000.tar"], {"train": 1, "valid": 1}),
        (["imagenet1k-train-0000.tar", "imagenet1k-val-0000.tar"], {"train": 1, "valid": 1}),
        (["train/0000.tar", "train/0001.tar", "Test/0000.tar"], {"train": 2, "test": 1}),
        (["data/train-00000-of-00001.parquet"], {"train": 1}),
        (["default/train/0000.parquet", "default/test/0000.parquet"], {"train": 1, "test": 1}),
        (["0000.tar", "0001.tar"], {None: 2}),
        (["train/a/0.png", "dogs.tar"], {}),
        (["a/0.png", "b/0.png", "annotations.tar"], {}),
        (["notes.txt"], {}),
    ],
)
def test_splits_follow_from_names_and_folders(tmp_path: Path, names: list[str], expected: dict[str, int]) -> None:
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    assert {split: len(shards) for split, shards in files.find(tmp_path).items()} == expected


def test_channels_contain_shards_of_one_split_each(tmp_path: Path) -> None:
    for split, rows in ROWS.items():
        write_tar(tmp_path / split / "part-0.tar", list(members(rows)))
    folders = image_folder.split_folders({f"SM_CHANNEL_{split.upper()}": str(tmp_path / split) for split in ROWS})
    dataset = image_folder.read_dataset(folders)
    assert {split: len(samples) for split, samples in dataset.splits.items()} == {"train": 12, "valid": 6, "test": 6}
    assert dataset.classes == ("0", "1", "2")


class TestLabels:
    @pytest.mark.parametrize(
        ("extra", "classes"),
        [
            ([("x.cls", b"Pug\n"), ("y.cls", b"Boxer")], ("Boxer", "Pug")),
            ([("x.cls", b"10"), ("y.cls", b"2")], ("2", "10")),
            ([("x.json", b'{"label": "Pug"}'), ("y.json", b'{"id": 7, "cls": "Boxer"}')], ("Boxer", "Pug")),
            ([("x.json", b'{"label": 3}'), ("y.json", b'{"label": 0}')], ("0", "3")),
            ([("x.txt", b"Pug"), ("y.txt", b"Boxer")], ("Boxer", "Pug")),
            (
                [("x.json", b'{"class_name": "Pug"}'), ("x.txt", b"a dog"), ("y.json", b'{"cls": 1}')],
                ("1", "Pug"),
            ),
            ([("x.cls", b"0"), ("x.txt", b"a photograph of a pug"), ("y.cls", b"1")], ("0", "1")),
        ],
    )
    def test_a_label_is_cls_or_json_or_txt(
        self, tmp_path: Path, extra: list[tuple[str, bytes]], classes: tuple[str, ...]
    ) -> None:
        pictures = [("x.png", picture(0)), ("y.png", picture(1))]
        write_tar(tmp_path / "train-0.tar", sorted([*pictures, *extra]))
        assert read(tmp_path).classes == classes

    def test_captions_are_not_classes(self, tmp_path: Path) -> None:
        for split in ("train", "valid"):
            pictures = [(f"{number}.png", picture(number)) for number in range(6)]
            texts = [(f"{number}.txt", f"a photo of {split} dog {number}".encode()) for number in range(6)]
            write_tar(tmp_path / f"{split}-0.tar", sorted([*pictures, *texts]))
        with pytest.raises(DataError) as refused:
            read(tmp_path)
        message = str(refused.value)
        assert message.startswith(f"Cannot read {tmp_path / 'train-0.tar'}: its .txt members seem to be captions")
        assert "(12 different ones for 12 pictures, such as 'a photo of train dog 0')" in message
        assert f"a .json with one of the keys {', '.join(labels.JSON_KEYS)}. Correct or replace the shard." in message

    def test_classes_of_several_words_are_not_captions(self) -> None:
        assert labels.captions(["Great Dane", "Saint Bernard", "Shih Tzu", "Norwich Terrier"] * 4, 16) == ""
        assert labels.captions([f"class {number}" for number in range(20)], 0) == ""

    def test_without_one_the_folder_in_the_key_is_the_class(self, tmp_path: Path) -> None:
        write_tar(tmp_path / "train-0.tar", [("./train/Pug/1.png", picture(0)), ("./train/Boxer/1.png", picture(1))])
        dataset = read(tmp_path)
        assert dataset.classes == ("Boxer", "Pug")
        assert [sample.name for sample in dataset.splits["train"]] == [
            "train-0.tar/train/Pug/1.png",
            "train-0.tar/train/Boxer/1.png",
        ]

    @pytest.mark.parametrize("name", ["classes.json", "classnames.txt"])
    def test_class_names_come_from_a_file(self, tmp_path: Path, name: str) -> None:
        root = tars(tmp_path / "tars")
        (root / "classes.txt").unlink()
        content = json.dumps({"Boxer": 0, "Collie": 2, "Pug": 1}) if name.endswith("json") else "\n".join(NAMES)
        (root / name).write_text(content)
        assert read(root).classes == tuple(NAMES)

    @pytest.mark.parametrize(
        ("content", "reason"),
        [
            ("Boxer\nPug\nBoxer\n", "the class name 'Boxer' appears twice"),
            ("Boxer\n\nPug\n", "'' cannot be the name of a class"),
        ],
    )
    def test_a_file_of_class_names_that_cannot_be_used_is_named(
        self, tmp_path: Path, content: str, reason: str
    ) -> None:
        root = tars(tmp_path / "tars")
        (root / "classes.txt").write_text(content)
        assert unreadable(root)["classes.txt"] == reason

    def test_a_label_beyond_the_class_names_names_shard_and_key(self, tmp_path: Path) -> None:
        root = tars(tmp_path / "tars")
        (root / "classes.txt").write_text("Boxer\nPug\n")
        with pytest.raises(DataError, match=r"train-0000\.tar/0002\.png: its label is 2, which is not one of the 2"):
            read(root)

    @pytest.mark.parametrize(
        ("extra", "reason"),
        [
            ([], NO_LABEL),
            ([("x.cls", b"-1")], "its label is -1, which marks pictures without a class"),
            ([("x.cls", b"\xff\xfe")], "its label is not UTF-8 text"),
            ([("x.json", b"{")], "its .json is not JSON"),
            ([("x.json", b"[" * 100_000)], "its .json is not JSON"),
            ([("x.txt", b"one\ntwo")], "its label is not a class: 'one\\ntwo' cannot be the name of a class"),
            ([("x.cls", b"5" * (2 << 20))], "its .cls has 2,097,152 bytes, more than the 1,048,576 allowed"),
            (
                [("x.pyd", pickle.dumps(0))],
                "it has no label: neither a .cls, .json or .txt beside it, nor a class folder in its name",
            ),
        ],
    )
    def test_a_label_that_cannot_be_used_is_named(
        self, tmp_path: Path, extra: list[tuple[str, bytes]], reason: str
    ) -> None:
        write_tar(tmp_path / "train-0.tar", [("x.png", picture(0)), *extra, *members(ROWS["train"])])
        assert unreadable(tmp_path) == {"train-0.tar/x.png": reason}

    @pytest.mark.parametrize("names", [["a", "b/c"], ["a", "x" * 201], ["a", " "], ["a", "\x00"], ["a/b", "a_b"]])
    def test_class_names_are_folder_names(self, names: list[str]) -> None:
        if names == ["a", "b/c"]:
            assert labels.checked(names) == ("a", "b_c")
        else:
            with pytest.raises(labels.LabelError):
                labels.checked(names)


class TestTars:
    def test_what_webdataset_writes_is_read(self, tmp_path: Path) -> None:
        writer = webdataset.TarWriter(str(tmp_path / "train-000.tar"))
        for key, content, label in ROWS["train"]:
            writer.write({"__key__": f"dogs/{key}", "png": content, "cls": label, "json": {"id": key}})
        writer.close()
        samples = read(tmp_path).splits["train"]
        assert [(sample.read(), sample.class_index) for sample in samples] == [
            (content, label) for _, content, label in ROWS["train"]
        ]

    @pytest.mark.parametrize("cut", [700, 1500, -1500])
    def test_a_shard_that_is_cut_off_is_named_with_its_last_member(self, tmp_path: Path, cut: int) -> None:
        root = tars(tmp_path / "tars")
        shard = root / "train-0001.tar"
        content = shard.read_bytes().rstrip(b"\0")
        shard.write_bytes(content[:cut])
        with pytest.raises(DataError, match=r"train-0001\.tar: it is not a complete tar \(after \d{4}\.(png|cls)\)"):
            read(root)

    def test_a_file_that_is_not_a_tar_is_named(self, tmp_path: Path) -> None:
        root = tars(tmp_path / "tars")
        (root / "train-0001.tar").write_bytes(b"<html>404</html>" * 100)
        assert unreadable(root)["train-0001.tar"].startswith("it is not a complete tar (after its beginning): ")

    @pytest.mark.parametrize("name", ["/etc/x.png", "../x.png", "a/../../x.png", "a\\x.png", "a\n/x.png"])
    def test_unsafe_names_are_refused(self, tmp_path: Path, name: str) -> None:
        write_tar(tmp_path / "train-0.tar", [(name, picture(0)), *members(ROWS["train"])])
        (reason,) = unreadable(tmp_path).values()
        assert reason in ("its name leads out of the shard", "its name is not printable")

    def test_links_and_devices_are_no_pictures(self, tmp_path: Path) -> None:
        path = write_tar(tmp_path / "train-0.tar", list(members(ROWS["train"])))
        with tarfile.open(path, "a") as tar:
            for number, kind in enumerate((tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE)):
                info = tarfile.TarInfo(f"odd{number}.png")
                info.type, info.linkname = kind, "/etc/passwd"
                tar.addfile(info)
        assert len(read(tmp_path).splits["train"]) == 12

    def test_a_huge_header_is_not_read(self, tmp_path: Path) -> None:
        info = tarfile.TarInfo("x")
        info.type, info.size = tarfile.XHDTYPE, 1 << 40
        (tmp_path / "train-0.tar").write_bytes(info.tobuf(tarfile.GNU_FORMAT) + bytes(10240))
        assert "header of 1,099,511,627,776 bytes" in unreadable(tmp_path)["train-0.tar"]

    def test_a_huge_picture_is_skipped_and_not_read(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        root = tars(tmp_path / "tars")
        monkeypatch.setattr(tar_shard, "MAX_FILE_BYTES", 50)
        with pytest.raises(OSError, match=r"bytes are more than the 50 allowed"):
            read(root).splits["train"][0].read()

    def test_a_key_that_appears_twice_is_named(self, tmp_path: Path) -> None:
        rows = ROWS["train"]
        write_tar(tmp_path / "train-0.tar", [*members(rows), *members(rows[:1])])
        assert unreadable(tmp_path) == {"train-0.tar/0000.png": "it appears twice"}

    def test_a_shard_that_shrank_since_is_an_error_of_its_pictures(self, tmp_path: Path) -> None:
        root = tars(tmp_path / "tars")
        sample = read(root).splits["train"][5]
        os.truncate(root / "train-0000.tar", 1024)
        with pytest.raises(OSError, match="has become shorter"):
            sample.read()


class TestParquet:
    def test_columns_of_bytes_and_of_names_are_read(self, tmp_path: Path) -> None:
        rows = ROWS["train"]
        table = pa.table(
            {
                "id": list(range(len(rows))),
                "jpg": [content for _, content, _ in rows],
                "breed": pa.array([NAMES[label] for *_, label in rows]).dictionary_encode(),
            }
        )
        parquet.write_table(table, tmp_path / "train.parquet", row_group_size=5)
        dataset = read(tmp_path)
        assert dataset.classes == ("Boxer", "Collie", "Pug")
        assert [dataset.classes[sample.class_index] for sample in dataset.splits["train"]] == [
            NAMES[label] for *_, label in rows
        ]

    @pytest.mark.parametrize(
        ("dropped", "reason"),
        [
            ("label", "it has no column of labels; expected the column label; columns: image"),
            ("image", "it has no column of pictures (named image, with their bytes); columns: label"),
        ],
    )
    def test_a_missing_column_is_named(self, tmp_path: Path, dropped: str, reason: str) -> None:
        root = parquets(tmp_path / "parquets")
        path = root / "data/train-00000-of-00002.parquet"
        parquet.write_table(parquet.read_table(path).drop_columns([dropped]), path)
        found = unreadable(root)["data/train-00000-of-00002.parquet"]
        assert found.startswith(reason)

    @pytest.mark.parametrize(
        ("label", "reason"), [(-1, "its label is -1"), (9, "its label is 9, and there are 3 classes")]
    )
    def test_a_row_without_a_class_is_named(self, tmp_path: Path, label: int, reason: str) -> None:
        rows = [*ROWS["train"][:4], ("x", picture(0), label), *ROWS["train"][4:]]
        write_parquet(tmp_path / "train.parquet", rows)
        (path, found), *others = unreadable(tmp_path).items()
        assert (path, others) == ("train.parquet/row-4", [])
        assert found.startswith(reason)

    def test_a_picture_that_is_only_a_path_is_unreadable(self, tmp_path: Path) -> None:
        rows: list[Any] = [*ROWS["train"]]
        rows[2] = ("/etc/passwd", None, 0)
        write_parquet(tmp_path / "train.parquet", rows)
        samples = read(tmp_path).splits["train"]
        with pytest.raises(OSError, match="pictures that are only named by a path are not read"):
            samples[2].read()
        assert samples[3].read() == rows[3][1]

    def test_other_class_names_in_one_shard_are_a_fault(self, tmp_path: Path) -> None:
        root = parquets(tmp_path / "parquets")
        write_parquet(root / "data/train-00001-of-00002.parquet", ROWS["train"], names=NAMES[::-1])
        with pytest.raises(DataError, match="its class names differ from those of"):
            read(root)

    @pytest.mark.parametrize("content", [b"", b"PAR1", b"PAR1" + bytes(100) + b"PAR1"])
    def test_a_broken_file_is_named(self, tmp_path: Path, content: bytes) -> None:
        root = parquets(tmp_path / "parquets")
        (root / "data/train-00001-of-00002.parquet").write_bytes(content)
        assert "not a parquet file" in unreadable(root)["data/train-00001-of-00002.parquet"]

    def test_without_pyarrow_the_command_to_install_it_is_given(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        root = parquets(tmp_path / "parquets")
        monkeypatch.setitem(sys.modules, "pyarrow", None)
        with pytest.raises(DataError, match=r"pip install 'dogbreed-sdk\[parquet\]'"):
            read(root)

    def test_rows_are_read_in_any_order(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(parquet_shard, "_RUN_BYTES", 700)  # two or three pictures
        write_parquet(tmp_path / "train.parquet", ROWS["train"], group=5)
        samples = read(tmp_path).splits["train"]
        assert len(image_folder.runs(samples)) > 3
        order = [*range(12), *random.Random(0).sample(range(12), 12)]
        assert [samples[row].read() for row in order] == [ROWS["train"][row][1] for row in order]

    def test_what_is_read_together_is_decoded_once(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(parquet_shard, "_RUN_BYTES", 2000)
        monkeypatch.setattr(parquet_shard, "_RUNS_IN_MEMORY", 1)
        write_parquet(tmp_path / "train.parquet", ROWS["train"], group=5)
        split = listing.list_data_set(tmp_path).splits["train"]
        assert isinstance(split, ShardSplit)
        decoded: list[tuple[int, int]] = []
        run = parquet_shard._Reader.run

        def counted(reader: parquet_shard._Reader, group: int, number: int) -> Any:
            decoded.append((group, number))
            return run(reader, group, number)

        monkeypatch.setattr(parquet_shard._Reader, "run", counted)
        for kept in (split, split.without({"train.parquet/row-6": "blurred"})):
            samples = kept.samples({name: place for place, name in enumerate(split)})
            decoded.clear()
            runs = samples.runs()
            assert [row for run in runs for row in run] == list(range(len(samples)))
            assert all(samples[row].read() for run in runs for row in reversed(run))
            assert len(decoded) == len(set(decoded)) == len(runs) < len(samples)


class TestSeveralInstances:
    def shards(self, root: Path, tmp_path: Path) -> list[Path]:
        """The shards as SageMaker distributes them by key to two instances: the file with class names is on one."""
        shards = sorted(path for path in root.rglob("*") if path.is_file())
        for number, path in enumerate(shards):
            target = tmp_path / f"instance-{number % 2}" / path.relative_to(root)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, target)
        return [tmp_path / f"instance-{number}" for number in range(2)]

    def test_all_have_the_same_list_and_each_picture_one_reader(self, root: Path, tmp_path: Path) -> None:
        whole = read(root)
        instances = self.shards(root, tmp_path)
        everybody: list[listing.Names] = []

        def collect(mine: listing.Names) -> list[listing.Names]:
            everybody.append(mine)
            return [mine]

        listed = [listing.list_data_set(instance) for instance in instances]
        for each in listed:
            listing.with_others(each, collect)
        exchanged = pickle.loads(pickle.dumps(everybody))
        merged = [image_folder.of_listing(listing.with_others(each, lambda _: exchanged)) for each in listed]
        for each in merged:
            assert each.classes == whole.classes
            for split, samples in whole.splits.items():
                assert [(one.name, one.class_index) for one in each.splits[split]] == [
                    (one.name, one.class_index) for one in samples
                ]
        absent: list[Any] = []
        for rank, each in enumerate(merged):
            Division(each, Gathering(rank, absent))
        divisions = [Division(each, Gathering(rank, absent, absent)) for rank, each in enumerate(merged)]
        for split, samples in whole.splits.items():
            for turn, sample in enumerate(samples):
                mine = [rank for rank in range(2) if divisions[rank].is_mine(split, sample, turn)]
                assert len(mine) == 1
                assert merged[mine[0]].splits[split][turn].read() == sample.read()
                assert not merged[1 - mine[0]].splits[split][turn].exists()


class Gathering(Processes):
    """Two processes, of which `gather` returns what was collected before."""

    def __init__(self, rank: int, collected: list[Any], known: list[Any] | None = None) -> None:
        self.place = Place(rank, 2)
        self._collected, self._known = collected, known

    def gather(self, value: Any) -> list[Any]:
        """What both have."""
        if self._known is not None:
            return list(self._known)
        self._collected.append(value)
        return [value]


def test_shards_without_splits_are_one_folder_of_classes(tmp_path: Path) -> None:
    write_tar(tmp_path / "0000.tar", list(members(ROWS["train"])))
    dataset = image_folder.read_unsplit(tmp_path)
    assert {split: len(samples) for split, samples in dataset.splits.items()} == {"train": 12}
    with pytest.raises(DataError, match=r"no shards of a split.* state none \(0000.tar\). Rename them"):
        read(tmp_path)


def test_compressed_tars_are_named_with_the_command_that_decompresses_them(tmp_path: Path) -> None:
    (tmp_path / "train-0000.tar.gz").write_bytes(b"\x1f\x8b")
    with pytest.raises(DataError, match=r"compressed tars \(train-0000.tar.gz\).*: gunzip .*/train-0000.tar.gz$"):
        read(tmp_path)


def test_remedies_are_about_shards(tmp_path: Path) -> None:
    shard = tmp_path / "train-0.parquet"
    rows = [listing.Unreadable(shard / f"row-{number}", "it has no label") for number in range(2)]
    assert faults.cannot_read(rows).remedy.startswith(
        "Correct them in their shards, or remove them: a picture needs a label"
    )
    assert faults.cannot_read(rows[:1]).remedy.startswith("Correct it in its shard, or remove it: ")
    broken = listing.Unreadable(shard, "it is not a parquet file")
    shard.touch()
    assert faults.cannot_read([broken]).remedy == "Correct or replace the shard."
    assert "shards" in faults.no_train(tmp_path).message


def test_what_training_refuses_of_class_folders_it_refuses_of_shards(tmp_path: Path) -> None:
    root = tars(tmp_path / "tars")
    (root / "classes.txt").write_text("\n".join([*NAMES, "Poodle"]))
    assert [fault.code for fault in faults.find(listing.list_data_set(root))] == ["empty-class"]
    with pytest.raises(DataError, match="Classes without a picture in the train split: Poodle"):
        read(root)


def test_nothing_is_unpacked(root: Path, tmp_path: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    for samples in read(root).splits.values():
        for sample in samples:
            sample.read()
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def test_a_random_order_reads_each_run_of_rows_once() -> None:
    runs = [range(3), range(3, 10), range(10, 12), range(12, 20)]
    order = np.array(random.Random(0).sample(range(20), 20))
    mixed = batches._in_runs(order, runs).tolist()
    assert sorted(mixed) == list(range(20))
    run_of = [next(number for number, run in enumerate(runs) if row in run) for row in mixed]
    assert [number for number, _ in itertools.groupby(run_of)] == list(dict.fromkeys(run_of))
    assert mixed != sorted(mixed)
    assert any(mixed[place] > mixed[place + 1] for place in range(19) if run_of[place] == run_of[place + 1])
    assert batches._in_runs(order, []) is order
