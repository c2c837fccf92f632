"""What recording costs: training with the recorder and rules against training without, bytes on disk, and reading.

Prints medians of interleaved repeats: CPU and wall seconds of the training loop alone on features that are drawn
(6,000 rows of 1,280, 120 classes: as large as those of 6,000 photographs), and with --features of whole training jobs,
whose features are there already. With --pictures what recording adds to such a job is shown as a share of one that
computes them, which is train_model's default; its own spread would hide it. Then what a run of 1,000 steps leaves on
disk, and how long 10,000 steps of losses take to read, ours and in smdebug's own layout of one file a step, against
opening and parsing as many small JSON files.

    python benchmarks/recording_cost.py [--features FOLDER [--pictures FOLDER]] [--repeats 7] [--work FOLDER]

--features names what a feature pass over --pictures left (a job's features channel). Folders are removed at the end
only: ext4 avoids inodes that were freed in the last seconds, and making files then takes ten times as long.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from training_scripts.training import runtime

runtime.prepare_libraries()

import numpy as np  # noqa: E402 - the allocator is set first, as in a job
import torch  # noqa: E402

from training_scripts.data.batches import FeatureBatches  # noqa: E402
from training_scripts.features.store import SplitFeatures  # noqa: E402
from training_scripts.models import heads  # noqa: E402
from training_scripts.models.network import Network  # noqa: E402
from training_scripts.recording.recorder.recorder import Recorder  # noqa: E402
from training_scripts.recording.recorder.rule_callback import RuleWatch  # noqa: E402
from training_scripts.recording.trial.file_trial import FileTrial  # noqa: E402
from training_scripts.recording.trial.records import Step  # noqa: E402
from training_scripts.recording.trial.trial import MemoryTrial  # noqa: E402
from training_scripts.recording.trial.writer import TrialWriter  # noqa: E402
from training_scripts.training.callbacks import Callback, Callbacks  # noqa: E402
from training_scripts.training.checkpoints import Checkpoint  # noqa: E402
from training_scripts.training.hyperparameters import Hyperparameters  # noqa: E402
from training_scripts.training.resume import RunIdentity  # noqa: E402
from training_scripts.training.stop_signal import StopFlag  # noqa: E402
from training_scripts.training.trainer import Trainer  # noqa: E402

WIDTH, CLASSES, ROWS = 1280, 120, 6000
SCRIPT = Path(__file__).parents[1] / "training_scripts" / "train_model.py"
READ_STEPS = 10_000
Cost = tuple[float, float]


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs all parts and prints their figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--features", type=Path, help="a features channel, to measure whole jobs on")
    parser.add_argument("--pictures", type=Path, help="train, valid and test folders of the same pictures")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--work", type=Path, help="where to write (default: the folder for temporary files)")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(dir=options.work) as folder:
        work = Path(folder)
        batches = FeatureBatches(drawn())
        loop = {
            "not recorded (baseline)": lambda: train(batches, work, []),
            "recorded": lambda: train(batches, work, recorders(fresh(work))),
            "recorded, with rules": lambda: train(batches, work, recorders(fresh(work), rules=True)),
        }
        table("training loop, 10 epochs of 94 steps on stored features", compare(loop, options.repeats))
        if options.features:
            off = ["--recorder", "off", "--profiler", "off"]
            stored = {"FEATURES": options.features}
            jobs = {
                "not recorded (baseline)": lambda: job(stored, fresh(work), off),
                "recorded, with rules": lambda: job(stored, fresh(work), ["--profiler", "off"]),
            }
            medians = table("whole training job on stored features, defaults", compare(jobs, options.repeats))
            if options.pictures:
                share("whole training job on pictures", medians, job({"TRAINING": options.pictures}, fresh(work), off))
        sizes(batches, work)
        reading(work)


def drawn() -> dict[str, SplitFeatures]:
    """Features as large as those of the photographs: one Gaussian cloud a class."""
    generator = np.random.default_rng(0)
    centers = generator.normal(size=(CLASSES, WIDTH)).astype(np.float32)
    splits = {}
    for split, rows, views in (("train", ROWS, 2), ("valid", ROWS // 10, 1)):
        labels = np.arange(rows, dtype=np.int64) % CLASSES
        noise = generator.normal(scale=6, size=(rows, views, WIDTH)).astype(np.float32)
        splits[split] = SplitFeatures(centers[labels][:, None] + noise, labels, tuple(map(str, range(rows))))
    return splits


def recorders(folder: Path, *, rules: bool = False) -> list[Callback]:
    """What a job's defaults make, without the profiler."""
    memory = MemoryTrial()
    chosen: list[Callback] = [Recorder(folder / "debug-output", memory=memory, report=print)]
    return chosen + ([RuleWatch(memory, folder / "rule-output", report=lambda _: None)] if rules else [])


def train(batches: FeatureBatches, work: Path, watching: list[Callback], **settings: int) -> Cost:
    """CPU and wall seconds of one run, to the last byte of its recording."""
    hyperparameters = Hyperparameters(**settings)  # type: ignore[arg-type]
    torch.manual_seed(0)
    callbacks = Callbacks(watching)
    facts = {"classes": list(range(CLASSES)), "class_counts": [ROWS // CLASSES] * CLASSES, "inputs": "features"}
    trainer = Trainer(
        Network(heads.build(heads.HeadSpec(), width=WIDTH, classes=CLASSES)),
        batches,
        hyperparameters,
        checkpoint=Checkpoint(fresh(work), run=RunIdentity()),
        stop=StopFlag(),
        report=lambda _: None,
        callbacks=callbacks,
        facts=facts,
    )
    cpu, wall = time.process_time(), time.perf_counter()
    trainer.run()
    callbacks.run_ends()
    return time.process_time() - cpu, time.perf_counter() - wall


def job(channels: dict[str, Path], folder: Path, arguments: Sequence[str]) -> Cost:
    """CPU and wall seconds of a training job's process."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("SM_")} | {
        **{f"SM_CHANNEL_{name}": str(path) for name, path in channels.items()},
        "SM_CHECKPOINT_DIR": str(folder / "checkpoints"),
        "SM_MODEL_DIR": str(folder / "model"),
        "SM_OUTPUT_DIR": str(folder / "output"),
        "PYTHONPATH": str(SCRIPT.parents[1]),
        # Compiled once, as installed modules are.
        "PYTHONDONTWRITEBYTECODE": "",
        "PYTHONPYCACHEPREFIX": str(folder.parent / "compiled"),
        "OMP_NUM_THREADS": "1",
    }
    before, wall = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run([sys.executable, SCRIPT, *arguments], env=environ, check=True, stdout=subprocess.DEVNULL)
    after, wall = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter() - wall
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, wall


def compare(ways: dict[str, Callable[[], Cost]], repeats: int) -> dict[str, list[Cost]]:
    """Each way so often, in turns, after one round that does not count.

    The order is turned round every time: two equal ways were found to differ by 2% for their place in it alone.
    """
    costs: dict[str, list[Cost]] = {name: [] for name in ways}
    for turn in range(repeats + 1):
        for name in ways if turn % 2 else reversed(ways):
            cost = ways[name]()
            if turn:
                costs[name].append(cost)
    return costs


def table(title: str, costs: dict[str, list[Cost]]) -> list[Cost]:
    """Medians, which are returned, and their ratios to the first."""
    show(title)
    medians: dict[str, Cost] = {
        name: (statistics.median(cpu for cpu, _ in rows), statistics.median(wall for _, wall in rows))
        for name, rows in costs.items()
    }
    cpu, wall = next(iter(medians.values()))
    for name, (own_cpu, own_wall) in medians.items():
        show(
            f"  {name:<26} CPU {own_cpu:7.3f} s x {own_cpu / cpu:.3f}   wall {own_wall:7.3f} s x {own_wall / wall:.3f}"
        )
    return list(medians.values())


def share(title: str, stored: Sequence[Cost], whole: Cost) -> None:
    """What recording adds, measured where it shows, as a share of a longer job with the same steps."""
    (cpu, wall), (own_cpu, own_wall) = stored[0], stored[-1]
    show(title)
    show(f"  {'not recorded (baseline)':<26} CPU {whole[0]:7.3f} s x 1.000   wall {whole[1]:7.3f} s x 1.000")
    show(
        f"  {'recorded, with rules':<26} CPU + {own_cpu - cpu:5.3f} s x {1 + (own_cpu - cpu) / whole[0]:.3f}"
        f"   wall + {own_wall - wall:5.3f} s x {1 + (own_wall - wall) / whole[1]:.3f}"
    )


def sizes(batches: FeatureBatches, work: Path) -> None:
    """What 1,000 steps leave on disk."""
    folder = fresh(work)
    train(batches, work, recorders(folder), batch_size=60, epochs=10)
    trial = FileTrial(folder / "debug-output")
    steps = len(trial.tensor("accuracy").series())
    files = [path for path in (folder / "debug-output").rglob("*") if path.is_file()]
    used = sum(path.lstat().st_blocks * 512 for path in (folder / "debug-output").rglob("*"))
    show(f"recording of {steps} steps")
    held = sum(path.stat().st_size for path in files)
    show(f"  {held / 1e6:.2f} MB in {len(files)} files, {used / 1e6:.2f} MB on disk")


def reading(work: Path) -> None:
    """How long 10,000 steps of losses take to read."""
    ours, smdebugs, plain = fresh(work), fresh(work), fresh(work)
    steps = [
        Step("TRAIN", step, step, 1e9 + step, [("loss", 1 / (step + 1)), ("accuracy", 0.5)])
        for step in range(READ_STEPS)
    ]
    for folder, at_once in ((ours, 100), (smdebugs, 1)):
        writer = TrialWriter(folder)
        writer.describe({}, {"losses": ["loss"], "metrics": ["accuracy"]}, {"TRAIN": 1})
        for first in range(0, READ_STEPS, at_once):
            writer.write(steps[first : first + at_once], seconds=0.0)
        writer.end()
    for step in range(READ_STEPS):
        (plain / f"{step}.json").write_text(json.dumps({"loss": 1 / (step + 1), "accuracy": 0.5}))
    show(f"reading {READ_STEPS:,} steps of losses and accuracies, files in the page cache")
    for name, read in (
        ("small JSON files (baseline)", lambda: [json.loads(path.read_text())["loss"] for path in plain.iterdir()]),
        ("our recording", lambda: FileTrial(ours).tensor("loss").series()),
        ("one event file a step", lambda: FileTrial(smdebugs).tensor("loss").series()),
    ):
        seconds = []
        for _ in range(3):
            begin = time.perf_counter()
            assert len(read()) == READ_STEPS
            seconds.append(time.perf_counter() - begin)
        show(f"  {name:<28} {statistics.median(seconds):6.3f} s")


def fresh(work: Path) -> Path:
    """A new folder."""
    return Path(tempfile.mkdtemp(dir=work))


def show(line: str) -> None:
    """Prints a figure at once."""
    print(line, flush=True)


if __name__ == "__main__":
    main()
