"""Calls a model's code for many requests at once: in micro-batches where the code can, else one after the other."""

from __future__ import annotations

import asyncio
import functools
import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Protocol, TypeVar

from dogbreed_sdk.model_server.handlers import ModelAnswer, ModelHandlers, ModelRequest

# Beyond this a CPU answers no more requests a second, and each waits longer (measured with efficientnet_lite0).
MAXIMUM_BATCH = 8
# Requests that are read and wait for the model, or are being read: a batch, and the next one.
MAXIMUM_READ = 2 * MAXIMUM_BATCH
# A picture takes a few milliseconds to decode: two threads keep up with a model, four with one on a GPU.
_MAXIMUM_READERS = 4

Result = TypeVar("Result")


class Answering(Protocol):
    """Answers requests; cancelling a call takes the request back where nobody has begun to work on it."""

    async def answer(self, request: ModelRequest) -> ModelAnswer:
        """The model's answer; raises what the model's code raised."""
        ...

    def stuck_seconds(self) -> float:
        """How long the call of the model that runs now has lasted; 0 where none runs."""
        ...


def answering(handlers: ModelHandlers, *, cores: int) -> Answering:
    """What suits a model: micro-batches where its code has predict_batch_fn."""
    if handlers.predict_batch_fn is None:
        return OneByOne(handlers)
    return MicroBatches(handlers, readers=min(_MAXIMUM_READERS, max(2, cores)))


def _of_the_request(error: BaseException) -> Exception:
    """An error of the model's code as one that ends nothing but its request.

    exit() would end the server, and asyncio's futures refuse StopIteration: the request would wait for ever.
    """
    if isinstance(error, Exception) and not isinstance(error, StopIteration):
        return error
    found = RuntimeError(f"the model's code raised {type(error).__name__}: {error}")
    found.__cause__ = error
    return found


def _contained(function: Callable[[ModelRequest], Result], request: ModelRequest) -> Result:
    try:
        return function(request)
    except (StopIteration, SystemExit) as error:
        raise _of_the_request(error) from error


class _Clock:
    """Since when a call runs."""

    def __init__(self) -> None:
        self._since: float | None = None

    def __enter__(self) -> None:
        self._since = time.monotonic()

    def __exit__(self, *_: object) -> None:
        self._since = None

    def seconds(self) -> float:
        since = self._since
        return 0.0 if since is None else time.monotonic() - since


class OneByOne:
    """Calls all functions in one thread, as AWS's toolkit does: code that knows no threads is safe with it."""

    def __init__(self, handlers: ModelHandlers) -> None:
        self._handlers = handlers
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="model")
        self._clock = _Clock()

    async def answer(self, request: ModelRequest) -> ModelAnswer:
        """The model's answer; requests are answered in the order they came."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._invoke, request)

    def _invoke(self, request: ModelRequest) -> ModelAnswer:
        with self._clock:
            return _contained(self._handlers.invoke, request)

    def stuck_seconds(self) -> float:
        """How long the request that is being answered has taken."""
        return self._clock.seconds()


class MicroBatches:
    """Reads requests in a few threads, and has the model answer all that wait for it, up to eight, in one call.

    It never waits for more to come: a request that finds the model idle is answered at once, alone.

    Args:
        handlers: The model, with predict_batch_fn.
        readers: Threads that read requests and write answers. Pillow and torch let go of the interpreter's lock.
    """

    def __init__(self, handlers: ModelHandlers, *, readers: int) -> None:
        self._handlers = handlers
        self._readers = ThreadPoolExecutor(readers, thread_name_prefix="reader")
        self._ready: queue.SimpleQueue[tuple[Any, Future[Any]]] = queue.SimpleQueue()
        # What has been read may be far larger than what arrived: only so much of it waits for the model.
        self._room = asyncio.Semaphore(MAXIMUM_READ)
        self._clock = _Clock()
        threading.Thread(target=self._serve_model, name="model", daemon=True).start()

    async def answer(self, request: ModelRequest) -> ModelAnswer:
        """The model's answer."""
        loop = asyncio.get_running_loop()
        async with self._room:
            data = await loop.run_in_executor(self._readers, _contained, self._handlers.read, request)
            promised: Future[Any] = Future()
            self._ready.put((data, promised))
            del data
            prediction = await asyncio.wrap_future(promised)
        write = functools.partial(self._handlers.write, prediction)
        return await loop.run_in_executor(self._readers, _contained, write, request)

    def stuck_seconds(self) -> float:
        """How long the model has been at its present batch."""
        return self._clock.seconds()

    def _serve_model(self) -> None:
        while True:
            self._answer_next()

    def _answer_next(self) -> None:
        """By itself, so that nothing of a batch, which may be large, is kept until the next one comes."""
        batch = self._next_batch()
        if not batch:
            return
        with self._clock:
            predictions = self._handlers.predict_all([data for data, _ in batch])
        for (_, promised), prediction in zip(batch, predictions, strict=True):
            if isinstance(prediction, BaseException):
                promised.set_exception(_of_the_request(prediction))
            else:
                promised.set_result(prediction)

    def _next_batch(self) -> list[tuple[Any, Future[Any]]]:
        """What waits for the model, at least one; those taken back meanwhile are left out."""
        taken = [self._ready.get()]
        while len(taken) < MAXIMUM_BATCH:
            try:
                taken.append(self._ready.get_nowait())
            except queue.Empty:
                break
        return [each for each in taken if each[1].set_running_or_notify_cancel()]
