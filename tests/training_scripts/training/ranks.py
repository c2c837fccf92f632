"""Runs training scripts in several processes: `python ranks.py RUNS.json`. They are forks: imports are done once.

RUNS.json is a list of runs: {"script", "arguments", "count", "environ", "folder"}, and perhaps "fault", which the last
process gets, "own", the variables of each process if torchrun's do not say who takes part, and "constants", values of
modules' constants by "module.name". The output and the status of each process are left in its folder as out-<rank> and
status-<rank>.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
import traceback
from pathlib import Path
from typing import Any

from tests.ports import free_port
from training_scripts.features import parts
from training_scripts.training import trainer

SECONDS = 120
# No line of progress only because the machine is slow.
CONSTANTS = {"training.trainer.PROGRESS_SECONDS": 3600.0, "features.feature_pass._PROGRESS_SECONDS": 3600.0}


def main(file: str) -> None:
    importlib.import_module("training_scripts.data.inputs")
    importlib.import_module("training_scripts.recording.recorder.job")
    runs = json.loads(Path(file).read_text())
    if any(_is_torchvisions(run["arguments"]) for run in runs):
        importlib.import_module("torchvision")  # takes as long as a run
    for run in runs:
        variables = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
        pids = [fork(run, rank, variables) for rank in range(run["count"])]
        for rank, pid in enumerate(pids):
            status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
            Path(run["folder"], f"status-{rank}").write_text(str(status))


def _is_torchvisions(arguments: list[str]) -> bool:
    """Whether a run is of a backbone of torchvision."""
    return "--model" in arguments and not arguments[arguments.index("--model") + 1].startswith("efficientnet_lite")


def fork(run: dict[str, Any], rank: int, variables: dict[str, str]) -> int:
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        out = os.open(f"{run['folder']}/out-{rank}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(out, 1)
        os.dup2(out, 2)
        os.environ.update({**run["environ"], **variables})
        if "own" in run:
            os.environ.update(run["own"][rank])
        else:  # as torchrun does
            count = str(run["count"])
            os.environ.update({"RANK": str(rank), "WORLD_SIZE": count, "LOCAL_RANK": str(rank)})
            os.environ["LOCAL_WORLD_SIZE"] = count
        for name, value in {**CONSTANTS, **run.get("constants", {})}.items():
            module, _, constant = name.rpartition(".")
            setattr(importlib.import_module(f"training_scripts.{module}"), constant, value)
        signal.alarm(SECONDS)  # a process that hangs fails the test
        if run.get("fault") and rank == run["count"] - 1:
            FAULTS[run["fault"]]()
        script = importlib.import_module(f"training_scripts.{run['script']}")
        status = script.main(run["arguments"])
    except BaseException:  # noqa: BLE001 - as an interpreter would
        traceback.print_exc()
    sys.stdout.flush()
    os._exit(status)


def in_step(number: int, act: Any) -> None:
    """Acts before a training step of this process."""
    step, steps = trainer.Trainer._step, iter(range(1, 1_000))

    def acting(*arguments: Any) -> Any:
        if next(steps) == number:
            act()
        return step(*arguments)

    trainer.Trainer._step = acting  # type: ignore[method-assign]


def fail() -> None:
    raise ZeroDivisionError("this process fails alone")


def kill_after_part() -> None:
    """Kills this process once it has written a part of its features."""
    write = parts.write

    def killing(*arguments: Any) -> None:
        write(*arguments)
        os.kill(os.getpid(), signal.SIGKILL)

    parts.write = killing


def spoil_inputs() -> None:
    """Makes the inputs of this process's second epoch's first step NaN."""
    step, steps = trainer.Trainer._step, iter(range(1, 1_000))

    def spoiling(self: Any, inputs: Any, *rest: Any) -> Any:
        return step(self, inputs * float("nan") if next(steps) == 4 else inputs, *rest)

    trainer.Trainer._step = spoiling  # type: ignore[method-assign]


FAULTS = {
    "nan": spoil_inputs,
    "kill-after-part": kill_after_part,
    "stop": lambda: in_step(5, lambda: os.kill(os.getpid(), signal.SIGTERM)),
    "fail": lambda: in_step(2, fail),
}

if __name__ == "__main__":
    main(sys.argv[1])
