"""What profiling costs: the same training of a head on stored features with and without the profiler, in turns.

Prints the medians of the ratios (CPU and wall time) of neighboring runs, then what is counted directly and so tells
more on a noisy machine: the time of the hooks of a step, the CPU time of the profiler's own thread as a share of
training, and what looking at operators with torch.profiler costs.

    python benchmarks/profiling_cost.py [--pairs 11] [--epochs 20] [--rows 6400] [--classes 120] [--threads 1]
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from training_scripts.data.batches import FeatureBatches
from training_scripts.features.store import SplitFeatures
from training_scripts.models import heads
from training_scripts.models.network import Network
from training_scripts.recording.profile.reader import read_profile
from training_scripts.recording.profiler.operators import CPU_SECONDS, SHARE
from training_scripts.recording.profiler.profiler import Profiler
from training_scripts.recording.profiler.writer import ProfileWriter
from training_scripts.training import hyperparameters, runtime
from training_scripts.training.callbacks import Callbacks
from training_scripts.training.checkpoints import Checkpoint
from training_scripts.training.resume import RunIdentity
from training_scripts.training.stop_signal import StopFlag
from training_scripts.training.trainer import Trainer

WIDTH = 1280
HOOK_STEPS = 20_000


class Cost(NamedTuple):
    """Seconds of a run."""

    cpu: float
    wall: float
    thread: float = 0.0
    operators: float = 0.0


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=11, help="runs with and without (default: 11)")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--rows", type=int, default=6400, help="train pictures (default: 6400)")
    parser.add_argument("--classes", type=int, default=120)
    parser.add_argument(
        "--threads", type=int, default=1, help="torch's threads (default: 1; more measure neighbors too)"
    )
    options = parser.parse_args(arguments)
    runtime.prepare(options.threads)
    batches = material(options.rows, options.classes)
    train(batches, options.epochs)  # the first run pays for what both need
    pairs = []
    for number in range(options.pairs):
        order = [measure_plain, measure_profiled] if number % 2 else [measure_profiled, measure_plain]
        found = {measured: measured(batches, options.epochs) for measured in order}
        pairs.append((found[measure_profiled], found[measure_plain]))
    show_pairs(pairs, steps=options.epochs * -(-options.rows // batch_size()))
    show_hooks()
    show_operators(batches, options.epochs)


def show_pairs(pairs: Sequence[tuple[Cost, Cost]], *, steps: int) -> None:
    """Prints the ratios of the runs."""
    wall = statistics.median(plain.wall for _, plain in pairs)
    show(f"{len(pairs)} pairs of {steps} steps, {1000 * wall / steps:.2f} ms a step")
    for name in ("cpu", "wall"):
        ratios = sorted(getattr(profiled, name) / getattr(plain, name) for profiled, plain in pairs)
        quarter = len(ratios) // 4
        spread = f"middle half {ratios[quarter]:.3f} to {ratios[-1 - quarter]:.3f}"
        show(f"  {name:4} profiled / unprofiled  {statistics.median(ratios):.4f}   ({spread})")
    share = statistics.median(profiled.thread / profiled.cpu for profiled, _ in pairs)
    show(f"  the profiler's own thread {100 * share:.2f}% of the CPU time")


def show_hooks() -> None:
    """Prints what a step's hooks cost."""
    with tempfile.TemporaryDirectory() as folder:
        profiler = Profiler(Path(folder), operators="off", system=False)
        nothing = torch.zeros(1)
        seconds = []
        for callbacks in (Callbacks(), Callbacks([profiler])):
            begun = time.perf_counter()
            for _ in range(HOOK_STEPS):
                callbacks.step_begins("TRAIN")
                callbacks.batch_ready("TRAIN", nothing, nothing)
                callbacks.forward_done("TRAIN", nothing)
                callbacks.backward_done("TRAIN")
                callbacks.step_ends("TRAIN", nothing, nothing, 64)
            seconds.append((time.perf_counter() - begun) / HOOK_STEPS)
        show(f"  hooks {1e6 * (seconds[1] - seconds[0]):.2f} us a step")


def show_operators(batches: FeatureBatches, epochs: int) -> None:
    """Prints what looking at operators costs."""
    cost = measure_profiled(batches, epochs, operators="on")
    show(
        f"  operators {1000 * cost.operators:.0f} ms once (reckoned with {1000 * CPU_SECONDS:.0f}); "
        f"auto looks after {CPU_SECONDS / SHARE:.0f} s of training"
    )


def measure_plain(batches: FeatureBatches, epochs: int) -> Cost:
    """A run without a profiler."""
    return timed(lambda: train(batches, epochs))


def measure_profiled(batches: FeatureBatches, epochs: int, *, operators: str = "auto") -> Cost:
    """A run with one: from its start to its last write."""
    with tempfile.TemporaryDirectory() as folder:
        busy: list[float] = []

        def run() -> None:
            profiler = Profiler(Path(folder), operators=operators)
            callbacks = Callbacks([profiler])
            train(batches, epochs, callbacks)
            callbacks.run_ends()

        ran = ProfileWriter.run
        try:
            ProfileWriter.run = counted(ran, busy)  # type: ignore[method-assign]
            cost = timed(run)
        finally:
            ProfileWriter.run = ran  # type: ignore[method-assign]
        facts = read_profile(Path(folder)).facts
    return cost._replace(thread=sum(busy), operators=float(facts.get("operators_seconds", 0.0)))


def counted(run: Callable[[Any], None], busy: list[float]) -> Callable[[Any], None]:
    """The same, with the CPU time of its thread noted."""

    def wrapped(writer: threading.Thread) -> None:
        begun = time.thread_time()
        run(writer)
        busy.append(time.thread_time() - begun)

    return wrapped


def timed(work: Callable[[], object]) -> Cost:
    """CPU time of all threads, and wall time."""
    cpu, wall = time.process_time(), time.perf_counter()
    work()
    return Cost(time.process_time() - cpu, time.perf_counter() - wall)


def train(batches: FeatureBatches, epochs: int, callbacks: Callbacks | None = None) -> None:
    """One run of the default head."""
    settings = replace(hyperparameters.parse(["--epochs", str(epochs)]), patience=0)
    torch.manual_seed(0)
    head = heads.build(heads.HeadSpec(settings.hidden, settings.dropout), width=WIDTH, classes=classes_of(batches))
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = Checkpoint(Path(folder), run=RunIdentity(data="cost"), report=str)
        network = Network(head)
        Trainer(
            network, batches, settings, checkpoint=checkpoint, stop=StopFlag(), report=str, callbacks=callbacks
        ).run()


def material(rows: int, classes: int) -> FeatureBatches:
    """Random features, as large as a backbone's."""
    generator = np.random.default_rng(0)
    splits = {}
    for split, count in (("train", rows), ("valid", max(classes, rows // 10))):
        features = generator.normal(size=(count, 1, WIDTH)).astype(np.float32)
        labels = np.arange(count, dtype=np.int64) % classes
        splits[split] = SplitFeatures(features, labels, tuple(map(str, range(count))))
    return FeatureBatches(splits)


def classes_of(batches: FeatureBatches) -> int:
    """How many classes the material has."""
    _, labels = next(batches.plain("valid", 1))
    return int(labels.max()) + 1


def batch_size() -> int:
    """The default one."""
    return hyperparameters.parse([]).batch_size


def show(line: str) -> None:
    """Prints at once."""
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
