"""Features: equal to what serving computes, resumed after an interruption, never mixed, never half a store."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from training_scripts._util.locking import exclusive
from training_scripts.data import decoding, preprocessing
from training_scripts.data.image_folder import DataError, DataSet, find_splits, read_dataset
from training_scripts.features import extraction, feature_pass, manifest, pacing
from training_scripts.features import parts as feature_parts
from training_scripts.features.files import BACKBONE_FILE, COST_FILE, MANIFEST, names_file
from training_scripts.features.rows import ShardedRows
from training_scripts.features.store import PICTURES_FILE, FeatureStore
from training_scripts.features.subset import store_subset
from training_scripts.models import backbones, folding, test_time
from training_scripts.models.engines.engine import Precision

# The quickest network to build and run; what it has learned does not matter here.
BACKBONE = "squeezenet1_1"
WIDTH = 512


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manifest, "CHUNK", 4)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Tiny batches on shared cores are quicker with one thread, and never wait for a neighbor."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def make_pictures(root: Path, *, train: int = 5, other: int = 2) -> DataSet:
    dice = random.Random(0)
    for split, count in {"train": train, "valid": other, "test": other}.items():
        for name in ("001.A", "002.B"):
            (root / split / name).mkdir(parents=True, exist_ok=True)
            for number in range(count):
                noise = Image.frombytes("RGB", (12, 9), dice.randbytes(12 * 9 * 3))
                noise.resize((120, 90)).save(root / split / name / f"{number}.jpg")
    return read_dataset(find_splits(root))


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    make_pictures(folder)
    return folder


@pytest.fixture
def dataset(root: Path) -> DataSet:
    return read_dataset(find_splits(root))


def quiet(line: str) -> None:
    """Takes a line of log and drops it."""


def extract(
    dataset: DataSet,
    folder: Path,
    *,
    views: str = "plain,flip",
    backbone: str = BACKBONE,
    weights: str = "none",
    tta: test_time.TestTimeAugmentation = test_time.NONE,
    precision: Precision = "fp32",
    report: Callable[[str], None] = quiet,
    dtype: str = "float32",
) -> FeatureStore:
    return extraction.extract(
        dataset,
        backbone_name=backbone,
        weights=weights,
        precision=precision,
        views=preprocessing.parse_views(views),
        folder=folder,
        tta=tta,
        batch_size=3,
        report=report,
        dtype=dtype,
    )


def content(folder: Path) -> dict[str, bytes]:
    """Every file of a store but the record of what the pass cost, which no two passes share."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != COST_FILE]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def shards(folder: Path) -> list[Path]:
    """The files with features in a folder."""
    return sorted(folder.glob("*-[0-9]*.npy"))


class CutOffError(Exception):
    """Stands for whatever ends a process."""


def interrupt_after(parts: int, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets a pass write so many shards and then breaks it."""
    write = feature_parts.write

    def write_some(path: Path, *arguments: Any) -> feature_parts.Record:
        if len(shards(folder)) == parts:
            raise CutOffError
        return write(path, *arguments)

    with monkeypatch.context() as patched:
        patched.setattr(feature_parts, "write", write_some)
        with pytest.raises(CutOffError):
            extract(read_dataset(find_splits(folder.parent / "pictures")), folder)


class TestStore:
    def test_holds_every_view_of_train_and_the_plain_one_of_the_others(self, dataset: DataSet, tmp_path: Path) -> None:
        store = extract(dataset, tmp_path, views="plain,flip,crops:2")
        train, valid = store.split("train"), store.split("valid")
        assert (train.features.shape, train.features.dtype) == ((10, 4, WIDTH), np.float32)
        assert valid.features.shape == (4, 1, WIDTH)
        assert (train.targets.tolist(), train.targets.dtype) == ([0] * 5 + [1] * 5, np.int64)
        assert valid.names == ("001.A/0.jpg", "001.A/1.jpg", "002.B/0.jpg", "002.B/1.jpg")
        assert (store.classes, store.width, store.backbone_name) == (("001.A", "002.B"), WIDTH, BACKBONE)
        assert store.sizes == {"train": 10, "valid": 4, "test": 4}
        assert store.views == preprocessing.parse_views("plain,flip,crops:2")
        assert store.preprocessing == backbones.spec(BACKBONE).preprocessing
        assert isinstance(train.features, ShardedRows)

    def test_holds_the_test_time_views_of_the_others(self, dataset: DataSet, tmp_path: Path) -> None:
        store = extract(dataset, tmp_path / "flip", tta="flip")
        evaluated = store.split("test")
        plain = extract(dataset, tmp_path / "plain")
        assert (store.tta, plain.tta) == ("flip", "none")
        np.testing.assert_allclose(evaluated.features[:, :1], plain.split("test").features, atol=1e-5)
        backbone = folding.for_inference(backbones.create(BACKBONE, weights="none"))
        image = decoding.decode(dataset.splits["test"][0].path)
        mirrored = preprocessing.to_tensor(image, store.preprocessing, preprocessing.FLIP)[None]
        np.testing.assert_allclose(evaluated.features[0, 1], backbone(mirrored)[0].numpy(), atol=1e-4)
        assert extract(dataset, tmp_path / "flip").tta == "flip"  # a run without one can use them
        with pytest.raises(DataError, match=r"different: tta"):
            extract(dataset, tmp_path / "plain", tta="flip")

    def test_features_equal_what_serving_computes_of_one_picture(self, dataset: DataSet, tmp_path: Path) -> None:
        lite = "efficientnet_lite0"
        store = extract(dataset, tmp_path, views="plain,flip,crops:1", backbone=lite, weights="pretrained")
        serving = backbones.create(lite, weights="none")
        serving.load_state_dict(store.backbone_state())
        train = store.split("train")
        for index in (0, 7):
            sample = dataset.splits["train"][index]
            image = decoding.decode(sample.path.read_bytes())
            for view, stored in zip(store.views, train.features[index], strict=True):
                tensor = preprocessing.to_tensor(image, store.preprocessing, view, key=sample.name)
                with torch.inference_mode():
                    served = serving(tensor[None])[0]
                torch.testing.assert_close(torch.from_numpy(stored.copy()), served, rtol=0, atol=1e-4)

    def test_works_as_a_plain_copy(self, dataset: DataSet, tmp_path: Path) -> None:
        extract(dataset, tmp_path / "a")
        assert not any(path.is_symlink() or path.is_dir() for path in (tmp_path / "a").iterdir())
        shutil.copytree(tmp_path / "a", tmp_path / "b")
        shutil.rmtree(tmp_path / "a")
        assert FeatureStore.open(tmp_path / "b").split("test").features.shape == (4, 1, WIDTH)

    def test_a_split_it_does_not_have(self, dataset: DataSet, tmp_path: Path) -> None:
        only = DataSet(dataset.classes, {"train": dataset.splits["train"]})
        store = extract(only, tmp_path)
        assert store.has("train")
        assert not store.has("valid")
        with pytest.raises(DataError, match=r"have no valid split, only train\."):
            store.split("valid")

    def test_takes_half_the_space_as_float16(self, dataset: DataSet, tmp_path: Path) -> None:
        whole = extract(dataset, tmp_path / "whole")
        half = extract(dataset, tmp_path / "half", dtype="float16")
        assert (whole.dtype, half.dtype) == ("float32", "float16")
        for split in whole.sizes:
            one, other = whole.split(split).features, half.split(split).features
            assert np.array_equal(other, np.asarray(one).astype(np.float16))
            assert (other.dtype, 2 * other.nbytes) == (np.float32, one.nbytes)
        with pytest.raises(DataError, match=r"contains other features \(different: dtype\)"):
            extract(dataset, tmp_path / "half")
        assert store_subset(half, dataset, tmp_path / "taken", fingerprint=half.fingerprint)
        assert FeatureStore.open(tmp_path / "taken").digests == half.digests


class TestOpen:
    def test_nothing_there(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match=r"contains no features: features\.json is missing"):
            FeatureStore.open(tmp_path)

    def test_an_unfinished_pass(self, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "pictures").symlink_to(root)
        interrupt_after(1, tmp_path / "features", monkeypatch)
        with pytest.raises(DataError, match=r"not finished: run the same extraction again"):
            FeatureStore.open(tmp_path / "features")

    @pytest.mark.parametrize("damage", ["cut", "missing"])
    def test_a_copy_in_part(self, dataset: DataSet, tmp_path: Path, damage: str) -> None:
        extract(dataset, tmp_path)
        file = tmp_path / "train-000001.npy"
        if damage == "cut":
            file.write_bytes(file.read_bytes()[:1000])
        else:
            file.unlink()
        with pytest.raises(DataError, match=r"train-000001\.npy has (0|1000) of \d+ bytes: copy the features again"):
            FeatureStore.open(tmp_path)

    def test_another_format(self, dataset: DataSet, tmp_path: Path) -> None:
        extract(dataset, tmp_path)
        content = json.loads((tmp_path / "features.json").read_bytes())
        content["key"]["format"] = 99
        (tmp_path / "features.json").write_text(json.dumps(content))
        with pytest.raises(DataError, match=r"have format 99, not 2"):
            FeatureStore.open(tmp_path)


def as_format_1(folder: Path, target: Path) -> Path:
    """A store as earlier versions wrote it: one array per split, and one JSON with names and labels."""
    store = FeatureStore.open(folder)
    target.mkdir()
    listing = {}
    for split in store.sizes:
        whole = store.split(split)
        np.save(target / f"{split}.npy", np.asarray(whole.features))
        listing[split] = {"names": list(whole.names), "labels": whole.targets.tolist()}
    (target / "pictures.json").write_text(json.dumps(listing))
    shutil.copy(folder / BACKBONE_FILE, target)
    key = {name: value for name, value in store.key.items() if name not in {"dtype", "shards"}} | {"format": 1}
    files = {path.name: path.stat().st_size for path in target.iterdir()}
    content = {"key": key, "sizes": store.sizes, "skipped": store.skipped, "weights": "none", "files": files}
    (target / MANIFEST).write_text(json.dumps(content))
    return target


class TestEarlierStores:
    def test_are_read_and_used_as_they_are(self, dataset: DataSet, tmp_path: Path) -> None:
        store = extract(dataset, tmp_path / "new")
        earlier = as_format_1(tmp_path / "new", tmp_path / "old")
        lines: list[str] = []
        opened = extract(dataset, earlier, report=lines.append)
        assert lines == [f"features are already in {earlier}: nothing to compute"]
        for split in store.sizes:
            new, old = store.split(split), opened.split(split)
            assert new.names == old.names
            assert np.array_equal(new.targets, old.targets)
            assert np.array_equal(new.features, old.features)

    def test_give_the_features_of_some_pictures_in_todays_format(self, tmp_path: Path) -> None:
        pictures = make_pictures(tmp_path / "pictures")
        store = extract(pictures, tmp_path / "new")
        earlier = FeatureStore.open(as_format_1(tmp_path / "new", tmp_path / "old"))
        for whole, name in ((store, "of new"), (earlier, "of old")):
            assert store_subset(whole, pictures, tmp_path / name, fingerprint=store.fingerprint)
        old, new = content(tmp_path / "of old"), content(tmp_path / "of new")
        assert new == {name: data for name, data in content(tmp_path / "new").items() if name != ".lock"}
        assert json.loads(old.pop("features.json")) == json.loads(new.pop("features.json"))
        assert old == new

    def test_with_a_name_outside_of_the_data_set_are_refused(self, dataset: DataSet, tmp_path: Path) -> None:
        extract(dataset, tmp_path / "new", views="plain")
        listing = as_format_1(tmp_path / "new", tmp_path / "old") / PICTURES_FILE
        listing.write_text(listing.read_text().replace("001.A/0.jpg", "../../home/0.jpg", 1))
        with pytest.raises(DataError, match=r"outside of the data set: '\.\./\.\./home/0\.jpg'"):
            FeatureStore.described(tmp_path / "old").split("train")


class TestDamage:
    def test_is_found_by_the_digests_in_the_manifest(self, dataset: DataSet, tmp_path: Path) -> None:
        store = extract(dataset, tmp_path)
        store.verify()
        shard = shards(tmp_path)[0]
        spoiled = bytearray(shard.read_bytes())
        spoiled[-1] ^= 1
        shard.write_bytes(spoiled)
        with pytest.raises(DataError, match=rf"{shard.name} is damaged: copy the features again"):
            FeatureStore.open(tmp_path).verify()

    def test_of_the_names_is_found_when_they_are_read(self, dataset: DataSet, tmp_path: Path) -> None:
        extract(dataset, tmp_path)
        (tmp_path / "train.names.ends.npy").write_bytes((tmp_path / "test.names.ends.npy").read_bytes())
        with pytest.raises(DataError, match=r"the names in .*train\.names are damaged: copy the features again"):
            FeatureStore.described(tmp_path).split("train")

    @pytest.mark.parametrize("content", [b"", b"PK\x03\x04 an archive", "the features"])
    def test_of_the_labels_is_found_too(self, content: bytes | str, dataset: DataSet, tmp_path: Path) -> None:
        extract(dataset, tmp_path)
        damaged = content if isinstance(content, bytes) else shards(tmp_path)[0].read_bytes()
        (tmp_path / "train.labels.npy").write_bytes(damaged)
        with pytest.raises(DataError, match=r"train\.labels\.npy (cannot be read|is damaged).*opy the features again"):
            FeatureStore.described(tmp_path).split("train")

    def test_of_a_shard_that_is_not_what_the_manifest_says(self, dataset: DataSet, tmp_path: Path) -> None:
        extract(dataset, tmp_path)
        (tmp_path / "train-000002.npy").write_bytes((tmp_path / "train-000000.npy").read_bytes())
        with pytest.raises(DataError, match=r"has features .* as the manifest says: copy the features again"):
            np.asarray(FeatureStore.described(tmp_path).split("train").features)

    def test_of_a_manifest_that_names_files_elsewhere(self, dataset: DataSet, tmp_path: Path) -> None:
        extract(dataset, tmp_path / "store")
        path = tmp_path / "store/features.json"
        path.write_text(path.read_text().replace("train-000000.npy", "../train-000000.npy"))
        with pytest.raises(DataError, match=r"names a file that is not in its folder: '\.\./train-000000\.npy'"):
            FeatureStore.open(tmp_path / "store")


class TestResuming:
    def test_of_a_finished_store_that_lacks_shards_computes_those_alone(
        self, dataset: DataSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        extract(dataset, tmp_path)
        before = content(tmp_path)
        (tmp_path / "train-000001.npy").unlink()
        (tmp_path / "valid-000000.npy").write_bytes(b"half a file")
        compute, computed = feature_pass.FeaturePass.compute, []

        def counted(self: feature_pass.FeaturePass, samples: Any, *rest: Any) -> feature_pass.Chunk:
            computed.append(len(samples))
            return compute(self, samples, *rest)

        monkeypatch.setattr(feature_pass.FeaturePass, "compute", counted)
        lines: list[str] = []
        extract(dataset, tmp_path, report=lines.append)
        assert computed == [4, 4]
        assert lines[0] == f"features: 2 of the {len(before) - 2} files in {tmp_path} are missing or incomplete"
        assert content(tmp_path) == before

    @pytest.mark.parametrize("parts", [0, 1, 3])
    def test_ends_with_the_same_bytes_as_an_unbroken_pass(
        self, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, parts: int
    ) -> None:
        (tmp_path / "pictures").symlink_to(root)
        dataset = read_dataset(find_splits(tmp_path / "pictures"))
        extract(dataset, tmp_path / "unbroken")
        interrupt_after(parts, tmp_path / "resumed", monkeypatch)
        lines: list[str] = []
        extract(dataset, tmp_path / "resumed", report=lines.append)
        assert content(tmp_path / "resumed") == content(tmp_path / "unbroken")
        already = {0: 0, 1: 4, 3: 10}[parts]
        assert any(f"{already} of them already there" in line for line in lines) == bool(already)

    def test_a_damaged_part_is_computed_again(
        self, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "pictures").symlink_to(root)
        dataset = read_dataset(find_splits(tmp_path / "pictures"))
        extract(dataset, tmp_path / "unbroken")
        interrupt_after(3, tmp_path / "resumed", monkeypatch)
        parts = shards(tmp_path / "resumed")
        assert len(parts) == 3
        parts[0].write_bytes(parts[0].read_bytes()[:5000])
        flipped = bytearray(parts[1].read_bytes())
        flipped[3000] ^= 1
        parts[1].write_bytes(flipped)
        extract(dataset, tmp_path / "resumed")
        assert content(tmp_path / "resumed") == content(tmp_path / "unbroken")

    def test_keeps_the_batch_size_that_was_chosen(
        self, dataset: DataSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def extract_auto(check: Callable[[], None]) -> FeatureStore:
            return extraction.extract(
                dataset,
                backbone_name=BACKBONE,
                weights="none",
                views=(preprocessing.PLAIN,),
                folder=tmp_path,
                report=quiet,
                check=check,
            )

        def cut_off() -> None:
            raise CutOffError

        monkeypatch.setattr(pacing, "batch_size", lambda *_, **__: 5)
        with pytest.raises(CutOffError):
            extract_auto(cut_off)
        monkeypatch.setattr(pacing, "batch_size", lambda *_, **__: 7)
        facts = extract_auto(lambda: None).pass_facts()
        assert facts is not None
        assert facts["batch_size"] == 5

    def test_a_finished_pass_is_not_repeated(
        self, dataset: DataSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        extract(dataset, tmp_path)
        monkeypatch.setattr(feature_pass.FeaturePass, "compute", None)
        lines: list[str] = []
        assert extract(dataset, tmp_path, report=lines.append).sizes["train"] == 10
        assert lines == [f"features are already in {tmp_path}: nothing to compute"]

    def test_parts_of_something_else_are_not_mixed_in(
        self, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "pictures").symlink_to(root)
        interrupt_after(1, tmp_path / "features", monkeypatch)
        other = make_pictures(tmp_path / "other", train=4)
        lines: list[str] = []
        extract(other, tmp_path / "features", report=lines.append)
        extract(other, tmp_path / "fresh")
        assert "left from a pass over other data or settings" in lines[0]
        assert content(tmp_path / "features") == content(tmp_path / "fresh")

    def test_rounded_features_are_others_and_those_of_earlier_versions_are_exact(
        self, dataset: DataSet, tmp_path: Path
    ) -> None:
        extract(dataset, tmp_path)
        with pytest.raises(DataError, match=r"contains other features \(different: precision\)"):
            extract(dataset, tmp_path, precision="bf16")
        content = json.loads((tmp_path / MANIFEST).read_text())
        assert content["key"].pop("precision") == "fp32"
        (tmp_path / MANIFEST).write_text(json.dumps(content))
        assert extract(dataset, tmp_path).precision == "fp32"

    def test_a_finished_store_of_something_else_is_left_alone(self, dataset: DataSet, tmp_path: Path) -> None:
        extract(dataset, tmp_path)
        before = content(tmp_path)
        with pytest.raises(DataError, match=r"contains other features \(different: views\)\. Use another folder"):
            extract(dataset, tmp_path, views="plain")
        assert content(tmp_path) == before

    def test_two_at_once_do_the_work_once(self, dataset: DataSet, tmp_path: Path) -> None:
        lines: list[str] = []
        first = threading.Thread(target=lambda: extract(dataset, tmp_path, report=lines.append))
        with exclusive(tmp_path, report=lines.append):
            first.start()
            while not any(line.startswith("waiting") for line in lines):
                first.join(0.05)
        extract(dataset, tmp_path, report=lines.append)
        first.join()
        assert sum(line.startswith("features are already") for line in lines) == 1


class TestCorruptPictures:
    @pytest.fixture
    def damaged(self, tmp_path: Path) -> DataSet:
        make_pictures(tmp_path / "pictures", train=6)
        (tmp_path / "pictures/train/001.A/2.jpg").write_bytes(b"no picture")
        whole = tmp_path / "pictures/train/002.B/5.jpg"
        whole.write_bytes(whole.read_bytes()[:-900])
        return read_dataset(find_splits(tmp_path / "pictures"))

    def test_are_skipped_counted_and_listed(self, damaged: DataSet, tmp_path: Path) -> None:
        lines: list[str] = []
        store = extract(damaged, tmp_path / "features", report=lines.append)
        train = store.split("train")
        assert [(one["split"], one["name"]) for one in store.skipped] == [
            ("train", "001.A/2.jpg"),
            ("train", "002.B/5.jpg"),
        ]
        assert train.features.shape[0] == len(train.targets) == len(train.names) == store.sizes["train"] == 10
        assert "001.A/2.jpg" not in train.names
        assert train.targets.tolist() == [0] * 5 + [1] * 5
        assert lines[-2].startswith("skipped train/001.A/2.jpg: not a picture")

    def test_do_not_shift_the_features_of_the_others(self, damaged: DataSet, tmp_path: Path) -> None:
        store = extract(damaged, tmp_path / "features")
        keep = {"train": tuple(one for one in damaged.splits["train"] if one.name in store.split("train").names)}
        expected = extract(DataSet(damaged.classes, keep), tmp_path / "expected").split("train")
        assert store.split("train").names == expected.names
        np.testing.assert_allclose(store.split("train").features, expected.features, rtol=0, atol=1e-4)
        assert np.abs(np.diff(expected.features, axis=0)).max(axis=(1, 2)).min() > 1e-2  # else nothing was shown

    def test_too_many_end_the_pass_and_are_named(self, damaged: DataSet, tmp_path: Path) -> None:
        (tmp_path / "pictures/train/002.B/4.jpg").write_bytes(b"")
        with pytest.raises(DataError, match=r"3 of the 12 pictures of the train split.*001\.A/2\.jpg \(not"):
            extract(damaged, tmp_path / "features")
        with pytest.raises(DataError, match=r"not finished"):
            FeatureStore.open(tmp_path / "features")


class TestProgress:
    def test_is_shown_every_two_seconds_with_pace_and_time_left(self) -> None:
        now = iter([0.0, 1.0, 2.0, 3.0, 4.5])
        lines: list[str] = []
        progress = feature_pass.Progress(100, 200, lines.append, clock=lambda: next(now))
        progress.resume(20, 40)
        for _ in range(4):
            progress.advance(10, 20)
        assert lines == [
            "features 40/100 pictures, 10.0/s, 6 s left",
            "features 60/100 pictures, 8.9/s, 4 s left",
        ]


def test_a_full_disk_is_named_and_keeps_what_is_done(dataset: DataSet, tmp_path: Path) -> None:
    """On a tiny file system, where the machine lets us mount one."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", str(disk)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("only root can mount a small file system")
    try:
        with pytest.raises(DataError, match=r"the disk that holds .* is full: free some space"):
            extract(dataset, disk)
        assert shards(disk)
        subprocess.run(["mount", "-o", "remount,size=40m", str(disk)], check=True)
        lines: list[str] = []
        assert extract(dataset, disk, report=lines.append).sizes["train"] == 10
        assert any("of them already there" in line for line in lines)
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_features_of_some_pictures_are_those_of_a_pass_over_them(tmp_path: Path) -> None:
    pictures = make_pictures(tmp_path / "pictures")
    whole = extract(pictures, tmp_path / "whole")
    (tmp_path / "pictures/dogbreed-ignore.txt").write_text("train/001.A/1.jpg\ntest/002.B/0.jpg\n")
    fewer = read_dataset(find_splits(tmp_path / "pictures"))
    computed = extract(fewer, tmp_path / "computed")
    assert store_subset(whole, fewer, tmp_path / "taken", fingerprint=computed.fingerprint)
    taken = FeatureStore.open(tmp_path / "taken")
    assert taken.key == computed.key
    assert taken.sizes == computed.sizes == {"train": 9, "valid": 4, "test": 3}
    for split in taken.sizes:
        one, other = taken.split(split), computed.split(split)
        assert one.names == other.names
        assert np.array_equal(one.targets, other.targets)
        assert np.allclose(one.features, other.features, rtol=1e-4, atol=1e-5)
    assert {name: value.sum() for name, value in taken.backbone_state().items()} == {
        name: value.sum() for name, value in computed.backbone_state().items()
    }
    assert not store_subset(taken, pictures, tmp_path / "more", fingerprint="")
    assert not (tmp_path / "more").exists()


def test_a_picture_outside_of_the_data_set_is_refused(dataset: DataSet, tmp_path: Path) -> None:
    store = extract(dataset, tmp_path / "store", views="plain")
    listing = tmp_path / "store" / names_file("train")
    listing.write_bytes(listing.read_bytes().replace(b"001.A/0.jpg001.A/1.jpg", b"../../home/secret0.jpg", 1))
    names = store.split("train").names
    for read in (lambda: names[0], lambda: list(names), lambda: names[:1]):
        with pytest.raises(DataError, match=r"outside of the data set: '\.\./\.\./home/"):
            read()
    assert names[2] == "001.A/2.jpg"
    assert list(store.split("test").names)


def test_importing_it_loads_neither_torch_nor_numpy() -> None:
    heavy = "{'torch', 'numpy', 'torchvision'}"
    code = f"import sys, training_scripts.features.store; sys.exit(bool({heavy} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
