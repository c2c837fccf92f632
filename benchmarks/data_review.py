"""How well `dogbreed data review` finds wrong labels, copies and strangers among photographs of dogs, and its cost.

Exchanges 5% of the labels of data/dogs by several seeds, reviews the features, and prints precision and recall of the
first 1, 3, 5, 7 and 10% of the list: for labels exchanged at random, and for those exchanged with classes that look
alike. Other scores are printed for comparison. Trains the default head on the noisy labels, on what is left without
the flagged ones, and on the right ones, and prints the accuracy on the test split, whose labels are right. Edits some
photographs, and counts which edits are grouped with their originals. Adds pictures without a dog.

    python benchmarks/data_review.py [--data FOLDER] [--root FOLDER] [--seeds N] [--share SHARE] [--trained-seeds N]

--data is a data set (default: dogs below $DOGBREED_TEST_DATA, else ../shared/data beside the checkout). --root is a
folder of local SageMaker that keeps the features of efficientnet_lite0 for the next time; the first time they are
computed, which takes minutes.
"""

from __future__ import annotations

import argparse
import dataclasses
import io
import os
import random
import resource
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageOps

from dogbreed_sdk import BreedDataset, BreedTrainer, Session
from dogbreed_sdk.container import uri_to_path
from dogbreed_sdk.datasets import near_copies
from dogbreed_sdk.datasets.examination import examine_files
from dogbreed_sdk.reviewing import copies, neighbors, outliers, stored
from dogbreed_sdk.reviewing.examine import FLAGGED, JudgedLabels, examine, judge_labels
from dogbreed_sdk.reviewing.mixture import own_probability, probabilities
from dogbreed_sdk.reviewing.stored import StoredPictures
from training_scripts.data import decoding, preprocessing
from training_scripts.data.batches import FeatureBatches
from training_scripts.features.store import FeatureStore, SplitFeatures
from training_scripts.models import backbones, folding, heads
from training_scripts.models.network import Network
from training_scripts.training import runtime
from training_scripts.training.checkpoints import Checkpoint
from training_scripts.training.hyperparameters import Hyperparameters
from training_scripts.training.resume import RunIdentity
from training_scripts.training.stop_signal import StopFlag
from training_scripts.training.trainer import Trainer

REPOSITORY = Path(__file__).parents[1]
BACKBONE = "efficientnet_lite0"
SHARES = (0.01, 0.03, 0.05, 0.07, 0.10)
EDITED = 80
STRANGERS = 20
Scores = Mapping[str, np.ndarray]


def main() -> None:
    """Runs all parts."""
    options = _options()
    runtime.prepare(threads=1)  # a head's steps are too small for more
    with Session.local(options.root) as session:
        dataset = BreedDataset.from_folder(options.data)
        uri = BreedTrainer(session, model=BACKBONE).extract_features(dataset)
        store = FeatureStore.open(uri_to_path(uri))
        pictures = stored.read(dataset, uri, session)
    thumbnails = show_cost(pictures, store)
    show_labels(pictures, store, thumbnails, options)
    show_edits(pictures, thumbnails)
    show_strangers(pictures)


def show_cost(pictures: StoredPictures, store: FeatureStore) -> list[bytes]:
    """Prints the time of a review against that of the features; returns the thumbnails."""
    begun, cpu = time.monotonic(), time.process_time()
    facts = examine_files(pictures.paths)
    read, read_cpu = time.monotonic(), time.process_time()
    thumbnails = [facts[path].thumbnail for path in pictures.paths]
    found = examine(pictures, [facts[path].digest for path in pictures.paths], thumbnails)
    done, done_cpu = time.monotonic(), time.process_time()
    features = float((store.pass_facts() or {}).get("seconds", float("nan")))
    print(f"{len(pictures):,} pictures, {pictures.features.shape[1]} features; seconds (CPU seconds)")
    print(f"  features {features:.0f}, reading {read - begun:.1f} ({read_cpu - cpu:.1f})", end="")
    print(
        f", comparison {done - read:.1f} ({done_cpu - read_cpu:.1f}): {(done - begun) / features:.1%} of the features"
    )
    print(f"  most memory: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.2f} GB")
    leaks = sum(group.leaks for group in found.near_copies)
    print("As published:")
    flagged = sum(label.flagged for label in found.labels)
    print(f"  labels: {flagged} flagged, {found.expected_wrong:.1f} expected wrong")
    print(f"  near-copies: {len(found.near_copies)} groups, {leaks} across splits; outliers: {len(found.outliers)}")
    for pair in found.indistinct:
        print(f"  not told apart: {' and '.join(pair.classes)} ({pair.accuracy:.1%} of {pair.pictures})")
    return thumbnails


def show_labels(
    pictures: StoredPictures, store: FeatureStore, thumbnails: Sequence[bytes], options: argparse.Namespace
) -> None:
    """Prints how exchanged labels rank, seed by seed, and what training gains without them."""
    near = neighbors.nearest(pictures.features)
    groups = copies.group(near, [str(number) for number in range(len(pictures))], thumbnails)
    right = judge_labels(pictures.features, pictures.targets, groups, classes=len(pictures.classes))
    for kind, exchange in (("at random", exchanged_at_random), ("with a class that looks alike", exchanged_alike)):
        print(f"\n{options.share:.0%} of the labels exchanged {kind}: precision / recall of the first … of the list")
        tables: dict[str, list[list[float]]] = {}
        for seed in range(options.seeds):
            targets = exchange(pictures.targets, right, options.share, np.random.default_rng(seed))
            wrong = targets != pictures.targets
            judged = judge_labels(pictures.features, targets, groups, classes=len(pictures.classes))
            for name, score in scores(judged, targets, near).items():
                tables.setdefault(name, []).append(_row(score, wrong))
            _show_estimate(seed, judged, wrong)
            if kind == "at random" and seed < options.trained_seeds:
                _show_training(store, pictures, targets, judged.scores >= FLAGGED)
        _show_tables(tables)


def exchanged_at_random(
    targets: np.ndarray, _right: JudgedLabels, share: float, generator: np.random.Generator
) -> np.ndarray:
    """Labels of which some are any other class."""
    found, classes = targets.copy(), int(targets.max()) + 1
    chosen = generator.choice(len(targets), round(share * len(targets)), replace=False)
    found[chosen] = (targets[chosen] + generator.integers(1, classes, len(chosen))) % classes
    return found


def exchanged_alike(
    targets: np.ndarray, right: JudgedLabels, share: float, generator: np.random.Generator
) -> np.ndarray:
    """Labels of which some are a class that the picture resembles, as people mix them up."""
    found = targets.copy()
    for index in generator.choice(len(targets), round(share * len(targets)), replace=False):
        probable = probabilities(right.logits[index : index + 1], right.model.temperature)[0].astype(np.float64)
        probable[targets[index]] = 0
        found[index] = generator.choice(len(probable), p=probable / probable.sum())
    return found


def scores(judged: JudgedLabels, targets: np.ndarray, near: neighbors.Neighbors) -> Scores:
    """The product's score and others, by name; higher is more suspicious."""
    rows = np.arange(len(targets))
    own = own_probability(judged.logits, targets, judged.model.temperature)
    others = probabilities(judged.logits, judged.model.temperature)
    others[rows, targets] = 0
    weights = np.exp(10 * (near.similarities - 1))
    agreement = ((targets[near.indices] == targets[:, None]) * weights).sum(1) / weights.sum(1)
    return {
        "probability wrong (used)": judged.scores,
        "random mistakes only": judged.model.probability_wrong(judged.logits, targets, alike_share=0.0),
        "normalized margin": others.max(1) - own,
        "neighbors' agreement": 1 - agreement,
        "probability and agreement": -np.log(own + 1e-6) - np.log(agreement + 0.02),
    }


def _row(score: np.ndarray, wrong: np.ndarray) -> list[float]:
    """Precision and recall at each share, and the average precision."""
    hits = wrong[np.argsort(-score, kind="stable")]
    found = hits.cumsum()
    at = [int(share * len(hits)) for share in SHARES]
    average = float((found / np.arange(1, len(hits) + 1))[hits].mean())
    return [*(found[count - 1] / count for count in at), *(found[count - 1] / found[-1] for count in at), average]


def _show_tables(tables: Mapping[str, list[list[float]]]) -> None:
    heads_ = "".join(f"{f'{share:.0%}':>16}" for share in SHARES)
    print(f"  {'score':<27}{heads_}   average precision")
    used = np.array(tables["probability wrong (used)"])
    for name, rows in tables.items():
        mean = np.array(rows).mean(0)
        cells = "".join(f"{mean[place]:>9.3f}/{mean[place + len(SHARES)]:.3f} " for place in range(len(SHARES)))
        gain = np.array(rows)[:, -1] - used[:, -1]
        paired = "" if np.array_equal(rows, used) else f" ({gain.mean():+.4f} ± {gain.std():.4f} against the used)"
        print(f"  {name:<27}{cells}   {mean[-1]:.4f}{paired}")


def _show_estimate(seed: int, judged: JudgedLabels, wrong: np.ndarray) -> None:
    flagged = judged.scores >= FLAGGED
    precision, recall = wrong[flagged].mean() if flagged.any() else 0.0, flagged[wrong].mean()
    print(
        f"  seed {seed}: {wrong.sum()} wrong, {judged.scores.sum():.0f} expected, {flagged.sum()} flagged "
        f"(precision {precision:.3f}, recall {recall:.3f})"
    )


def _show_training(store: FeatureStore, pictures: StoredPictures, targets: np.ndarray, ignored: np.ndarray) -> None:
    """Prints the accuracy on the test split of heads trained with noisy, cleaned and right labels."""
    splits = np.array(pictures.splits)
    keep = {split: np.flatnonzero(~ignored[splits == split]) for split in ("train", "valid")}
    right = {split: store.split(split) for split in store.sizes}
    noisy = {
        split: dataclasses.replace(found, targets=targets[splits == split]) if split != "test" else found
        for split, found in right.items()
    }
    cleaned = {
        split: SplitFeatures(
            np.asarray(found.features)[keep[split]],
            found.targets[keep[split]],
            tuple(found.names[row] for row in keep[split]),
        )
        if split in keep
        else found
        for split, found in noisy.items()
    }
    accuracies = {
        name: accuracy(found, len(store.classes))
        for name, found in (("noisy", noisy), ("cleaned", cleaned), ("right", right))
    }
    shown = ", ".join(f"{name} {value:.2%}" for name, value in accuracies.items())
    gained = accuracies["cleaned"] - accuracies["noisy"]
    print(f"    accuracy on test, by labels of training: {shown} (cleaning: {100 * gained:+.2f} points)")


def accuracy(splits: Mapping[str, SplitFeatures], classes: int) -> float:
    """The accuracy on test of the default head, trained as in a training job."""
    runtime.seed_everything(0)
    head = heads.build(heads.HeadSpec(), width=splits["train"].features.shape[2], classes=classes)
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = Checkpoint(Path(folder), run=RunIdentity())
        trainer = Trainer(
            Network(head),
            FeatureBatches(splits),
            Hyperparameters(),
            checkpoint=checkpoint,
            stop=StopFlag(),
            report=lambda _line: None,
        )
        trainer.run()
        return trainer.evaluate("test").accuracy


EDITS: Mapping[str, Callable[[Image.Image], Image.Image]] = {
    "mirrored": ImageOps.mirror,
    "cut to 90%": lambda image: _cut(image, 0.9),
    "cut to 80%": lambda image: _cut(image, 0.8),
    "cut to 65%": lambda image: _cut(image, 0.65),
    "JPEG at quality 30": lambda image: _compressed(image, 30),
    "64 pixels": lambda image: image.resize((64, 64)),
    "30% brighter": lambda image: ImageEnhance.Brightness(image).enhance(1.3),
    "gray": lambda image: ImageOps.grayscale(image).convert("RGB"),
}


def show_edits(pictures: StoredPictures, thumbnails: Sequence[bytes]) -> None:
    """Prints the share of edited photographs that are grouped with their originals, edit by edit."""
    extract = _extractor()
    chosen = np.random.default_rng(0).choice(len(pictures), EDITED, replace=False)
    originals = [decoding.decode(pictures.paths[index]) for index in chosen]
    usual = float(np.median(1 - neighbors.nearest(pictures.features, count=1).similarities))
    print(f"\n{EDITED} edited photographs: grouped with the original; median distance (in usual nearest distances)")
    for name, edit in EDITS.items():
        edited = [edit(image) for image in originals]
        features = extract(edited)
        near = neighbors.nearest(np.concatenate([pictures.features, features]))
        both = [*thumbnails, *(near_copies.thumbnail(image) for image in edited)]
        groups = copies.group(near, [str(number) for number in range(len(both))], both)
        group_of = {index: number for number, group in enumerate(groups) for index in group.pictures}
        found = [
            group_of.get(int(index), -1) == group_of.get(len(pictures) + number, -2)
            for number, index in enumerate(chosen)
        ]
        distance = float(np.median(1 - (features * pictures.features[chosen]).sum(1))) / usual
        print(f"  {name:<20} {np.mean(found):>5.0%}   {distance:.2f}")


def show_strangers(pictures: StoredPictures) -> None:
    """Prints how pictures without a dog rank among the outliers."""
    drawn = _strangers()
    features = _extractor()([image for images in drawn.values() for image in images])
    with_strangers = np.concatenate([pictures.features, features])
    dice = np.random.default_rng(0)
    targets = np.concatenate([pictures.targets, dice.integers(0, len(pictures.classes), len(features))])
    scored = outliers.scores(with_strangers, targets, classes=len(pictures.classes))
    listed = set(outliers.unusual(scored).tolist())
    print(f"\n{len(features)} pictures without a dog among {len(pictures):,}: listed as outliers; rank of the last one")
    place = np.empty(len(scored), np.int64)
    place[np.argsort(-scored, kind="stable")] = np.arange(1, len(scored) + 1)
    start = len(pictures)
    for name, images in drawn.items():
        members = range(start, start + len(images))
        start += len(images)
        shown = sum(index in listed for index in members) / len(images)
        print(f"  {name:<20} {shown:>5.0%}   {place[list(members)].max()}")


def _strangers() -> dict[str, list[Image.Image]]:
    dice = np.random.default_rng(0)

    def noise() -> Image.Image:
        return Image.fromarray(dice.integers(0, 255, (224, 224, 3), dtype=np.uint8))

    def gradient() -> Image.Image:
        ends = dice.integers(0, 255, 2)
        rows = np.linspace(*ends, 224)[:, None, None] + dice.normal(0, 2, (224, 224, 3))
        return Image.fromarray(rows.clip(0, 255).astype(np.uint8))

    def text() -> Image.Image:
        image = Image.new("RGB", (224, 224), "white")
        draw = ImageDraw.Draw(image)
        for line in range(10, 210, 14):
            draw.text((8, line), "".join(dice.choice(list("abcdefghij klmno"), 34)), fill="black")
        return image

    kinds = {"noise": noise, "gradients": gradient, "pages of text": text}
    return {name: [make() for _ in range(STRANGERS)] for name, make in kinds.items()}


def _extractor() -> Callable[[Sequence[Image.Image]], np.ndarray]:
    """Computes features of length 1, as a feature pass does."""
    import torch  # noqa: PLC0415 - only needed here

    spec = backbones.spec(BACKBONE)
    network = folding.for_inference(backbones.create(BACKBONE, weights="pretrained"))

    def extract(images: Sequence[Image.Image]) -> np.ndarray:
        found = []
        for start in range(0, len(images), 32):
            pixels = np.stack(
                [
                    preprocessing.all_views(image, spec.preprocessing, (preprocessing.PLAIN,), key="")
                    for image in images[start : start + 32]
                ]
            )
            with torch.inference_mode():
                batch = preprocessing.normalize(pixels, spec.preprocessing).flatten(0, 1)
                found.append(network(batch).float().numpy())
        features = np.concatenate(found)
        return features / np.linalg.norm(features, axis=1, keepdims=True)

    return extract


_dice = random.Random(0)


def _cut(image: Image.Image, share: float) -> Image.Image:
    width, height = (round(side * share) for side in image.size)
    left, top = _dice.randint(0, image.width - width), _dice.randint(0, image.height - height)
    return image.crop((left, top, left + width, top + height))


def _compressed(image: Image.Image, quality: int) -> Image.Image:
    written = io.BytesIO()
    image.save(written, "JPEG", quality=quality)
    return Image.open(written).convert("RGB")


def _options() -> argparse.Namespace:
    data = Path(os.environ.get("DOGBREED_TEST_DATA", REPOSITORY.parent / "shared" / "data"))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=data / "dogs", metavar="FOLDER")
    parser.add_argument(
        "--root", type=Path, default=Path(tempfile.gettempdir()) / "dogbreed-data-review", metavar="FOLDER"
    )
    parser.add_argument("--seeds", type=int, default=3, metavar="N")
    parser.add_argument("--share", type=float, default=0.05)
    parser.add_argument("--trained-seeds", type=int, default=1, metavar="N", help="seeds for which heads are trained")
    return parser.parse_args()


if __name__ == "__main__":
    main()
