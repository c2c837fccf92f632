"""Sends broken and hostile requests to the service and to the model server, and broken answers to the client.

Every request must end, within a bound of time, with an answer that says what is wrong: of the service a 2xx, 4xx, 503
or 504 with problem details, of the model server a 2xx or a text with 4xx, 503 or 504; a request that is not HTTP may
lose its connection. No traceback, no connection to an address that is not allowed, no growth of memory. Every answer
must become a Prediction or an error of the SDK.

    python benchmarks/fuzz_requests.py [--cases 60000] [--seed 0] [--seconds-per-case 10] [--bundle FOLDER]

A fifth of the cases goes to the service, a tenth to the model server; the rest are answers, of which a tenth comes as
broken HTTP. Without --bundle, one is made of the pretrained backbone.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import requests

from dogbreed_sdk import BreedClassifier, Session
from dogbreed_sdk.model_server import start
from dogbreed_sdk.service import ServiceSettings, create_app
from dogbreed_sdk.service.server import listen, make_server, url_of
from dogbreed_sdk.testing import FakeEndpoint
from fuzzing.answers import FOLDERS, fuzz_classifier, fuzz_parsing, fuzz_wire_answers
from fuzzing.mutations import RIGHT
from fuzzing.request_cases import PICTURE, Case, Maker
from fuzzing.wire import (
    Canary,
    Complaints,
    Connections,
    Outcome,
    exchange,
    fuzz_server,
    wrong_with_model_server,
    wrong_with_service,
)

# Memory is compared between a third of the cases, when caches and arenas are full, and their end.
_MAY_GROW_MB = 40


@dataclass
class Report:
    """What a server did with its cases.

    Attributes:
        outcome: Answers and failures.
        grown_mb: Resident memory at the end, less that after the first third.
    """

    outcome: Outcome
    grown_mb: float


@dataclass
class Memory:
    """Resident memory of a process, after each batch of cases."""

    process: psutil.Process
    samples: list[float] = field(default_factory=list)

    def sample(self) -> None:
        """Notes it now."""
        everyone = [self.process, *self.process.children(recursive=True)]
        self.samples.append(sum(one.memory_info().rss for one in everyone) / 1e6)

    def grown(self) -> float:
        """Megabytes since a third of the samples."""
        return self.samples[-1] - self.samples[len(self.samples) // 3] if self.samples else 0.0


@contextmanager
def running_service(endpoint: FakeEndpoint) -> Iterator[str]:
    """The URL of a service before an endpoint, on a socket of this machine."""
    classifier = endpoint.async_classifier()
    settings = ServiceSettings(deadline_seconds=20, read_seconds=5)
    listener = listen("127.0.0.1", 0)
    server = make_server(create_app(classifier, settings), deadline_seconds=settings.deadline_seconds)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        while not server.started:
            time.sleep(0.01)
        yield url_of(listener)
    finally:
        server.should_exit = True
        thread.join(30)
        asyncio.run(classifier.close())


def fuzz_service(count: int, *, seed: int = 0, seconds: float = 10.0) -> Report:
    """Sends a number of cases to the service, which runs in this process before a scripted endpoint."""
    endpoint = FakeEndpoint(FOLDERS)
    memory = Memory(psutil.Process())
    watched, complaints = Connections(), Complaints()
    with ExitStack() as stack:
        url = stack.enter_context(running_service(endpoint))
        canary = Canary()
        stack.callback(canary.close)
        port = int(url.rpartition(":")[2])
        watched.allowed.add(("127.0.0.1", port))
        stack.enter_context(watched)
        for name in ("uvicorn", "dogbreed_sdk.service", "asyncio"):
            logger = logging.getLogger(name)
            logger.addHandler(complaints)
            stack.callback(logger.removeHandler, complaints)

        def rest() -> None:
            endpoint.requests.clear()
            memory.sample()

        cases = Maker(seed, canary.port).of_service(count)
        outcome = fuzz_server(cases, port, wrong_with_service, seconds=seconds, rest=rest)
        outcome.failures += [f"the log has {number} x {line}" for line, number in complaints.lines.items()]
        outcome.failures += [f"{number} connections to {address}" for address, number in watched.seen.items()]
        outcome.failures += [f"{canary.visitors()} visitors where nobody may go"] if canary.visitors() else []
        outcome.failures += _state_of_service(url)
    return Report(outcome, memory.grown())


def _state_of_service(url: str) -> list[str]:
    """What is wrong with a service that has been through all that: it must answer, and hold nothing any more."""
    port = int(url.rpartition(":")[2])
    statuses = [exchange(Case("right", request, whole=True), port, 10).status for request in RIGHT]
    wrong = [] if set(statuses) == {200} else [f"right requests are answered {statuses}"]
    metrics = dict(
        line.rsplit(" ", 1) for line in requests.get(f"{url}/metrics", timeout=10).text.splitlines() if "#" not in line
    )
    gauges = ("dogbreed_queue_length", "dogbreed_in_flight", "dogbreed_held_bytes")
    held = [f"{name} is {metrics[name]}" for name in gauges if float(metrics[name]) != 0]
    return wrong + held


def fuzz_model_server(count: int, bundle: Path, *, seed: int = 0, seconds: float = 10.0) -> Report:
    """Sends a number of cases to a model server with a real bundle, which may fetch URLs, but none of these."""
    os.environ["DOGBREED_FETCH_URLS"] = "1"
    logger = logging.getLogger("dogbreed_sdk.model_server.process")
    canary = Canary()
    written = _Written()
    logger.addHandler(written)
    try:
        with start(bundle, workers=1, status=lambda _: None) as server:
            memory = Memory(psutil.Process(server.pid))
            port = int(server.url.rpartition(":")[2])
            cases = Maker(seed, canary.port).of_model_server(count)
            outcome = fuzz_server(cases, port, wrong_with_model_server, seconds=seconds, rest=memory.sample)
            right = requests.post(
                f"{server.url}/invocations", data=PICTURE, headers={"Content-Type": "image/jpeg"}, timeout=10
            )
            outcome.failures += [] if right.status_code == 200 else [f"a right request is answered {right.status_code}"]
    finally:
        logger.removeHandler(written)
        del os.environ["DOGBREED_FETCH_URLS"]
        visitors = canary.visitors()
        canary.close()
    outcome.failures += [f"the log has {number} x {line}" for line, number in written.lines.items()]
    outcome.failures += [f"{visitors} visitors where nobody may go"] if visitors else []
    return Report(outcome, memory.grown())


class _Written(logging.Handler):
    """The lines of a model server's output that tell of errors."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: Counter[str] = Counter()

    def emit(self, record: logging.LogRecord) -> None:
        """Counts one."""
        text = record.getMessage()
        if "Error" in text or "ERROR" in text or "Traceback" in text:
            self.lines[text[:160]] += 1


def fuzz_client(count: int, *, seed: int = 0) -> Outcome:
    """Sends a number of responses to the client: thirteen of twenty to its parser, five to itself, the rest as HTTP."""
    outcome = Outcome()
    quick = {"max_attempts": 1, "connect_timeout": 1.0, "read_timeout": 1.0, "deadline": 2.0}

    def through_boto3(url: str) -> BreedClassifier:
        session = Session.local(folder, endpoint_url=url)
        return BreedClassifier("dogs", session=session, **quick)

    def directly(url: str) -> BreedClassifier:
        return BreedClassifier.from_server(url, **quick)

    runs: dict[str, Callable[[], tuple[Counter[str], list[str]]]] = {
        "parser": lambda: fuzz_parsing(count * 13 // 20, seed=seed),
        "client": lambda: fuzz_classifier(count * 5 // 20, seed=seed),
        "HTTP": lambda: fuzz_wire_answers(count // 20, directly, seed=seed),
        "HTTP through boto3": lambda: fuzz_wire_answers(count // 20, through_boto3, seed=seed),
    }
    with tempfile.TemporaryDirectory() as folder:
        for kind, run in runs.items():
            counts, failures = run()
            outcome.counts.update({(kind, name): number for name, number in counts.items()})
            outcome.failures += failures
    return outcome


def main() -> int:
    """Runs the cases and prints what came out."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--cases", type=int, default=60_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds-per-case", type=float, default=10.0)
    parser.add_argument("--bundle", type=Path)
    options = parser.parse_args()
    count, seed, seconds = options.cases, options.seed, options.seconds_per_case
    begin = time.monotonic()
    failures = [f"client: {failure}" for failure in _told("client", fuzz_client(count * 7 // 10, seed=seed)).failures]
    with tempfile.TemporaryDirectory() as scratch:
        bundle = options.bundle or _made_bundle(Path(scratch))
        for name, report in (
            ("service", fuzz_service(count // 5, seed=seed, seconds=seconds)),
            ("model server", fuzz_model_server(count // 10, bundle, seed=seed, seconds=seconds)),
        ):
            _told(name, report.outcome)
            print(f"  resident memory grew by {report.grown_mb:.1f} MB")
            failures += [f"{name}: {failure}" for failure in report.outcome.failures]
            failures += [f"{name}: memory grew by {report.grown_mb:.0f} MB"] if report.grown_mb > _MAY_GROW_MB else []
    for failure in failures[:200]:
        print("FAILED", failure)
    print(f"{len(failures)} failures, {time.monotonic() - begin:.0f} s")
    return 1 if failures else 0


def _told(name: str, outcome: Outcome) -> Outcome:
    print(
        f"{name}: {outcome.cases:,} cases, slowest {outcome.slowest[0]:.2f} s ({outcome.slowest[1] or 'not measured'})"
    )
    for kind in sorted({kind for kind, _ in outcome.counts}):
        parts = Counter({result: number for (of, result), number in outcome.counts.items() if of == kind})
        print(f"  {kind}: " + ", ".join(f"{number:,} {result}" for result, number in parts.most_common()))
    return outcome


def _made_bundle(folder: Path) -> Path:
    import untrained_bundle  # noqa: PLC0415 - loads torch, for which not everybody waits

    return untrained_bundle.write(folder / "bundle")


if __name__ == "__main__":
    sys.exit(main())
