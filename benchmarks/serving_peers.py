"""Requests per second and CPU time per request: this project's model server against FastAPI and LitServe.

All serve an efficientnet_lite0 with a head of 120 classes, and decode the same JPEGs. FastAPI answers one request at a
time in a thread, as tutorials write it; LitServe and this project's server collect micro-batches. All run at the same
time on loopback and take turns under load: a noisy machine is noisy to all. Ratios are to FastAPI.

    python benchmarks/serving_peers.py [--environments FOLDER] [--pictures FOLDER] [--clients 8] [--seconds 5]
        [--rounds 3] [--quick]

With --environments, each peer runs in its own environment in that folder, which `uv` creates there at first;
without it, in this one, and a peer that is not installed is left out. Without --pictures, they are drawn. --quick: one
round of two seconds.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import importlib.util
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import untrained_bundle
from dogbreed_sdk.model_server import start
from peers.environments import environment
from peers.network import write_weights
from serving_speed import Candidate, drawn, load, photographs

START_SECONDS = 120.0
PLAIN_BODY, FORM = "image/jpeg", "multipart/form-data; boundary=boundary"
_PACKAGES = ("efficientnet-lite-pytorch", "Pillow", "numpy")
PEERS = {
    "FastAPI": ("fastapi_server.py", "fastapi", ("fastapi", "uvicorn"), PLAIN_BODY),
    "LitServe": ("litserve_server.py", "litserve", ("litserve", "python-multipart"), FORM),
}


@dataclass
class Contender(Candidate):
    """A server whose requests may be forms.

    Attributes:
        latencies: Seconds of each answer.
    """

    latencies: list[float] = field(default_factory=list)

    def body(self, picture: bytes) -> bytes:
        """A request's body."""
        if self.content_type == PLAIN_BODY:
            return picture
        head = b'--boundary\r\nContent-Disposition: form-data; name="request"; filename="dog.jpg"\r\n'
        return head + b"Content-Type: image/jpeg\r\n\r\n" + picture + b"\r\n--boundary--\r\n"


def main(arguments: Sequence[str] | None = None) -> None:
    """Starts the servers, loads them in turns, prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--environments", type=Path)
    parser.add_argument("--pictures", type=Path)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args(arguments)
    if options.quick:
        options.seconds, options.rounds = 2.0, 1
    pictures = photographs(options.pictures) if options.pictures else drawn()
    with tempfile.TemporaryDirectory() as scratch, contextlib.ExitStack() as servers:
        contenders = [
            servers.enter_context(peer(name, Path(scratch), options.environments, pictures[0]))
            for name, (_, module, _, _) in PEERS.items()
            if options.environments or importlib.util.find_spec(module)
        ]
        bundle = untrained_bundle.write(Path(scratch) / "bundle")
        ours = servers.enter_context(start(bundle, status=lambda _: None))
        contenders.append(Contender("dogbreed_sdk", int(ours.url.rpartition(":")[2]), ours.pid))
        for contender in contenders:
            load(contender, pictures, options.clients, 1.0)
        for _ in range(options.rounds):
            for contender in contenders:
                before = contender.cpu_seconds()
                waits = load(contender, pictures, options.clients, options.seconds)
                contender.rates.append(len(waits) / options.seconds)
                contender.cpu.append(1000 * (contender.cpu_seconds() - before) / len(waits))
                contender.latencies += waits
        report(contenders, options.clients)


@contextlib.contextmanager
def peer(name: str, scratch: Path, environments: Path | None, picture: bytes) -> Iterator[Contender]:
    """A peer's server, once it answers."""
    program, _, packages, content_type = PEERS[name]
    here = Path(__file__).parent / "peers"
    python = Path(sys.executable)
    if environments:
        python = environment(environments / Path(program).stem, (*packages, *_PACKAGES))
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    weights, log = write_weights(scratch / "weights.pth"), scratch / f"{name}.log"
    with log.open("wb") as file:
        process = subprocess.Popen(
            [python, here / program, str(port), weights], stdout=file, stderr=file, start_new_session=True
        )
    contender = Contender(name, port, process.pid, content_type=content_type)
    try:
        deadline = time.monotonic() + START_SECONDS
        while not answers(contender, picture):
            if time.monotonic() > deadline or process.poll() is not None:
                raise SystemExit(f"{name} did not start:\n{log.read_text()[-2000:]}")
            time.sleep(0.5)
        yield contender
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def answers(contender: Contender, picture: bytes) -> bool:
    """Whether it answers a picture."""
    with contextlib.suppress(OSError, http.client.HTTPException):
        connection = http.client.HTTPConnection("127.0.0.1", contender.port, timeout=30)
        connection.request("POST", "/invocations", contender.body(picture), {"Content-Type": contender.content_type})
        return connection.getresponse().status == 200
    return False


def report(contenders: Sequence[Contender], clients: int) -> None:
    """The table."""
    baseline = contenders[0]
    rate, cpu = statistics.median(baseline.rates), statistics.median(baseline.cpu)
    print(f"{clients} clients on {len(os.sched_getaffinity(0))} cores; ratios are to: {baseline.name}")
    print(f"{'':16}{'requests/s':>11}{'ratio':>7}{'CPU ms':>8}{'ratio':>7}{'p50 ms':>8}{'p99 ms':>8}")
    for each in contenders:
        own, spent = statistics.median(each.rates), statistics.median(each.cpu)
        ordered = sorted(each.latencies)
        middle, slow = ordered[len(ordered) // 2], ordered[int(len(ordered) * 0.99)]
        print(
            f"{each.name:16}{own:11.1f}{own / rate:7.2f}{spent:8.1f}{spent / cpu:7.2f}"
            f"{1000 * middle:8.0f}{1000 * slow:8.0f}"
        )


if __name__ == "__main__":
    main()
