"""What many classes cost: training, evaluation, reports and answers with 20,000 classes, against 1,000.

Trains a head on generated features with the real entry point, fits the rejection rule, writes the bundle, draws the
reports and serves one answer. Prints the CPU seconds and the peak memory of each phase, and the ratio to the same rows
with 1,000 classes in the same run. Every case runs in its own processes.

    nice -n 5 python benchmarks/many_classes.py [--quick] [--rows 20000] [--epochs 1]
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

WIDTH = 1280
BASE_CLASSES, MANY_CLASSES, MANY_ROWS = 1_000, 20_000, 60_000
# A rejection rule takes two pictures of each class.
REJECTION_ROWS_PER_CLASS = 2
TARGET_BYTES, TARGET_RATIO = 1.5e9, 4.0
PARTS = ("store", "train", "rejection", "report", "evaluate", "serve")


@dataclass(frozen=True)
class Case:
    """One generated data set.

    Attributes:
        rows: Pictures of the train split.
        classes: Number of classes.
        valid: Pictures of the valid split; 0 for none.
    """

    rows: int
    classes: int
    valid: int

    def __str__(self) -> str:
        """The case for people."""
        return f"{self.rows:,} rows x {self.classes:,} classes" + ("" if self.valid else ", no valid split")


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs every case and prints its figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="2,000 rows, and 2,000 classes against 200")
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument(
        "--part", nargs=5, metavar=("PART", "FOLDER", "ROWS", "CLASSES", "VALID"), help=argparse.SUPPRESS
    )
    options = parser.parse_args(arguments)
    if options.part:
        part, folder, rows, classes, valid = options.part
        run_part(part, Path(folder), Case(int(rows), int(classes), int(valid)), epochs=options.epochs)
        return
    rows, base, many, most = (
        (2_000, 200, 2_000, 4_000) if options.quick else (options.rows, BASE_CLASSES, MANY_CLASSES, MANY_ROWS)
    )
    cases = [Case(rows, base, rows // 5), Case(rows, many, rows // 5), Case(most, base, 0)]
    measured = [measure(case, options.epochs) for case in cases]
    show(cases, measured)


def measure(case: Case, epochs: int) -> dict[str, tuple[float, float]]:
    """CPU seconds and peak bytes of each phase of a case."""
    found: dict[str, tuple[float, float]] = {}
    with tempfile.TemporaryDirectory(prefix="many-classes-") as folder:
        for part in PARTS:
            command = [sys.executable, __file__, "--epochs", str(epochs), "--part", part, folder]
            command += [str(case.rows), str(case.classes), str(case.valid)]
            environ = {**os.environ, "OMP_NUM_THREADS": "1"}
            ended = subprocess.run(command, env=environ, stdout=subprocess.PIPE, text=True, check=True)
            lines = [line.removeprefix("PHASE ") for line in ended.stdout.splitlines() if line.startswith("PHASE ")]
            phases = {name: (cpu, peak) for name, cpu, peak in map(json.loads, lines)}
            largest = max((peak for _, peak in phases.values()), default=0)
            # The kernel forgets the peak where a phase begins: that of a whole part is the highest of its phases.
            found |= {name: (cpu, peak or largest) for name, (cpu, peak) in phases.items()}
    return found


def show(cases: Sequence[Case], measured: Sequence[dict[str, tuple[float, float]]]) -> None:
    """Prints a table of each case, as ratios to the first one."""
    base = measured[0]
    for case, found in zip(cases, measured, strict=True):
        print(f"{case}")
        for name, (cpu, peak) in found.items():
            ratio = f"{max(cpu, 0.01) / max(base[name][0], 0.01):7.2f} x"
            print(f"  {name:<26}{cpu:9.2f} CPU-s {ratio}  {peak / 1e9:6.2f} GB {peak / base[name][1]:7.2f} x")
        peak = max(peak for _, peak in found.values())
        print(f"  {'largest':<26}{'':>24}  {peak / 1e9:6.2f} GB  (target: {TARGET_BYTES / 1e9:.1f})")
    whole = measured[1]["whole training job"][0] / measured[0]["whole training job"][0]
    text = f"{cases[1].classes:,} classes take {whole:.2f} x the CPU time of {cases[0].classes:,}"
    print(f"training job: {text} (target: {TARGET_RATIO:.0f})")


def run_part(part: str, folder: Path, case: Case, *, epochs: int) -> None:
    """Runs one part of a case in this process and prints a line per phase."""
    parts = {"train": train, "rejection": rejection, "report": report, "evaluate": evaluate, "serve": serve}
    parts["store"] = lambda where, what, _: write_store(where / "features", what)
    parts[part](folder, case, epochs)


@contextlib.contextmanager
def phase(name: str) -> Iterator[None]:
    """Measures the CPU seconds and the peak memory of this process while the context lasts."""
    reset_peak()
    begin = time.process_time()
    yield
    print("PHASE " + json.dumps([name, time.process_time() - begin, peak_bytes()]), flush=True)


def reset_peak() -> None:
    """Lets the kernel forget the peak so far; 5 is documented in proc_pid_clear_refs(5)."""
    Path("/proc/self/clear_refs").write_text("5")


def peak_bytes() -> int:
    """The peak of the resident memory, in bytes, without the pages of files."""
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(lines["VmHWM"].split()[0]) * 1024


def measured(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """A function that measures each of its calls as a phase."""

    def call(*arguments: Any, **named: Any) -> Any:
        with phase(name):
            return function(*arguments, **named)

    return call


def train(folder: Path, case: Case, epochs: int) -> None:  # noqa: ARG001
    """The training job, from the process's start."""
    from training_scripts import train_model  # noqa: PLC0415 - its import belongs to the job
    from training_scripts.training import evaluation, trainer  # noqa: PLC0415
    from training_scripts.training.stop_signal import StopFlag  # noqa: PLC0415

    environ = {
        "SM_CHANNEL_FEATURES": str(folder / "features"),
        "SM_CHECKPOINT_DIR": str(folder / "checkpoints"),
        "SM_MODEL_DIR": str(folder / "model"),
        "SM_OUTPUT_DIR": str(folder / "output"),
    }
    settings = ["--epochs", str(epochs), "--views", "plain", "--weights", "none", "--profiler", "off"]
    with contextlib.ExitStack() as stack:
        for where, name, told in (
            (trainer.Trainer, "run", "training and validation"),
            (evaluation, "_calibrated", "calibration"),
            (evaluation, "fit_rejection", "rejection rule"),
            (train_model, "write_bundle", "bundle"),
        ):
            stack.enter_context(mock.patch.object(where, name, measured(told, getattr(where, name))))
        status = train_model.train("train_model", settings, environ, StopFlag())
    assert not status
    print("PHASE " + json.dumps(["whole training job", time.process_time(), 0]), flush=True)


def rejection(folder: Path, case: Case, epochs: int) -> None:  # noqa: ARG001
    """The rejection rule of as many rows as it takes."""
    import torch  # noqa: PLC0415

    from training_scripts.models import rejection as rule  # noqa: PLC0415

    rows = max(case.rows, REJECTION_ROWS_PER_CLASS * case.classes)
    features = torch.randn(rows, WIDTH)
    with phase("rejection rule of 2 a class"):
        assert rule.fit(features, torch.arange(rows) % case.classes, classes=case.classes) is not None


def report(folder: Path, case: Case, epochs: int) -> None:  # noqa: ARG001
    """The debugging report and its page."""
    from dogbreed_sdk import DebugReport  # noqa: PLC0415

    with phase("report of the run"):
        found = DebugReport.load(folder / "checkpoints")
        str(found)
        found.to_html(folder / "report.html")
    print(f"report page: {(folder / 'report.html').stat().st_size / 2**20:.1f} MiB", file=sys.stderr)


def evaluate(folder: Path, case: Case, epochs: int) -> None:  # noqa: ARG001
    """An evaluation of the valid pictures: its statistics, JSON and page."""
    from dogbreed_sdk.endpoints.evaluation import summarize  # noqa: PLC0415
    from dogbreed_sdk.labels import LabelMap  # noqa: PLC0415
    from dogbreed_sdk.predictions import Prediction  # noqa: PLC0415

    labels = LabelMap.from_list([class_name(number) for number in range(case.classes)])
    rows, chance = case.rows // 5, random.Random(0)
    best = [0.5, *[0.5 / (case.classes - 1)] * (case.classes - 1)]
    with phase("evaluation and its page"):
        truths, predictions = [], []
        for row in range(rows):
            truth = row % case.classes
            answer = truth if chance.random() < 0.8 else chance.randrange(case.classes)
            scores = labels.rank(best[1 : answer + 1] + best[:1] + best[answer + 1 :], top_k=5)
            predictions.append(Prediction.from_scores(scores))
            truths.append(labels.class_folder(truth))
        found = summarize(truths, predictions, classes=labels.class_folders)
        json.dumps(found.to_dict())
        found.to_html(folder / "evaluation.html")


def serve(folder: Path, case: Case, epochs: int) -> None:  # noqa: ARG001
    """A model in this process and its client: the first answer, and ten more."""
    from PIL import Image  # noqa: PLC0415

    from dogbreed_sdk import BreedClassifier  # noqa: PLC0415

    picture = Image.effect_noise((500, 375), 64).convert("RGB")
    with phase("model load, first answer"):
        classifier = BreedClassifier.from_bundle(folder / "model")
        classifier.classify(picture)
    with phase("ten more answers"), classifier:
        for _ in range(10):
            classifier.classify(picture)


def write_store(folder: Path, case: Case) -> None:
    """Writes a store of random features, each near the direction of its class."""
    import numpy as np  # noqa: PLC0415
    import torch  # noqa: PLC0415

    from training_scripts.models import backbones  # noqa: PLC0415

    folder.mkdir(parents=True)
    generator = np.random.default_rng(0)
    spec = backbones.spec("efficientnet_lite0")
    sizes = {"train": case.rows, "valid": case.valid} if case.valid else {"train": case.rows}
    listing = {}
    centers = generator.standard_normal((case.classes, WIDTH), np.float32)
    for split, rows in sizes.items():
        labels = generator.permutation(np.arange(rows) % case.classes)
        noise = generator.standard_normal((rows, WIDTH), np.float32)
        np.save(folder / f"{split}.npy", (centers[labels] + noise).reshape(rows, 1, WIDTH))
        names = [f"{class_name(label)}/{row}.jpg" for row, label in enumerate(labels)]
        listing[split] = {"names": names, "labels": labels.tolist()}
    (folder / "pictures.json").write_text(json.dumps(listing))
    torch.save(backbones.create(spec.name, weights="none").state_dict(), folder / "backbone.pth")
    files = [*(f"{split}.npy" for split in sizes), "pictures.json", "backbone.pth"]
    manifest = {
        "key": {
            "format": 1,
            "fingerprint": "0" * 64,
            "classes": [class_name(number) for number in range(case.classes)],
            "backbone": spec.name,
            "weights": "0" * 64,
            "width": WIDTH,
            "preprocessing": spec.preprocessing.to_dict(),
            "views": "plain",
            "chunk": 128,
        },
        "sizes": sizes,
        "skipped": [],
        "weights": "none",
        "files": {name: (folder / name).stat().st_size for name in files},
    }
    (folder / "features.json").write_text(json.dumps(manifest))


def class_name(number: int) -> str:
    """A class folder."""
    return f"{number:05}.Class_{number}"


if __name__ == "__main__":
    main()
