"""Sends raw requests, and checks the responses of the two servers."""

from __future__ import annotations

import http.client
import json
import logging
import select
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from typing import NamedTuple

from fuzzing.request_cases import Case

# A server that waits for more of a request than there is learns after this that nothing comes.
_PATIENCE_SECONDS = 0.15
_CLIENTS = 8
_AT_A_TIME = 500
# What a client is told fits a screen, whatever it sent.
_LONGEST_TEXT = 4000
_MEMBERS = {"type", "title", "status", "detail", "request_id"}


class Reply(NamedTuple):
    """An answer as it came."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes


@dataclass
class Outcome:
    """What has come out so far.

    Attributes:
        counts: Kind of case and outcome -> how often.
        failures: What must not happen, in words.
        slowest: Seconds of the slowest case, and its kind.
    """

    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    slowest: tuple[float, str] = (0.0, "")

    @property
    def cases(self) -> int:
        """How many there were."""
        return sum(self.counts.values())


Judge = Callable[[Case, Reply], "str | None"]


def fuzz_server(cases: Iterable[Case], port: int, judge: Judge, *, seconds: float, rest: Callable[[], None]) -> Outcome:
    """Sends every case over a connection of its own, several at a time.

    Args:
        cases: What to send.
        port: Where the server listens on this machine.
        judge: What is wrong with an answer, if anything.
        seconds: The longest that a case may take.
        rest: Called now and then, when nothing is under way.
    """
    outcome = Outcome()

    def run(case: Case) -> tuple[Case, str, str | None, float]:
        begin = time.monotonic()
        name, failure = _sent(case, port, judge, seconds)
        return case, name, failure, time.monotonic() - begin

    endless: Iterator[Case] = iter(cases)
    with ThreadPoolExecutor(_CLIENTS) as clients:
        while batch := list(islice(endless, _AT_A_TIME)):
            for case, name, failure, spent in clients.map(run, batch):
                outcome.counts[case.kind, name] += 1
                outcome.slowest = max(outcome.slowest, (spent, case.kind))
                if failure:
                    outcome.failures.append(
                        f"{case.kind}: {failure}; sent {len(case.data):,} bytes: {_shown(case.data)}"
                    )
            rest()
    return outcome


def _shown(data: bytes) -> str:
    return repr(data if len(data) <= 700 else data[:450] + b" ... " + data[-200:])


def _sent(case: Case, port: int, judge: Judge, seconds: float) -> tuple[str, str | None]:
    begin = time.monotonic()
    try:
        reply = exchange(case, port, seconds)
    except TimeoutError:
        return "no answer", f"no answer within {seconds} s"
    except ConnectionRefusedError:
        return "dead", "the server is gone"
    except (OSError, http.client.HTTPException) as error:
        broken = isinstance(error, http.client.HTTPException) and not isinstance(error, http.client.RemoteDisconnected)
        name = type(error).__name__
        return name, f"{name}: {error}"[:300] if case.whole or broken else None
    if time.monotonic() - begin > seconds:
        return str(reply.status), f"took {time.monotonic() - begin:.1f} s"
    return str(reply.status), judge(case, reply)


def exchange(case: Case, port: int, seconds: float) -> Reply:
    """Sends a case's bytes and reads one answer."""
    with socket.create_connection(("127.0.0.1", port), timeout=seconds) as line:
        with suppress(ConnectionError):  # it may have answered and closed already
            line.sendall(case.data)
        if not case.whole and not _answers(line):
            with suppress(OSError):
                line.shutdown(socket.SHUT_WR)
        response = http.client.HTTPResponse(line, method=case.method)
        try:
            response.begin()
            return Reply(response.status, response.headers, response.read())
        finally:
            response.close()


def _answers(line: socket.socket) -> bool:
    """Whether an answer comes by itself; being told to go on with the body is none."""
    if not select.select([line], [], [], _PATIENCE_SECONDS)[0]:
        return False
    with suppress(ConnectionError):
        return not line.recv(20, socket.MSG_PEEK).startswith(b"HTTP/1.1 100")
    return True


def wrong_with_service(case: Case, reply: Reply) -> str | None:
    """What is wrong with an answer of the service."""
    general = _wrong_in_general(reply)
    if general or case.method == "HEAD" or reply.status < 200 or reply.status == 204:
        return general
    kind = reply.headers.get_content_type()
    if reply.status < 400:
        return _not_json(reply.body) if kind == "application/json" else None
    if reply.status == 400 and reply.body == b"Invalid HTTP request received.":
        return None  # uvicorn's own response to what is not HTTP: no application saw it
    if kind != "application/problem+json":
        return f"{reply.status} as {kind}: {reply.body[:200]!r}"
    unreadable = _not_json(reply.body)
    if unreadable:
        return unreadable
    problem = json.loads(reply.body)
    complete = (
        set(problem) >= _MEMBERS and problem["status"] == reply.status and problem["type"].startswith("/problems/")
    )
    if not complete or problem["request_id"] != reply.headers["x-request-id"]:
        return f"no whole problem: {reply.body[:300]!r}"
    return None if 5 < len(problem["detail"]) < _LONGEST_TEXT else f"a detail of {len(problem['detail'])} characters"


def wrong_with_model_server(case: Case, reply: Reply) -> str | None:
    """What is wrong with an answer of the model server."""
    general = _wrong_in_general(reply)
    if general or case.method == "HEAD":
        return general
    if reply.status < 300:
        return _not_json(reply.body)
    if reply.headers.get_content_type() != "text/plain" or not reply.body:
        return f"{reply.status} as {reply.headers.get_content_type()}: {reply.body[:200]!r}"
    return None if len(reply.body) < _LONGEST_TEXT else f"a message of {len(reply.body):,} bytes: {reply.body[:200]!r}"


def _wrong_in_general(reply: Reply) -> str | None:
    if reply.status >= 500 and reply.status not in (503, 504):
        return f"{reply.status}: {reply.body[:300]!r}"
    if b"Traceback" in reply.body or b"site-packages" in reply.body or b'File "' in reply.body:
        return f"a traceback: {reply.body[:300]!r}"
    return None


def _not_json(body: bytes) -> str | None:
    def refuse(name: str) -> None:
        raise ValueError(f"{name} is not JSON")

    try:
        json.loads(body.decode("utf-8"), parse_constant=refuse)
    except ValueError as error:
        return f"an answer that is not JSON ({error}): {body[:200]!r}"
    return None


class Canary:
    """Listens where nothing may ever connect to, and counts who does."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.setblocking(False)
        self.port: int = self._listener.getsockname()[1]

    def visitors(self) -> int:
        """How many connected, ever."""
        count = 0
        with suppress(BlockingIOError):
            while True:
                self._listener.accept()[0].close()
                count += 1
        return count

    def close(self) -> None:
        """Stops listening."""
        self._listener.close()


class Connections:
    """Every address that this process connects to, except those named; an audit hook sees them all."""

    def __init__(self) -> None:
        self.allowed: set[object] = set()
        self.seen: Counter[str] = Counter()
        self._watching = False
        self._installed = False

    def __enter__(self) -> Connections:
        if not self._installed:
            sys.addaudithook(self._hook)
            self._installed = True
        self._watching = True
        return self

    def __exit__(self, *_: object) -> None:
        self._watching = False

    def _hook(self, event: str, arguments: tuple[object, ...]) -> None:
        if self._watching and event == "socket.connect" and arguments[1] not in self.allowed:
            self.seen[repr(arguments[1])] += 1


class Complaints(logging.Handler):
    """What the servers in this process log as an error, with its last line."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.lines: Counter[str] = Counter()
        self._guard = threading.Lock()

    def emit(self, record: logging.LogRecord) -> None:
        """Counts one."""
        reason = record.exc_info[1] if record.exc_info else None
        with self._guard:
            self.lines[f"{record.name}: {record.msg[:80]}: {type(reason).__name__}: {str(reason)[:120]}"] += 1
