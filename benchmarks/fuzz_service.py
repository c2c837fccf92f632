"""Mutated HTTP requests against the service: headers, JSON, forms and pictures, cut, doubled, exchanged and spoiled.

Each request has a connection of its own on loopback. Counts what comes back; ends with status 1 where the service
failed (5xx), said something unclear (neither a prediction nor problem details; malformed HTTP may get the server's own
400), kept a client waiting, or kept bytes or places.

    python benchmarks/fuzz_service.py [--cases 100000] [--seed 0]
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import functools
import http.client
import json
import random
import socket
import sys
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress

from dogbreed_sdk.service import ServiceSettings, create_app
from dogbreed_sdk.service.protocol import PatientProtocol
from dogbreed_sdk.service.server import listen, make_server
from dogbreed_sdk.testing import FakeEndpoint, picture

AT_ONCE = 12
WAIT_SECONDS = 10.0
PATIENCE_SECONDS = 0.05  # of the service, with bodies and headers that do not end
MALFORMED = b"Invalid HTTP request received."
PICTURE = picture(1, size=(16, 12))
BASE64 = base64.b64encode(PICTURE)
SPOILERS = [
    b"\x00",
    b"\xff\xfe",
    b"\r\n",
    b"\r\n\r\n",
    b"--b",
    b"--b--",
    b'"',
    b"{",
    b"[" * 200,
    b"9" * 40,
    b"-1",
    b"e999",
]
SPOILERS += [
    b"NaN",
    b"\\ud800",
    b":",
    b";",
    b",",
    b"null",
    b"chunked",
    b"gzip",
    b"%00",
    b"..",
    b"data:",
    b"http://[",
    b"\t",
]


def seeds() -> list[bytes]:
    """Requests that are right, one of each kind."""
    form = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.jpg"\r\n\r\n' + PICTURE
    form += b'\r\n--b\r\nContent-Disposition: form-data; name="top_k"\r\n\r\n2\r\n--b--\r\n'
    json_type, form_type = b"application/json", b"multipart/form-data; boundary=b"
    return [
        _request(b"POST /v1/classify?top_k=2", b"image/jpeg", PICTURE),
        _request(b"POST /v1/classify", form_type, form),
        _request(b"POST /v1/classify/batch?top_k=1", form_type, form),
        _request(b"POST /v1/classify", json_type, b'{"base64": "%b", "top_k": 2}' % BASE64),
        _request(b"POST /v1/classify", json_type, b'{"data": "data:image/jpeg;base64,%b"}' % BASE64),
        _request(b"POST /v1/classify", json_type, b'{"url": "http://127.0.0.1:9/a.jpg"}'),
        _request(b"POST /v1/classify/batch", json_type, b'{"pictures": [{"base64": "%b"}, {"base64": ""}]}' % BASE64),
        _request(b"GET /v1/labels", b"text/plain", b""),
        _request(b"GET /readyz", b"text/plain", b""),
    ]


def _request(start: bytes, kind: bytes, body: bytes) -> bytes:
    head = b"%b HTTP/1.1\r\nHost: x\r\nContent-Type: %b\r\nContent-Length: %d\r\n" % (start, kind, len(body))
    return head + b"Connection: close\r\n\r\n" + body


def mutated(generator: random.Random, requests: Sequence[bytes]) -> bytes:
    """One request with some things wrong."""
    request = generator.choice(requests)
    fit = generator.random() < 0.6  # then Content-Length says the truth, so that the body is looked at
    for _ in range(generator.choice((1, 1, 2, 3, 6))):
        at, until = sorted(generator.randrange(len(request) + 1) for _ in range(2))
        until = min(until, at + generator.choice((1, 4, 30, 10_000)))
        kind = generator.randrange(5)
        if kind == 0:
            request = request[:at] + request[until:]
        elif kind == 1:
            request = request[:at] + request[at:until] * 2 + request[until:]
        elif kind == 2:
            request = request[:at] + generator.choice(SPOILERS) + request[at:]
        elif kind == 3:
            request = request[:at] + generator.randbytes(min(8, until - at)) + request[until:]
        else:
            other = generator.choice(requests)
            request = request[:at] + other[generator.randrange(len(other)) :]
    return _with_true_length(request) if fit else request


def _with_true_length(request: bytes) -> bytes:
    head, separator, body = request.partition(b"\r\n\r\n")
    lines = [line for line in head.split(b"\r\n") if not line.lower().startswith((b"content-length", b"transfer-enc"))]
    return b"\r\n".join([*lines, b"Content-Length: %d" % len(body)]) + separator + body


def outcome(port: int, request: bytes) -> str:
    """What became of a request: a status, "malformed" or "closed"; or what must not be, beginning with "bad"."""
    began = time.monotonic()
    with socket.create_connection(("127.0.0.1", port), timeout=WAIT_SECONDS) as connection:
        try:
            connection.sendall(request)
            with http.client.HTTPResponse(connection) as response:
                response.begin()
                status, kind, body = response.status, response.headers.get_content_type(), response.read()
        except TimeoutError:
            return f"bad: no answer after {WAIT_SECONDS:.0f} s"
        except (OSError, http.client.HTTPException):
            waited = time.monotonic() - began
            return "closed" if waited < WAIT_SECONDS / 2 else f"bad: closed after {waited:.0f} s"
    if status >= 500:
        return f"bad: {status} {body[:200]!r}"
    if status == 400 and body == MALFORMED:
        return "malformed"
    if status >= 400 and (kind != "application/problem+json" or json.loads(body)["status"] != status):
        return f"bad: {status} without problem details"
    return str(status)


class HastyProtocol(PatientProtocol):
    """The service's own, with less patience."""

    header_seconds = PATIENCE_SECONDS


@contextmanager
def service() -> Iterator[int]:
    """A service before an endpoint that always answers; its port."""
    classifier = FakeEndpoint(["Pug", "Boxer"]).async_classifier()
    settings = ServiceSettings(read_seconds=PATIENCE_SECONDS, max_body_bytes=100_000)
    server = make_server(create_app(classifier, settings), deadline_seconds=30.0, protocol=HastyProtocol)
    with listen("127.0.0.1", 0) as listener:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield int(listener.getsockname()[1])
        finally:
            server.should_exit = True
            thread.join(30)
            asyncio.run(classifier.close())


def run(cases: int, seed: int) -> Counter[str]:
    """Outcomes of so many mutated requests; places or bytes that are kept afterwards count as bad."""
    generator, requests = random.Random(seed), seeds()
    with service() as port, ThreadPoolExecutor(AT_ONCE) as pool:
        outcomes = Counter(outcome(port, request) for request in requests)
        if set(outcomes) != {"200", "422"}:
            outcomes["bad: the requests that are mutated are not right themselves"] += 1
        for begun in range(0, cases, 1000):
            batch = [mutated(generator, requests) for _ in range(min(1000, cases - begun))]
            outcomes.update(pool.map(functools.partial(outcome, port), batch))
        with suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
            kept = [line for line in answer.read().decode().splitlines() if line.startswith(KEPT)]
            outcomes[
                "nothing is kept" if [line.rpartition(" ")[2] for line in kept] == ["0.0"] * 3 else f"bad: {kept}"
            ] += 1
    return outcomes


KEPT = ("dogbreed_held_bytes ", "dogbreed_in_flight ", "dogbreed_queue_length ")


def main() -> int:
    """Prints the outcomes; 1 where one is bad."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    began = time.monotonic()
    outcomes = run(options.cases, options.seed)
    for name, count in outcomes.most_common():
        print(f"{count:8}  {name}")
    print(f"{options.cases} cases in {time.monotonic() - began:.0f} s")
    return 1 if any(name.startswith("bad") for name in outcomes) else 0


if __name__ == "__main__":
    sys.exit(main())
