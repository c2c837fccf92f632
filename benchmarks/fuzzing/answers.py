"""Feeds mutated answers to the client: it must make a Prediction of them, or an error of the SDK, and nothing else."""

# ruff: noqa: E501 - tables of odd texts are read across

from __future__ import annotations

import json
import math
import random
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from dogbreed_sdk import BreedClassifier, DogBreedError, Prediction
from dogbreed_sdk.client import responses
from dogbreed_sdk.client.label_cache import LabelCache
from dogbreed_sdk.labels import LabelMap
from dogbreed_sdk.testing import FakeEndpoint, picture
from fuzzing.json_text import flipped, mutated_answer

FOLDERS = ("001.Affenpinscher", "009.American_water_spaniel", "Pug")
_SHARES = (0.7, 0.2, 0.1)
_NAMES = ("Affenpinscher", "American water spaniel", "Pug")
_REJECTION = {"rejected": False, "rejection_score": -3.5}
_ENTRIES = [
    {"index": index, "class_folder": folder, "label": _NAMES[index], "logit": 0.5, "probability": _SHARES[index]}
    for index, folder in enumerate(FOLDERS)
]
_RULE = {"method": "energy", "threshold": 1.0}
BASES: tuple[Any, ...] = (
    {"model_id": "m", "classes": 3, "predictions": [{"scores": _ENTRIES}]},
    {"model_id": "m", "classes": 3, "predictions": [{"scores": _ENTRIES, **_REJECTION}], "rejection": _RULE},
    {"model_id": "m", "predictions": [{"probabilities": list(_SHARES)}]},
    {"model_id": "m", "predictions": [{"probabilities": list(_SHARES), **_REJECTION}], "rejection": _RULE},
    [[2.0, -1.5, 0.25]],
    [list(_SHARES)],
)
Failure = str | None


def fuzz_parsing(count: int, *, seed: int = 0) -> tuple[Counter[str], list[str]]:
    """So many answers parsed: outcome -> how often, and what must not happen."""
    dice = random.Random(seed)
    outcomes: Counter[str] = Counter()
    failures: list[str] = []
    for _ in range(count):
        body = mutated_answer(dice.choice(BASES), dice)
        labels = LabelMap(FOLDERS[: dice.choice((3, 3, 2))]) if dice.random() < 0.4 else None
        label_cache = dice.choice((None, LabelCache(), _with_labels_of("m"), _with_labels_of("other")))
        top_k = dice.choice((None, 1, 5))
        begin = time.process_time()

        def parsed(body=body, labels=labels, label_cache=label_cache, top_k=top_k) -> Prediction:
            return responses.parse(
                body, labels=labels, top_k=top_k, latency_ms=1.0, request_id="r", label_cache=label_cache
            )

        name, failure = judged(parsed)
        if name == "UnknownModelError":  # between parse and the client
            failure = None
        outcomes[name] += 1
        if time.process_time() - begin > 2:
            failure = f"took {time.process_time() - begin:.1f} s"
        if failure:
            failures.append(f"parsing {body[:300]!r}: {failure}")
    return outcomes, failures


def fuzz_classifier(count: int, *, seed: int = 0) -> tuple[Counter[str], list[str]]:
    """Several responses to one long-lived client: what it learns from one must not spoil the next."""
    dice = random.Random(seed)
    outcomes: Counter[str] = Counter()
    failures: list[str] = []
    endpoint = FakeEndpoint(FOLDERS, model_id="m")
    classifier = endpoint.classifier(max_attempts=1)
    for number in range(count):
        if number % 100 == 0:
            endpoint = FakeEndpoint(FOLDERS, model_id="m")
            classifier = endpoint.classifier(max_attempts=1)
        body = mutated_answer(dice.choice(BASES), dice)
        endpoint.answers_bytes(body, times=1)
        name, failure = judged(lambda: classifier.classify(picture(), top_k=3))  # noqa: B023
        outcomes[name] += 1
        if failure:
            failures.append(f"client, answered {body[:300]!r}: {failure}")
    return outcomes, failures


def fuzz_wire_answers(
    count: int, open_classifier: Callable[[str], BreedClassifier], *, seed: int = 0, seconds: float = 3.0
) -> tuple[Counter[str], list[str]]:
    """So many answers as HTTP over a socket, most of them damaged.

    Args:
        count: How many.
        open_classifier: A client of the server on this URL.
        seed: The same seed gives the same answers.
        seconds: The longest that one may take.
    """
    dice = random.Random(seed)
    outcomes: Counter[str] = Counter()
    failures: list[str] = []
    with _AnsweringServer() as server, open_classifier(server.url) as classifier:
        for _ in range(count):
            server.answer = _http_answer(dice)
            begin = time.monotonic()
            name, failure = judged(lambda: classifier.classify(picture(), top_k=3))
            outcomes[name] += 1
            spent = time.monotonic() - begin
            if spent > seconds:
                failure = f"took {spent:.1f} s"
            if failure:
                failures.append(f"client, answered {server.answer[:400]!r}: {failure}")
    return outcomes, failures


def asked(answer: Any) -> tuple[str, Failure]:
    """What the client makes of one answer, given as JSON's values."""
    endpoint = FakeEndpoint(FOLDERS, model_id="m").answers_bytes(json.dumps(answer).encode(), times=2)
    return judged(lambda: endpoint.classifier(max_attempts=1).classify(picture()))


def judged(call: Callable[[], Prediction]) -> tuple[str, Failure]:
    """What a call came to, and what is wrong with that."""
    try:
        prediction = call()
    except DogBreedError as error:
        return type(error).__name__, _unclear(str(error))
    except Exception as error:  # noqa: BLE001 - this is what is looked for
        return type(error).__name__, f"{type(error).__name__}: {str(error)[:200]}"
    return "Prediction", _wrong(prediction)


def _unclear(message: str) -> Failure:
    try:
        message.encode()
    except UnicodeEncodeError:
        return f"the message cannot be printed: {message!r}"
    return None if 10 < len(message) < 4000 else f"a message of {len(message)} characters"


def _wrong(prediction: Prediction) -> Failure:
    numbers = [score.probability for score in prediction.scores]
    numbers += [number for number in (prediction.rejection_score, prediction.rejection_threshold) if number is not None]
    if not all(isinstance(number, float) and math.isfinite(number) for number in numbers):
        return f"numbers that are none: {numbers}"
    if not all(0.0 <= score.probability <= 1.001 for score in prediction.scores):
        return f"probabilities that are none: {numbers}"
    indices = [score.index for score in prediction.scores]
    if min(indices) < 0 or len(set(indices)) < len(indices):
        return f"indices that are none: {indices}"
    if not all(score.label.strip() and score.class_folder.strip() for score in prediction.scores):
        return "classes without a name"
    try:
        json.dumps(prediction.to_dict(), allow_nan=False, ensure_ascii=False).encode()
    except (ValueError, TypeError) as error:
        return f"cannot be written as JSON: {error}"
    return None


def _with_labels_of(model_id: str) -> LabelCache:
    label_cache = LabelCache()
    label_cache.store(model_id, FOLDERS)
    return label_cache


def _http_answer(dice: random.Random) -> bytes:
    body = mutated_answer(dice.choice(BASES), dice)
    status = dice.choice((*[b"200 OK"] * 12, b"400 Bad", b"424 Model", b"503 Busy", b"500 x", b"302 Found", b"204 No",
                          b"999 ?", b"abc", b"100 Continue", b"-1 x", b""))  # fmt: skip
    kind = dice.choice((*[b"application/json"] * 3, b"application/vnd.dogbreed+json", b"text/html", b"\xff"))
    size = dice.choice((*[len(body)] * 12, len(body) + 5, max(0, len(body) - 5), 0, -1, 10**30))
    framing = dice.choice((*[b"Content-Length: %d" % size] * 8, b"X: y", b"Transfer-Encoding: chunked",
                           b"Content-Encoding: gzip", b"Content-Length: x", b"Location: http://127.0.0.1:1/"))  # fmt: skip
    more = b"".join(
        dice.choice(
            (
                b"X-Request-Id: \xff\r\n",
                b"X-Request-Id: a b\r\n",
                b"X: " + b"y" * 70_000 + b"\r\n",
                b"Z: 1\r\n" * 200,
                b":\r\n",
            )
        )
        for _ in range(dice.choice((0, 0, 0, 1)))
    )
    answer = (
        b"HTTP/1.1 "
        + status
        + b"\r\nContent-Type: "
        + kind
        + b"\r\nConnection: close\r\n"
        + framing
        + b"\r\n"
        + more
        + b"\r\n"
        + body
    )
    choice = dice.random()
    if choice < 0.75:
        return answer
    if choice < 0.85:
        return flipped(answer[:120], dice) + answer[120:]
    return dice.choice((answer[: dice.randrange(len(answer))], flipped(answer, dice), b"", dice.randbytes(200)))


class _AnsweringServer:
    """Answers whatever it is asked with the bytes it was told, and closes the connection."""

    def __init__(self) -> None:
        self.answer = b""
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=16)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> _AnsweringServer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(5)

    def _serve(self) -> None:
        while True:
            try:
                line, _ = self._listener.accept()
            except OSError:
                return
            with line, suppress(OSError):
                line.settimeout(2)
                _read_request(line)
                line.sendall(self.answer)


def _read_request(line: socket.socket) -> None:
    received = b""
    while b"\r\n\r\n" not in received:
        more = line.recv(65_536)
        if not more:
            return
        received += more
    head, _, body = received.partition(b"\r\n\r\n")
    lengths = [
        text
        for name, _, text in (part.partition(b":") for part in head.lower().split(b"\r\n"))
        if name == b"content-length"
    ]
    left = int(lengths[0]) - len(body) if lengths else 0
    while left > 0:
        left -= len(line.recv(65_536)) or left
