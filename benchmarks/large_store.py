# ruff: noqa: PLC0415 - each stage loads what it needs, after its process has been set up
"""Stored features that are larger than memory: rows per second, and how memory grows with the rows.

Generates stores of 1280 float16 numbers per row, in the shards of a feature pass, and opens each, trains a head on it
for an epoch, evaluates the head and scores outliers as a review does, each in its own process. Prints rows per
second and the most anonymous memory (RssAnon: what is not the page cache of files), and what both would be for
14 million rows. The baseline is the epoch with all features in memory, on the smallest store. Needs 5.7 GB of disk,
which it frees at the end.

    python benchmarks/large_store.py [--quick] [--rows 200000 2000000] [--buffer 256] [--folder /tmp]
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from training_scripts.data.image_folder import Sample
from training_scripts.features import manifest, parts, shuffling
from training_scripts.features.files import BACKBONE_FILE, shard_file
from training_scripts.features.parts import Record
from training_scripts.features.portions import shard_size
from training_scripts.features.store import FeatureStore
from training_scripts.training import runtime

WIDTH, CLASSES, BATCH_SIZE, DTYPE = 1280, 100, 256, "float16"
TARGET_ROWS = 14_000_000
STAGES = ("open", "epoch", "evaluate", "outliers")
MIB = 1 << 20


def main(arguments: Sequence[str] | None = None) -> None:
    """Generates the stores one after the other, and prints the figures of each stage."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[200_000, 2_000_000])
    parser.add_argument("--buffer", type=int, default=256, metavar="MIB", help="of the shuffle (default: %(default)s)")
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument("--stages", nargs="+", choices=STAGES, default=list(STAGES))
    parser.add_argument("--quick", action="store_true", help="10,000 and 40,000 rows, and a buffer of 8 MiB")
    parser.add_argument("--stage", help=argparse.SUPPRESS)
    parser.add_argument("--store", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.stage:
        print(json.dumps(STAGE[options.stage](options.store)))
        return
    sizes, buffer = ([10_000, 40_000], 8) if options.quick else (sorted(options.rows), options.buffer)
    print(f"rows of {WIDTH} x {DTYPE}, {CLASSES} classes, batches of {BATCH_SIZE}, a buffer of {buffer} MiB, 1 thread")
    measured: dict[int, dict[str, dict[str, float]]] = {}
    for rows in sizes:
        with tempfile.TemporaryDirectory(dir=options.folder, prefix="large-store-") as folder:
            place = Path(folder) / "features"
            began = time.perf_counter()
            generate(place, rows)
            size = sum(path.stat().st_size for path in place.iterdir())
            files = len(list(place.iterdir()))
            print(f"{rows:,} rows: {files} files, {size / 1e9:.2f} GB, written in {time.perf_counter() - began:.0f} s")
            stages = [*options.stages, *(["epoch-in-memory"] if rows == sizes[0] else [])]
            measured[rows] = {stage: run(stage, place, buffer) for stage in stages}
            for stage, found in measured[rows].items():
                print(f"  {stage:16} {speed(rows, stage, found)}  RssAnon {found['peak']:6.0f} MiB")
            shutil.rmtree(place)
    summarize(measured)


def summarize(measured: dict[int, dict[str, dict[str, float]]]) -> None:
    """Prints the ratios, and what follows for the target's rows."""
    small, large = min(measured), max(measured)
    if "epoch" in measured[small]:
        in_memory, streamed = measured[small]["epoch-in-memory"], measured[small]["epoch"]
        print(f"epoch from shards / in memory, {small:,} rows: {streamed['cpu'] / in_memory['cpu']:.2f} x the CPU time")
    for stage in measured[large]:
        before, after = measured[small][stage], measured[large][stage]
        growth = max(0.0, after["peak"] - before["peak"]) / (large - small)  # less is noise
        peak = after["peak"] + growth * (TARGET_ROWS - large)
        seconds = after["seconds"] * TARGET_ROWS / large
        print(
            f"{stage:9} {small:,} -> {large:,} rows: RssAnon x {after['peak'] / before['peak']:.2f}; extrapolated to "
            f"{TARGET_ROWS:,} rows: {peak:.0f} MiB, {seconds:.0f} s"
        )
    print(f"their features: {TARGET_ROWS * WIDTH * 2 / 1e9:.0f} GB as float16, in {files_of(TARGET_ROWS)} shards")


def files_of(rows: int) -> int:
    """Shards of a split."""
    return -(-rows // shard_size(rows, WIDTH * 2, least=manifest.CHUNK))


def speed(rows: int, stage: str, found: dict[str, float]) -> str:
    """The seconds of a stage, and its rows per second unless it reads no rows."""
    each = "" if stage == "open" else f"{rows / found['seconds']:>10,.0f} rows/s"
    return f"{found['seconds']:8.2f} s {found['cpu']:8.2f} CPU-s {each:>17}"


@dataclass(frozen=True)
class Listing(Sequence[Sample]):
    """The pictures of a generated store, sorted by class; none exists."""

    count: int

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, key: Any) -> Any:
        if key >= self.count:
            raise IndexError(key)
        label = key * CLASSES // self.count
        return Sample(Path(), f"{label:03}.Breed/picture_{key:08}.jpg", label)


def generate(folder: Path, rows: int) -> None:
    """Writes a store of random clouds, one per class, with a tenth as many rows in valid as in train."""
    dice = np.random.default_rng(0)
    centers = dice.standard_normal((CLASSES, WIDTH), np.float32)
    noise = dice.standard_normal((4096, WIDTH), np.float32) * 4
    shards: dict[str, dict[str, Record]] = {}
    kept = {"train": Listing(rows), "valid": Listing(rows // 10)}
    folder.mkdir()
    for split, listing in kept.items():
        shards[split] = {}
        size = shard_size(len(listing), WIDTH * 2, least=manifest.CHUNK)
        for number, start in enumerate(range(0, len(listing), size)):
            labels = np.arange(start, min(start + size, len(listing))) * CLASSES // len(listing)
            features = centers[labels] + noise[dice.integers(len(noise), size=len(labels))]
            path = folder / shard_file(split, number)
            digest = parts.write_features(path, features[:, None].astype(DTYPE))
            shards[split][path.name] = Record(len(labels), path.stat().st_size, digest)
    (folder / BACKBONE_FILE).write_bytes(b"none")
    preprocessing = {"resize": 1, "crop": 1, "mean": [0.0] * 3, "std": [1.0] * 3, "interpolation": "bilinear"}
    key = {
        "format": manifest.FORMAT,
        "fingerprint": "0" * 64,
        "classes": [f"{label:03}.Breed" for label in range(CLASSES)],
        "backbone": "generated",
        "weights": "0" * 64,
        "width": WIDTH,
        "preprocessing": preprocessing,
        "views": "plain",
        "dtype": DTYPE,
    }
    manifest.finish(folder, key, [], weights="none", shards=shards, kept=kept)
    for path in folder.iterdir():  # so that the stages read from the disk
        with path.open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def run(stage: str, place: Path, buffer: int) -> dict[str, float]:
    """Runs a stage in its own process: its seconds, CPU seconds and the most anonymous memory in MiB."""
    command = [sys.executable, __file__, "--stage", stage, "--store", str(place)]
    environ = {**os.environ, "OMP_NUM_THREADS": "1", "DOGBREED_BUFFER_MIB": str(buffer)}
    done = subprocess.run(command, env=environ, check=True, stdout=subprocess.PIPE)
    found: dict[str, float] = json.loads(done.stdout)
    return found


@contextmanager
def watched() -> Iterator[dict[str, float]]:
    """Measures the block."""
    found: dict[str, float] = {"peak": 0.0}
    over = threading.Event()

    def watch() -> None:
        while not over.wait(0.01):
            found["peak"] = max(found["peak"], anonymous())

    watcher = threading.Thread(target=watch)
    watcher.start()
    began, cpu = time.perf_counter(), time.process_time()
    try:
        yield found
    finally:
        found["seconds"], found["cpu"] = time.perf_counter() - began, time.process_time() - cpu
        over.set()
        watcher.join()
        found["peak"] = max(found["peak"], anonymous())


def anonymous() -> float:
    """This process's anonymous memory in MiB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("RssAnon"))


def open_store(place: Path) -> dict[str, float]:
    """Opens the store, and reads the first and the last name and row."""
    with watched() as found:
        train = FeatureStore.open(place).split("train")
        assert train.names[0].startswith("000.Breed/")
        assert train.names[len(train.names) - 1].startswith(f"{CLASSES - 1:03}.Breed/")
        assert train.features[[0, -1]].shape == (2, 1, WIDTH)
    return found


def prepared(place: Path) -> tuple[Callable[[int], Any], Any]:
    """Makes the batches of a store, given the bytes that may be kept in memory; and a head."""
    runtime.prepare(threads=1)
    import torch

    from training_scripts.data import batches

    shuffling.BUFFER_BYTES = int(os.environ["DOGBREED_BUFFER_MIB"]) * MIB
    torch.manual_seed(0)

    def make(in_memory: int) -> batches.FeatureBatches:
        batches.IN_MEMORY_BYTES = in_memory
        opened = FeatureStore.open(place)
        return batches.FeatureBatches({name: opened.split(name) for name in opened.sizes})

    return make, torch.nn.Linear(WIDTH, CLASSES)


def epoch(place: Path, *, in_memory: int = 0) -> dict[str, float]:
    """Trains a head for an epoch."""
    import torch

    make, head = prepared(place)
    with watched() as found:
        batches = make(in_memory)
        optimizer = torch.optim.AdamW(head.parameters(), lr=1e-3)
        rows = 0
        for inputs, targets in batches.train(BATCH_SIZE, torch.default_generator):
            loss = torch.nn.functional.cross_entropy(head(inputs), targets)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            rows += len(targets)
        assert rows == batches.size("train")
    return found


def evaluate(place: Path) -> dict[str, float]:
    """Evaluates a head on the train split."""
    import torch

    make, head = prepared(place)
    with watched() as found:
        batches = make(0)
        with torch.inference_mode():
            right = sum(
                int((head(inputs).argmax(1) == targets).sum()) for inputs, targets in batches.plain("train", BATCH_SIZE)
            )
        assert 0 <= right <= batches.size("train")
    return found


def score_outliers(place: Path) -> dict[str, float]:
    """Scores how unlike the others each picture of the train split is."""
    from dogbreed_sdk.reviewing import outliers
    from training_scripts.features.unit_rows import UnitRows

    with watched() as found:
        train = FeatureStore.open(place).split("train")
        scored = outliers.scores(UnitRows([(train.features, 0)]), train.targets, classes=CLASSES)
        assert len(scored) == len(train.targets)
    return found


STAGE: dict[str, Callable[[Path], dict[str, float]]] = {
    "open": open_store,
    "epoch": epoch,
    "epoch-in-memory": lambda place: epoch(place, in_memory=1 << 40),
    "evaluate": evaluate,
    "outliers": score_outliers,
}

if __name__ == "__main__":
    main()
