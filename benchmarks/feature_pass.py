"""What a feature pass costs per picture, by engine and precision, and what rounding to bfloat16 changes.

    python benchmarks/feature_pass.py --data FOLDER [--quick] [--backbone efficientnet_lite0] [--pictures 192]

FOLDER is a data set with the splits train and test. The baseline is the path without the optional packages and without
our shortcuts: Pillow decodes, resizes and crops, and torch computes in float32 with folded batch norms. Every candidate
passes the same pictures in turn, several rounds, in one thread; CPU time counts, the least of the rounds. "Deviation"
is the largest difference from the features of the baseline, as a share of the largest feature.

Then a linear head (the defaults of training: AdamW, 10 epochs) is trained on exact and on rounded features of the train
split. Printed is the accuracy on the test split, with its standard error, and how far probabilities are apart: those of
the head on rounded features, as its training job measures it, and on exact ones, as an endpoint serves it.
"""

from __future__ import annotations

import argparse
import io
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from training_scripts.training import runtime

runtime.prepare(1)  # before torch and NumPy load

import numpy as np  # noqa: E402
import torch  # noqa: E402
from PIL import Image  # noqa: E402
from torch import Tensor, nn  # noqa: E402

from training_scripts.data import image_folder  # noqa: E402
from training_scripts.data.image_folder import DataSet, Sample  # noqa: E402
from training_scripts.data.preprocessing import PLAIN, Preprocessing, View  # noqa: E402
from training_scripts.features.feature_pass import FeaturePass, Progress  # noqa: E402
from training_scripts.models import backbones, folding  # noqa: E402
from training_scripts.models.engines import selection  # noqa: E402
from training_scripts.models.engines.engine import Engine, EngineChoice, EngineError, deviation  # noqa: E402
from training_scripts.models.engines.torch_engine import TorchEngine  # noqa: E402
from training_scripts.models.spec import BackboneSpec  # noqa: E402
from training_scripts.training.hyperparameters import Hyperparameters  # noqa: E402

BASELINE = "Pillow and torch, fp32"
CHOICES = [
    EngineChoice("torch", "fp32"),
    EngineChoice("onnxruntime", "fp32"),
    EngineChoice("openvino", "fp32"),
    EngineChoice("torch", "bf16"),
    EngineChoice("openvino", "bf16"),
]
ROUNDS, BATCH = 3, 64
QUICK_PICTURES, QUICK_TRAIN, QUICK_TEST = 48, 360, 120


@dataclass
class Candidate:
    """A way to compute features, and what was measured of it: milliseconds per picture of each round."""

    name: str
    engine: Engine
    plainly: bool = False
    total: list[float] = field(default_factory=list)
    network: list[float] = field(default_factory=list)
    features: Tensor = field(default_factory=lambda: torch.empty(0))


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures and prints both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--backbone", default="efficientnet_lite0")
    parser.add_argument("--pictures", type=int, default=192)
    parser.add_argument("--quick", action="store_true", help="few pictures; ends within a minute")
    options = parser.parse_args(arguments)
    spec = backbones.spec(options.backbone)
    dataset = image_folder.read_dataset(image_folder.find_splits(options.data))
    network = folding.for_inference(backbones.create(spec.name))
    candidates = installed(network, spec)
    some = spread(dataset.splits["train"], QUICK_PICTURES if options.quick else options.pictures)
    for _ in range(1 if options.quick else ROUNDS):
        for candidate in candidates:
            measure(candidate, some, spec)
    report(candidates, spec, len(some))
    exact = next(each for each in reversed(candidates) if each.engine.choice.precision == "fp32")
    rounded = candidates[-1]
    if rounded.engine.choice.precision == "bf16":
        compare_heads(exact.engine, rounded.engine, dataset, spec, quick=options.quick)


def installed(network: nn.Module, spec: BackboneSpec) -> list[Candidate]:
    """The baseline, and every engine that is installed and computes what it should."""
    found = [Candidate(BASELINE, TorchEngine(network), plainly=True)]
    for choice in CHOICES:
        if choice.precision == "bf16" and not selection.has_bf16():
            continue
        lines: list[str] = []
        engine = selection.chosen(choice, network, side=spec.preprocessing.crop, report=lines.append)
        if lines:
            print(f"left out: {lines[0]}")
            continue
        found.append(Candidate(str(choice), engine))
    return found


def spread(samples: Sequence[Sample], count: int) -> list[Sample]:
    """Some samples, from all classes alike."""
    return [samples[place] for place in np.linspace(0, len(samples) - 1, min(count, len(samples))).astype(int)]


def with_pillow(sample: Sample, preprocessing: Preprocessing, views: Sequence[View]) -> np.ndarray:
    """The plain view of a photograph by Pillow alone."""
    assert list(views) == [PLAIN]
    image = Image.open(io.BytesIO(sample.read())).convert("RGB")
    scale = preprocessing.resize / min(image.size)
    size = [max(preprocessing.resize, int(length * scale)) for length in image.size]
    filters = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}
    resized = image.resize((size[0], size[1]), filters[preprocessing.interpolation])
    side = preprocessing.crop
    left, top = (round((length - side) / 2) for length in size)
    return np.asarray(resized.crop((left, top, left + side, top + side)))[None]


def features_of(candidate: Candidate, samples: Sequence[Sample], spec: BackboneSpec) -> tuple[Tensor, float]:
    """Features [n, width], and the seconds in the network."""
    progress = Progress(len(samples), len(samples), report=lambda _: None)
    with FeaturePass(
        candidate.engine,
        spec.preprocessing,
        width=spec.feature_width,
        batch_size=BATCH,
        workers=1,
        check=lambda: None,
    ) as run:
        if candidate.plainly:
            run._views_of = with_pillow
        computed = run.compute(samples, (PLAIN,), progress)
    if len(computed.kept) != len(samples):
        raise SystemExit(f"pictures that cannot be read: {computed.skipped}")
    return torch.from_numpy(computed.features[:, 0]), run.cost.forward


def measure(candidate: Candidate, samples: Sequence[Sample], spec: BackboneSpec) -> None:
    """One round."""
    begin = time.process_time()
    candidate.features, _ = features_of(candidate, samples, spec)
    candidate.total.append(1000 * (time.process_time() - begin) / len(samples))
    pixels = torch.randn(8, 3, spec.preprocessing.crop, spec.preprocessing.crop)
    begin = time.process_time()
    for _ in range(2):
        candidate.engine.run(pixels)
    candidate.network.append(1000 * (time.process_time() - begin) / 2 / len(pixels))


def report(candidates: Sequence[Candidate], spec: BackboneSpec, count: int) -> None:
    """The table of costs."""
    print(f"{spec.name}, {count} photographs, one thread; CPU ms per picture; baseline: {BASELINE}")
    print(f"{'':28}{'pass':>8}{'ratio':>7}{'network':>9}{'ratio':>7}{'deviation':>11}")
    baseline = candidates[0]
    whole, alone = min(baseline.total), min(baseline.network)
    for each in candidates:
        total, network = min(each.total), min(each.network)
        off = deviation(each.features, baseline.features)
        print(f"{each.name:28}{total:8.2f}{whole / total:6.2f}x{network:9.2f}{alone / network:6.2f}x{off:11.1e}")


def compare_heads(exact: Engine, rounded: Engine, dataset: DataSet, spec: BackboneSpec, *, quick: bool) -> None:
    """The table of accuracies and differences of probabilities."""
    train, test = dataset.splits["train"], dataset.splits["test"]
    if quick:
        train, test = spread(train, QUICK_TRAIN), spread(test, QUICK_TEST)
    of = {
        (name, split): features_of(Candidate(name, engine), samples, spec)[0]
        for name, engine in (("exact", exact), ("rounded", rounded))
        for split, samples in (("train", train), ("test", test))
    }
    targets = {"train": _targets(train), "test": _targets(test)}
    heads = {name: trained(of[name, "train"], targets["train"], len(dataset.classes)) for name in ("exact", "rounded")}

    def probabilities(head: str, features: str) -> Tensor:
        with torch.inference_mode():
            return heads[head](of[features, "test"]).double().softmax(1)

    served = {
        "trained on exact features": probabilities("exact", "exact"),
        "trained on rounded features": probabilities("rounded", "exact"),
        "the same, also tested on rounded ones": probabilities("rounded", "rounded"),
    }
    print(f"linear head, {len(train)} train and {len(test)} test pictures; rounded: {rounded.choice}")
    first = served["trained on exact features"]
    for name, found in served.items():
        accuracy = float((found.argmax(1) == targets["test"]).double().mean())
        error = math.sqrt(accuracy * (1 - accuracy) / len(test))
        apart = (found - first).abs()
        print(
            f"{name:40} accuracy {accuracy:.4f} (standard error {error:.4f}), probabilities differ by "
            f"{float(apart.mean()):.5f} on average, at most {float(apart.max()):.3f}"
        )
    apart = (served["the same, also tested on rounded ones"] - served["trained on rounded features"]).abs()
    top = apart.gather(1, served["trained on rounded features"].argmax(1, keepdim=True))
    print(
        f"endpoint against training job: all classes {float(apart.mean()):.5f} on average, at most "
        f"{float(apart.max()):.3f}; most probable class {float(top.mean()):.5f} on average"
    )


def _targets(samples: Sequence[Sample]) -> Tensor:
    return torch.tensor([sample.class_index for sample in samples])


def trained(features: Tensor, targets: Tensor, classes: int) -> nn.Module:
    """A linear head, trained with the defaults."""
    defaults = Hyperparameters()
    torch.manual_seed(defaults.seed)
    head = nn.Linear(features.shape[1], classes)
    optimizer = torch.optim.AdamW(head.parameters(), lr=defaults.lr, weight_decay=defaults.weight_decay)
    steps = defaults.epochs * -(-len(features) // defaults.batch_size)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(defaults.epochs):
        for rows in torch.randperm(len(features)).split(defaults.batch_size):
            optimizer.zero_grad()
            nn.functional.cross_entropy(head(features[rows]), targets[rows]).backward()
            optimizer.step()
            scheduler.step()
    return head


if __name__ == "__main__":
    try:
        main()
    except (EngineError, image_folder.DataError) as error:
        raise SystemExit(str(error)) from error
