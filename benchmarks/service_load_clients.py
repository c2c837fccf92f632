"""The clients of service_load.py: processes of threads that ask one picture after the other and check each answer."""

from __future__ import annotations

import http.client
import json
import multiprocessing
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

TOLERANCE = 1e-4  # in probability; float sums depend a little on how many pictures are computed together
CLIENT_PROCESSES = 2
TYPE = {"Content-Type": "image/jpeg"}
HONEST = ("overloaded", "throttled", "endpoint-not-ready")

Answer = list[tuple[int, float]]


@dataclass
class Tally:
    """What clients saw: seconds that answers took, when they came (on the machine's monotonic clock), and the rest."""

    waits: list[float] = field(default_factory=list)
    moments: list[float] = field(default_factory=list)
    refused: int = 0
    wrong: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)

    def add(self, other: Tally) -> None:
        """Counts what another saw."""
        self.waits += other.waits
        self.moments += other.moments
        self.refused += other.refused
        self.wrong += other.wrong
        self.failed += other.failed


@dataclass(frozen=True)
class Work:
    """What clients are to do."""

    url: str
    path: str
    pictures: list[bytes]
    right: Sequence[Answer] | None
    headers: dict[str, str]
    seconds: float


def same(one: Answer, other: Answer) -> bool:
    """Whether two answers are the same, but for the order of classes that are equally probable."""
    probabilities = dict(other)
    return all(abs(p - q) < TOLERANCE for (_, p), (_, q) in zip(one, other, strict=True)) and all(
        abs(p - probabilities.get(index, other[-1][1])) < TOLERANCE for index, p in one
    )


def load(
    url: str,
    path: str,
    pictures: Sequence[bytes],
    right: Sequence[Answer] | None,
    *,
    clients: int,
    seconds: float,
    headers: Mapping[str, str] = TYPE,
) -> Tally:
    """What a number of clients see that send one picture after the other; nothing is compared without `right`."""
    work = Work(url, path, list(pictures), right, dict(headers), seconds)
    shares = [clients // CLIENT_PROCESSES + (number < clients % CLIENT_PROCESSES) for number in range(CLIENT_PROCESSES)]
    jobs = [(work, first, count) for first, count in enumerate(shares) if count]
    tally = Tally()
    with multiprocessing.get_context("spawn").Pool(len(jobs)) as pool:
        for part in pool.starmap(_clients, jobs):
            tally.add(part)
    return tally


def _clients(work: Work, first: int, count: int) -> Tally:
    end = time.monotonic() + work.seconds
    tally = Tally()
    with ThreadPoolExecutor(count) as pool:
        for part in pool.map(lambda number: _client(work, first + 7 * number, end), range(count)):
            tally.add(part)
    return tally


def _client(work: Work, number: int, end: float) -> Tally:
    tally = Tally()
    connection = http.client.HTTPConnection(urlsplit(work.url).netloc, timeout=70)
    asked = False
    while not asked or time.monotonic() < end:
        asked = True
        number = (number + 1) % len(work.pictures)
        before = time.perf_counter()
        try:
            connection.request("POST", work.path, work.pictures[number], work.headers)
            response = connection.getresponse()
            body = json.loads(response.read())
        except (OSError, http.client.HTTPException, ValueError) as error:
            tally.failed.append(f"{type(error).__name__}: {error}")
            connection.close()
            continue
        if response.status == 200:
            tally.waits.append(time.perf_counter() - before)
            tally.moments.append(time.monotonic())
            answer = [(score["index"], score["probability"]) for score in body["scores"]] if work.right else []
            if work.right and not same(answer, work.right[number]):
                tally.wrong.append(f"picture {number}: {answer} and not {work.right[number]}")
        elif _is_honest(response, body):
            tally.refused += 1
            time.sleep(min(int(response.headers["Retry-After"]), max(0.0, end - time.monotonic())))
        else:
            tally.failed.append(f"{response.status}: {body}")
    connection.close()
    return tally


def _is_honest(response: http.client.HTTPResponse, body: Any) -> bool:
    kind = str(body.get("type", "")).rpartition("/")[2] if isinstance(body, dict) else ""
    return response.status == 503 and kind in HONEST and response.headers.get("Retry-After", "").isdigit()
