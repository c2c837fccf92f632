"""Data sets in shards through BreedDataset: packed, opened, checked, evaluated, and unpacked to the same pictures."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from pyarrow import parquet
from webdataset import tariterators

from dogbreed_sdk.cli.program import main
from dogbreed_sdk.client.images import reading
from dogbreed_sdk.datasets.dataset import BreedDataset
from dogbreed_sdk.endpoints.evaluation import evaluate
from dogbreed_sdk.errors import ConfigurationError, DatasetError, ImageError
from dogbreed_sdk.pages.thumbnails import small_picture
from dogbreed_sdk.predictions import BreedScore, Prediction
from dogbreed_sdk.session import Session

pytestmark = pytest.mark.extras


def contents(dataset: BreedDataset) -> set[tuple[str, str, bytes]]:
    return {
        (split, picture.class_folder, picture.read()) for split in dataset.splits for picture in dataset.pictures(split)
    }


@pytest.fixture(scope="module", params=["webdataset", "parquet"])
def packed(
    request: pytest.FixtureRequest, shapes: BreedDataset, tmp_path_factory: pytest.TempPathFactory
) -> BreedDataset:
    return shapes.pack(tmp_path_factory.mktemp("packed") / request.param, format=request.param)


def test_a_packed_data_set_has_the_same_pictures(packed: BreedDataset, shapes: BreedDataset, tmp_path: Path) -> None:
    assert (packed.classes, packed.splits, len(packed)) == (shapes.classes, shapes.splits, len(shapes))
    assert contents(packed) == contents(shapes)
    assert {path.name for path in packed.root.iterdir()} in (
        {"train-00000.tar", "valid-00000.tar", "test-00000.tar", "classes.txt"},
        {"train-00000.parquet", "valid-00000.parquet", "test-00000.parquet"},
    )
    again = BreedDataset.from_folder(packed.root).unpack(tmp_path / "unpacked")
    assert (again.splits, contents(again)) == (shapes.splits, contents(shapes))
    assert again.check().ok == shapes.check().ok


def names(root: Path) -> list[str]:
    return sorted(path.relative_to(root).as_posix() for path in root.rglob("*.jpg"))


def test_unpacked_pictures_have_their_names_again(
    shapes: BreedDataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plain = BreedDataset(shapes.folders["valid"])
    packed = plain.pack(tmp_path / "packed")
    assert main(["data", "unpack", str(packed.root), str(tmp_path / "unpacked")]) == 0
    assert f"classes; pictures: {len(plain)}\n" in capsys.readouterr().out
    assert names(tmp_path / "unpacked") == names(plain.root)


def test_pictures_of_one_name_in_two_shards_are_both_unpacked(shapes: BreedDataset, tmp_path: Path) -> None:
    packed = BreedDataset(shapes.folders["valid"]).pack(tmp_path / "packed")
    shutil.copy(packed.root / "pictures-00000.tar", packed.root / "pictures-00001.tar")
    doubled = BreedDataset.from_folder(packed.root)
    unpacked = doubled.unpack(tmp_path / "unpacked")
    assert len(unpacked) == len(doubled) == 2 * len(BreedDataset(shapes.folders["valid"]))


def test_what_the_check_finds_is_the_same(packed: BreedDataset, shapes: BreedDataset) -> None:
    def found(dataset: BreedDataset) -> list[tuple[str, str]]:
        return sorted((finding.level, finding.code) for finding in dataset.check().findings)

    assert found(packed) == found(shapes)


def test_classes_are_mixed_in_a_shard_in_the_same_order_for_a_seed(shapes: BreedDataset, tmp_path: Path) -> None:
    orders = [
        [picture.index for picture in shapes.pack(tmp_path / f"{number}", seed=seed).pictures("train")]
        for number, seed in enumerate((0, 0, 1))
    ]
    assert orders[0] == orders[1] != orders[2]
    assert orders[0] != sorted(orders[0])


@pytest.mark.parametrize("format_name", ["webdataset", "parquet"])
def test_a_full_shard_is_followed_by_another(
    shapes: BreedDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, format_name: Any
) -> None:
    monkeypatch.setattr("dogbreed_sdk.datasets.packing.SHARD_UNIT", 1000)
    dataset = shapes.pack(tmp_path / "packed", format=format_name, shard_mb=4)
    shards = sorted(path for path in dataset.root.glob("train-*"))
    assert len(shards) > 2
    assert shards[1].name.startswith("train-00001.")
    assert contents(dataset) == contents(shapes)


def test_webdataset_and_pyarrow_read_what_was_packed(packed: BreedDataset, shapes: BreedDataset) -> None:
    wanted = {(content, name) for split, name, content in contents(shapes) if split == "train"}
    if (packed.root / "classes.txt").exists():
        names = (packed.root / "classes.txt").read_text().splitlines()
        with (packed.root / "train-00000.tar").open("rb") as file:
            rows = list(tariterators.group_by_keys(tariterators.tar_file_expander([{"url": "train", "stream": file}])))
        found = {(row["jpg"], names[int(row["cls"])]) for row in rows}
    else:
        table = parquet.read_table(packed.root / "train-00000.parquet")
        names = json.loads(table.schema.metadata[b"huggingface"])["info"]["features"]["label"]["names"]
        found = {(row["image"]["bytes"], names[row["label"]]) for row in table.to_pylist()}
    assert found == wanted


def test_evaluation_reads_pictures_in_shards(packed: BreedDataset, shapes: BreedDataset) -> None:
    truth = {content: name for split, name, content in contents(shapes) if split == "test"}

    class Oracle:
        def classify(self, picture: Any, /, *, top_k: int = 1) -> Prediction:
            return prediction(truth[picture], top_k)

    def prediction(name: str, top_k: int) -> Prediction:
        names = [name, *(other for other in shapes.classes if other != name)]
        scores = [BreedScore(each, each, shapes.classes.index(each), 0.8 if each == name else 0.1) for each in names]
        return Prediction.from_scores(tuple(scores[:top_k]))

    measured = evaluate(Oracle(), packed)
    assert (measured.n, measured.accuracy) == (len(truth), 1.0)


def test_pages_show_pictures_in_shards(packed: BreedDataset) -> None:
    assert all(small_picture(picture.path) for picture in packed.pictures("valid")[:3])


def test_a_picture_in_a_shard_is_classified_by_its_path(packed: BreedDataset, tmp_path: Path) -> None:
    picture = packed.pictures("test")[1]
    assert reading.read(str(picture.path), allowed_hosts=None) == (picture.read(), str(picture.path))
    shard = next(parent for parent in picture.path.parents if parent.is_file())
    with pytest.raises(ImageError, match=r"none: the shard has no picture of this name \(its first one is "):
        reading.read(shard / "none", allowed_hosts=None)
    broken = tmp_path / shard.name
    broken.write_bytes(b"no shard")
    with pytest.raises(ImageError, match=r"cannot read the picture .*: it is not a .*(tar|parquet)"):
        reading.read(broken / "row-0", allowed_hosts=None)


def test_shards_are_uploaded_as_they_are(packed: BreedDataset) -> None:
    session = Session.local()
    assert packed.upload(session) == packed.root.as_uri()
    assert set(packed._files()) == {path.name for path in packed.root.iterdir()}


def test_jobs_on_parquet_files_install_pyarrow(packed: BreedDataset, shapes: BreedDataset) -> None:
    in_parquet = bool(list(packed.root.glob("*.parquet")))
    assert packed.requirements == (("pyarrow>=18",) if in_parquet else ())
    assert shapes.requirements == ()


def test_shards_can_be_split(shapes: BreedDataset, tmp_path: Path) -> None:
    plain = BreedDataset(shapes.folders["train"])
    packed = plain.pack(tmp_path / "packed")
    assert (packed.splits, len(packed), packed.folders) == ({}, len(plain), {})
    divided = packed.split(tmp_path / "divided")
    assert set(divided.splits) == {"train", "valid", "test"}
    assert {content for _, _, content in contents(divided)} == {picture.read() for picture in plain.pictures()}


def test_the_command_line_packs_and_unpacks(
    shapes: BreedDataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [str(shapes.root), str(tmp_path / "packed"), "--format", "parquet"]
    assert main(["data", "pack", *arguments]) == 0
    capsys.readouterr()
    assert main(["data", "unpack", str(tmp_path / "packed"), str(tmp_path / "unpacked"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["splits"] == shapes.splits
    assert main(["data", "unpack", str(shapes.root), str(tmp_path / "other")]) == 1
    assert "has no shards (.tar, .parquet); its pictures are files already" in capsys.readouterr().err


def test_arguments_that_cannot_be_used_are_named(shapes: BreedDataset, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="shard_mb is 0"):
        shapes.pack(tmp_path / "packed", shard_mb=0)
    with pytest.raises(ConfigurationError, match="unknown format 'zip'; valid formats: webdataset, parquet"):
        shapes.pack(tmp_path / "packed", format="zip")  # type: ignore[arg-type]
    (tmp_path / "full").mkdir()
    (tmp_path / "full/x").touch()
    with pytest.raises(DatasetError, match="already exists and is not empty"):
        shapes.pack(tmp_path / "full")
