"""Your own pictures, not dogs: from CIFAR-10's Python batches to an endpoint, with a search and every rule.

python examples/your_own_dataset.py [--data FILE] [--on aws] [--weights FILE] [--small] [--output FOLDER]
"""

from __future__ import annotations

import argparse
import io
import json
import pickle
import random
import shutil
import tarfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw
from sagemaker.core.parameter import CategoricalParameter, ContinuousParameter, IntegerParameter

from dogbreed_sdk import BreedDataset, BreedTrainer, DebugReport, Session, weights_problem

# Drawn below: the corners of each shape, in a square from 0 to 1. A shape of two corners is a circle in that box.
SHAPES: dict[str, list[tuple[float, float]]] = {
    "arrow": [(0, 0.35), (0.5, 0.35), (0.5, 0.1), (1, 0.5), (0.5, 0.9), (0.5, 0.65), (0, 0.65)],
    "bar": [(0, 0.35), (1, 0.35), (1, 0.65), (0, 0.65)],
    "circle": [(0, 0), (1, 1)],
    "diamond": [(0.5, 0), (0.85, 0.5), (0.5, 1), (0.15, 0.5)],
    "hexagon": [(0.25, 0.05), (0.75, 0.05), (1, 0.5), (0.75, 0.95), (0.25, 0.95), (0, 0.5)],
    "hourglass": [(0, 0), (1, 0), (0.5, 0.5), (1, 1), (0, 1), (0.5, 0.5)],
    "house": [(0.5, 0), (1, 0.45), (1, 1), (0, 1), (0, 0.45)],
    "plus": [(0.35, 0), (0.65, 0), (0.65, 0.35), (1, 0.35), (1, 0.65), (0.65, 0.65), (0.65, 1), (0.35, 1), (0.35, 0.65),
             (0, 0.65), (0, 0.35), (0.35, 0.35)],
    "square": [(0.05, 0.05), (0.95, 0.05), (0.95, 0.95), (0.05, 0.95)],
    "triangle": [(0.5, 0), (1, 0.95), (0, 0.95)],
}  # fmt: skip


def main() -> None:
    """Converts, searches, trains, checks every rule, deploys, and sends a PNG that calls itself a JPEG."""
    options = read_options()
    options.output.mkdir(parents=True, exist_ok=True)
    source = options.data or drawn_batches(options.output / "shapes.tar.gz", per_class=2 if options.small else 10)
    shutil.rmtree(options.output / "pictures", ignore_errors=True)  # of an earlier run, maybe of another source
    dataset = BreedDataset.convert(source, options.output / "pictures", valid=0.2)  # a fifth of the training pictures
    print(f"1. {source} became {dataset.splits} pictures of {', '.join(dataset.classes)}.")

    with Session.aws() if options.on == "aws" else Session.local() as session:
        model, weights = backbone(options)
        trainer = BreedTrainer(session, model=model, weights=weights, hidden=128)

        print("\n2. Search: six jobs, two at a time.")
        tuning = trainer.tune(
            dataset,
            {
                "lr": ContinuousParameter(0.0005, 0.05, scaling_type="Logarithmic"),
                "batch_size": CategoricalParameter([32, 64, 128]),
                "epochs": IntegerParameter(2, 4) if options.small else IntegerParameter(5, 15),
            },
            max_jobs=6,
            max_parallel_jobs=2,
        ).wait()
        for trial in tuning.trials():
            print(f"  validation loss {trial.objective:.4f} with {dict(trial.hyperparameters)}")

        print("\n3. Train with the best values, and evaluate every rule.")
        job = trainer.train(dataset, tuning.best.hyperparameters).wait()
        report = DebugReport.load(job)
        report.to_html(options.output / "report.html")
        report.plot_losses()
        plt.savefig(options.output / "your_own_dataset_losses.png", dpi=120)
        print(report.headline())
        for rule in report.rules:
            print(f"  {rule.status:<13} {rule.name}: {rule.message} {rule.advice}".rstrip())

        print("\n4. Deploy, classify the test pictures, and send a PNG as image/jpeg.")
        with job.deploy() as deployment, deployment.classifier() as classifier:
            pictures = dataset.pictures("test")
            predictions = classifier.classify_many(picture.readable for picture in pictures)
            right = sum(found.index == picture.index for found, picture in zip(predictions, pictures, strict=True))
            print(f"{right} of {len(pictures)} test pictures are classified correctly.")

            content = pictures[0].read()
            as_jpeg, as_png = (
                scores(session, deployment.endpoint_name, kind, content) for kind in ("image/jpeg", "image/png")
            )
            best = dataset.classes[as_jpeg.index(max(as_jpeg))]
            print(f"The {content[1:4].decode()} of one {pictures[0].class_folder}, sent as image/jpeg: {best}")
            print(f"Sent as image/png, it gets the same scores: {as_jpeg == as_png}")


def scores(session: Session, endpoint: str, content_type: str, body: bytes) -> list[float]:
    """One score per class, as any client of the endpoint gets them."""
    response = session.client("sagemaker-runtime").invoke_endpoint(
        EndpointName=endpoint, ContentType=content_type, Accept="application/json", Body=body
    )
    [row] = json.loads(response["Body"].read())
    return [float(score) for score in row]


def drawn_batches(archive: Path, *, per_class: int) -> Path:
    """Writes shapes in the format of cifar-10-python.tar.gz: five training batches and a test batch."""
    dice = random.Random(0)
    with tarfile.open(archive, "w:gz") as tar:
        for name in [*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"]:
            labels = list(range(len(SHAPES))) * per_class
            rows = [drawn(list(SHAPES)[label], dice) for label in labels]
            add(tar, name, {b"data": np.stack(rows), b"labels": labels})
        add(tar, "batches.meta", {b"label_names": [name.encode() for name in SHAPES]})
    return archive


def drawn(shape: str, dice: random.Random) -> npt.NDArray[np.uint8]:
    """One picture as a row of a batch: 1,024 values of red, then of green, then of blue."""
    picture = Image.effect_noise((128, 128), dice.uniform(5, 60)).convert("RGB")
    size, left, top = dice.randint(60, 100), dice.randint(5, 25), dice.randint(5, 25)
    corners = [(left + x * size, top + y * size) for x, y in SHAPES[shape]]
    draw, color = ImageDraw.Draw(picture), tuple(dice.choices(range(256), k=3))
    draw.ellipse(corners, fill=color) if len(corners) == 2 else draw.polygon(corners, fill=color)
    pixels: npt.NDArray[np.uint8] = np.asarray(picture.rotate(dice.uniform(-15, 15)).resize((32, 32)), np.uint8)
    return np.concatenate([pixels[:, :, channel].ravel() for channel in range(3)])


def add(tar: tarfile.TarFile, name: str, content: dict[bytes, object]) -> None:
    """Adds a pickled dictionary to an archive, as CIFAR's authors did."""
    entry, data = tarfile.TarInfo(f"cifar-10-batches-py/{name}"), pickle.dumps(content, protocol=2)
    entry.size = len(data)
    tar.addfile(entry, io.BytesIO(data))


def read_options() -> argparse.Namespace:
    """The options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", help="cifar-10-python.tar.gz, or its folder (default: drawn shapes in that format)")
    parser.add_argument("--on", choices=("local", "aws"), default="local", help="where jobs run (default: local)")
    parser.add_argument("--weights", help="file with the backbone's weights, if they cannot be downloaded")
    parser.add_argument("--small", action="store_true", help="few pictures and epochs, to see it run")
    parser.add_argument("--output", type=Path, default=Path("your_own_dataset-output"), help="folder for the results")
    return parser.parse_args()


def backbone(options: argparse.Namespace) -> tuple[str, str]:
    """ResNet-18 and its weights; a small network whose weights are installed, if ResNet-18's cannot be had."""
    if options.weights:
        return "resnet18", options.weights
    problem = weights_problem("resnet18") if options.on == "local" else None
    if problem is None:
        return "resnet18", "pretrained"
    print(
        f"{problem} Using efficientnet_lite0, whose weights are installed; --weights FILE names a file of ResNet-18's."
    )
    return "efficientnet_lite0", "pretrained"


if __name__ == "__main__":
    main()
