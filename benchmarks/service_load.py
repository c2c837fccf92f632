"""Many clients against `dogbreed serve --bundle` on loopback: every answer checked, memory watched, a worker killed.

Prints requests a second, latencies, resident memory at the start, in the middle and at the end, and the ratio to the
baseline: the model server behind the service, asked by the same clients without the service, half before and half
after. The ratio is of the service's rate before the worker is killed. Where neighbors make a machine uneven, processor
time a request says more.
Ends with status 1 where an answer was wrong, a failure was not a proper 503 (problem details and Retry-After), memory
grew, or the worker that is killed after a third of the time was not replaced.

    python benchmarks/service_load.py [--clients 64] [--seconds 60] [--workers 2] [--backend torch|onnx]
        [--bundle FOLDER] [--json] [--quick]

Without --bundle one is made: the pretrained backbone with a random head of 120 classes, scaled so that no two of the
drawn pictures have answers that could be taken for each other.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from dogbreed_sdk import BreedClassifier, Prediction
from dogbreed_sdk.testing import picture
from service_load_clients import Answer, Tally, load, same

PICTURES = 48
TOP_K = 3
SERVICE, MODEL = "/v1/classify?top_k=3", "/invocations"
MAY_GROW = 1.10
MAY_GROW_MB = 25.0
REPLACED_WITHIN = 60.0


@dataclass
class Memory:
    """Resident megabytes over time: (service, all model processes)."""

    samples: list[tuple[float, float]] = field(default_factory=list)

    def at(self, share: float) -> tuple[float, float]:
        """Median around a share of the time: (service, model processes)."""
        middle = int(share * (len(self.samples) - 1))
        near = self.samples[max(0, middle - 2) : middle + 3]
        return statistics.median(one for one, _ in near), statistics.median(two for _, two in near)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the load; 1 where something was not as it must be."""
    options = _options(arguments)
    pictures = [picture(number, size=(500, 375)) for number in range(PICTURES)]
    with tempfile.TemporaryDirectory() as scratch:
        bundle = options.bundle or bundle_of_distinct_answers(Path(scratch) / "bundle")
        with BreedClassifier.from_bundle(bundle) as classifier:
            right = right_answers(classifier.classify_many(pictures, top_k=TOP_K))
        with service(bundle, options) as (process, url):
            baseline = Baseline(process, pictures, options)
            load(url, SERVICE, pictures, right, clients=min(8, options.clients), seconds=1.0)
            baseline.measure()
            before = processor_seconds(process)
            memory, tally, replaced = measured(process, url, pictures, right, options)
            after = processor_seconds(process)
            baseline.measure()
    processor = [1e3 * (last - first) / max(1, len(tally.waits)) for first, last in zip(before, after, strict=True)]
    result = summary(tally, memory, replaced, baseline.rate, options)
    result["processor_ms"] = dict(zip(("service", "model"), processor, strict=True))
    print(json.dumps(result) if options.json else text(result))
    return 1 if result["problems"] else 0


def bundle_of_distinct_answers(folder: Path) -> Path:
    """A bundle that is sure of what it says, so that no picture's answer passes for another's."""
    import untrained_bundle  # noqa: PLC0415 - loads torch; clients are processes of their own, and need none

    return untrained_bundle.write(folder, temperature=0.2)


def right_answers(predictions: Iterable[Prediction]) -> list[Answer]:
    """What answers are compared with; no two may be alike."""
    right = [[(score.index, score.probability) for score in prediction.scores] for prediction in predictions]
    for number, one in enumerate(right):
        if any(same(one, other) for other in right[:number]):
            raise SystemExit("Two pictures have the same answer, so that swapped answers would go unnoticed.")
    return right


class Baseline:
    """The model server behind a service, asked without the service."""

    def __init__(self, process: psutil.Process, pictures: Sequence[bytes], options: argparse.Namespace) -> None:
        self._pictures = pictures
        self._options = options
        self._rates: list[float] = []
        ports = {
            connection.laddr.port
            for child in process.children(recursive=True)
            for connection in child.net_connections("tcp")
            if connection.status == psutil.CONN_LISTEN
        }
        self._url = f"http://127.0.0.1:{ports.pop()}"

    @property
    def rate(self) -> float:
        """Requests a second."""
        return statistics.mean(self._rates)

    def measure(self) -> None:
        """Measures once more."""
        seconds = self._options.seconds / 6
        tally = load(self._url, MODEL, self._pictures, None, clients=self._options.clients, seconds=seconds)
        self._rates.append(len(tally.waits) / seconds)


def processor_seconds(process: psutil.Process) -> tuple[float, float]:
    """Of the service and of the model server's processes, those that were there and have ended left out."""
    children = process.children(recursive=True)
    return sum(process.cpu_times()[:2]), sum(sum(child.cpu_times()[:2]) for child in children)


@contextmanager
def service(bundle: Path, options: argparse.Namespace) -> Iterator[tuple[psutil.Process, str]]:
    """`dogbreed serve --bundle`, and its address; it must leave no process behind."""
    command = [sys.executable, "-m", "dogbreed_sdk.cli", "serve", "--bundle", str(bundle), "--port", "0", "--json"]
    command += ["--workers", str(options.workers), "--backend", options.backend]
    with tempfile.TemporaryFile() as log:
        started = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log)
        try:
            assert started.stdout is not None
            line = started.stdout.readline()
            if not line:
                log.seek(0)
                raise SystemExit(f"The service did not start:\n{log.read().decode()[-2000:]}")
            process = psutil.Process(started.pid)
            yield process, json.loads(line)["url"]
            family = process.children(recursive=True)
            started.send_signal(signal.SIGTERM)
            status = started.wait(60)
            left = [child.pid for child in psutil.wait_procs(family, timeout=5)[1]]
            if status or left:
                raise SystemExit(f"The service ended with status {status} and left processes {left} behind.")
        finally:
            if started.poll() is None:
                started.kill()
                started.wait()


def measured(
    process: psutil.Process, url: str, pictures: Sequence[bytes], right: Sequence[Answer], options: argparse.Namespace
) -> tuple[Memory, Tally, bool]:
    """The load itself; and whether the worker that was killed in between was replaced."""
    memory, ended = Memory(), threading.Event()
    killed: list[int] = []

    def watch() -> None:
        began = time.monotonic()
        while not ended.wait(min(0.5, options.seconds / 20)):
            passed = time.monotonic() - began
            children = process.children(recursive=True)
            megabytes = [_resident(child) for child in children]
            memory.samples.append((_resident(process), sum(megabytes)))
            if options.workers > 1 and not killed and passed > options.seconds / 3:
                worker = next(child for child in children if child.parent() != process)
                killed.append(worker.pid)
                worker.kill()

    watching = threading.Thread(target=watch)
    watching.start()
    before = {child.pid for child in process.children(recursive=True)}
    tally = load(url, SERVICE, pictures, right, clients=options.clients, seconds=options.seconds)
    ended.set()
    watching.join()
    return memory, tally, not killed or _replaced(process, len(before), killed[0])


def _replaced(process: psutil.Process, count: int, killed: int) -> bool:
    deadline = time.monotonic() + REPLACED_WITHIN
    while time.monotonic() < deadline:
        now = {child.pid for child in process.children(recursive=True)}
        if killed not in now and len(now) == count:
            return True
        time.sleep(0.1)
    return False


def _resident(process: psutil.Process) -> float:
    with suppress(psutil.NoSuchProcess):
        return float(process.memory_info().rss) / 2**20
    return 0.0


def summary(
    tally: Tally, memory: Memory, replaced: bool, baseline: float, options: argparse.Namespace
) -> dict[str, Any]:
    """All numbers, and what is not as it must be."""
    rate = len(tally.waits) / options.seconds
    # From the first answer to the moment at which a worker is killed.
    first, last = min(tally.moments, default=0.0), min(tally.moments, default=0.0) + options.seconds / 3 - 0.2
    undisturbed = sum(first <= moment < last for moment in tally.moments) / (last - first)
    ranked = sorted(tally.waits) or [float("nan")]
    at = {name: memory.at(share) for name, share in (("start", 0.1), ("middle", 0.5), ("end", 1.0))}
    problems = [f"wrong: {line}" for line in tally.wrong[:3]] + [f"failed: {line}" for line in tally.failed[:3]]
    for place, what in enumerate(("the service", "the model server's processes")):
        first, last = at["start"][place], at["end"][place]
        # A worker that is still loading makes less, not more.
        if last > first * MAY_GROW + MAY_GROW_MB:
            problems.append(f"{what} grew from {first:.0f} to {last:.0f} MB")
    if not replaced:
        problems.append("the worker that was killed was not replaced")
    if not tally.waits:
        problems.append("nothing was answered")
    return {
        "clients": options.clients,
        "seconds": options.seconds,
        "workers": options.workers,
        "backend": options.backend,
        "cores": len(os.sched_getaffinity(0)),
        "answered": len(tally.waits),
        "wrong": len(tally.wrong),
        "failed": len(tally.failed),
        "honest_503": tally.refused,
        "requests_per_second": rate,
        "latency_ms": {name: 1e3 * ranked[int(share * (len(ranked) - 1))] for name, share in _SHARES},
        "megabytes": {name: {"service": one, "model": two} for name, (one, two) in at.items()},
        "worker_replaced": replaced if options.workers > 1 else None,
        "baseline_requests_per_second": baseline,
        "undisturbed_requests_per_second": undisturbed,
        "ratio": undisturbed / baseline,
        "problems": problems,
    }


_SHARES = (("p50", 0.5), ("p95", 0.95), ("p99", 0.99), ("max", 1.0))


def text(result: dict[str, Any]) -> str:
    """The numbers for people."""
    latency = "  ".join(f"{name} {value:.0f}" for name, value in result["latency_ms"].items())
    memory = "  ".join(
        f"{name} {sizes['service']:.0f} + {sizes['model']:.0f}" for name, sizes in result["megabytes"].items()
    )
    return "\n".join(
        [
            (
                f"{result['clients']} clients, {result['seconds']:.0f} s, {result['cores']} cores; "
                f"{result['workers']} workers, {result['backend']}"
            ),
            (
                f"answered {result['answered']}, wrong {result['wrong']}, failed {result['failed']}, "
                f"honest 503 {result['honest_503']}"
            ),
            (
                f"requests/s {result['requests_per_second']:.1f}; before the kill "
                f"{result['undisturbed_requests_per_second']:.1f}; the model server alone "
                f"{result['baseline_requests_per_second']:.1f}; ratio {result['ratio']:.2f}"
            ),
            f"latency, ms: {latency}",
            (
                f"processor ms per request: the service adds {result['processor_ms']['service']:.2f} to the "
                f"{result['processor_ms']['model']:.2f} of the model server's processes that live; ratio "
                f"{1 + result['processor_ms']['service'] / max(result['processor_ms']['model'], 1e-9):.2f}"
            ),
            f"resident MB, service + model: {memory}",
            f"killed worker replaced: {result['worker_replaced']}",
            *(f"PROBLEM: {problem}" for problem in result["problems"]),
        ]
    )


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--backend", choices=["torch", "onnx"], default="torch")
    parser.add_argument("--bundle", type=Path)
    parser.add_argument("--json", action="store_true", help="one JSON document")
    parser.add_argument("--quick", action="store_true", help="8 clients for 6 seconds, one worker")
    options = parser.parse_args(arguments)
    if options.quick:
        options.clients, options.seconds, options.workers = 8, 6.0, 1
    return options


if __name__ == "__main__":
    sys.exit(main())
