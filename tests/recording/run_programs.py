"""Runs the programs as their authors would: `python run_programs.py RUNS.json`. They are forks: torch is imported once.

RUNS.json is a list of runs: {"program", "arguments", "workers", "folder"}. Several workers are started as torchrun
starts them. The output and the status of each worker are left as <folder>-out-<rank> and <folder>-status-<rank>.
"""

from __future__ import annotations

import importlib
import json
import os
import runpy
import signal
import sys
import traceback
from pathlib import Path
from typing import Any

from tests.ports import free_port

PROGRAMS = Path(__file__).with_name("programs")
PRELOADED = (
    "dogbreed_sdk.debugging.insights",
    "dogbreed_sdk.debugging.report",
    "dogbreed_sdk.recording.recording",
    "training_scripts.recording.profiler.profiler",
    "training_scripts.rules.registry",
    "pytorch_lightning",
    "accelerate",
    "timm",
    "torch.utils.data",
    "transformers.trainer",
    "transformers.models.vit.modeling_vit",
)
SECONDS, AT_A_TIME = 120, 2


def main(file: str) -> None:
    sys.path.insert(0, str(PROGRAMS))
    for name in PRELOADED:
        importlib.import_module(name)
    waiting = [worker for run in json.loads(Path(file).read_text()) for worker in started(run)]
    running: dict[int, Path] = {}
    while waiting or running:
        while waiting and len(running) < AT_A_TIME:
            run, rank, environ = waiting.pop(0)
            running[fork(run, rank, environ)] = Path(f"{run['folder']}-status-{rank}")
        pid, status = os.wait()
        running.pop(pid).write_text(str(os.waitstatus_to_exitcode(status)))


def started(run: dict[str, Any]) -> list[tuple[dict[str, Any], int, dict[str, str]]]:
    """Each worker of a run, with torchrun's variables if there are several."""
    count = run["workers"]
    if count == 1:
        return [(run, 0, {})]
    common = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
    common |= {"WORLD_SIZE": str(count), "LOCAL_WORLD_SIZE": str(count)}
    return [(run, rank, {**common, "RANK": str(rank), "LOCAL_RANK": str(rank)}) for rank in range(count)]


def fork(run: dict[str, Any], rank: int, environ: dict[str, str]) -> int:
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        out = os.open(f"{run['folder']}-out-{rank}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(out, 1)
        os.dup2(out, 2)
        os.environ.update(environ)
        signal.alarm(SECONDS)  # a process that hangs fails the test
        sys.argv = [run["program"], run["folder"], *run["arguments"]]
        runpy.run_path(str(PROGRAMS / run["program"]), run_name="__main__")
        status = 0
    except BaseException:  # noqa: BLE001 - as an interpreter would
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


if __name__ == "__main__":
    main(sys.argv[1])
