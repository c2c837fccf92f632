"""All figures of a machine with GPUs in one run: the feature pass, fine-tuning with AMP, several GPUs, serving.

Every part runs the entry points and the server that jobs and endpoints run, as processes, and prints ratios to a named
baseline of the same part: the pass in float32 on one GPU, an epoch without AMP, one process, torch on the CPU. A part
that fails says so, and the others go on.

    python benchmarks/gpu.py [--data FOLDER] [--pictures 2000] [--backbone resnet50] [--parts pass epoch ddp serving]
        [--quick]

FOLDER has train and valid folders; without it, 500 x 375 pictures as detailed as photographs are drawn, of 10 classes.
Weights are random (`--weights none`): the work is the same. Without a GPU everything runs on the CPU, with two
processes for `ddp`, which shows that the benchmark works, and nothing about GPUs. --quick: 96 pictures.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from unittest import mock

import torch

import untrained_bundle
from dogbreed_sdk.model_server import start
from serving_speed import Candidate, drawn, load
from training_scripts.training import metrics

CLASSES = 10
QUICK_PICTURES = 96
CLIENTS, SERVING_SECONDS = 8, 5.0
_RUN_SECONDS = 1200


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the parts that are asked for."""
    parts: Mapping[str, Callable[[argparse.Namespace, Path], None]] = {
        "pass": feature_passes,
        "epoch": fine_tuning,
        "ddp": several_processes,
        "serving": serving,
    }
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--pictures", type=int, default=2000)
    parser.add_argument("--backbone", default="resnet50")
    parser.add_argument("--parts", nargs="+", choices=parts, default=list(parts))
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args(arguments)
    if options.quick:
        options.pictures = QUICK_PICTURES
    show(machine())
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        if options.data is None:
            options.data = draw(scratch / "data", options.pictures)
        for name in options.parts:
            show(f"\n{name}")
            try:
                parts[name](options, scratch / name)
            except (subprocess.SubprocessError, OSError, RuntimeError) as error:
                show(f"  failed: {error}")


def machine() -> str:
    """What this machine computes with."""
    cores = len(os.sched_getaffinity(0))
    if not torch.cuda.is_available():
        return f"no GPU: {cores} cores of the CPU, torch {torch.__version__}"
    names = [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())]
    return f"{', '.join(names)}; {cores} cores, torch {torch.__version__}, CUDA {torch.version.cuda}"


def draw(folder: Path, pictures: int) -> Path:
    """A data set of noise, of which a fifth validates."""
    for number, content in enumerate(drawn(pictures)):
        split = "valid" if number // CLASSES % 5 == 0 else "train"
        target = folder / split / f"class{number % CLASSES}"
        target.mkdir(parents=True, exist_ok=True)
        (target / f"{number:06}.jpg").write_bytes(content)
    return folder


def feature_passes(options: argparse.Namespace, scratch: Path) -> None:
    """Pictures per second of the pass in both precisions, and what limits it."""
    baseline = 0.0
    for precision in ("fp32", "bf16"):
        folder = scratch / precision
        run_entry_point("extract_features", options, folder, {"precision": precision})
        facts = json.loads((folder / "checkpoint/feature_pass.json").read_text())
        rate = facts["pictures"] / facts["seconds"]
        baseline = baseline or rate
        waiting = facts["waiting"] / facts["seconds"]
        show(
            f"  {precision}: {rate:8.1f} pictures/s {rate / baseline:5.2f} x; engine {facts.get('engine')}, "
            f"{facts['workers']} decoding threads, batches of {facts['batch_size']}, "
            f"the network waited for pictures {waiting:.0%} of the time"
        )


def fine_tuning(options: argparse.Namespace, scratch: Path) -> None:
    """Seconds of an epoch with two unfrozen blocks, with and without AMP; the first epoch warms up."""
    baseline = 0.0
    for name, amp in (("float32", "false"), ("AMP", "true")):
        seconds = epoch_seconds(options, scratch / name, {"amp": amp})
        baseline = baseline or seconds
        show(f"  {name:8} {seconds:8.2f} s per epoch {baseline / seconds:5.2f} x")


def several_processes(options: argparse.Namespace, scratch: Path) -> None:
    """Scaling of fine-tuning: one process, and one for each GPU, with the same batch in all together."""
    most = torch.cuda.device_count() if torch.cuda.is_available() else 2
    if most < 2:
        show("  one GPU: scaling cannot be measured")
    baseline = 0.0
    for count in sorted({1, most}):
        seconds = epoch_seconds(options, scratch / str(count), {}, processes=count)
        baseline = baseline or seconds
        faster = baseline / seconds
        show(f"  {count} processes {seconds:8.2f} s per epoch {faster:5.2f} x, efficiency {faster / count:.0%}")


def serving(_: argparse.Namespace, scratch: Path) -> None:
    """Requests per second and median latency of the model server, on the CPU and where it runs by default."""
    bundle = untrained_bundle.write(scratch / "bundle")
    pictures = drawn()
    baseline = 0.0
    for name, hidden in (("CPU", True), ("GPU", False)):
        if name == "GPU" and not torch.cuda.is_available():
            continue
        shown = {"CUDA_VISIBLE_DEVICES": ""} if hidden else {}
        with mock.patch.dict(os.environ, shown):  # of which the server gets a copy
            server = start(bundle, backend="torch", status=lambda _: None)
        with server:
            candidate = Candidate(name, int(server.url.rpartition(":")[2]), server.pid)
            load(candidate, pictures, CLIENTS, 1.0)
            waits = load(candidate, pictures, CLIENTS, SERVING_SECONDS)
        rate = len(waits) / SERVING_SECONDS
        baseline = baseline or rate
        show(f"  {name}: {rate:8.1f} requests/s {rate / baseline:5.2f} x, p50 {1000 * statistics.median(waits):.1f} ms")


def epoch_seconds(
    options: argparse.Namespace, scratch: Path, hyperparameters: Mapping[str, str], *, processes: int = 1
) -> float:
    """Seconds of the second epoch of fine-tuning."""
    settings = {"epochs": "2", "unfreeze": "2", "recorder": "off", **hyperparameters}
    output = run_entry_point("train_model", options, scratch, settings, processes=processes)
    for line in output.splitlines():
        seen = metrics.parse(line)
        if isinstance(seen, metrics.EpochMetrics) and seen.epoch == 2 and seen.seconds is not None:
            return seen.seconds
    raise RuntimeError(f"the log has no second epoch: {output[-500:]}")


def run_entry_point(
    name: str,
    options: argparse.Namespace,
    scratch: Path,
    hyperparameters: Mapping[str, str],
    *,
    processes: int = 1,
) -> str:
    """Runs an entry point as its container does, in one or several processes; returns its log."""
    environ = {key: value for key, value in os.environ.items() if not key.startswith("SM_")}
    for split in ("train", "valid"):
        environ[f"SM_CHANNEL_{split.upper()}"] = str(options.data / split)
    for each in ("MODEL", "CHECKPOINT", "OUTPUT", "OUTPUT_DATA"):
        environ[f"SM_{each}_DIR"] = str(scratch / each.lower())
    scratch.mkdir(parents=True)
    settings = {"model": options.backbone, "weights": "none", **hyperparameters}
    arguments = [part for key, value in settings.items() for part in (f"--{key}", value)]
    launcher = ["-m", f"training_scripts.{name}"]
    if processes > 1:
        launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}", *launcher]
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, *launcher, *arguments],
        env=environ,
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        timeout=_RUN_SECONDS,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{name} ended with {done.returncode}: {done.stderr[-1500:]}")
    print(f"  ({name}: {time.monotonic() - began:.0f} s)", file=sys.stderr, flush=True)
    return done.stdout


def show(line: str) -> None:
    """Figures go to standard output, at once: a borrowed machine may end the run."""
    print(line, flush=True)


if __name__ == "__main__":
    main()
