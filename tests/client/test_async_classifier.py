"""AsyncBreedClassifier: the same answers and errors for asyncio, in order, bounded, and cancelled promptly."""

from __future__ import annotations

import asyncio
import inspect
import itertools
import socket
import threading
import time
from collections.abc import AsyncIterator, Collection
from contextlib import aclosing
from functools import partial

import pytest
from botocore.exceptions import ConnectionClosedError

from dogbreed_sdk import BreedClassifier, ConfigurationError, DogBreedError, EndpointError, ThrottledError
from dogbreed_sdk.client.async_classifier import AsyncBreedClassifier
from dogbreed_sdk.client.transports import Response
from dogbreed_sdk.testing import FakeEndpoint, Request
from tests.client.slow_endpoint import BREEDS, PICTURES, SlowEndpoint
from tests.waiting import wait_for


async def arriving(count: int = 20) -> AsyncIterator[bytes]:
    for shot in PICTURES[:count]:
        await asyncio.sleep(0)
        yield shot


@pytest.mark.parametrize("asynchronous", [True, False])
def test_results_come_in_the_order_of_the_pictures(asynchronous: bool) -> None:
    async def indices() -> list[int]:
        async with SlowEndpoint(first=0.1).async_classifier() as classifier:
            source = arriving() if asynchronous else PICTURES
            return [result.index async for result in classifier.classify_many(source, max_concurrency=4)]

    assert asyncio.run(indices()) == [number % 3 for number in range(20)]


def test_many_tasks_share_one_classifier() -> None:
    async def indices() -> list[int]:
        async with SlowEndpoint().async_classifier() as classifier:
            return [result.index for result in await asyncio.gather(*map(classifier.classify, PICTURES))]

    assert asyncio.run(indices()) == [number % 3 for number in range(20)]


def test_an_endless_iterator_is_read_no_further_than_needed() -> None:
    taken = itertools.count()

    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield PICTURES[next(taken) % 20]

    async def some() -> None:
        async with (
            SlowEndpoint(first=0.05).async_classifier() as classifier,
            aclosing(classifier.classify_many(endless(), max_concurrency=2)) as results,
        ):
            for _ in range(50):
                await anext(results)

    asyncio.run(some())
    assert next(taken) <= 50 + 64 * 2


def test_a_slow_picture_does_not_keep_others_from_being_asked_about() -> None:
    async def results() -> int:
        async with SlowEndpoint(others=12).async_classifier() as classifier:
            return len([0 async for _ in classifier.classify_many(arriving(13), max_concurrency=3)])

    assert asyncio.run(results()) == 13


def test_an_error_is_raised_or_returned_in_its_place() -> None:
    async def run() -> list[str]:
        async with FakeEndpoint(BREEDS).async_classifier() as classifier:
            pictures = [PICTURES[0], b"broken", PICTURES[1]]
            with pytest.raises(DogBreedError, match="is not a picture"):
                [0 async for _ in classifier.classify_many(pictures)]
            return [type(result).__name__ async for result in classifier.classify_many(pictures, on_error="return")]

    assert asyncio.run(run()) == ["Prediction", "UnsupportedImageError", "Prediction"]


def test_progress_tells_how_many_of_how_many() -> None:
    told: list[tuple[int, int | None]] = []

    async def run() -> None:
        async with FakeEndpoint(BREEDS).async_classifier() as classifier:
            for source in (PICTURES[:2], arriving(1)):
                results = classifier.classify_many(source, progress=lambda done, total: told.append((done, total)))
                [0 async for _ in results]

    asyncio.run(run())
    assert told == [(1, 2), (2, 2), (1, None)]


@pytest.fixture
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that goes on trying does so every few hundredths of a second, however often it has failed."""
    monkeypatch.setattr("dogbreed_sdk.defaults.INVOKE_LONGEST_PAUSE_SECONDS", 0.02)
    monkeypatch.setattr(FakeEndpoint, "first_pause", 0.02)


def test_a_cancelled_task_ends_at_once_and_tries_no_more(short_pauses: None) -> None:
    endpoint = FakeEndpoint(BREEDS).throttles(times=100_000)

    async def run() -> int:
        async with endpoint.async_classifier(max_attempts=100_000) as classifier:
            task = asyncio.create_task(classifier.classify(PICTURES[0]))
            await asyncio.to_thread(wait_for, lambda: len(endpoint.requests) > 2)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            asked = len(endpoint.requests)
            await asyncio.sleep(0.3)
            return len(endpoint.requests) - asked

    assert asyncio.run(run()) <= 1  # what was on its way


def test_an_error_of_the_iterator_comes_through() -> None:
    async def breaking() -> AsyncIterator[bytes]:
        yield PICTURES[0]
        raise KeyError("mine")

    async def run() -> None:
        async with FakeEndpoint(BREEDS).async_classifier() as classifier:
            [0 async for _ in classifier.classify_many(breaking(), on_error="return")]

    with pytest.raises(KeyError, match="mine"):
        asyncio.run(run())


def test_arguments_and_options_are_those_of_the_other_client() -> None:
    classifier = FakeEndpoint(BREEDS).throttles().async_classifier(deadline=9.0)
    with pytest.raises(ConfigurationError, match="top_k"):
        asyncio.run(classifier.classify(PICTURES[0], top_k=0))
    with pytest.raises(ConfigurationError, match="max_concurrency"):
        classifier.classify_many([], max_concurrency=0)
    hasty = classifier.with_options(max_attempts=1)
    assert (hasty.options.deadline, hasty.endpoint_name, hasty.model_id) == (9.0, "fake", None)
    with pytest.raises(ThrottledError):
        asyncio.run(hasty.classify(PICTURES[0]))
    asyncio.run(classifier.close())
    assert repr(AsyncBreedClassifier.from_server("http://127.0.0.1:9")).startswith("AsyncBreedClassifier(")


def test_a_closed_classifier_says_so_and_its_copies_too() -> None:
    async def run() -> None:
        classifier = FakeEndpoint(BREEDS).async_classifier()
        copy = classifier.with_options(deadline=9.0)
        await classifier.close()
        await classifier.close()
        for closed in (classifier, copy):
            for call in (closed.labels, partial(closed.classify, PICTURES[0])):
                with pytest.raises(ConfigurationError, match="was closed; create a new one"):
                    await call()
            with pytest.raises(ConfigurationError, match="was closed; create a new one"):
                closed.classify_many([])

    asyncio.run(run())


def test_closing_cuts_off_requests_that_hang() -> None:
    async def run(silent: socket.socket) -> None:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        classifier = AsyncBreedClassifier.from_server(url, max_attempts=1)
        asking = asyncio.create_task(classifier.classify(PICTURES[0]))
        accepted, _ = await asyncio.to_thread(silent.accept)
        with accepted:
            await classifier.close()
            with pytest.raises(EndpointError, match="closed the connection"):
                await asyncio.wait_for(asking, 60.0)

    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(60.0)
        asyncio.run(run(silent))


class OnItsWay(FakeEndpoint):
    """Can be cut off only a moment after it was asked, when it waits for an answer."""

    def __init__(self) -> None:
        super().__init__(BREEDS)
        self.waits, self.cut = threading.Event(), threading.Event()

    def invoke(self, *what: object, **timeouts: float) -> Response:  # type: ignore[override]
        self.requests.append(Request(b"", "", ""))
        time.sleep(0.2)
        self.waits.set()
        self.cut.wait(60.0)
        raise ConnectionClosedError(endpoint_url="fake")

    def abort(self, thread_ids: Collection[int]) -> None:
        if self.waits.is_set():
            self.cut.set()


def test_closing_cuts_off_what_was_on_its_way_into_a_request() -> None:
    endpoint = OnItsWay()

    async def run() -> None:
        classifier = endpoint.async_classifier()
        asking = asyncio.create_task(classifier.classify(PICTURES[0]))
        await asyncio.to_thread(wait_for, lambda: endpoint.requests)
        await classifier.close()
        with pytest.raises(EndpointError, match="closed"):
            await asyncio.wait_for(asking, 60.0)

    asyncio.run(run())


@pytest.mark.parametrize("call", ["classify", "labels"])
def test_closing_ends_retries(call: str, short_pauses: None) -> None:
    endpoint = FakeEndpoint(BREEDS).throttles(times=100_000)

    async def close_while_trying() -> None:
        classifier = endpoint.async_classifier(max_attempts=100_000)
        copy = classifier.with_options(deadline=60.0)
        ask = partial(copy.classify, PICTURES[0]) if call == "classify" else copy.labels
        trying = [asyncio.create_task(ask()) for _ in range(2)]
        await asyncio.to_thread(wait_for, lambda: len(endpoint.requests) > 4)
        await classifier.close()
        for task in trying:
            with pytest.raises(ThrottledError):
                await asyncio.wait_for(task, 60.0)

    asyncio.run(close_while_trying())
    asked = len(endpoint.requests)
    time.sleep(0.3)
    assert len(endpoint.requests) == asked


def test_closing_leaves_no_thread() -> None:
    async def run() -> None:
        async with SlowEndpoint().async_classifier() as classifier:
            await asyncio.gather(*map(classifier.classify, PICTURES))

    def threads() -> set[str]:
        return {thread.name for thread in threading.enumerate() if thread.name.startswith("classify-")}

    before = threads()
    asyncio.run(run())
    wait_for(lambda: not threads() - before, state=threads)


def test_both_clients_have_the_same_methods_with_the_same_arguments() -> None:
    names = {name for name in dir(BreedClassifier) if not name.startswith("_")}
    assert {name for name in dir(AsyncBreedClassifier) if not name.startswith("_")} == names | {"wrapping"}
    for name in names:
        method = getattr(BreedClassifier, name)
        if not callable(method):
            continue  # a property
        given, twin = inspect.signature(method).parameters, inspect.signature(getattr(AsyncBreedClassifier, name))
        expected = [(each.name, each.kind, each.default) for each in given.values()]
        assert [(each.name, each.kind, each.default) for each in twin.parameters.values()] == expected, name
