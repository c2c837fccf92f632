"""Transforms the objects of a job: several requests at a time, the responses of each object in order."""

from __future__ import annotations

import asyncio
import zlib
from collections import deque
from collections.abc import AsyncIterator, Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, ParamSpec, TypeVar

from dogbreed_sdk._util.log_file import Report
from dogbreed_sdk.errors import ConfigurationError
from dogbreed_sdk.local.transform.data_processing import DataError
from dogbreed_sdk.local.transform.objects import InputObject, Objects, output_uri
from dogbreed_sdk.local.transform.records import batches
from dogbreed_sdk.local.transform.request import TransformRequest
from dogbreed_sdk.local.transform.sender import RequestFailure, Sender

_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")


@dataclass
class Progress:
    """How far a job is.

    Attributes:
        total: How many objects there are.
        done: How many outputs were written.
        failed: How many objects failed.
        first: The first of these, with the reason.
    """

    total: int
    done: int = 0
    failed: int = 0
    first: tuple[InputObject, RequestFailure] | None = None

    def note_failure(self, item: InputObject, failure: RequestFailure) -> None:
        """Count an object that failed; the first one is kept for the job's FailureReason."""
        self.failed += 1
        self.first = self.first or (item, failure)


class Threads:
    """Threads for calls that block; one that does not return never keeps the process from ending its work."""

    def __init__(self, count: int) -> None:
        self._executor = ThreadPoolExecutor(count, thread_name_prefix="transform")

    async def call(
        self, function: Callable[_Arguments, _Result], *arguments: _Arguments.args, **named: _Arguments.kwargs
    ) -> _Result:
        """The result of a function that runs in a thread."""
        return await asyncio.get_running_loop().run_in_executor(self._executor, lambda: function(*arguments, **named))


class Pipeline:
    """Sends the records of objects to a model, and writes one output for each object.

    An object that fails leaves no output, and does not keep the others from being transformed.

    Args:
        request: How objects are split, sent and assembled.
        objects: Reads and writes them.
        sender: Sends requests.
        threads: For calls that block.
        concurrency: How many requests are sent at the same time.
        parts: The folder for unfinished outputs; it must exist.
        report: Called with lines for the data log.
    """

    def __init__(
        self,
        request: TransformRequest,
        *,
        objects: Objects,
        sender: Sender,
        threads: Threads,
        concurrency: int,
        parts: Path,
        report: Report,
    ) -> None:
        self._request = request
        self._objects = objects
        self._sender = sender
        self._threads = threads
        self._concurrency = concurrency
        self._parts = parts
        self._report = report
        self._sending = asyncio.Semaphore(concurrency)
        # Requests that wait, are being sent, or whose response waits for those before it: this bounds the memory.
        self._held = asyncio.Semaphore(2 * concurrency)

    async def run(self, items: list[InputObject], progress: Progress) -> None:
        """Transform all objects.

        Args:
            items: The objects.
            progress: Updated as they are done.

        Raises:
            ModelServerEnded: The model server is gone.
            ConfigurationError: An output can't be written.
            OSError: For instance the disk is full.
        """
        numbered = iter(enumerate(items))
        workers = [
            asyncio.create_task(self._work(numbered, progress)) for _ in range(min(self._concurrency, len(items)))
        ]
        try:
            await asyncio.gather(*workers)
        finally:
            await _cancel(workers)

    async def _work(self, numbered: Iterator[tuple[int, InputObject]], progress: Progress) -> None:
        for number, item in numbered:
            part = self._parts / f"{number}.out"
            try:
                await self._transform(item, part)
            except DataError as error:
                self._fail(item, RequestFailure("ClientError", str(error)), progress)
            except RequestFailure as failure:
                self._fail(item, failure, progress)
            else:
                await self._deliver(item, part)
                progress.done += 1

    def _fail(self, item: InputObject, failure: RequestFailure, progress: Progress) -> None:
        progress.note_failure(item, failure)
        for line in failure.lines:
            self._report(f"{item.name}: {line}")

    async def _transform(self, item: InputObject, part: Path) -> None:
        pending: deque[asyncio.Task[bytes]] = deque()
        with part.open("wb") as output:
            try:
                async with self._opened(item) as content:
                    for records in _readable(batches(content, self._request)):
                        while pending and (pending[0].done() or self._held.locked()):
                            await self._write_next(pending, output)
                        await self._held.acquire()
                        pending.append(asyncio.create_task(self._response(records)))
                while pending:
                    await self._write_next(pending, output)
            except BaseException:
                output.close()
                part.unlink()
                raise
            finally:
                await _cancel(pending)
                for _ in pending:
                    self._held.release()

    async def _response(self, records: list[bytes]) -> bytes:
        processing = self._request.processing
        body = processing.model_input(records)
        async with self._sending:
            response = await self._sender.send(body)
        return processing.output(records, response)

    async def _write_next(self, pending: deque[asyncio.Task[bytes]], output: BinaryIO) -> None:
        response = await pending[0]
        pending.popleft()
        self._held.release()
        output.write(response)
        if self._request.adds_newline and not response.endswith(b"\n"):
            output.write(b"\n")

    async def _deliver(self, item: InputObject, part: Path) -> None:
        uri = output_uri(self._request.output, item)
        if uri.startswith("s3://"):
            await self._threads.call(self._objects.deliver, part, uri)
        else:
            self._objects.deliver(part, uri)  # a rename takes less time than a thread

    @asynccontextmanager
    async def _opened(self, item: InputObject) -> AsyncIterator[BinaryIO]:
        opened = self._objects.opened(item, is_compressed=self._request.is_compressed)
        with ExitStack() as stack:
            try:
                is_remote = item.uri.startswith("s3://")
                enter = stack.enter_context
                content = await self._threads.call(enter, opened) if is_remote else enter(opened)
            except ConfigurationError as error:
                raise DataError(str(error)) from error
            yield content


def _readable(records: Iterator[list[bytes]]) -> Iterator[list[bytes]]:
    """The records of an object; one that is not compressed as the request says is the data's fault."""
    try:
        yield from records
    except (EOFError, OSError, zlib.error) as error:
        raise DataError(f"The object can't be read: {error}") from error


async def _cancel(tasks: Collection[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
