"""Requests a second of model servers on one bundle: AWS's toolkit, and ours with micro-batches, ONNX Runtime, workers.

All servers run at the same time on loopback, and take turns under load: a noisy machine is noisy to all. Prints each
one's requests per second with --clients that keep sending (median of the rounds), the median time of their requests,
its CPU milliseconds per request, and the ratio to AWS's `sagemaker-pytorch-inference` toolkit; then what a lone client
waits, with and without micro-batches; then the default (auto: ONNX Runtime, once it is verified) against torch.

    python benchmarks/serving_speed.py [--toolkit-python PYTHON] [--pictures FOLDER] [--bundle FOLDER]
        [--clients 8] [--seconds 5] [--rounds 3] [--quick]

PYTHON belongs to an environment with torchserve, sagemaker-pytorch-inference, setuptools<81 and torch; `java` must be
on the path. Without --toolkit-python the baseline is the toolkit's place taken by our server with one thread that
calls the functions in turn, as the toolkit's handler does, and the ratios say so. Without --pictures they are drawn,
500 x 375 as photographs of data sets are; without --bundle one is made: the pretrained backbone, a head of 120 classes.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import io
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import torch
from PIL import Image

import untrained_bundle
from dogbreed_sdk.model_server import start

PICTURES = 64
START_SECONDS = 120.0
TOOLKIT, PLAIN = "AWS's toolkit, TorchServe", "one by one, as AWS's handler"
TORCH, DEFAULT = "torch, micro-batches", "auto, the default"
_START_TOOLKIT = """
from sagemaker_pytorch_serving_container import torchserve
torchserve.TS_CONFIG_FILE = "ts.properties"  # the toolkit's own place is /etc
torchserve.start_torchserve()
"""


@dataclass
class Candidate:
    """A running server and what was measured of it."""

    name: str
    port: int
    pid: int
    rates: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    lone: list[float] = field(default_factory=list)
    busy: list[float] = field(default_factory=list)
    content_type: str = "image/jpeg"

    def body(self, picture: bytes) -> bytes:
        """A request's body."""
        return picture

    def cpu_seconds(self) -> float:
        """CPU time of all its processes so far; TorchServe leaves its starter's children, but not its session."""
        total = 0.0
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.NoSuchProcess, ProcessLookupError):
                if os.getsid(process.pid) == self.pid or self.pid in [parent.pid for parent in process.parents()]:
                    total += sum(process.cpu_times()[:2])
        return total


def main(arguments: Sequence[str] | None = None) -> None:
    """Starts the servers, loads them in turn, prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--toolkit-python", type=Path)
    parser.add_argument("--pictures", type=Path)
    parser.add_argument("--bundle", type=Path)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="one short round; ends within a minute")
    options = parser.parse_args(arguments)
    if options.quick:
        options.seconds, options.rounds = 2.0, 1
    bodies = photographs(options.pictures) if options.pictures else drawn()
    with tempfile.TemporaryDirectory() as scratch, contextlib.ExitStack() as servers:
        folder = options.bundle or untrained_bundle.write(Path(scratch) / "bundle")
        candidates = start_all(servers, folder, Path(scratch), options.toolkit_python)
        # In the second turn, the default's preparation of ONNX Runtime has ended.
        for candidate in [*candidates, *candidates]:
            load(candidate, bodies, options.clients, 1.0)
        for _ in range(options.rounds):
            for candidate in candidates:
                before = candidate.cpu_seconds()
                waits = load(candidate, bodies, options.clients, options.seconds)
                candidate.rates.append(len(waits) / options.seconds)
                candidate.busy += waits
                candidate.cpu.append(1000 * (candidate.cpu_seconds() - before) / len(waits))
                candidate.lone += load(candidate, bodies, 1, options.seconds / 3)
        report(candidates, options.clients)


def start_all(
    servers: contextlib.ExitStack, folder: Path, scratch: Path, toolkit_python: Path | None
) -> list[Candidate]:
    """The baseline first, then ours."""
    candidates = []
    if toolkit_python:
        candidates.append(servers.enter_context(toolkit(toolkit_python, folder, scratch / "toolkit")))
    plain = unbatched(folder, scratch / "unbatched")
    ours = [
        (PLAIN, plain, "torch", 1, "bundle"),
        (TORCH, folder, "torch", 1, "sdk"),
        (DEFAULT, folder, "auto", 1, "sdk"),
        ("torch, 2 workers", folder, "torch", 2, "sdk"),
        ("ONNX Runtime", folder, "onnx", 1, "sdk"),
        ("ONNX Runtime, 2 workers", folder, "onnx", 2, "sdk"),
    ]
    for name, model, backend, workers, code in ours:
        server = servers.enter_context(
            start(model, workers=workers, backend=backend, code=code, status=lambda _: None)  # type: ignore[arg-type]
        )
        candidates.append(Candidate(name, int(server.url.rpartition(":")[2]), server.pid))
    return candidates


@contextlib.contextmanager
def toolkit(python: Path, folder: Path, base: Path) -> Iterator[Candidate]:
    """AWS's toolkit on the bundle, as its container starts it, with its default number of workers: one per core."""
    shutil.copytree(folder, base / "model")
    with socket.create_server(("127.0.0.1", 0)) as free, socket.create_server(("127.0.0.1", 0)) as other:
        port, metrics = free.getsockname()[1], other.getsockname()[1]
    environment = {
        **{name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
        "PATH": f"{python.parent}:{os.environ['PATH']}",
        "SAGEMAKER_BASE_DIR": str(base),
        "SAGEMAKER_BIND_TO_PORT": str(port),
        "TS_INFERENCE_ADDRESS": f"http://127.0.0.1:{port}",
        "TS_MANAGEMENT_ADDRESS": f"http://127.0.0.1:{port}",
        "TS_METRICS_ADDRESS": f"http://127.0.0.1:{metrics}",
        "TEMP": str(base),
    }
    with (base / "log").open("wb") as log:
        process = subprocess.Popen(
            [python, "-c", _START_TOOLKIT], env=environment, cwd=base, stdout=log, stderr=log, start_new_session=True
        )
    try:
        wait_for(port, base / "log", drawn(1)[0])
        yield Candidate(TOOLKIT, port, process.pid)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def wait_for(port: int, log: Path, body: bytes) -> None:
    """Until a server answers a picture."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError, http.client.HTTPException):
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
            connection.request("POST", "/invocations", body, {"Content-Type": "image/jpeg"})
            if connection.getresponse().status == 200:
                return
        time.sleep(0.5)
    raise SystemExit(f"The toolkit did not start:\n{log.read_text()[-2000:]}")


def unbatched(folder: Path, copy: Path) -> Path:
    """The bundle without what lets requests be answered together."""
    shutil.copytree(folder, copy)
    with (copy / "code/inference.py").open("a") as file:
        file.write("\n\ndel predict_batch_fn\n")
    return copy


def photographs(folder: Path) -> list[bytes]:
    """The first JPEGs below a folder."""
    return [path.read_bytes() for path in sorted(folder.rglob("*.jpg"))[:PICTURES]]


def drawn(count: int = PICTURES) -> list[bytes]:
    """Pictures with as much detail as photographs, about 30 kB each."""
    bodies = []
    for number in range(count):
        noise = torch.rand(3, 24, 32, generator=torch.Generator().manual_seed(number))[None]
        smooth = torch.nn.functional.interpolate(noise, (375, 500), mode="bicubic").clamp(0, 1)[0]
        pixels = (smooth.permute(1, 2, 0) * 255).to(torch.uint8).numpy()
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, "JPEG", quality=90)
        bodies.append(buffer.getvalue())
    return bodies


def load(candidate: Candidate, bodies: Sequence[bytes], clients: int, seconds: float) -> list[float]:
    """What each answer took, in seconds, while several clients send one picture after the other."""
    begin = threading.Barrier(clients)

    requests, headers = [candidate.body(body) for body in bodies], {"Content-Type": candidate.content_type}

    def ask(client: int) -> list[float]:
        connection = http.client.HTTPConnection("127.0.0.1", candidate.port, timeout=60)
        connection.connect()
        begin.wait()
        waits, number = [], client
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            before = time.perf_counter()
            connection.request("POST", "/invocations", requests[number % len(requests)], headers)
            response = connection.getresponse()
            rows = json.loads(response.read())
            assert response.status == 200, rows
            assert len(rows[0]) > 1, rows
            waits.append(time.perf_counter() - before)
            number += 1
        connection.close()
        return waits

    with ThreadPoolExecutor(clients) as pool:
        return [wait for waits in pool.map(ask, range(clients)) for wait in waits]


def report(candidates: Sequence[Candidate], clients: int) -> None:
    """The table."""
    baseline = candidates[0]
    rate, alone = statistics.median(baseline.rates), statistics.median(baseline.lone)
    print(f"{clients} clients on {len(os.sched_getaffinity(0))} cores; ratios are to: {baseline.name}")
    print(f"{'':32}{'requests/s':>11}{'ratio':>7}{'p50 ms':>8}{'CPU ms':>8}{'lone ms':>9}{'ratio':>7}")
    for each in candidates:
        own, lone = statistics.median(each.rates), statistics.median(each.lone)
        cpu, busy = statistics.median(each.cpu), 1000 * statistics.median(each.busy)
        print(f"{each.name:32}{own:11.1f}{own / rate:7.2f}{busy:8.1f}{cpu:8.1f}{1000 * lone:9.1f}{lone / alone:7.2f}")
    lone = {each.name: statistics.median(each.lone) for each in candidates}
    print(f"A lone request with micro-batches against without: {lone[TORCH] / lone[PLAIN]:.2f} x")
    busy = {each.name: 1000 * statistics.median(each.busy) for each in candidates}
    share = busy[DEFAULT] / busy[TORCH]
    print(f"p50 with {clients} clients: {busy[TORCH]:.0f} ms with torch, {busy[DEFAULT]:.0f} by default: {share:.2f} x")


if __name__ == "__main__":
    main()
