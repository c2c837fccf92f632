"""Data sets of many pictures: listing, checking, and reading them from files, tar shards and parquet files.

Listing: CPU of `read_dataset` against `os.walk` and torchvision's `ImageFolder`, in turns in one process, and the
memory that each keeps per picture. Check: CPU and wall time of `check` against decoding the pictures with Pillow alone,
and how many cores it used. Reading: CPU per picture of one pass over the contents, from tar shards and parquet files
against plain files, and against webdataset's own reader.

    python benchmarks/many_files.py [--pictures 100000] [--checked 20000] [--rounds 3] [--quick]

The pictures are small JPEGs, of which 400 differ; the files are hard links to them, except where they are read.
"""

from __future__ import annotations

import argparse
import io
import os
import random
import statistics
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Sequence
from pathlib import Path

from PIL import Image

from dogbreed_sdk.datasets import packing
from dogbreed_sdk.datasets.checks import check
from training_scripts.data import image_folder

CLASSES = 100
DIFFERENT = 400
SPLITS = {"train": 0.8, "valid": 0.1, "test": 0.1}
QUICK = {"pictures": 5000, "checked": 500, "rounds": 2}


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures all and prints their ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=100_000, help="pictures to list (default: %(default)s)")
    parser.add_argument("--checked", type=int, default=20_000, help="pictures to check and read (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of each (default: %(default)s)")
    parser.add_argument("--quick", action="store_true", help="few pictures: ends within a minute")
    options = parser.parse_args(arguments)
    if options.quick:
        vars(options).update(QUICK)
    with tempfile.TemporaryDirectory() as folder:
        sources = draw(Path(folder) / "sources")
        listed = link(sources, Path(folder) / "listed", options.pictures)
        list_pictures(listed, options.rounds)
        checked = link(sources, Path(folder) / "checked", options.checked)
        check_pictures(checked)
        read_pictures(checked, Path(folder), options.rounds)


def draw(folder: Path) -> list[Path]:
    """Different small photographs, in effect: smooth noise."""
    folder.mkdir()
    dice = random.Random(0)
    for number in range(DIFFERENT):
        image = Image.frombytes("RGB", (12, 9), dice.randbytes(324)).resize((120, 90), Image.Resampling.BICUBIC)
        image.save(folder / f"{number}.jpg", quality=85)
    return sorted(folder.iterdir())


def link(sources: Sequence[Path], root: Path, count: int) -> Path:
    """A data set of hard links."""
    number = 0
    for split, share in SPLITS.items():
        for index in range(CLASSES):
            folder = root / split / f"{index:03d}.class_{index}"
            folder.mkdir(parents=True)
            for _ in range(max(1, int(count * share / CLASSES))):
                os.link(sources[number % DIFFERENT], folder / f"picture_{number:07d}.jpg")
                number += 1
    return root


def list_pictures(root: Path, rounds: int) -> None:
    """Prints the cost of listing."""
    from torchvision.datasets import ImageFolder  # noqa: PLC0415 - loads torch

    def walk() -> int:
        return sum(len(names) for _, _, names in os.walk(root))

    def torchvision() -> object:
        return [ImageFolder(str(root / split)) for split in SPLITS]

    def ours() -> object:
        return image_folder.read_dataset(image_folder.find_splits(root))

    total = walk()
    ways: dict[str, Callable[[], object]] = {"os.walk": walk, "ImageFolder": torchvision, "read_dataset": ours}
    seconds = in_turns(ways, rounds)
    print(f"Listing {total:,} JPEGs, CPU, median of {rounds} rounds")
    for name, value in seconds.items():
        memory = (
            f"   {kept_bytes(ways[name]) / int(str(total)):6.0f} bytes kept per picture" if name != "os.walk" else ""
        )
        print(f"  {name:14} {value:7.3f} s   {value / seconds['ImageFolder']:5.2f} x ImageFolder{memory}")


def check_pictures(root: Path) -> None:
    """Prints the cost of a check."""
    paths = sorted(root.rglob("*.jpg"))

    def decode() -> None:
        for path in paths:
            Image.open(io.BytesIO(path.read_bytes())).convert("RGB").load()

    check(root / "test", workers=1)  # modules load
    alone = cpu_of(decode)
    begun = time.perf_counter()
    whole = cpu_of(lambda: check(root))
    wall = time.perf_counter() - begun
    print(f"Checking {len(paths):,} pictures of 120 x 90 pixels")
    print(f"  Pillow alone   {alone:7.2f} s of CPU")
    print(f"  check          {whole:7.2f} s of CPU   {whole / alone:5.2f} x Pillow   {whole / wall:.1f} cores busy")


def read_pictures(root: Path, folder: Path, rounds: int) -> None:
    """Prints the cost of reading every picture once, in the order of storage."""
    dataset = image_folder.read_dataset(image_folder.find_splits(root))
    total = sum(map(len, dataset.splits.values()))
    packed: dict[str, Path] = {}
    for kind in packing.FORMATS:
        packed[kind] = folder / kind
        packed[kind].mkdir()
        packing.pack(dataset, packed[kind], splits=list(SPLITS), format=kind, shard_mb=16, seed=0, progress=None)
    shards = [image_folder.read_dataset(image_folder.find_splits(place)) for place in packed.values()]

    def contents(source: image_folder.DataSet) -> int:
        return sum(len(sample.read()) for samples in source.splits.values() for sample in samples)

    def library() -> int:
        from webdataset import tariterators  # noqa: PLC0415 - loads torch

        found = 0
        for path in sorted(packed["webdataset"].glob("*.tar")):
            with path.open("rb") as file:
                members = tariterators.tar_file_expander([{"url": str(path), "stream": file}])
                found += sum(len(row["jpg"]) for row in tariterators.group_by_keys(members))
        return found

    ways: dict[str, Callable[[], object]] = {
        "files": lambda: contents(dataset),
        "tar shards": lambda: contents(shards[0]),
        "parquet": lambda: contents(shards[1]),
        "webdataset": library,
        "tar, indexed": lambda: contents(image_folder.read_dataset(image_folder.find_splits(packed["webdataset"]))),
    }
    seconds = in_turns(ways, rounds)
    print(f"Reading {total:,} pictures, CPU per picture, median of {rounds} rounds")
    for name, value in seconds.items():
        print(f"  {name:14} {value / total * 1e6:7.1f} us   {value / seconds['files']:5.2f} x files")


def in_turns(ways: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """CPU seconds of each way, the median of rounds in which they take turns; one round is not counted."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds + 1):
        for name, way in ways.items():
            spent = cpu_of(way)
            if number:
                seconds[name].append(spent)
    return {name: statistics.median(values) for name, values in seconds.items()}


def cpu_of(work: Callable[[], object]) -> float:
    """CPU seconds of this process's work."""
    begun = time.process_time()
    work()
    return time.process_time() - begun


def kept_bytes(make: Callable[[], object]) -> int:
    """The bytes that a result takes."""
    tracemalloc.start()
    try:
        result = make()
        kept, _ = tracemalloc.get_traced_memory()
        del result
    finally:
        tracemalloc.stop()
    return kept


if __name__ == "__main__":
    main()
