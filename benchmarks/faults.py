"""Sends pictures through classify_many to an endpoint that does everything wrong: none may be lost or mixed up.

The endpoint is a real server on loopback, in a process of its own: it throttles, answers 500, drops connections before
and in the middle of an answer, stalls, sends garbage, and from time to time disappears and comes back. What it does to
a request follows from a seed, the picture's number and the attempt. Each picture carries its number, and an answer is
right only if it is the one that belongs to this number.

    python benchmarks/faults.py [--pictures 10000] [--width 8] [--seed 0]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import random
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any, TypeAlias

from dogbreed_sdk import (
    BreedClassifier,
    DogBreedError,
    EndpointTimeoutError,
    LabelMap,
    ModelError,
    Prediction,
    Session,
    testing,
)
from dogbreed_sdk.client.responses import CONTENT_TYPE, SCORES_CONTENT_TYPE

CLASSES = LabelMap.from_list([f"{number:03}.Breed_{number}" for number in range(1, 121)])
# Another model with the same classes by other indices: labels that were mixed would show.
NEW_CLASSES = LabelMap.from_list(list(reversed(CLASSES.class_folders)))
READ_TIMEOUT = 0.5

# Fault and share of the requests that meet it. What is tried again must end well almost always.
FAULTS = {
    "throttled": 0.05,
    "status 500": 0.04,
    "status 503": 0.03,
    "busy model": 0.01,
    "dropped": 0.03,
    "cut in the head": 0.01,
    "cut in the body": 0.02,
    "no HTTP": 0.01,
    "garbage": 0.005,
    "odd JSON": 0.005,
    "model error": 0.005,
    "stalled": 0.002,
    "stalled in the body": 0.002,
}
# The errors that a picture may end with at once; others only after four attempts.
AT_ONCE = {
    "garbage": ModelError,
    "odd JSON": ModelError,
    "model error": ModelError,
    "stalled": EndpointTimeoutError,
    "stalled in the body": EndpointTimeoutError,
}
ABSENCE_EVERY, ABSENCE_SECONDS = 2500, 0.3

Outcome: TypeAlias = "Prediction | DogBreedError"


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs and prints what came back; 1 if a picture was lost or got another's answer."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=10_000)
    parser.add_argument("--width", type=int, default=8, help="pictures at a time (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    start = time.perf_counter()
    outcomes = run(options.pictures, width=options.width, seed=options.seed)
    wrong = problems(outcomes, options.pictures, options.seed)
    seconds = time.perf_counter() - start
    answered = sum(isinstance(outcome, Prediction) for outcome in outcomes)
    print(f"{options.pictures} pictures, {options.width} at a time, {sum(FAULTS.values()):.0%} of requests faulty")
    print(f"  answered   {answered:6}   ({answered / options.pictures:.2%}), in {seconds:.0f} s")
    for kind, count in sorted(Counter(type(o).__name__ for o in outcomes if not isinstance(o, Prediction)).items()):
        print(f"  {kind:<22} {count}")
    print(f"  lost, mixed up or with another's error: {len(wrong)}")
    for line in wrong[:20]:
        print(f"    {line}")
    return 1 if wrong else 0


def run(pictures: int, *, width: int, seed: int) -> list[Outcome]:
    """The results of classify_many for a number of pictures."""
    with faulty_server(seed) as port, tempfile.TemporaryDirectory() as folder:
        session = Session.local(folder, endpoint_url=f"http://127.0.0.1:{port}")
        classifier = BreedClassifier("faulty", session=session, read_timeout=READ_TIMEOUT, deadline=10.0)
        return list(classifier.classify_many(numbered(pictures), max_concurrency=width, on_error="return"))


def problems(outcomes: Sequence[Outcome], pictures: int, seed: int) -> list[str]:
    """Everything that is not as it must be: one outcome a picture, each that picture's own."""
    found = [] if len(outcomes) == pictures else [f"{len(outcomes)} outcomes for {pictures} pictures"]
    for number, outcome in enumerate(outcomes):
        if isinstance(outcome, Prediction):
            index, probability = right_answer(number)
            expected_label = model_of(number)[1].label(index)
            if (outcome.index, outcome.probability, outcome.label) != (index, probability, expected_label):
                found.append(f"picture {number} got another's answer: {outcome}")
            continue
        fault = fault_of(seed, number, 0)
        expected = AT_ONCE.get(fault)
        if expected is not None and type(outcome) is not expected:
            found.append(f"picture {number}, {fault}, ended with {outcome!r}")
        if "picture " in str(outcome) and f"picture {number} " not in str(outcome):
            found.append(f"picture {number} got another's error: {outcome}")
    return found


def numbered(pictures: int) -> Iterator[bytes]:
    """JPEGs that carry their number in a comment."""
    jpeg = testing.picture()
    for number in range(pictures):
        text = b"picture %d " % number
        yield jpeg[:2] + b"\xff\xfe" + (len(text) + 2).to_bytes(2, "big") + text + jpeg[2:]


def right_answer(number: int) -> tuple[int, float]:
    """Index and probability that belong to a picture's number; no two of 50,000 neighbors share both."""
    return number * 7 % len(CLASSES), 0.5 + (number % 49_999) / 100_000


def model_of(number: int) -> tuple[str, LabelMap]:
    """The model that answers a picture and its labels: two serve in turn, as while an endpoint is updated."""
    return ("new-model", NEW_CLASSES) if number % 10 == 3 else ("model", CLASSES)


def fault_of(seed: int, number: int, attempt: int) -> str:
    """What happens to an attempt, or an empty text."""
    thrown = random.Random(f"{seed} {number} {attempt}").random()
    for fault, share in FAULTS.items():
        thrown -= share
        if thrown < 0:
            return fault
    return ""


@contextmanager
def faulty_server(seed: int) -> Iterator[int]:
    """The port of a server that runs in a process of its own."""
    receiver, sender = multiprocessing.Pipe(duplex=False)
    server = multiprocessing.get_context("spawn").Process(target=serve, args=(sender, seed), daemon=True)
    server.start()
    try:
        yield receiver.recv()
    finally:
        server.terminate()
        server.join()


def serve(sender: Connection, seed: int) -> None:
    """Serves until the process ends."""
    asyncio.run(_Server(seed).run(sender))


class _Server:
    """The endpoint: counts requests and attempts, and goes away every now and then."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.attempts: Counter[int] = Counter()
        self.connections: set[_Connection] = set()
        self.requests = 0
        self._away = asyncio.Event()

    async def run(self, sender: Connection) -> None:
        loop = asyncio.get_running_loop()
        listening = await loop.create_server(lambda: _Connection(self), "127.0.0.1", 0)
        port = listening.sockets[0].getsockname()[1]
        sender.send(port)
        while True:
            await self._away.wait()
            listening.close()
            for connection in list(self.connections):
                connection.transport.abort()
            await asyncio.sleep(ABSENCE_SECONDS)
            self._away.clear()
            listening = await loop.create_server(lambda: _Connection(self), "127.0.0.1", port)

    def count(self, number: int) -> str:
        """Counts a request for a picture; the fault that it meets."""
        self.requests += 1
        if self.requests % ABSENCE_EVERY == 0:
            self._away.set()
        attempt = self.attempts[number]
        self.attempts[number] += 1
        return fault_of(self.seed, number, attempt)


class _Connection(asyncio.Protocol):
    """HTTP as far as boto3 speaks it, and what goes wrong with it."""

    transport: Any

    def __init__(self, server: _Server) -> None:
        self._server = server
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self._server.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        self._server.connections.discard(self)

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, found, body = self._received.partition(b"\r\n\r\n")
        length = int(re.findall(rb"(?i)content-length: *(\d+)", head)[0]) if found else 0
        if not found or len(body) < length:
            return
        self._received = body[length:]
        numbers = re.findall(rb"picture (\d+) ", body)
        self._answer(int(numbers[0]), small=SCORES_CONTENT_TYPE.encode() in head)

    def _answer(self, number: int, *, small: bool) -> None:
        fault = self._server.count(number)
        if fault == "dropped":
            self.transport.close()
        elif fault == "no HTTP":
            self.transport.write(b"\x16\x03\x01 what?\r\n\r\n")
            self.transport.close()
        elif fault in _REFUSALS:
            self.transport.write(_http(*_REFUSALS[fault](number)))
        elif fault != "stalled":
            self._answer_somehow(fault, _answered(fault, number, small=small))

    def _answer_somehow(self, fault: str, whole: bytes) -> None:
        cut = {"cut in the head": 30, "cut in the body": len(whole) - 40, "stalled in the body": len(whole) - 40}
        self.transport.write(whole[: cut.get(fault)])
        if fault.startswith("cut"):
            self.transport.close()


def _refusal(status: int, code: str, message: str, **more: object) -> tuple[int, str, str]:
    return status, json.dumps({"message": message, **more}), code


_REFUSALS = {
    "throttled": lambda _: _refusal(400, "ThrottlingException", "Rate exceeded"),
    "status 500": lambda _: _refusal(500, "InternalFailure", "An internal failure occurred."),
    "status 503": lambda _: _refusal(503, "ServiceUnavailable", "The service is unavailable."),
    "busy model": lambda _: _refusal(424, "ModelError", "busy", OriginalStatusCode=503, OriginalMessage="busy"),
    "model error": lambda number: _refusal(
        424, "ModelError", "refused", OriginalStatusCode=400, OriginalMessage=f"picture {number} is refused"
    ),
}


def _answered(fault: str, number: int, *, small: bool) -> bytes:
    """A whole answer for a picture; of a broken model, or as it should be."""
    if fault == "garbage":
        return _http(200, "\x00 no JSON", "")
    if fault == "odd JSON":
        return _http(200, '{"predictions": [{"probabilities": ["a", null]}], "model_id": 7}', "")
    model_id, labels = model_of(number)
    index, probability = right_answer(number)
    shares = [(1.0 - probability) / (len(labels) - 1)] * len(labels)
    shares[index] = probability
    content: dict[str, Any] = {"model_id": model_id}
    if small:
        content["predictions"] = [{"probabilities": shares}]
        return _http(200, json.dumps(content), SCORES_CONTENT_TYPE)
    content["predictions"] = [{"scores": [score.to_dict() for score in labels.rank(shares)]}]
    return _http(200, json.dumps(content), CONTENT_TYPE)


def _http(status: int, body: str, kind: str) -> bytes:
    """An HTTP answer; `kind` is an error's code, or the content type."""
    name = "x-amzn-errortype" if status != 200 else "content-type"
    return (
        f"HTTP/1.1 {status} x\r\n{name}: {kind}\r\nx-amzn-requestid: id\r\ncontent-length: {len(body)}\r\n\r\n{body}"
    ).encode()


if __name__ == "__main__":
    sys.exit(main())
