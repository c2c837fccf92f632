"""From a picture's file to a network's input: CPU time per picture, equality of the pixels, and what a pass chooses.

    python benchmarks/decoding.py [--quick] [--rounds 5] [DATA]

DATA (default: $DOGBREED_TEST_DATA) has the folders `photos-full-size` and `dogs`. Printed are:

- decoding, resizing and cropping, against Pillow alone (the baseline: open, load, copy, resize, crop; what this project
  did before), in turns in one process, and how many pictures have equal pixels;
- photographs of 12 megapixels, made by enlarging photographs and as mosaics of them, against decoding them whole; and
  how far that moves the features;
- the resize that `precision=bf16` allows: the cosine distance of its features and the accuracy of a head;
- the share of decoding that holds Python's lock, and so how many cores decoding in threads can feed;
- the threads and the batch size that a pass chooses, and what choosing costs.

`--quick` takes fewer pictures and leaves the accuracy out.
"""

from __future__ import annotations

import argparse
import io
import os
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from training_scripts.data import decoding, image_folder, jpeg_pixels, preprocessing, resizing
from training_scripts.data.preprocessing import PLAIN, Preprocessing, View
from training_scripts.data.samples import Sample
from training_scripts.features import feature_pass, pacing
from training_scripts.models import backbones, folding
from training_scripts.models.engines.torch_engine import TorchEngine
from training_scripts.training import runtime

_SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
_BACKBONE = "efficientnet_lite0"
_LARGE = (4032, 3024)
_TILES = 6
_HEAD_EPOCHS = 200

Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Held:
    """A picture in memory, so that no disk is measured."""

    content: bytes
    name: str

    def read(self) -> bytes:
        """Its content."""
        return self.content


def by_pillow(picture: Held, wanted: Preprocessing, views: Sequence[View] = (PLAIN,), *, whole: bool = False) -> Pixels:
    """The baseline: Pillow decodes and resizes the whole picture, from which the crop is cut."""
    rgb = decoded_by_pillow(picture, whole=whole)
    size = preprocessing._resized(rgb.size, wanted.resize)
    filtering = preprocessing._RESAMPLING[wanted.interpolation]
    resized = rgb if rgb.size == size else rgb.resize(size, filtering)
    left, top = preprocessing._crop_corner(size, wanted.crop)
    plain = np.asarray(resized)[top : top + wanted.crop, left : left + wanted.crop]
    return np.stack([plain if view.kind == "plain" else plain[:, ::-1] for view in views])


def decoded_by_pillow(picture: Held, *, whole: bool = False) -> Image.Image:
    """Decodes with Pillow, with the checks of untrusted pictures that were made before."""
    with Image.open(io.BytesIO(picture.content)) as image:
        picture.content.count(b"\xff\xda")
        if not whole:
            image.draft(None, (decoding.JPEG_DRAFT_SIDE, decoding.JPEG_DRAFT_SIDE))
        rgb = decoding.upright_rgb(image)
        return rgb.copy() if rgb is image else rgb


def cpu_ms(ways: dict[str, Callable[[Held], object]], pictures: Sequence[Held], rounds: int) -> dict[str, float]:
    """CPU milliseconds per picture of each way, the best of several rounds in turns."""
    best = dict.fromkeys(ways, float("inf"))
    for _ in range(rounds):
        for name, way in ways.items():
            began = time.process_time()
            for picture in pictures:
                way(picture)
            best[name] = min(best[name], (time.process_time() - began) / len(pictures) * 1e3)
    return best


def show(title: str, times: dict[str, float], baseline: str) -> None:
    """Prints a table of times and their ratios to a baseline."""
    print(f"\n{title}")
    for name, spent in times.items():
        print(f"  {name:<58} {spent:7.2f} ms  {times[baseline] / spent:5.2f} x")


def photographs(pictures: Sequence[Held], wanted: Preprocessing, rounds: int) -> None:
    """Ordinary photographs: each step and all of it."""
    images = {picture.name: decoding.decode(picture.content) for picture in pictures}
    filtering = preprocessing._RESAMPLING[wanted.interpolation]

    def resize_whole(picture: Held) -> object:
        image = images[picture.name]
        return image.resize(preprocessing._resized(image.size, wanted.resize), filtering)

    steps: dict[str, Callable[[Held], object]] = {
        "decode, Pillow": decoded_by_pillow,
        "decode, now": lambda picture: decoding.decode(picture.content),
        "resize and crop, Pillow": resize_whole,
        "resize and crop, now": lambda picture: preprocessing.to_pixels(images[picture.name], wanted),
    }
    ways: dict[str, Callable[[Held], object]] = {
        "Pillow (baseline)": lambda picture: by_pillow(picture, wanted),
        "now": lambda picture: preprocessing.sample_views(picture, wanted, (PLAIN,)),
        "now, without simplejpeg": lambda picture: without_simplejpeg(picture, wanted),
        "approximate (precision=bf16)": lambda picture: preprocessing.approximate_views(picture, wanted, (PLAIN,)),
    }
    times = cpu_ms(steps, pictures, rounds)
    show("Decode", {name: times[name] for name in list(times)[:2]}, "decode, Pillow")
    show("Resize and crop", {name: times[name] for name in list(times)[2:]}, "resize and crop, Pillow")
    show("All of it", cpu_ms(ways, pictures, rounds), "Pillow (baseline)")
    views = preprocessing.parse_views("plain,flip")
    equal = sum(
        np.array_equal(by_pillow(picture, wanted, views), preprocessing.sample_views(picture, wanted, views))
        for picture in pictures
    )
    print(f"  equal to the last digit, plain and flip: {equal} of {len(pictures)}")


def without_simplejpeg(picture: Held, wanted: Preprocessing) -> Pixels:
    """As where simplejpeg is not installed."""
    with mock.patch.object(jpeg_pixels, "is_used", lambda: False):
        return preprocessing.sample_views(picture, wanted, (PLAIN,))


def large(images: Sequence[Image.Image]) -> Iterator[tuple[str, list[Held]]]:
    """Photographs of 12 megapixels."""
    enlarged, mosaics = [], []
    for number, image in enumerate(images):
        size = _LARGE if image.width >= image.height else _LARGE[::-1]
        enlarged.append(held(image.resize(size, Image.Resampling.LANCZOS), f"enlarged {number}"))
        mosaic, tile = Image.new("RGB", size), (size[0] // _TILES, size[1] // _TILES)
        for place in range(_TILES * _TILES):
            part = images[(number + place) % len(images)].resize(tile)
            mosaic.paste(part, (place % _TILES * tile[0], place // _TILES * tile[1]))
        mosaics.append(held(mosaic, f"mosaic {number}"))
    yield "enlarged", enlarged
    yield "mosaic", mosaics


def held(image: Image.Image, name: str) -> Held:
    """A picture as a camera stores it."""
    content = io.BytesIO()
    image.save(content, "JPEG", quality=90)
    return Held(content.getvalue(), name)


def twelve_megapixels(images: Sequence[Image.Image], wanted: Preprocessing, engine: TorchEngine, rounds: int) -> None:
    """Large photographs, decoded at a quarter of their size."""
    for kind, pictures in large(images):
        ways: dict[str, Callable[[Held], object]] = {
            "Pillow, whole (baseline)": lambda picture: by_pillow(picture, wanted, whole=True),
            "Pillow, at a reduced scale": lambda picture: by_pillow(picture, wanted),
            "now, at a reduced scale": lambda picture: preprocessing.sample_views(picture, wanted, (PLAIN,)),
        }
        times = cpu_ms(ways, pictures, max(1, rounds // 2))
        show(f"12 megapixels, {kind} ({len(pictures)} pictures)", times, "Pillow, whole (baseline)")
        whole = features(engine, wanted, [by_pillow(picture, wanted, whole=True) for picture in pictures])
        reduced = features(
            engine, wanted, [preprocessing.sample_views(picture, wanted, (PLAIN,)) for picture in pictures]
        )
        print(f"  cosine distance of the features: {distances(whole, reduced)}")


def features(engine: TorchEngine, wanted: Preprocessing, pixels: Sequence[Pixels]) -> npt.NDArray[np.float32]:
    """The plain view's features [n, width]."""
    found = []
    for start in range(0, len(pixels), 32):
        batch = preprocessing.normalize(np.stack([views[0] for views in pixels[start : start + 32]]), wanted)
        found.append(engine.run(batch).numpy())
    return np.concatenate(found)


def distances(one: npt.NDArray[np.float32], other: npt.NDArray[np.float32]) -> str:
    """The cosine distances of two sets of features, in words."""
    lengths = np.linalg.norm(one.astype(float), axis=1) * np.linalg.norm(other.astype(float), axis=1)
    apart = 1 - (one.astype(float) * other).sum(axis=1) / lengths
    return f"median {statistics.median(apart.tolist()):.1e}, largest {apart.max():.1e}"


def approximate(pictures: Sequence[Held], wanted: Preprocessing, engine: TorchEngine) -> None:
    """How far the approximate resize moves pixels and features."""
    exact, close = (
        [make(picture, wanted, (PLAIN,)) for picture in pictures]
        for make in (preprocessing.sample_views, preprocessing.approximate_views)
    )
    apart = np.abs(np.stack(exact).astype(int) - np.stack(close))
    print(f"\nApproximate resize ({len(pictures)} photographs)")
    print(f"  pixels: {(apart > 0).mean():.2%} of the values differ, by {apart.max()} of 255 at most")
    moved = distances(features(engine, wanted, exact), features(engine, wanted, close))
    print(f"  cosine distance of the features: {moved}")


def accuracy(data: Path, wanted: Preprocessing, engine: TorchEngine) -> None:
    """A linear head trained on exact features, and its accuracy on exact and on approximate ones.

    The pictures of data/dogs are 224 x 224. From there to 256, torch's coefficients are exact as well.
    """
    dataset = image_folder.read_dataset({split: data / "dogs" / split for split in ("train", "test")})
    known: dict[str, npt.NDArray[np.float32]] = {}
    targets = {}
    for split, make in (("train", "sample_views"), ("test", "sample_views"), ("approximate", "approximate_views")):
        samples = dataset.splits["train"][::3] if split == "train" else dataset.splits["test"][::2]
        targets[split] = torch.tensor([sample.class_index for sample in samples])
        views = getattr(preprocessing, make)
        known[split] = features(engine, wanted, [views(sample, wanted, (PLAIN,)) for sample in samples])
    torch.manual_seed(0)
    head = torch.nn.Linear(known["train"].shape[1], len(dataset.classes))
    optimizer = torch.optim.AdamW(head.parameters(), lr=2e-3, weight_decay=1e-2)
    inputs = torch.from_numpy(known["train"])
    for _ in range(_HEAD_EPOCHS):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(head(inputs), targets["train"]).backward()
        optimizer.step()
    with torch.inference_mode():
        chances = {split: head(torch.from_numpy(known[split])).softmax(1) for split in ("test", "approximate")}
    right = {split: (chances[split].argmax(1) == targets[split]).float().mean().item() for split in chances}
    moved = (chances["test"] - chances["approximate"]).abs().max().item()
    print(f"  data/dogs, test: accuracy {right['test']:.2%} exact, {right['approximate']:.2%} approximate")
    print(f"  data/dogs, test: {distances(known['test'], known['approximate'])}; probabilities move by {moved:.4f}")


@contextmanager
def outside_the_lock(spent: list[float]) -> Iterator[None]:
    """Sums up the CPU time of the calls that release Python's lock."""

    def timed(function: Callable[..., object]) -> Callable[..., object]:
        def call(*arguments: object, **options: object) -> object:
            began = time.thread_time()
            try:
                return function(*arguments, **options)
            finally:
                spent[0] += time.thread_time() - began

        return call

    import simplejpeg  # noqa: PLC0415

    with (
        mock.patch.object(simplejpeg, "decode_jpeg", timed(simplejpeg.decode_jpeg)),
        mock.patch.object(Image.Image, "resize", timed(Image.Image.resize)),
        mock.patch.object(resizing, "approximate", timed(resizing.approximate)),
    ):
        yield


def lock(pictures: Sequence[Held], wanted: Preprocessing) -> None:
    """The share of decoding that holds Python's lock."""
    print("\nPython's lock")
    for name, make in (("exact", preprocessing.sample_views), ("approximate", preprocessing.approximate_views)):
        spent = [0.0]
        with outside_the_lock(spent):
            began = time.thread_time()
            for picture in pictures:
                make(picture, wanted, (PLAIN,))
            total = time.thread_time() - began
        inside = (total - spent[0]) / len(pictures)
        print(
            f"  {name:<12} {inside * 1e3:.2f} of {total / len(pictures) * 1e3:.2f} ms per picture: threads keep up to "
            f"{total / max(total - spent[0], 1e-9):.0f} cores busy, {1 / inside:,.0f} pictures/s"
        )


def chosen(samples: Sequence[Sample], wanted: Preprocessing, engine: TorchEngine) -> None:
    """What a pass chooses, and what choosing costs."""
    print("\nChosen by the first pictures of a pass")
    for workers in (1, 2, None):
        with feature_pass.FeaturePass(
            engine,
            wanted,
            width=backbones.spec(_BACKBONE).feature_width,
            batch_size=32,
            workers=workers,
            check=lambda: None,
        ) as run:
            progress = feature_pass.Progress(len(samples), len(samples), lambda line: print(f"    {line}"))
            began, wall = time.process_time(), time.perf_counter()
            run.compute(samples, (PLAIN,), progress)
            spent, wall = time.process_time() - began, time.perf_counter() - wall
        name = f"{run.workers} threads, chosen" if workers is None else f"{workers} threads, set"
        waiting = run.cost.waiting / run.cost.seconds
        print(
            f"  {name:<20} {len(samples) / wall:6.1f} pictures/s, {spent / len(samples) * 1e3:.1f} CPU ms each, "
            f"network waiting {waiting:.0%}"
        )
    began = time.process_time()
    pacing.batch_size(engine, side=wanted.crop, views=10**6, report=lambda line: print(f"  {line}"))
    chose = time.process_time() - began
    least = pacing._VIEWS_WORTH_MEASURING["cpu"]
    share = chose / (spent / len(samples) * least)
    print(
        f"  choosing the batch size: {chose:.1f} CPU-s, {share:.1%} of the shortest pass that does it ({least:,} views)"
    )


def main() -> None:
    """Runs all parts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="?", type=Path, default=Path(os.environ.get("DOGBREED_TEST_DATA", _SHARED_DATA)))
    parser.add_argument("--quick", action="store_true", help="fewer pictures, and no accuracy")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    runtime.prepare(threads=1)
    rounds = 2 if options.quick else options.rounds
    paths = sorted((options.data / "photos-full-size").rglob("*.jpg"))[:: 4 if options.quick else 1]
    pictures = [Held(path.read_bytes(), path.name) for path in paths]
    wanted = backbones.spec(_BACKBONE).preprocessing
    engine = TorchEngine(folding.for_inference(backbones.create(_BACKBONE, weights="pretrained")))
    photographs(pictures, wanted, rounds)
    images = [decoding.decode(picture.content) for picture in pictures[:: 6 if options.quick else 10]]
    twelve_megapixels(images, wanted, engine, rounds)
    approximate(pictures, wanted, engine)
    if not options.quick:
        accuracy(options.data, wanted, engine)
    lock(pictures, wanted)
    chosen([Sample(str(path), path.name, 0) for path in paths * (4 if options.quick else 2)], wanted, engine)


if __name__ == "__main__":
    main()
