"""What commands cost before they do anything: CPU time of their start, against Python, boto3 and torch alone.

    python benchmarks/start_up.py [--quick]

Each command is run in turns with `python -c pass`, `python -c "import boto3"` and `python -c "import torch"`, and its
CPU time is that of the process and its children. The first answer of `serve --bundle` is measured from the start of the
process to the first response with status 200, in CPU time of the service and its model server, and in wall time.
Whether a command loads what it does not need is held by tests/test_imports.py.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import NamedTuple

import psutil

from dogbreed_sdk.local.store import TRAINING_JOB, Store
from dogbreed_sdk.testing import picture

JOBS = 200
DOGBREED = (sys.executable, "-m", "dogbreed_sdk")


class Cost(NamedTuple):
    """CPU and wall seconds of one run."""

    cpu: float
    wall: float


def main() -> None:
    """Measures in turns, prints a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="2 rounds instead of 7")
    rounds = 2 if parser.parse_args().quick else 7
    with tempfile.TemporaryDirectory() as scratch:
        cases = prepared(Path(scratch))
        costs: dict[str, list[Cost]] = {name: [] for name in cases}
        for _ in range(rounds):
            for name, run in cases.items():
                costs[name].append(run())
    middle = {name: Cost(*map(median, zip(*found, strict=True))) for name, found in costs.items()}
    print("| start | CPU-s | wall s | x python | x import boto3 | x import torch | CPU-s beyond torch |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    baselines = [middle[name] for name in ("python -c pass", "import boto3", "import torch")]
    for name, cost in middle.items():
        ratios = " | ".join(f"{cost.cpu / baseline.cpu:.2f}" for baseline in baselines)
        beyond = cost.cpu - baselines[-1].cpu
        print(f"| {name} | {cost.cpu:.2f} | {cost.wall:.2f} | {ratios} | {max(0.0, beyond):.2f} |")
    print(f"first answer in wall time: {middle['serve --bundle'].wall / baselines[-1].wall:.2f} x import torch")


def prepared(scratch: Path) -> Mapping[str, Callable[[], Cost]]:
    """What is measured, by name, with the files that it needs."""
    import untrained_bundle  # noqa: PLC0415 - loads torch

    bundle, file, root = untrained_bundle.write(scratch / "bundle"), scratch / "dog.jpg", scratch / "root"
    content = picture(1, size=(500, 375))
    file.write_bytes(content)
    store = Store(root)
    with store.transaction():
        for number in range(JOBS):
            store.create(TRAINING_JOB, f"dogs-{number:03}", {}, {"status": "Completed"})
    store.close()
    line = "dogbreed cla"
    completing = {
        "_ARGCOMPLETE": "1",
        "_ARGCOMPLETE_STDOUT_FILENAME": os.devnull,
        "COMP_LINE": line,
        "COMP_POINT": str(len(line)),
    }
    return {
        "python -c pass": lambda: ended(sys.executable, "-c", "pass"),
        "import boto3": lambda: ended(sys.executable, "-c", "import boto3"),
        "import torch": lambda: ended(sys.executable, "-c", "import torch"),
        "import dogbreed_sdk": lambda: ended(sys.executable, "-c", "import dogbreed_sdk"),
        "dogbreed --help": lambda: ended(*DOGBREED, "--help"),
        "completion of a word": lambda: ended(*DOGBREED, variables=completing),
        f"dogbreed jobs ({JOBS} jobs)": lambda: ended(*DOGBREED, "jobs", "--root", str(root)),
        "dogbreed classify BUNDLE": lambda: ended(*DOGBREED, "classify", str(bundle), str(file)),
        "serve --bundle": lambda: first_answer(bundle, content),
    }


def ended(*command: str, variables: Mapping[str, str] | None = None) -> Cost:
    """A command from its start to its end."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(
        command,
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, **(variables or {})},
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Cost(cpu, time.perf_counter() - start)


def first_answer(bundle: Path, content: bytes) -> Cost:
    """The service, from its start to its first answer."""
    start = time.perf_counter()
    with service(bundle) as (process, url):
        headers = {"Content-Type": "image/jpeg"}
        with urllib.request.urlopen(urllib.request.Request(f"{url}/v1/classify", content, headers)) as answer:
            answer.read()
        wall = time.perf_counter() - start
        family = [process, *process.children(recursive=True)]
        return Cost(sum(sum(each.cpu_times()[:2]) for each in family), wall)


@contextmanager
def service(bundle: Path) -> Iterator[tuple[psutil.Process, str]]:
    """`dogbreed serve --bundle`; its socket listens before it says so, so that a request waits for the model."""
    command = [*DOGBREED, "serve", "--bundle", str(bundle), "--port", "0", "--json"]
    started = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        assert started.stdout is not None
        yield psutil.Process(started.pid), json.loads(started.stdout.readline())["url"]
    finally:
        started.send_signal(signal.SIGTERM)
        started.wait(60)
        started.stdout.close()


if __name__ == "__main__":
    main()
