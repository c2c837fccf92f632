"""Runs the model for concurrent requests: in micro-batches if the model's code supports them, else one by one."""

from __future__ import annotations

import asyncio
import functools
import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol, TypeVar

from dogbreed_sdk.model_server.handlers import ModelHandlers, ModelRequest, ModelResponse

# With larger batches a CPU handles no more requests per second, and each waits longer (measured with
# efficientnet_lite0).
MAXIMUM_BATCH = 8
# Requests that are being read, or have been read and wait for the model: a batch, and the next one.
MAXIMUM_READ = 2 * MAXIMUM_BATCH
# Decoding a picture takes a few milliseconds: two threads keep up with a model on a CPU, four with one on a GPU.
_MAXIMUM_READERS = 4

Result = TypeVar("Result")


class ModelRunner(Protocol):
    """Runs the model for requests; cancelling `run` withdraws a request on which no work has begun.

    Attributes:
        concurrency: How many requests at a time keep the model busy.
    """

    concurrency: int

    async def run(self, request: ModelRequest) -> ModelResponse:
        """The model's response; raises what the model's code raised."""
        ...

    def call_seconds(self) -> float:
        """How long the current call of the model has lasted; 0 without one."""
        ...


def runner_for(handlers: ModelHandlers, *, cores: int) -> ModelRunner:
    """The runner that suits a model: micro-batches if its code has predict_batch_fn."""
    if handlers.predict_batch_fn is None:
        return SequentialRunner(handlers)
    return BatchingRunner(handlers, readers=min(_MAXIMUM_READERS, max(2, cores)))


def _request_error(error: BaseException) -> Exception:
    """An error of the model's code as an exception that fails only its request.

    SystemExit would end the server, and asyncio's futures refuse StopIteration: the request would wait forever.
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
        raise _request_error(error) from error


class _CallTimer:
    """Measures the current call: entered when it starts, left when it ends."""

    def __init__(self) -> None:
        self._since: float | None = None

    def __enter__(self) -> None:
        self._since = time.monotonic()

    def __exit__(self, *_: object) -> None:
        self._since = None

    def seconds(self) -> float:
        since = self._since
        return 0.0 if since is None else time.monotonic() - since


class SequentialRunner:
    """Calls all functions in one thread, as AWS's toolkit does; safe for code that is not thread-safe."""

    concurrency = 1

    def __init__(self, handlers: ModelHandlers) -> None:
        self._handlers = handlers
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="model")
        self._timer = _CallTimer()

    async def run(self, request: ModelRequest) -> ModelResponse:
        """The model's response; requests are processed in the order of their arrival."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._invoke, request)

    def _invoke(self, request: ModelRequest) -> ModelResponse:
        with self._timer:
            return _contained(self._handlers.invoke, request)

    def call_seconds(self) -> float:
        """How long the current request has taken."""
        return self._timer.seconds()


class BatchingRunner:
    """Reads requests in a few threads, and runs the model once for all that wait for it, up to eight.

    It never waits for more requests: one that finds the model idle is run at once, alone.

    Args:
        handlers: The model, with predict_batch_fn.
        readers: Number of threads that read requests and write responses. Pillow and torch release the interpreter's
            lock.
    """

    concurrency = MAXIMUM_READ

    def __init__(self, handlers: ModelHandlers, *, readers: int) -> None:
        self._handlers = handlers
        self._readers = ThreadPoolExecutor(readers, thread_name_prefix="reader")
        self._ready: queue.SimpleQueue[tuple[object, Future[object]]] = queue.SimpleQueue()
        # Decoded data may be far larger than the request, so the number of decoded requests is limited.
        self._read_limit = asyncio.Semaphore(MAXIMUM_READ)
        self._timer = _CallTimer()
        threading.Thread(target=self._run_batches, name="model", daemon=True).start()

    async def run(self, request: ModelRequest) -> ModelResponse:
        """The model's response."""
        loop = asyncio.get_running_loop()
        async with self._read_limit:
            data = await loop.run_in_executor(self._readers, _contained, self._handlers.read, request)
            future: Future[object] = Future()
            self._ready.put((data, future))
            del data
            prediction = await asyncio.wrap_future(future)
        write = functools.partial(self._handlers.write, prediction)
        return await loop.run_in_executor(self._readers, _contained, write, request)

    def call_seconds(self) -> float:
        """How long the model has worked on its current batch."""
        return self._timer.seconds()

    def _run_batches(self) -> None:
        while True:
            self._run_next_batch()

    def _run_next_batch(self) -> None:
        """A separate function, so that its variables do not keep a large batch alive until the next one."""
        batch = self._next_batch()
        if not batch:
            return
        with self._timer:
            predictions = self._handlers.predict_all([data for data, _ in batch])
        for (_, future), prediction in zip(batch, predictions, strict=True):
            if isinstance(prediction, BaseException):
                future.set_exception(_request_error(prediction))
            else:
                future.set_result(prediction)

    def _next_batch(self) -> list[tuple[object, Future[object]]]:
        """Waits for a request, and returns all that are ready, except those that were cancelled meanwhile."""
        taken = [self._ready.get()]
        while len(taken) < MAXIMUM_BATCH:
            try:
                taken.append(self._ready.get_nowait())
            except queue.Empty:
                break
        return [each for each in taken if each[1].set_running_or_notify_cancel()]
