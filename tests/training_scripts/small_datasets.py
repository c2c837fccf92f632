"""Small data sets and helpers, shared by the tests of the training scripts."""

from __future__ import annotations

import os
import random
import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw

from training_scripts.data.batches import FeatureBatches
from training_scripts.features.store import SplitFeatures

REPOSITORY = Path(__file__).parents[2]
CLASSES = {"001.Red_dog": (200, 60, 60), "002.Green_dog": (60, 200, 60), "003.Blue_dog": (60, 60, 200)}
SIZES = {"train": 8, "valid": 4, "test": 4}
# Of the backbones whose weights come in packages, the fastest; with random weights.
UNTRAINED = ("--model", "efficientnet_lite0", "--weights", "none")


def draw_pictures(root: Path) -> Path:
    """An image folder of three classes of noisy blobs in the class's color."""
    chance = random.Random(0)
    for split, count in SIZES.items():
        for name, color in CLASSES.items():
            folder = root / split / name
            folder.mkdir(parents=True)
            for number in range(count):
                picture = Image.new("RGB", (72, 64), tuple(chance.randrange(256) for _ in range(3)))
                shade = tuple(max(0, min(255, part + chance.randint(-50, 50))) for part in color)
                ImageDraw.Draw(picture).ellipse([chance.randint(0, 20), 8, 60, 56], fill=shade)
                picture.save(folder / f"{number}.png")
    return root


def clouds(
    *, width: int = 16, classes: int = 4, views: int = 2, rows: int = 64, spread: float = 1.0
) -> dict[str, SplitFeatures]:
    """Features of every split: one Gaussian cloud a class, with `views` noisy looks at each train row."""
    generator = np.random.default_rng(0)
    centers = generator.normal(size=(classes, width))
    splits = {}
    for split, looks in (("train", views), ("valid", 1), ("test", 1)):
        labels = np.arange(rows, dtype=np.int64) % classes
        rows_of = centers[labels] + spread * generator.normal(size=(rows, width))
        looked = rows_of[:, None] + 0.1 * generator.normal(size=(rows, looks, width))
        splits[split] = SplitFeatures(looked.astype(np.float32), labels, tuple(map(str, range(rows))))
    return splits


def cloud_batches(**settings: float) -> FeatureBatches:
    return FeatureBatches(clouds(**settings))  # type: ignore[arg-type]


def same_weights(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def environment(root: Path, **channels: Path) -> dict[str, str]:
    """What SageMaker's container gives a script, with everything below `root`."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("SM_")}
    folders = {f"SM_CHANNEL_{name.upper()}": str(path) for name, path in channels.items()}
    return {
        **inherited,
        **folders,
        "SM_MODEL_DIR": str(root / "model"),
        "SM_OUTPUT_DIR": str(root / "output"),
        "SM_CHECKPOINT_DIR": str(root / "checkpoints"),
        "PYTHONPATH": str(REPOSITORY),
        "OMP_NUM_THREADS": "1",
    }


def command(*arguments: str, script: str = "train_model", before: str = "") -> list[str]:
    """The command line of a script; code that runs in its process before it may change what it does."""
    path = str(REPOSITORY / "training_scripts" / f"{script}.py")
    program = ["-c", f"{before}\nimport runpy\nrunpy.run_path({path!r}, run_name='__main__')"] if before else [path]
    return [sys.executable, "-u", *program, *arguments]
