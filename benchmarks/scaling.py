"""What a second process brings: seconds per epoch of fine-tuning, and of a head on features larger than memory.

Both train in one and in two processes of one thread each, connected with gloo as torchrun starts them, with the same
batches in all processes together. Prints the speedup over one process, the efficiency (the speedup per process), and
the largest difference between the two loss curves, which rounding alone explains.

    python benchmarks/scaling.py [--pictures 600] [--rows 100000] [--backbone mobilenet_v3_small] [--quick]

The pictures are drawn and the features generated. It takes two idle cores: on a busy machine, the processes wait for
each other. --quick: 96 pictures and 8,000 rows.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import torch

import large_store
from gpu import draw, run_entry_point, show
from training_scripts.data import batches
from training_scripts.features.store import FeatureStore
from training_scripts.models import heads
from training_scripts.models.network import Network
from training_scripts.training import processes
from training_scripts.training.checkpoints import Checkpoint
from training_scripts.training.hyperparameters import Hyperparameters
from training_scripts.training.metrics import EpochMetrics, parse
from training_scripts.training.resume import RunIdentity
from training_scripts.training.stop_signal import StopFlag
from training_scripts.training.trainer import Trainer

COUNTS = (1, 2)
EPOCHS = 3
HIDDEN = 1024
_RUN_SECONDS = 1200
# Tells a process that torchrun has started where the features are.
_FEATURES = "SCALING_FEATURES"


def main(arguments: Sequence[str] | None = None) -> None:
    """Trains both ways in one and in two processes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=600)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--backbone", default="mobilenet_v3_small")
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args(arguments)
    if options.quick:
        options.pictures, options.rows = 96, 8_000
    os.environ["OMP_NUM_THREADS"] = "1"
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        options.data = draw(scratch / "data", options.pictures)
        settings = {"epochs": str(EPOCHS), "unfreeze": "2", "recorder": "off", "profiler": "off", "workers": "1"}

        def fine_tuned(count: int) -> str:
            return run_entry_point("train_model", options, scratch / f"tuned-{count}", settings, processes=count)

        compare(f"fine-tuning {options.backbone}, {options.pictures} pictures", fine_tuned)
        large_store.generate(scratch / "features", options.rows)
        compare(f"head on {options.rows} rows of features", lambda count: head_log(scratch / "features", count))


def compare(name: str, log: Callable[[int], str]) -> None:
    """Prints a line per number of processes: the fastest epoch, and how it compares with that of one process."""
    show(name)
    alone: list[EpochMetrics] = []
    for count in COUNTS:
        curve = list(epochs(log(count)))
        alone = alone or curve
        seconds, baseline = (min(epoch.seconds or 0.0 for epoch in each) for each in (curve, alone))
        off = max(
            abs(one.values[loss] - other.values[loss])
            for one, other in zip(alone, curve, strict=True)
            for loss in ("train:loss", "valid:loss")
        )
        show(
            f"  {count} processes {seconds:6.1f} s per epoch, {baseline / seconds:5.2f} x, "
            f"efficiency {baseline / seconds / count:4.0%}, losses differ by at most {off:.5f}"
        )


def epochs(log: str) -> Iterator[EpochMetrics]:
    """The epochs of a log, in order."""
    for line in log.splitlines():
        seen = parse(line)
        if isinstance(seen, EpochMetrics) and seen.seconds is not None:
            yield seen


def head_log(features: Path, count: int) -> str:
    """The log of a head's training in some processes."""
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={count}"]
    done = subprocess.run(
        [*launcher, __file__],
        env={**os.environ, _FEATURES: str(features)},
        capture_output=True,
        text=True,
        timeout=_RUN_SECONDS,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"training a head in {count} processes failed: {done.stderr[-1500:]}")
    return done.stdout


def train_head(features: Path) -> int:
    """Trains a head in this process and the others of its group, on features that it reads in every epoch."""
    batches.IN_MEMORY_BYTES = 0
    torch.set_num_threads(1)
    stop, store = StopFlag(), FeatureStore.described(features)
    with (
        processes.connected(processes.place(os.environ), stop) as joined,
        tempfile.TemporaryDirectory() as checkpoints,
    ):
        inputs = batches.FeatureBatches({name: store.split(name) for name in store.sizes}, processes=joined)
        torch.manual_seed(0)
        head = heads.build(heads.HeadSpec((HIDDEN,)), width=store.width, classes=len(store.classes))
        Trainer(
            Network(head),
            inputs,
            Hyperparameters(epochs=EPOCHS, batch_size=512, patience=0),
            checkpoint=Checkpoint(Path(checkpoints), run=RunIdentity()),
            stop=stop,
            report=show if joined.place.is_first else lambda _: None,
            processes=joined,
        ).run()
    return 0


if __name__ == "__main__":
    if _FEATURES in os.environ:
        processes.run_to_end(lambda: train_head(Path(os.environ[_FEATURES])))
    else:
        main()
