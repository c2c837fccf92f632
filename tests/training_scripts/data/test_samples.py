"""The compact list of a data set's pictures: the same pictures as a list of objects, in a fraction of the memory."""

from __future__ import annotations

import os
import pickle
import tracemalloc
from pathlib import Path

import pytest

from training_scripts.data import image_folder
from training_scripts.data.class_folders import ClassPictures, FolderSamples
from training_scripts.data.packed_names import PackedNames
from training_scripts.data.samples import Sample, of_any

ODD = ["", "a.jpg", "ü.jpg", os.fsdecode(b"\xff.jpg"), "more/日本.png", "line\nbreak"]


@pytest.mark.parametrize("names", [[], ["a.jpg"], ["a", "bc", ""], ODD, ODD * 3000, ["x.jpg"] * 9000])
def test_packed_names_are_the_names(names: list[str]) -> None:
    packed = PackedNames(names)
    assert list(packed) == names
    assert [packed[place] for place in range(len(packed))] == names
    assert packed[-2:] == tuple(names[-2:])
    assert pickle.loads(pickle.dumps(packed)) == packed == PackedNames(iter(names))
    assert packed != PackedNames([*names, "other"])


def test_an_index_beyond_the_names_is_an_error() -> None:
    with pytest.raises(IndexError):
        PackedNames(["a"])[1]
    with pytest.raises(IndexError):
        PackedNames(["a", "b", "c"])[-4]
    with pytest.raises(IndexError):
        PackedNames([])[0]


@pytest.fixture
def samples() -> FolderSamples:
    classes = {
        "b": ClassPictures("/data/train/b", ["1.jpg", "0.jpg"]),
        "empty": ClassPictures("/data/train/empty", []),
        "b c": ClassPictures("/data/train/b c", ["2.jpg", "more/3.jpg"]),
    }
    return FolderSamples(classes, {"b": 0, "empty": 1, "b c": 2})


def test_samples_have_path_name_and_class(samples: FolderSamples) -> None:
    listed = [
        Sample("/data/train/b/1.jpg", "b/1.jpg", 0),
        Sample("/data/train/b/0.jpg", "b/0.jpg", 0),
        Sample("/data/train/b c/2.jpg", "b c/2.jpg", 2),
        Sample("/data/train/b c/more/3.jpg", "b c/more/3.jpg", 2),
    ]
    assert list(samples) == [samples[row] for row in range(4)] == listed
    assert samples[-1] == listed[-1]
    assert list(samples[1:3]) == listed[1:3]
    assert list(samples[1:][1:]) == listed[2:]
    assert list(samples.names()) == [sample.name for sample in listed]
    assert list(samples.class_indices()) == [0, 0, 2, 2]
    assert samples == tuple(listed)
    assert samples != tuple(listed[:3])


def test_rows_by_name_are_those_of_sorting_all_names(samples: FolderSamples) -> None:
    names = list(samples.names())
    assert [names[row] for row in samples.by_name()] == sorted(names)
    assert list(of_any(tuple(samples)).by_name()) == list(samples.by_name())


def test_a_listed_picture_takes_less_than_forty_bytes(tmp_path: Path) -> None:
    source = tmp_path / "picture.jpg"
    source.write_bytes(b"picture")
    for split, count in (("train", 1500), ("valid", 500)):
        for name in ("n02085620", "n02085782"):
            (tmp_path / "data" / split / name).mkdir(parents=True)
            for number in range(count):
                os.link(source, tmp_path / "data" / split / name / f"{name}_{number:05d}.JPEG")
    splits = image_folder.find_splits(tmp_path / "data")
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        dataset = image_folder.read_dataset(splits)
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    total = sum(map(len, dataset.splits.values()))
    assert total == 4000
    assert (after - before) / total < 40
