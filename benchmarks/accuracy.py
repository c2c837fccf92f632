"""Accuracy and cost of backbones, test-time augmentation, heads, and answers for small dogs and for two dogs.

    python benchmarks/accuracy.py DATA [--work FOLDER] [--seeds 3] [--quick]

DATA is a data set with train, valid and test folders, such as dogs/ or oxford25/ of $DOGBREED_TEST_DATA. --work keeps
the features for the next time (a pass over 8,400 pictures takes minutes per backbone). --quick takes a few pictures of
a few classes, one seed and two backbones: its figures only show that everything runs.

Prints four tables. Backbones: accuracy, calibration error and CPU milliseconds per picture on the test split, with and
without the mirror image, against the baseline efficientnet_lite0 with pictures resized to 224 pixels. Heads: what
settings change on the valid split, which chooses; mean and standard error over seeds, against the defaults. Composites:
test pictures scaled to a part of a larger picture whose rest is another, blurred photograph; and two pictures side by
side. Each is answered by `BreedClassifier.classify` from the whole picture, and by `detect` from windows of it: how
often its best answer is right, the share of dogs named, its answers per picture, and the share of them that are right.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageFilter
from torch.nn import functional

import accuracy_heads
from accuracy_heads import Features, Fit, Settings
from dogbreed_sdk import BreedClassifier
from training_scripts.data import decoding, image_folder
from training_scripts.data.image_folder import DataSet, Sample
from training_scripts.data.preprocessing import FLIP, PLAIN, Preprocessing, View
from training_scripts.features.feature_pass import FeaturePass, Progress
from training_scripts.models import backbones, bundle_writer, folding, rejection
from training_scripts.models.calibration import expected_calibration_error
from training_scripts.models.engines import selection
from training_scripts.models.engines.engine import Engine
from training_scripts.models.heads import HeadSpec
from training_scripts.training import runtime

BASELINE = "lite0, resize 224"
BATCH = 16
# Test pictures whose CPU time is measured.
TIMED = 96
SHARES = (1, 1 / 2, 1 / 3, 1 / 5)
BLUR = 24
# Windows of half of a picture's side, and also of a third.
WINDOWS = (16, 48)
QUICK_CLASSES, QUICK_PICTURES = 8, 6


@dataclass(frozen=True)
class Candidate:
    """A backbone with the pictures that it gets."""

    label: str
    backbone: str
    preprocessing: Preprocessing


def candidates(*, quick: bool) -> list[Candidate]:
    """The baseline first."""
    lite0 = backbones.spec("efficientnet_lite0").preprocessing
    found = [Candidate(BASELINE, "efficientnet_lite0", replace(lite0, resize=lite0.crop))]
    for name in ("efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2")[: 1 if quick else 3]:
        made = backbones.spec(name).preprocessing
        found.append(Candidate(f"{name[13:]}, {made.resize}/{made.crop}", name, made))
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    """Makes the features and prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--work", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args(arguments)
    runtime.prepare()
    dataset = image_folder.read_dataset(image_folder.find_splits(options.data))
    if options.quick:
        dataset, options.seeds = fewer(dataset), 1
    with tempfile.TemporaryDirectory() as temporary:
        work = options.work or Path(temporary)
        work.mkdir(parents=True, exist_ok=True)
        found = candidates(quick=options.quick)
        files = [work / f"{candidate.label.replace('/', '-')}.npz" for candidate in found]
        computed = [features_of(*each, dataset) for each in zip(found, files, strict=True)]
    backbone_table(found, computed, options.seeds)
    heads_table(computed[1].features, options.seeds)
    composites_table(found[1], computed[1], dataset, at_most=8 if options.quick else 100)


def fewer(dataset: DataSet) -> DataSet:
    """A few pictures of a few classes."""
    splits = {}
    for split, samples in dataset.splits.items():
        kept: list[Sample] = []
        for sample in samples:
            there = sum(one.class_index == sample.class_index for one in kept)
            if sample.class_index < QUICK_CLASSES and there < QUICK_PICTURES:
                kept.append(sample)
        splits[split] = tuple(kept)
    return DataSet(dataset.classes[:QUICK_CLASSES], splits)


@dataclass(frozen=True)
class Computed:
    """The features of a candidate, and CPU milliseconds per picture for its plain view and for both."""

    features: Features
    plain: float
    both: float


def features_of(candidate: Candidate, path: Path, dataset: DataSet) -> Computed:
    """Computes the plain and the mirrored view of every picture, or reads them."""
    if not path.is_file():
        arrays: dict[str, np.ndarray] = {}
        with FeaturePass(
            engine_of(candidate, views=10_000),
            candidate.preprocessing,
            width=backbones.spec(candidate.backbone).feature_width,
            batch_size=BATCH,
            workers=1,
            check=lambda: None,
        ) as run:
            for split, samples in dataset.splits.items():
                computed = run.compute(samples, (PLAIN, FLIP), Progress(len(samples), 2 * len(samples), quiet))
                arrays[f"{split}_x"] = computed.features
                arrays[f"{split}_y"] = np.array([samples[row].class_index for row in computed.kept])
            some = dataset.splits["test"][:TIMED]
            cost = [cpu_milliseconds(run, some, views) for views in ((PLAIN,), (PLAIN, FLIP))]
        np.savez(path, cost=np.array(cost), **arrays)
    with np.load(path) as arrays:
        tensors = {name: torch.from_numpy(arrays[name]) for name in arrays.files}
    plain, both = tensors.pop("cost").tolist()
    return Computed(Features(tensors), plain, both)


def cpu_milliseconds(run: FeaturePass, samples: Sequence[Sample], views: Sequence[View]) -> float:
    """CPU time of all threads per picture."""
    began = time.process_time()
    run.compute(samples, views, Progress(len(samples), len(views) * len(samples), quiet))
    return 1e3 * (time.process_time() - began) / len(samples)


def engine_of(candidate: Candidate, *, views: int) -> Engine:
    """The engine that a feature pass would use."""
    network = folding.for_inference(backbones.create(candidate.backbone))
    return selection.fastest(network, side=candidate.preprocessing.crop, precision="fp32", views=views, report=quiet)


def quiet(line: str) -> None:
    """Takes a line of log and drops it."""


def backbone_table(found: Sequence[Candidate], computed: Sequence[Computed], seeds: int) -> None:
    """Prints accuracy and cost of each backbone on the test split."""
    print("\n| backbone | tta | CPU ms per picture | ratio | top-1 | diff | top-5 | ECE | NLL |\n|" + " --- |" * 9)
    baseline: tuple[float, float] | None = None
    for candidate, each in zip(found, computed, strict=True):
        fits = [accuracy_heads.fit(each.features, Settings(), seed) for seed in range(seeds)]
        for tta in ("none", "flip"):
            measured = [measures(fit, each.features, "test", tta) for fit in fits]
            top1, top5, ece, nll = (statistic(values) for values in zip(*measured, strict=True))
            cost = each.both if tta == "flip" else each.plain
            baseline = baseline or (cost, top1[0])
            print(
                f"| {candidate.label} | {tta} | {cost:.1f} | {cost / baseline[0]:.2f} | {100 * top1[0]:.1f} ± "
                f"{100 * top1[1]:.1f} | {100 * (top1[0] - baseline[1]):+.1f} | {100 * top5[0]:.1f} | {ece[0]:.3f} | "
                f"{nll[0]:.3f} |"
            )


def measures(fit: Fit, features: Features, split: str, tta: str) -> tuple[float, float, float, float]:
    """Top-1, top-5, calibration error and calibrated cross-entropy; the temperature is fitted on valid."""
    temperature = fit.temperature(features, tta)
    logits, targets = fit.logits(features, split, tta), features.targets(split)
    most = min(5, logits.shape[1])
    top5 = (logits.topk(most).indices == targets[:, None]).any(1).double().mean()
    return (
        float((logits.argmax(1) == targets).double().mean()),
        float(top5),
        expected_calibration_error(logits, targets, temperature=temperature),
        float(functional.cross_entropy(logits / temperature, targets)),
    )


def statistic(values: Sequence[float]) -> tuple[float, float]:
    """Mean and standard error."""
    error = float(np.std(values, ddof=1) / len(values) ** 0.5) if len(values) > 1 else 0.0
    return float(np.mean(values)), error


def heads_table(features: Features, seeds: int) -> None:
    """Prints what settings of the head change on the valid split."""
    print("\n| head | NLL, valid, calibrated | diff | in SE | top-1, valid | diff |\n|" + " --- |" * 6)
    baseline: tuple[tuple[float, float], tuple[float, float]] | None = None
    for label, settings in accuracy_heads.VARIANTS.items():
        fits = [accuracy_heads.fit(features, settings, seed) for seed in range(seeds)]
        measured = [measures(fit, features, "valid", "none") for fit in fits]
        nll, top1 = statistic([each[3] for each in measured]), statistic([each[0] for each in measured])
        baseline = baseline or (nll, top1)
        change = nll[0] - baseline[0][0]
        error = (nll[1] ** 2 + baseline[0][1] ** 2) ** 0.5
        print(
            f"| {label} | {nll[0]:.4f} ± {nll[1]:.4f} | {change:+.4f} | {change / error if error else 0:+.1f} | "
            f"{100 * top1[0]:.1f} ± {100 * top1[1]:.1f} | {100 * (top1[0] - baseline[1][0]):+.1f} |"
        )


# ------------------------------------------------------------------ composites


def composites_table(candidate: Candidate, computed: Computed, dataset: DataSet, *, at_most: int) -> None:
    """Prints the accuracy on composites, from the whole picture and from windows of it."""
    samples = random.Random(0).sample(list(dataset.splits["test"]), min(at_most, len(dataset.splits["test"])))
    print(f"\n{candidate.label}, {len(samples)} pictures")
    heading = "".join(f" best of {count} windows | diff | dogs named | answers | right |" for count in WINDOWS)
    print(f"| top-1 | whole picture |{heading}\n|" + " --- |" * (2 + 5 * len(WINDOWS)))
    with tempfile.TemporaryDirectory() as folder:
        write_bundle(Path(folder), candidate, computed.features, dataset.classes)
        with BreedClassifier.from_bundle(folder) as classifier:
            for label, composed, true in groups(samples):
                pictures = list(zip(composed, true, strict=True))
                whole = np.mean([classifier.classify(image).index in truth for image, truth in pictures])
                cells = [f" {100 * whole:.1f} |"]
                for count in WINDOWS:
                    found = [
                        ([each.prediction.index for each in classifier.detect(image, windows=count)], truth)
                        for image, truth in pictures
                    ]
                    cells.append(detected(found, float(whole)))
                print(f"| {label} |" + "".join(cells), flush=True)
    print("For two dogs, the best answer counts as right if it names either of them.")


def detected(found: Sequence[tuple[list[int], set[int]]], whole: float) -> str:
    """The cells for the answers [picture, best first] and the true classes of each picture."""
    best = np.mean([bool(answers) and answers[0] in truth for answers, truth in found])
    named = np.mean([len(truth.intersection(answers)) / len(truth) for answers, truth in found])
    total = sum(len(answers) for answers, _ in found)
    right = sum(index in truth for answers, truth in found for index in answers) / max(1, total)
    return (
        f" {100 * best:.1f} | {100 * (best - whole):+.1f} | {100 * named:.1f} | {total / len(found):.1f} "
        f"| {100 * right:.1f} |"
    )


def write_bundle(folder: Path, candidate: Candidate, features: Features, classes: Sequence[str]) -> None:
    """A bundle with a head of default settings, its temperature and its rejection rule."""
    fit = accuracy_heads.fit(features, Settings(), 0)
    bundle_writer.write(
        folder,
        backbone_name=candidate.backbone,
        backbone_state=backbones.create(candidate.backbone).state_dict(),
        head=fit.head,
        head_spec=HeadSpec((), Settings().dropout),
        classes=tuple(classes),
        preprocessing=candidate.preprocessing,
        metrics={},
        temperature=fit.temperature(features, "none"),
        fingerprint="",
        hyperparameters={},
        rejection=rejection.fit(features.views("valid")[:, 0], features.targets("valid"), classes=len(classes)),
    )


def groups(samples: Sequence[Sample]) -> Iterator[tuple[str, Iterator[Image.Image], list[set[int]]]]:
    """Label, pictures and true classes of each kind of composite."""
    others = [*samples[1:], samples[0]]
    alone = [{sample.class_index} for sample in samples]
    for share in SHARES:
        label = "the picture itself" if share == 1 else f"dog in 1/{1 / share:.0f} of the side"
        yield label, (small_dog(a, b, share) for a, b in zip(samples, others, strict=True)), alone
    both = [{a.class_index, b.class_index} for a, b in zip(samples, others, strict=True)]
    yield "two dogs side by side", (two_dogs(a, b) for a, b in zip(samples, others, strict=True)), both


def small_dog(sample: Sample, other: Sample, share: float) -> Image.Image:
    """A picture at a random place of a larger one, which is another photograph, blurred beyond recognition."""
    dog = decoding.decode(sample.read())
    if share == 1:
        return dog
    side = round(max(dog.size) / share)
    background = decoding.decode(other.read()).resize((side, side)).filter(ImageFilter.GaussianBlur(BLUR / share))
    dice = random.Random(sample.name)
    background.paste(dog, (dice.randint(0, side - dog.width), dice.randint(0, side - dog.height)))
    return background


def two_dogs(first: Sample, second: Sample) -> Image.Image:
    """Two pictures of the same height, side by side."""
    left, right = decoding.decode(first.read()), decoding.decode(second.read())
    right = right.resize((max(1, round(right.width * left.height / right.height)), left.height))
    both = Image.new("RGB", (left.width + right.width, left.height))
    both.paste(left, (0, 0))
    both.paste(right, (left.width, 0))
    return both


if __name__ == "__main__":
    main()
