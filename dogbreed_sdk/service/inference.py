"""Asks the classifier about pictures, in turn, within a deadline, and only as long as somebody waits for the answer."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, TypeVar

from starlette.requests import ClientDisconnect

from dogbreed_sdk.errors import DogBreedError, EndpointError
from dogbreed_sdk.service.middleware import logged_problem
from dogbreed_sdk.service.problems import Problem, raised
from dogbreed_sdk.service.schemas import DEFAULT_TOP_K

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.types import Receive

    from dogbreed_sdk.client.async_classifier import AsyncBreedClassifier
    from dogbreed_sdk.predictions import Prediction
    from dogbreed_sdk.service.admission import Slots
    from dogbreed_sdk.service.metrics import Metrics
    from dogbreed_sdk.service.readiness import Readiness
    from dogbreed_sdk.service.request_bodies import Pictures, Upload

# A batch takes at most so many places at a time, so that others get their turn.
_PLACES_OF_A_BATCH = 4

Result = TypeVar("Result")


class Answering:
    """The classifier behind the slots.

    Args:
        classifier: Who knows.
        slots: How many it is asked at a time.
        fetching: How many of these may be pictures that are fetched first: fewer, because whoever names a server that
            dawdles must not take the places of those who send their pictures.
        metrics: Where pictures are counted.
        readiness: Who wants to know how the endpoint does.
        seconds: The deadline of a request.
    """

    def __init__(
        self,
        classifier: AsyncBreedClassifier,
        *,
        slots: Slots,
        fetching: Slots,
        metrics: Metrics,
        readiness: Readiness,
        seconds: float,
    ) -> None:
        self._classifier = classifier
        self._slots = slots
        self._fetching = fetching
        self._metrics = metrics
        self._readiness = readiness
        self._seconds = seconds

    async def one(self, request: Request, pictures: Pictures, top_k: int) -> dict[str, object]:
        """The answer to one picture.

        Raises:
            Overloaded: Too many wait already.
            DogBreedError: What the classifier raised.
            ProblemError: The deadline passed.
            ClientDisconnect: Nobody waits any more.
        """
        [source] = pictures.sources
        assert not isinstance(source, Problem)
        prediction = await self.within_deadline(request, self._classify(source, top_k))
        return prediction.to_dict()

    async def several(self, request: Request, pictures: Pictures, top_k: int) -> list[Prediction | Problem]:
        """One answer for each picture of a batch, in order; a picture that fails leaves the others alone.

        Raises:
            Overloaded: Too many wait already; no picture was classified.
            ProblemError: The deadline passed.
            ClientDisconnect: Nobody waits any more.
        """
        self._slots.check()
        answers: list[Prediction | Problem | None] = [None] * len(pictures.sources)
        todo = iter(enumerate(pictures.sources))

        async def work(numbered: Iterator[tuple[int, Upload | str | Problem]]) -> None:
            for number, source in numbered:
                answers[number] = await self._attempt(source, top_k, request.state.request_id)

        workers = [work(todo) for _ in range(min(_PLACES_OF_A_BATCH, len(answers)))]
        await self.within_deadline(request, _all(workers))
        return [answer for answer in answers if answer is not None]

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
        fetched = isinstance(source, str) and source.lower().startswith(("http://", "https://"))
        async with AsyncExitStack() as places:
            if fetched:
                await places.enter_async_context(self._fetching.place(admitted=admitted))
            await places.enter_async_context(self._slots.place(admitted=admitted))
            if not fetched:
                return await self._ask(source, top_k)
            # A download that was begun cannot be called off: its places are taken until it ends, whoever leaves.
            asked = asyncio.ensure_future(self._ask_within(places.pop_all(), source, top_k))
        asked.add_done_callback(_heard)
        return await asyncio.shield(asked)

    async def _ask_within(self, places: AsyncExitStack, source: Upload | str, top_k: int) -> Prediction:
        async with places:
            return await self._ask(source, top_k)

    async def _ask(self, source: Upload | str, top_k: int) -> Prediction:
        try:
            prediction = await self._classifier.classify(source, top_k=top_k)
        except EndpointError:
            self._readiness.doubted()
            raise
        self._readiness.answered()
        self._metrics.picture(rejected=prediction.rejected)
        return prediction

    async def within_deadline(self, request: Request, work: Coroutine[Any, Any, Result]) -> Result:
        """What `work` gives; it is cancelled when the deadline passes or the client leaves, and frees its place.

        Raises:
            ProblemError: The deadline passed.
            ClientDisconnect: The client left.
        """
        task = asyncio.ensure_future(work)
        left = asyncio.ensure_future(_until_left(request.receive))
        try:
            await asyncio.wait((task, left), timeout=self._seconds, return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                return task.result()
            if left.done():
                raise ClientDisconnect
            raise raised("endpoint-timeout", f"There was no answer within {self._seconds:.0f} seconds.")
        finally:
            task.cancel()
            left.cancel()
            await asyncio.gather(task, left, return_exceptions=True)


def _heard(task: asyncio.Task[Prediction]) -> None:
    """Asks for the outcome, so that asyncio does not complain of one that nobody waits for any more."""
    if not task.cancelled():
        task.exception()


async def _until_left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _all(works: list[Coroutine[Any, Any, None]]) -> None:
    """Waits for all; where one fails, or this is cancelled, the others are cancelled too."""
    tasks = [asyncio.create_task(work) for work in works]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def chosen_top_k(given: int | None, in_body: int | None) -> int:
    """How many classes to rank: as the URL says, else the body, else the default."""
    return given or in_body or DEFAULT_TOP_K
