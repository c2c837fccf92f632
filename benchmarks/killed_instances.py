"""Kills an instance of a feature pass at a random moment and runs the job again; prints what was computed again.

Four instances share a pass, as processes with a folder of checkpoints each. One of them gets SIGKILL, and in half of
the cases its folder is lost with it. As on SageMaker, the other instances are stopped soon after. Then the job runs
again. It has ended rightly if the first instance's store equals that of a single process byte for byte (shards, names,
labels and manifest; not the file with the times), and if no shard was computed again that an instance still had.

    python benchmarks/killed_instances.py [--kills 20] [--pictures 400] [--seed 0] [--quick]

--quick: four kills. A shard has 16 pictures, so that a small data set has many.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import socket
import sys
import tempfile
import time
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path

from PIL import Image

from training_scripts import extract_features
from training_scripts.data import inputs  # noqa: F401 - loads torch once for all processes, which are forks
from training_scripts.features import manifest
from training_scripts.features.files import COST_FILE

INSTANCES = 4
SHARD_PICTURES = 16
CLASSES = 4
ARGUMENTS = ["--model", "mobilenet_v3_small", "--weights", "none", "--workers", "1", "--profiler", "off"]
# How long the other instances have to finish their parts, and then to stop.
NOTICE_SECONDS, STOP_SECONDS = 4.0, 3.0
PATIENCE_SECONDS = 300.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Kills one instance after another; returns 1 if a job ended wrongly."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--pictures", type=int, default=400)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args(arguments)
    if options.quick:
        options.kills, options.pictures = 4, 200
    dice = random.Random(options.seed)
    manifest.CHUNK = SHARD_PICTURES
    os.environ["OMP_NUM_THREADS"] = "1"
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        draw(root / "data", options.pictures, dice)
        alone = Job(root / "alone", root / "data", 1)
        alone.run()
        total = len(alone.shards(0))
        print(f"{INSTANCES} instances compute {total} shards", flush=True)
        wrong = [
            lose_one(Job(root / f"job-{number}", root / "data", INSTANCES), alone, dice, total)
            for number in range(options.kills)
        ]
    print(f"{len(wrong) - sum(wrong)} of {len(wrong)} jobs ended rightly")
    return int(any(wrong))


def draw(folder: Path, pictures: int, dice: random.Random) -> None:
    """Writes pictures of noise, of which a tenth validates."""
    for number in range(pictures):
        split = "valid" if number % 10 == 0 else "train"
        target = folder / split / f"class{number // 10 % CLASSES}"
        target.mkdir(parents=True, exist_ok=True)
        Image.frombytes("RGB", (64, 64), dice.randbytes(3 * 64 * 64)).save(target / f"{number:05}.png")


class Job:
    """A feature pass on several instances."""

    def __init__(self, folder: Path, data: Path, count: int) -> None:
        """Starts nothing yet."""
        self._folder, self._data, self._count = folder, data, count
        folder.mkdir()

    def checkpoints(self, rank: int) -> Path:
        """The folder in which an instance keeps its features."""
        return self._folder / f"checkpoints-{rank}"

    def shards(self, rank: int) -> dict[str, int]:
        """The shards that an instance has, and when each was written."""
        return {path.name: path.stat().st_mtime_ns for path in self.checkpoints(rank).glob("*.npy") if is_shard(path)}

    def content(self) -> dict[str, bytes]:
        """The store of the first instance, without its times."""
        files = [path for path in self.checkpoints(0).glob("*.*") if path.is_file()]
        return {path.name: path.read_bytes() for path in files if path.name not in (COST_FILE, ".lock")}

    def start(self) -> list[int]:
        """Starts the instances; returns their process ids."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = str(probe.getsockname()[1])
        return [self._fork(rank, {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}) for rank in range(self._count)]

    def run(self) -> None:
        """Runs the job to its end.

        Raises:
            SystemExit: It fails.
        """
        statuses = wait(self.start(), PATIENCE_SECONDS)
        if set(statuses.values()) != {0}:
            logs = "\n".join(self._log(rank).read_text()[-1000:] for rank in range(self._count))
            raise SystemExit(f"the job failed: {sorted(statuses.values())}\n{logs}")

    def _log(self, rank: int) -> Path:
        return self._folder / f"log-{rank}"

    def _fork(self, rank: int, variables: Mapping[str, str]) -> int:
        if pid := os.fork():
            return pid
        status = 1
        try:
            log = os.open(self._log(rank), os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(log, 1)
            os.dup2(log, 2)
            os.environ.update(variables)
            os.environ["SM_HOSTS"] = json.dumps([f"algo-{number + 1}" for number in range(self._count)])
            os.environ["SM_CURRENT_HOST"] = f"algo-{rank + 1}"
            os.environ["SM_CHANNEL_TRAINING"] = str(self._data)
            os.environ["SM_CHECKPOINT_DIR"] = str(self.checkpoints(rank))
            for name in ("MODEL", "OUTPUT", "OUTPUT_DATA"):
                os.environ[f"SM_{name}_DIR"] = str(self._folder / f"{name.lower()}-{rank}")
            status = extract_features.main(ARGUMENTS)
        except BaseException:  # noqa: BLE001 - as an interpreter would
            traceback.print_exc()
        sys.stdout.flush()
        os._exit(status)


def is_shard(path: Path) -> bool:
    """Whether a file has features, rather than labels."""
    return path.stem.rpartition("-")[2].isdecimal()


def lose_one(job: Job, alone: Job, dice: random.Random, total: int) -> bool:
    """Kills an instance, runs the job again, and prints what came of it; returns whether it ended wrongly."""
    victim, done, disk_lost = dice.randrange(INSTANCES), dice.randrange(total + 1), dice.random() < 0.5
    pids = job.start()
    # Most of the time passes before the first shard, and at a random moment nothing would be there yet.
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline and sum(len(job.shards(rank)) for rank in range(INSTANCES)) < done:
        time.sleep(0.01)
    time.sleep(dice.uniform(0, 0.3))
    os.kill(pids[victim], signal.SIGKILL)
    left = wait([pids[victim]], PATIENCE_SECONDS) and wait(pids[:victim] + pids[victim + 1 :], NOTICE_SECONDS)
    for number in (signal.SIGTERM, signal.SIGKILL):
        running = [pid for pid, status in left.items() if status is None]
        for pid in running:
            os.kill(pid, number)
        left |= wait(running, STOP_SECONDS if number == signal.SIGTERM else PATIENCE_SECONDS)
    if disk_lost:
        shutil.rmtree(job.checkpoints(victim), ignore_errors=True)
    before = [job.shards(rank) for rank in range(INSTANCES)]
    job.run()
    after = [job.shards(rank) for rank in range(INSTANCES)]
    kept = {name for shards in before for name in shards}
    again = [
        f"{name} of instance {rank + 1}"
        for rank, shards in enumerate(before)
        for name, written in shards.items()
        if after[rank].get(name) != written
    ]
    made = len({name for shards in after for name in shards} - kept)
    equal = job.content() == alone.content()
    lost = ", its disk lost" if disk_lost else ""
    print(
        f"instance {victim + 1} killed once {done} shards were written{lost}: {len(kept)} were left, {made} computed; "
        f"{'equal' if equal else 'NOT EQUAL'}{'; COMPUTED AGAIN: ' + ', '.join(again) if again else ''}",
        flush=True,
    )
    return bool(again) or not equal


def wait(pids: Sequence[int], seconds: float) -> dict[int, int | None]:
    """The exit status of each process that ends in time; None of the others."""
    found: dict[int, int | None] = dict.fromkeys(pids)
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and None in found.values():
        for pid, status in found.items():
            if status is None and (ended := os.waitpid(pid, os.WNOHANG))[0]:
                found[pid] = os.waitstatus_to_exitcode(ended[1])
        time.sleep(0.02)
    return found


if __name__ == "__main__":
    sys.exit(main())
