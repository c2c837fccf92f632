"""classify_many: in order, bounded, stopping at once, for iterators of any length."""

from __future__ import annotations

import contextlib
import gc
import io
import itertools
import signal
import socket
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable, Collection, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ConnectionClosedError

from dogbreed_sdk import (
    BreedClassifier,
    ConfigurationError,
    ModelError,
    Prediction,
    Session,
    UnsupportedImageError,
)
from dogbreed_sdk.client import batch
from dogbreed_sdk.client.async_classifier import AsyncBreedClassifier
from dogbreed_sdk.client.transports import Response
from dogbreed_sdk.testing import FakeEndpoint
from tests.client.slow_endpoint import BREEDS, PICTURES, SlowEndpoint
from tests.waiting import wait_for


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("classify-many")]


def test_results_come_in_the_order_of_the_pictures() -> None:
    results = list(SlowEndpoint(first=0.1).classifier().classify_many(PICTURES, max_concurrency=4))
    assert [result.index for result in results] == [number % 3 for number in range(20)]
    assert threads() == []


def test_no_more_are_asked_at_a_time_than_was_said() -> None:
    endpoint = SlowEndpoint(seconds=0.02, together=3)
    assert len(list(endpoint.classifier().classify_many(PICTURES, max_concurrency=3))) == 20
    assert endpoint.most == 3


def test_an_endless_iterator_is_read_no_further_than_needed() -> None:
    taken = itertools.count()
    pictures = (PICTURES[next(taken) % 20] for _ in itertools.count())
    results = SlowEndpoint(first=0.2).classifier().classify_many(pictures, max_concurrency=2)
    for _ in range(100):
        next(results)
    results.close()
    assert next(taken) <= 100 + 64 * 2
    assert threads() == []


def test_a_result_does_not_wait_for_an_iterator_that_is_slow() -> None:
    endpoint = SlowEndpoint()

    def arriving() -> Iterator[bytes]:
        for taken, shot in enumerate(PICTURES[:4], start=1):
            yield shot
            wait_for(lambda taken=taken: len(endpoint.requests) >= taken)
        pytest.fail("the first result waited for more pictures than the next")

    assert next(endpoint.classifier().classify_many(arriving())).index == 0


def test_a_slow_picture_does_not_keep_others_from_being_asked_about() -> None:
    pictures = PICTURES + PICTURES[1:] * 2
    classifier = SlowEndpoint(others=len(pictures) - 1).classifier()
    assert len(list(classifier.classify_many(pictures, max_concurrency=3))) == len(pictures)


def test_an_error_ends_it_at_its_place() -> None:
    results = FakeEndpoint(BREEDS).classifier().classify_many([*PICTURES[:3], b"broken", *PICTURES])
    for _ in range(3):
        assert isinstance(next(results), Prediction)
    with pytest.raises(UnsupportedImageError, match=r"^picture 4: .*is not a picture"):
        next(results)
    assert list(results) == []
    assert threads() == []


def test_errors_may_stand_in_their_pictures_place() -> None:
    results = list(
        FakeEndpoint(BREEDS)
        .model_fails("no dog")
        .classifier()
        .classify_many([PICTURES[0], b"broken", PICTURES[1]], on_error="return", max_concurrency=1)
    )
    assert [type(result).__name__ for result in results] == ["ModelError", "UnsupportedImageError", "Prediction"]
    assert isinstance(results[0], ModelError)


def test_neither_results_nor_errors_keep_their_pictures_in_memory() -> None:
    seen: list[weakref.ref[io.BytesIO]] = []

    def watched() -> Iterator[io.BytesIO]:
        for content in (PICTURES[0], b"broken", PICTURES[1]):
            shot = io.BytesIO(content)
            seen.append(weakref.ref(shot))
            yield shot
            del shot

    endpoint = FakeEndpoint(BREEDS).model_fails()
    results = list(endpoint.classifier().classify_many(watched(), on_error="return"))
    endpoint.requests.clear()
    gc.collect()
    assert [type(result).__name__ for result in results].count("Prediction") == 1
    assert [reference() for reference in seen] == [None] * 3


def test_what_is_no_error_of_the_sdk_is_raised_in_any_case() -> None:
    def breaking() -> Iterator[bytes]:
        yield PICTURES[0]
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        list(FakeEndpoint(BREEDS).classifier().classify_many(breaking(), on_error="return"))
    assert threads() == []


def test_progress_tells_how_many_of_how_many() -> None:
    told: list[tuple[int, int | None]] = []
    classifier = FakeEndpoint(BREEDS).classifier()
    list(classifier.classify_many(PICTURES[:2], progress=lambda done, total: told.append((done, total))))
    list(classifier.classify_many(iter(PICTURES[:1]), progress=lambda done, total: told.append((done, total))))
    assert told == [(1, 2), (2, 2), (1, None)]


@pytest.mark.parametrize(
    "wrong", [{"max_concurrency": 0}, {"on_error": "ignore"}, {"top_k": 0}, {"progress": "loud"}], ids=str
)
def test_wrong_arguments_are_refused_at_once(wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigurationError):
        FakeEndpoint(BREEDS).classifier().classify_many([], **wrong)  # type: ignore[call-overload]


@pytest.mark.parametrize("one", ["rex.jpg", PICTURES[0], Path("rex.jpg"), io.BytesIO(PICTURES[0])], ids=type)
def test_one_picture_is_no_list_of_them(one: Any) -> None:
    classifier = FakeEndpoint(BREEDS).classifier()
    with pytest.raises(ConfigurationError, match=r"was given a single picture.*pass a list, or call classify"):
        classifier.classify_many(one)
    with pytest.raises(ConfigurationError, match=r"was given a single picture.*pass a list, or call classify"):
        AsyncBreedClassifier.wrapping(classifier).classify_many(one)


@pytest.mark.parametrize("none", [None, 5])
def test_what_cannot_be_iterated_is_refused(none: Any) -> None:
    with pytest.raises(ConfigurationError, match=f"a list or an iterator of pictures, got {none}"):
        FakeEndpoint(BREEDS).classifier().classify_many(none)


def test_a_closed_classifier_says_so_and_its_copies_too() -> None:
    endpoint = FakeEndpoint(BREEDS)
    classifier, other = endpoint.classifier(), endpoint.classifier()
    copy = classifier.with_options(deadline=9.0)
    running = classifier.classify_many(PICTURES * 100, max_concurrency=1)
    next(running)
    classifier.close()
    classifier.close()
    for closed in (classifier, copy, copy.with_options(max_attempts=1)):
        for call in (partial(closed.classify, PICTURES[0]), closed.labels, partial(closed.classify_many, [])):
            with pytest.raises(
                ConfigurationError, match=r"^BreedClassifier\(endpoint fake\) was closed; create a new one"
            ):
                call()
    with pytest.raises(ConfigurationError, match="was closed"):
        list(running)
    assert other.classify(PICTURES[0]).label == "Pug"


def test_no_pictures_no_results_no_threads() -> None:
    before = threading.active_count()
    assert list(FakeEndpoint(BREEDS).classifier().classify_many([])) == []
    assert threading.active_count() == before


@contextlib.contextmanager
def silent_server() -> Iterator[tuple[str, Callable[[int], None]]]:
    """The URL of a server that never answers, and what waits for so many connections to it."""
    with contextlib.ExitStack() as opened:
        listening = opened.enter_context(socket.create_server(("127.0.0.1", 0), backlog=64))
        listening.settimeout(120.0)

        def wait_for_clients(count: int) -> None:
            for _ in range(count):
                opened.enter_context(listening.accept()[0])

        yield f"http://127.0.0.1:{listening.getsockname()[1]}", wait_for_clients


@pytest.mark.parametrize("kind", ["endpoint", "server"])
def test_leaving_cuts_off_requests_that_hang(kind: str, session: Session) -> None:
    with silent_server() as (url, wait_for_clients):
        if kind == "server":
            classifier = BreedClassifier.from_server(url)
        else:
            assert session.root is not None
            classifier = BreedClassifier("dogs", session=Session.local(session.root, endpoint_url=url))

        def pictures() -> Iterator[bytes]:
            yield from PICTURES[:4]
            wait_for_clients(4)
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            list(classifier.with_options(deadline=3e3, read_timeout=3e3).classify_many(pictures(), max_concurrency=4))
        assert threads() == []


def test_a_machine_that_stands_still_while_they_are_cut_off_leaves_none_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    class StandsStill(FakeEndpoint):
        def __init__(self) -> None:
            super().__init__(BREEDS)
            self.asked, self.cut, self.aborts = threading.Event(), threading.Event(), itertools.count()

        def invoke(self, *_: object, **__: float) -> Response:  # type: ignore[override]
            self.asked.set()
            self.cut.wait(60.0)
            raise ConnectionClosedError(endpoint_url="fake")

        def abort(self, thread_ids: Collection[int]) -> None:
            if next(self.aborts) == 0:
                time.sleep(2 * batch.SHUTDOWN_SECONDS)
            else:
                self.cut.set()

    monkeypatch.setattr(batch, "SHUTDOWN_SECONDS", 0.4)
    endpoint = StandsStill()

    def pictures() -> Iterator[bytes]:
        yield PICTURES[0]
        assert endpoint.asked.wait(60.0)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(endpoint.classifier().classify_many(pictures()))
    assert threads() == []


def test_an_interrupt_ends_a_program_whose_endpoint_hangs() -> None:
    with silent_server() as (url, wait_for_clients):
        program = (
            "from dogbreed_sdk import BreedClassifier\nfrom dogbreed_sdk.testing import picture\n"
            f"list(BreedClassifier.from_server({url!r}).classify_many(picture(n) for n in range(99)))"
        )
        process = subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.PIPE, text=True)
        try:
            wait_for_clients(8)
            process.send_signal(signal.SIGINT)
            assert "KeyboardInterrupt" in process.communicate(timeout=60)[1]
        finally:
            process.kill()
