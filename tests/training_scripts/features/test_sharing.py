"""A feature pass on several instances: the same features, whether each has all pictures or some of them."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.training_scripts.training.test_processes import Run, execute, planned
from training_scripts.data import listing
from training_scripts.features import manifest
from training_scripts.features.files import COST_FILE, MANIFEST
from training_scripts.features.store import FeatureStore

# Two chunks to train on, and one of each other split.
SIZES = {"train": manifest.CHUNK // 2 + 20, "valid": 3, "test": 2}
ARGUMENTS = ["--model", "mobilenet_v3_small", "--weights", "none", "--views", "plain,flip", "--profiler", "off"]
BROKEN = "002.B/5.png"
FOUR = ["algo-1", "algo-2", "algo-3", "algo-4"]


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root, dice = tmp_path_factory.mktemp("pictures"), random.Random(0)
    for split, count in SIZES.items():
        for name in ("001.A", "002.B"):
            (root / split / name / "more").mkdir(parents=True)
            for number in range(count):
                below = "more/" if number % 3 == 0 else ""
                Image.frombytes("RGB", (8, 8), dice.randbytes(192)).save(root / split / name / f"{below}{number}.png")
    (root / "train" / BROKEN).write_bytes(b"no picture")
    return root


def shards(pictures: Path, folder: Path, count: int) -> list[Path]:
    """The pictures as SageMaker distributes them by key; one class of the valid split is on one instance only."""
    for number, path in enumerate(sorted(pictures.rglob("*.png"))):
        place = path.relative_to(pictures)
        target = folder / str(0 if place.parts[:2] == ("valid", "001.A") else number % count) / place
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    return [folder / str(shard) for shard in range(count)]


@pytest.fixture(scope="module")
def few_pictures(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures for twelve shards of at most four; one of the pictures cannot be read."""
    root = tmp_path_factory.mktemp("few")
    for path in pictures.rglob("*.png"):
        if int(path.stem) < 18:
            target = root / path.relative_to(pictures)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, target)
    return root


@pytest.fixture(scope="module")
def runs(pictures: Path, few_pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Run]:
    """A process; two hosts with all pictures, of which one is killed, and again; with shards; with copied folders.

    And four hosts, of which one is killed, and again.
    """
    root = tmp_path_factory.mktemp("passes")
    hosts = [{"SM_HOSTS": '["algo-1", "algo-2"]', "SM_CURRENT_HOST": f"algo-{rank + 1}"} for rank in range(2)]
    own = [host | {"SM_CHECKPOINT_DIR": str(root / f"checkpoints-{rank}")} for rank, host in enumerate(hosts)]
    sharded = [
        host | {"SM_CHANNEL_TRAINING": str(shard), "SM_CHECKPOINT_DIR": str(root / f"sharded-{rank}")}
        for rank, (host, shard) in enumerate(zip(hosts, shards(pictures, root / "shards", 2), strict=True))
    ]
    copied = []
    for rank, host in enumerate(hosts):
        settings, folder = root / f"config-{rank}", root / f"copied-{rank}"
        settings.mkdir()
        configured = {"S3Uri": "s3://bucket/features", "LocalPath": str(folder)}
        (settings / "checkpointconfig.json").write_text(json.dumps(configured))
        copied.append(host | {"SM_CHECKPOINT_DIR": str(folder), "SM_INPUT_CONFIG_DIR": str(settings)})
    common = {"script": "extract_features", "arguments": ARGUMENTS}
    four = [
        {"SM_HOSTS": json.dumps(FOUR), "SM_CURRENT_HOST": host, "SM_CHECKPOINT_DIR": str(root / f"four-{rank}")}
        for rank, host in enumerate(FOUR)
    ]
    few = {**common, "constants": {"features.manifest.CHUNK": 4}}
    plans = [
        planned(root / "one", pictures, 1, **common),
        planned(root / "killed", pictures, 2, own=own, fault="kill-after-part", **common),
        planned(root / "again", pictures, 2, own=own, **common),
        planned(root / "sharded", pictures, 2, own=sharded, **common),
        planned(root / "copied", pictures, 2, own=copied, **common),
        planned(root / "few", few_pictures, 1, **few),
        planned(root / "one-of-four-killed", few_pictures, 4, own=four, fault="kill-after-part", **few),
        planned(root / "four-again", few_pictures, 4, own=four, **few),
    ]
    execute(root, plans)
    return {Path(str(plan["folder"])).name: Run(Path(str(plan["folder"])), int(str(plan["count"]))) for plan in plans}


def content(folder: Path) -> dict[str, bytes]:
    files = [path for path in folder.glob("*.*") if path.is_file() and path.name != COST_FILE]
    return {path.name: path.read_bytes() for path in files if path.name != ".lock"}


def test_two_hosts_compute_the_bytes_of_one_and_resume(runs: dict[str, Run]) -> None:
    one, again = runs["one"], runs["again"]
    assert one.statuses == [0], one.out()
    assert runs["killed"].statuses == [1, -9], runs["killed"].out()
    assert again.statuses == [0, 0], again.out() + again.out(1)
    root = one.folder.parent
    assert content(root / "checkpoints-0") == content(one.folder / "checkpoints")
    total = 2 * sum(SIZES.values())
    assert f"features: {total} pictures, views plain,flip, {manifest.CHUNK + 6} of them in this process" in again.out()
    assert "of them already there" in again.out(1)
    assert "this process's features are computed" in again.out(1)
    assert not (root / "checkpoints-1" / MANIFEST).exists()
    assert again.out().count(f"skipped train/{BROKEN}: ") == 1
    assert (again.folder / "model" / MANIFEST).is_file()


def test_only_the_shards_that_a_lost_host_lacks_are_computed_again(runs: dict[str, Run]) -> None:
    killed, again = runs["one-of-four-killed"], runs["four-again"]
    assert killed.statuses == [1, 1, 1, -9], killed.out()
    assert again.statuses == [0, 0, 0, 0], again.out()
    root = killed.folder.parent
    assert content(root / "four-0") == content(runs["few"].folder / "checkpoints")
    ended = (killed.folder / "status-3").stat().st_mtime_ns
    shards = [sorted((root / f"four-{rank}").glob("*-0*.npy")) for rank in range(4)]
    later = [[path.name for path in of_host if path.stat().st_mtime_ns > ended] for of_host in shards]
    # Every fourth shard of the splits is the lost host's; it had written the first one. The first host gets them all.
    assert later[1:] == [[], [], ["test-000000.npy", "train-000007.npy"]]
    assert len(shards[0]) == 12
    assert set(later[0]) == {path.name for of_host in shards[1:] for path in of_host}


def test_folders_that_are_copied_to_one_place_are_a_store_together(runs: dict[str, Run], tmp_path: Path) -> None:
    """As on S3, where the checkpoints of all instances come together: no features travel between them."""
    assert runs["copied"].statuses == [0, 0], runs["copied"].out() + runs["copied"].out(1)
    root = runs["one"].folder.parent
    first, second = content(root / "copied-0"), content(root / "copied-1")
    assert {name for name in second if name.startswith("train-")} == {"train-000001.npy"}
    assert not first.keys() & second.keys()
    assert first | second == content(runs["one"].folder / "checkpoints")


def test_two_hosts_with_shards_compute_the_features_of_all_pictures(runs: dict[str, Run]) -> None:
    assert runs["sharded"].statuses == [0, 0], runs["sharded"].out() + runs["sharded"].out(1)
    root = runs["one"].folder.parent
    alone, sharded = FeatureStore.open(runs["one"].folder / "checkpoints"), FeatureStore.open(root / "sharded-0")
    assert sharded.key == alone.key
    assert sharded.skipped == alone.skipped
    for split in SIZES:
        one, other = alone.split(split), sharded.split(split)
        assert other.names == one.names
        assert np.array_equal(other.targets, one.targets)
        assert np.allclose(other.features, one.features, rtol=1e-4, atol=1e-5)


def test_the_names_of_all_instances_are_listed_as_one_instance_lists_them(pictures: Path, tmp_path: Path) -> None:
    folders = [{split: shard / split for split in SIZES} for shard in shards(pictures, tmp_path, 3)]
    whole = listing.list_splits({split: pictures / split for split in SIZES})
    names: list[listing.Names] = []
    for shard in folders:
        listing.with_others(listing.list_splits(shard), lambda mine: [names.append(mine) or mine])  # type: ignore[func-returns-value]
    merged = listing.with_others(listing.list_splits(folders[1]), lambda _mine: names)
    expected = [(split, name, path.relative_to(pictures)) for split, name, path in whole.pictures()]
    assert [(split, name, path.relative_to(tmp_path / "1")) for split, name, path in merged.pictures()] == expected
