"""What BreedClassifier costs beside plain boto3, on one loopback server that answers at once with 120 classes.

One call: CPU of `classify(jpeg)` against `invoke_endpoint`, reading the body and `json.loads`, in turns in one process.
Many: pictures a second of `classify_many` against a ThreadPoolExecutor of the same width that makes such plain calls.

    python benchmarks/client_cost.py [--calls 6000] [--width 8] [--picture FILE] [--quick]
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import io
import json
import math
import multiprocessing
import os
import random
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from PIL import Image

from dogbreed_sdk import BreedClassifier, Session
from dogbreed_sdk.client.responses import CONTENT_TYPE, SCORES_CONTENT_TYPE

CLASSES = 120
ROUNDS = 30
ENDPOINT_VARIABLE = "AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME"


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures both and prints their ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=6000, help="calls of each kind (default: %(default)s)")
    parser.add_argument("--width", type=int, default=8, help="pictures at a time (default: %(default)s)")
    parser.add_argument("--picture", type=Path, help="a JPEG (default: one of 20 kB that is made up)")
    parser.add_argument("--quick", action="store_true", help="900 calls of each kind")
    options = parser.parse_args(arguments)
    options.calls = 900 if options.quick else options.calls
    jpeg = options.picture.read_bytes() if options.picture else made_up_photograph()
    with answering_server() as (raw, classifier):
        plain, ours = cost_of_a_call(raw, classifier, jpeg, options.calls)
        print(f"CPU of a call, {len(jpeg):,} bytes, {CLASSES} classes, median of {ROUNDS} rounds")
        print(f"  boto3            {plain * 1e3:7.3f} ms")
        print(f"  classify         {ours * 1e3:7.3f} ms   {ours / plain:5.2f} x boto3")
        plain, ours = rate_of_many(raw, classifier, jpeg, options.calls, options.width)
        print(f"Pictures a second, {options.width} at a time, median of {ROUNDS} rounds")
        print(f"  boto3 in threads {plain:7.0f}")
        print(f"  classify_many    {ours:7.0f}      {ours / plain:5.2f} x boto3 in threads")


def cost_of_a_call(raw: Any, classifier: BreedClassifier, jpeg: bytes, calls: int) -> tuple[float, float]:
    """CPU seconds of one plain call and of one classify, in turns."""
    seconds: dict[Callable[[], object], list[float]] = {
        lambda: plain_call(raw, jpeg): [],
        lambda: classifier.classify(jpeg): [],
    }
    each = max(1, calls // ROUNDS)
    for call in seconds:
        repeated(call, 50)
    for number in range(ROUNDS):
        for call in list(seconds)[:: 1 if number % 2 else -1]:
            gc.collect()
            start = time.process_time()
            repeated(call, each)
            seconds[call].append((time.process_time() - start) / each)
    plain, ours = (statistics.median(measured) for measured in seconds.values())
    return plain, ours


def rate_of_many(raw: Any, classifier: BreedClassifier, jpeg: bytes, calls: int, width: int) -> tuple[float, float]:
    """Pictures a second of plain calls in threads and of classify_many, in turns."""
    each = max(width, calls // ROUNDS)

    def plain() -> None:
        with ThreadPoolExecutor(width) as pool:
            assert sum(1 for _ in pool.map(lambda _: plain_call(raw, jpeg), range(each))) == each

    def ours() -> None:
        assert sum(1 for _ in classifier.classify_many((jpeg for _ in range(each)), max_concurrency=width)) == each

    rates: dict[Callable[[], None], list[float]] = {plain: [], ours: []}
    for run in rates:
        run()
    for number in range(ROUNDS):
        for run in list(rates)[:: 1 if number % 2 else -1]:
            start = time.perf_counter()
            run()
            rates[run].append(each / (time.perf_counter() - start))
    slower, faster = (statistics.median(measured) for measured in rates.values())
    return slower, faster


def plain_call(client: Any, jpeg: bytes) -> int:
    """What a program does that uses nothing but boto3."""
    answer = client.invoke_endpoint(EndpointName="dogs", ContentType="image/jpeg", Body=jpeg)
    [scores] = json.loads(answer["Body"].read())
    return max(range(len(scores)), key=scores.__getitem__)


def repeated(call: Callable[[], object], times: int) -> None:
    """Repeats a call."""
    for _ in range(times):
        call()


@contextmanager
def answering_server() -> Iterator[tuple[Any, BreedClassifier]]:
    """A plain boto3 client and a classifier of one server, which runs in a process of its own."""
    receiver, sender = multiprocessing.Pipe(duplex=False)
    server = multiprocessing.get_context("spawn").Process(target=serve, args=(sender,), daemon=True)
    server.start()
    before = os.environ.get(ENDPOINT_VARIABLE)
    os.environ[ENDPOINT_VARIABLE] = f"http://127.0.0.1:{receiver.recv()}"
    try:
        session = boto3.Session(aws_access_key_id="x", aws_secret_access_key="x", region_name="us-east-1")
        raw = session.client("sagemaker-runtime", config=Config(max_pool_connections=64))
        yield raw, BreedClassifier("dogs", session=Session.aws(boto3_session=session))
    finally:
        server.terminate()
        server.join()
        os.environ.pop(ENDPOINT_VARIABLE)
        if before is not None:
            os.environ[ENDPOINT_VARIABLE] = before


def serve(sender: Connection) -> None:
    """Answers every request at once, in the form it asks for."""
    asyncio.run(_serve(sender))


async def _serve(sender: Connection) -> None:
    server = await asyncio.get_running_loop().create_server(_Answering, "127.0.0.1", 0)
    sender.send(server.sockets[0].getsockname()[1])
    await server.serve_forever()


def made_up_photograph() -> bytes:
    """A JPEG of 500 x 375 pixels and about 20 kB, as the photographs of data sets are."""
    buffer = io.BytesIO()
    Image.effect_noise((125, 94), 25).convert("RGB").resize((500, 375)).save(buffer, "JPEG", quality=75)
    return buffer.getvalue()


def made_up_answers() -> tuple[bytes, bytes, bytes]:
    """HTTP answers for one picture: a plain list of logits, the ranked form and the scores form."""
    dice = random.Random(0)
    logits = [dice.gauss(0.0, 3.0) for _ in range(CLASSES)]
    powers = [math.exp(logit) for logit in logits]
    probabilities = [power / sum(powers) for power in powers]
    ranked = [
        {
            "index": index,
            "class_folder": f"{index + 1:03}.Breed_{index}",
            "label": f"Breed {index}",
            "logit": logits[index],
            "probability": probabilities[index],
        }
        for index in sorted(range(CLASSES), key=probabilities.__getitem__, reverse=True)
    ]
    known: dict[str, Any] = {"model_id": "f" * 64, "rejection": {"method": "energy", "threshold": 1.0}}
    judged = {"rejected": False, "rejection_score": -3.0}
    return (
        _http(json.dumps([logits]), "application/json"),
        _http(json.dumps({**known, "predictions": [{"scores": ranked, **judged}]}), CONTENT_TYPE),
        _http(json.dumps({**known, "predictions": [{"probabilities": probabilities, **judged}]}), SCORES_CONTENT_TYPE),
    )


def _http(body: str, content_type: str) -> bytes:
    head = f"HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\nx-amzn-RequestId: id\r\nContent-Length: {len(body)}\r\n"
    return f"{head}\r\n{body}".encode()


class _Answering(asyncio.Protocol):
    """HTTP as far as boto3 speaks it: requests with a length, one after the other."""

    answers = made_up_answers()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport
        self._received = b""

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, found, body = self._received.partition(b"\r\n\r\n")
        if not found:
            return
        head = head.lower()
        length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0])
        if len(body) >= length:
            self._received = body[length:]
            plain, ranked, scores = self.answers
            wanted = scores if SCORES_CONTENT_TYPE.encode() in head else ranked if b"dogbreed" in head else plain
            self._transport.write(wanted)


if __name__ == "__main__":
    main()
