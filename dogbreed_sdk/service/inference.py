"""Classifies the pictures of requests: with admission control, within a deadline, until the client disconnects."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, TypeVar

import anyio.to_thread
from starlette.requests import ClientDisconnect

from dogbreed_sdk.client.images import to_payload
from dogbreed_sdk.errors import DogBreedError, EndpointError
from dogbreed_sdk.pages.thumbnails import small_picture
from dogbreed_sdk.service.middleware import logged_problem
from dogbreed_sdk.service.problems import Problem, problem_error
from dogbreed_sdk.service.schemas import DEFAULT_TOP_K

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.types import Receive

    from dogbreed_sdk.client.async_classifier import AsyncBreedClassifier
    from dogbreed_sdk.client.explanation import Explanation
    from dogbreed_sdk.client.images import Payload
    from dogbreed_sdk.predictions import Prediction
    from dogbreed_sdk.service.admission import Admission
    from dogbreed_sdk.service.metrics import Metrics
    from dogbreed_sdk.service.readiness import Readiness
    from dogbreed_sdk.service.request_bodies import Pictures, Upload

# Slots that one batch may use at the same time, so that other requests get theirs.
_SLOTS_PER_BATCH = 4
# The longer side of a preview, in pixels: sharp on a dense screen, about 100 kB.
PREVIEW_SIDE = 960

Result = TypeVar("Result")


class Inference:
    """The classifier behind admission control.

    Args:
        classifier: Classifies the pictures.
        admission: Limits the pictures that are classified at the same time.
        download_admission: Limits those of them that are downloaded first. It has fewer slots, so that URLs of slow
            servers cannot take the slots of clients that send their pictures.
        metrics: Counts the pictures.
        readiness: Learns whether the endpoint responds.
        seconds: The deadline of a request.
    """

    def __init__(
        self,
        classifier: AsyncBreedClassifier,
        *,
        admission: Admission,
        download_admission: Admission,
        metrics: Metrics,
        readiness: Readiness,
        seconds: float,
    ) -> None:
        self._classifier = classifier
        self._admission = admission
        self._download_admission = download_admission
        self._metrics = metrics
        self._readiness = readiness
        self._seconds = seconds

    async def classify(self, request: Request, pictures: Pictures, top_k: int) -> dict[str, object]:
        """Classifies one picture.

        Raises:
            Overloaded: Too many pictures are waiting.
            DogBreedError: The classifier's error.
            ProblemError: The deadline passed.
            ClientDisconnect: The client disconnected.
        """
        [source] = pictures.sources
        assert not isinstance(source, Problem)
        prediction = await self.within_deadline(request, self._classify(source, top_k))
        return prediction.to_dict()

    async def classify_with_preview(self, request: Request, pictures: Pictures, top_k: int) -> dict[str, object]:
        """Classifies one picture; the result contains a small copy of it, for a page that cannot show the picture.

        Raises:
            As for `classify`.
        """
        [source] = pictures.sources
        assert not isinstance(source, Problem)

        async def work() -> tuple[Prediction, str | None]:
            payload = await anyio.to_thread.run_sync(self._payload, source)
            prediction = await self._predicted(payload.body, top_k)
            return prediction, await anyio.to_thread.run_sync(_preview, payload.body)

        prediction, preview = await self.within_deadline(request, self._admitted(source, work))
        return {**prediction.to_dict(), "preview": preview}

    async def explain(
        self, request: Request, pictures: Pictures, label: str | None, top_k: int, draw: Callable[[Explanation], Result]
    ) -> Result:
        """Explains the prediction for one picture.

        Args:
            request: The request.
            pictures: Its picture.
            label: The class to explain; None for the most probable one.
            top_k: Number of classes to rank.
            draw: Makes the answer of the explanation, in a thread. Encoding pictures takes longer than classifying
                one, so that it keeps the picture's slot and is subject to the deadline, too.

        Raises:
            LabelError: The model has no such class.
            As for `classify`.
        """
        [source] = pictures.sources
        assert not isinstance(source, Problem)

        async def work() -> Result:
            found = await self._recorded(self._classifier.explain(source, label=label, top_k=top_k))
            self._metrics.picture(rejected=found.prediction.rejected)
            return await anyio.to_thread.run_sync(draw, found)

        return await self.within_deadline(request, self._admitted(source, work))

    async def classify_batch(self, request: Request, pictures: Pictures, top_k: int) -> list[Prediction | Problem]:
        """Classifies several pictures; returns one result per picture, in order, and a problem for each that failed.

        Raises:
            Overloaded: Too many pictures are waiting; none of these was classified.
            ProblemError: The deadline passed.
            ClientDisconnect: The client disconnected.
        """
        self._admission.check()
        results: list[Prediction | Problem | None] = [None] * len(pictures.sources)
        todo = iter(enumerate(pictures.sources))

        async def work(numbered: Iterator[tuple[int, Upload | str | Problem]]) -> None:
            for number, source in numbered:
                results[number] = await self._attempt(source, top_k, request.state.request_id)

        workers = [work(todo) for _ in range(min(_SLOTS_PER_BATCH, len(results)))]
        await self.within_deadline(request, _all(workers))
        return [result for result in results if result is not None]

    async def _attempt(self, source: Upload | str | Problem, top_k: int, request_id: str) -> Prediction | Problem:
        if isinstance(source, Problem):
            problem = source
        else:
            try:
                return await self._classify(source, top_k, admitted=True)
            except DogBreedError as error:
                problem = logged_problem(error, request_id)
        self._metrics.problem(problem.kind)
        return problem

    async def _classify(self, source: Upload | str, top_k: int, *, admitted: bool = False) -> Prediction:
        return await self._admitted(source, lambda: self._predicted(source, top_k), admitted=admitted)

    async def _admitted(
        self, source: Upload | str, work: Callable[[], Awaitable[Result]], *, admitted: bool = False
    ) -> Result:
        """The result of `work`, which downloads and classifies a picture, once there are slots for it."""
        is_download = isinstance(source, str) and source.lower().startswith(("http://", "https://"))
        async with AsyncExitStack() as slots:
            if is_download:
                await slots.enter_async_context(self._download_admission.slot(admitted=admitted))
            await slots.enter_async_context(self._admission.slot(admitted=admitted))
            if not is_download:
                return await work()
            # A download cannot be cancelled: its slots stay taken until it ends, even if the client disconnects.
            task = asyncio.ensure_future(_released(slots.pop_all(), work))
        task.add_done_callback(_retrieve_exception)
        return await asyncio.shield(task)

    async def _predicted(self, source: Upload | str | bytes, top_k: int) -> Prediction:
        prediction = await self._recorded(self._classifier.classify(source, top_k=top_k))
        self._metrics.picture(rejected=prediction.rejected)
        return prediction

    async def _recorded(self, call: Awaitable[Result]) -> Result:
        """The result of a call to the model; the readiness learns whether it responds."""
        try:
            found = await call
        except EndpointError:
            self._readiness.record_failure()
            raise
        self._readiness.record_success()
        return found

    def _payload(self, source: Upload | str) -> Payload:
        """The bytes to classify and to preview; http(s) URLs are downloaded by the guarded downloader."""
        options = self._classifier.options
        return to_payload(source, max_bytes=options.max_payload_bytes, allowed_hosts=options.allowed_hosts)

    async def within_deadline(self, request: Request, work: Awaitable[Result]) -> Result:
        """The result of `work`, which is cancelled when the deadline passes or the client disconnects.

        Raises:
            ProblemError: The deadline passed.
            ClientDisconnect: The client disconnected.
        """
        task = asyncio.ensure_future(work)
        disconnected = asyncio.ensure_future(_until_disconnected(request.receive))
        try:
            await asyncio.wait((task, disconnected), timeout=self._seconds, return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                return task.result()
            if disconnected.done():
                raise ClientDisconnect
            raise problem_error("endpoint-timeout", f"There was no response within {self._seconds:.0f} s.")
        finally:
            task.cancel()
            disconnected.cancel()
            await asyncio.gather(task, disconnected, return_exceptions=True)


async def _released(slots: AsyncExitStack, work: Callable[[], Awaitable[Result]]) -> Result:
    async with slots:
        return await work()


def _preview(content: bytes) -> str | None:
    """A small copy of a picture, as a data: URL; None if it cannot be read."""
    return small_picture(content, size=PREVIEW_SIDE)


def _retrieve_exception(task: asyncio.Task[Any]) -> None:
    """Keeps asyncio from logging the exception of a task whose client has disconnected."""
    if not task.cancelled():
        task.exception()


async def _until_disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _all(works: Sequence[Awaitable[None]]) -> None:
    """Waits for all; if one fails, or this is cancelled, the others are cancelled too."""
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def chosen_top_k(given: int | None, in_body: int | None) -> int:
    """Number of classes to rank: from the URL, else from the body, else the default."""
    return given or in_body or DEFAULT_TOP_K
