"""What the start of a trial costs: from its start to its first epoch, in a new process and in a fork.

The baseline is a new process, which imports PyTorch. Both run the same trial of a search on the same stored features,
in turn. Prints the medians of CPU seconds and wall seconds to the first epoch and to the end, and their ratios.

    python benchmarks/trial_start.py [--quick] [--repeats 7]

Linux only, as the fork server.
"""

from __future__ import annotations

import argparse
import os
import select
import statistics
import tarfile
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from io import BytesIO
from pathlib import Path

import psutil

from dogbreed_sdk import BreedDataset, BreedTrainer, Session
from dogbreed_sdk._util.caller_environment import inherited
from dogbreed_sdk._util.cores import thread_environment
from dogbreed_sdk.container import uri_to_path
from dogbreed_sdk.jobs import source
from dogbreed_sdk.local.container_view import ContainerView
from dogbreed_sdk.local.forking import FORK_SERVER_VARIABLE
from dogbreed_sdk.local.forking.lease import SERVERS
from dogbreed_sdk.local.jobs.environment import JOB_MARK
from dogbreed_sdk.local.jobs.forked_scripts import fork_for
from dogbreed_sdk.local.jobs.program import Program
from dogbreed_sdk.local.jobs.script_process import Script, ScriptProcess
from dogbreed_sdk.local.python.scripts_python import Layer, scripts_python

TRIAL = ("--epochs", "10", "--batch-size", "32", "--lr", "0.003")


@dataclass(frozen=True)
class Cost:
    """What one trial has cost, in seconds."""

    first_epoch_cpu: float
    first_epoch_wall: float
    whole_cpu: float
    whole_wall: float


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure trials both ways in turn."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer trials; ends within a minute")
    parser.add_argument("--repeats", type=int, default=7)
    options = parser.parse_args(arguments)
    repeats = 2 if options.quick else options.repeats
    with tempfile.TemporaryDirectory() as folder:
        forked = prepared(Path(folder))
        new = replace(forked, fork=None)
        measured(forked)  # the server imports PyTorch before it answers the first time
        costs = [(measured(new), measured(forked)) for _ in range(repeats)]
        SERVERS.close()
    print(f"a trial of 10 epochs on stored features, median of {repeats}:")
    for field in fields(Cost):
        before, after = (statistics.median(getattr(pair[way], field.name) for pair in costs) for way in (0, 1))
        name = field.name.replace("_", " ").replace("first epoch", "to the first epoch,")
        print(f"  {name:25} new process {before:6.2f} s   fork {after:6.2f} s   ratio {after / before:5.2f}")


def prepared(folder: Path) -> Script:
    """A trial that runs in a fork: its source, its features, and the Python of a job."""
    code = folder / "ml/code"
    with tarfile.open(fileobj=BytesIO(source.pack())) as archive:
        archive.extractall(code, filter="data")
    (folder / "ml/model").mkdir()
    with Session.local(folder / "root") as session:
        data = BreedDataset.sample(folder / "data", breeds=3, per_breed=12)
        features = BreedTrainer(session).extract_features(data)
    python = scripts_python()
    program = Program("hpo.py", code, Layer(folder / "python", python).create())
    environment = {
        **program.environment({**inherited(os.environ), **thread_environment(1), "PYTHONUNBUFFERED": "1"}),
        "SM_CHANNEL_FEATURES": str(uri_to_path(features)),
        "SM_MODEL_DIR": str(folder / "ml/model"),
        "SM_OUTPUT_DIR": str(folder / "ml/output"),
        JOB_MARK: f"{folder}/algo-1",
    }
    command = program.command(TRIAL)
    server = SERVERS.descriptor(python.executable, {})
    os.environ[FORK_SERVER_VARIABLE] = str(server)
    return Script(
        "algo-1", command, command, ContainerView(folder / "ml"), code, environment, fork_for(program, command)
    )


def measured(script: Script) -> Cost:
    """The costs of one trial."""
    with tempfile.TemporaryDirectory() as checkpoints:
        environment = {**script.environment, "SM_CHECKPOINT_DIR": checkpoints}
        start = time.perf_counter()
        process = ScriptProcess(replace(script, environment=environment))
        running, first = psutil.Process(process.pid), None
        for lines in output(process):
            if first is None and any(line.startswith("epoch 1/") for line in lines):
                first = (cpu_of(running), time.perf_counter() - start)
        whole = (cpu_of(running), time.perf_counter() - start)  # it has ended, and is not reaped yet
        process.finish()
        process.close()
    if first is None or process.exit_status != 0:
        raise RuntimeError(f"the trial ended with {process.exit_status} and no epoch")
    return Cost(*first, *whole)


def output(process: ScriptProcess) -> Iterator[list[str]]:
    """The lines of a script as they come."""
    more = True
    while more:
        lines, more = process.read()
        yield lines
    select.select([process.ending], [], [])


def cpu_of(process: psutil.Process) -> float:
    """User and system time of a process."""
    times = process.cpu_times()
    return times.user + times.system


if __name__ == "__main__":
    main()
