"""Answers an asynchronous endpoint's requests: `python -m dogbreed_sdk.local.hosting.async_worker ROOT NAME`.

The process outlives the server that started it, and ends when the queue has been empty for a while.
"""

from __future__ import annotations

import asyncio
import sys
import time
import traceback
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from typing import cast

from dogbreed_sdk._util.log_file import LogFile
from dogbreed_sdk.errors import ConfigurationError, EndpointError
from dogbreed_sdk.local import supervision
from dogbreed_sdk.local.folders import EndpointFolder
from dogbreed_sdk.local.hosting import async_outcomes
from dogbreed_sdk.local.hosting.async_outcomes import MAX_PAYLOAD_BYTES, read_input
from dogbreed_sdk.local.hosting.async_queue import QueuedRequest, waiting
from dogbreed_sdk.local.hosting.endpoint_client import EndpointClient
from dogbreed_sdk.local.hosting.endpoint_metrics import EndpointMetrics
from dogbreed_sdk.local.hosting.model_client import Answer, ModelClient, ServerGoneError, described_error
from dogbreed_sdk.local.hosting.routing import choose_variant
from dogbreed_sdk.local.hosting.state import active
from dogbreed_sdk.local.states import Outcome, State
from dogbreed_sdk.local.store import ASYNC_INVOCATION, ENDPOINT, NotFound, Record, Store
from training_scripts._util.atomic import write_atomically
from training_scripts._util.locking import file_lock_within
from training_scripts.data.formats import JSON, OCTET_STREAM

# On AWS, SageMaker chooses it if MaxConcurrentInvocationsPerInstance is not given; this is one batch of our bundles.
DEFAULT_CONCURRENCY = 8
# The model server turns away requests beyond 64 that wait; it does not get faster before that.
_MAX_CONCURRENCY = 64
_POLL_SECONDS = 0.05
_EXPIRY_SECONDS = 1.0
# Starting the process takes half a second, which the next request within this time does not have to wait for.
_LINGER_SECONDS = 20.0
_LOCK_SECONDS = 1.0
_INTERRUPTED = (
    "The process that answers the requests of this endpoint ended while the model had this one, which may have been "
    "processed. It is not repeated; send it again if that does no harm."
)
_EXPIRED = "The request expired: it was in the queue for {seconds} s, the limit of RequestTTLSeconds."
_DELETED = "The endpoint was deleted before the request was processed."


def main(arguments: Sequence[str]) -> int:
    """Serve one endpoint's queue; returns 0 also if another process does so."""
    store, name = supervision.open_store(arguments)
    folder = EndpointFolder.of(store.root, name)
    while True:
        with file_lock_within(folder.queue_lock, _LOCK_SECONDS) as is_ours:
            if not is_ours:
                return 0
            asyncio.run(AsyncWorker(store, name).run())
        # A request that came while this process still held the lock has started no other.
        if not waiting(store, name, "Pending", limit=1):
            return 0


class AsyncWorker:
    """Answers the requests of one endpoint's queue, several at a time.

    Args:
        store: The store with the queue.
        name: The endpoint.
    """

    def __init__(self, store: Store, name: str) -> None:
        self._store = store
        self._name = name
        self._folder = EndpointFolder.of(store.root, name)
        self._metrics = EndpointMetrics(store)
        self._tasks: dict[str, asyncio.Task[None]] = {}

    async def run(self) -> None:
        """Returns when the queue has been empty for a while, or the endpoint is gone and all requests have failed."""
        measuring = asyncio.create_task(self._metrics.run())
        try:
            await self._work()
        finally:
            measuring.cancel()
            await self._metrics.flush()

    async def _work(self) -> None:
        self._recover()
        last_use = checked = time.monotonic()
        while True:
            now = time.monotonic()
            endpoint = self._endpoint()
            if endpoint is not None:
                self._claim(endpoint)
            if endpoint is None or now - checked > _EXPIRY_SECONDS:
                checked = now
                self._fail_hopeless(endpoint)
            if self._tasks:
                last_use = now
            elif endpoint is None or now - last_use > _LINGER_SECONDS:
                break
            await asyncio.sleep(_POLL_SECONDS)
            for name in [name for name, task in self._tasks.items() if task.done()]:
                self._tasks.pop(name).result()

    def _endpoint(self) -> Record | None:
        """The endpoint; None if it is gone or about to go."""
        try:
            record = self._store.get(ENDPOINT, self._name)
        except NotFound:
            return None
        return None if record.state["status"] in ("Deleting", "Failed") else record

    def _recover(self) -> None:
        """Give an outcome to the requests that a killed process had taken."""
        for record in waiting(self._store, self._name, "Delivering"):
            self._begin(record, self._deliver(record))
        for record in waiting(self._store, self._name, "Running"):
            self._fail(record, _INTERRUPTED)

    def _claim(self, endpoint: Record) -> None:
        """Take the oldest requests, as many as may be processed at once."""
        limit = _concurrency(endpoint)
        free = limit - len(self._tasks)
        if free <= 0:
            return
        candidates = waiting(self._store, self._name, "Pending", limit=limit)
        for record in [record for record in candidates if record.name not in self._tasks][:free]:
            if _hopeless(endpoint, record) is None:
                self._begin(record, self._process(endpoint, record))

    def _fail_hopeless(self, endpoint: Record | None) -> None:
        """Fail the requests that have expired, and those of an endpoint that was deleted."""
        for record in waiting(self._store, self._name, "Pending"):
            reason = _hopeless(endpoint, record)
            if reason is not None and record.name not in self._tasks:
                self._fail(record, reason)

    def _begin(self, record: Record, work: Coroutine[object, object, None]) -> None:
        self._tasks[record.name] = asyncio.create_task(work)

    def _fail(self, record: Record, reason: str) -> None:
        """Fail a request that is not being processed."""
        self._begin(record, self._deliver(self._note(record, *_failure(reason))))

    async def _process(self, endpoint: Record, record: Record) -> None:
        began = time.monotonic()
        try:
            answer = await self._answer(endpoint, record)
        except TimeoutError:
            seconds = _request(record)["timeout"]
            outcome, content = _failure(f"The model did not respond within {seconds} s (InvocationTimeoutSeconds).")
        except NotFound:
            outcome, content = _failure(_DELETED)
        except (ServerGoneError, EndpointError, ConfigurationError) as error:
            outcome, content = _failure(str(error))
        except Exception as error:  # noqa: BLE001 - the request must get an outcome
            traceback.print_exc()
            outcome, content = _failure(f"{type(error).__name__}: {error}")
        else:
            taken = time.monotonic() - began
            outcome, content = _outcome(answer, seconds=taken, waited=record.age - taken)
        await self._deliver(await asyncio.to_thread(self._note, record, outcome, content))

    async def _answer(self, endpoint: Record, record: Record) -> Answer:
        """The model's response; the request counts as processed once its input has been read."""
        request = _request(record)
        body, stored_type = await asyncio.to_thread(read_input, request)
        headers = {"content-type": stored_type or OCTET_STREAM, **request["headers"]}
        variant = choose_variant(endpoint.state)
        running: State = {"status": "Running", "variant": variant}
        self._store.update(ASYNC_INVOCATION, record.name, lambda state: state.update(running))
        # Each request has its own connection: over one that was kept, it might be sent a second time.
        client = EndpointClient(self._store, ModelClient(max_response_bytes=MAX_PAYLOAD_BYTES))
        try:
            with self._metrics.measured(self._name, variant) as measured:
                answer = await client.call(endpoint, variant, headers, body, seconds=request["timeout"])
                measured.status = answer.status
            return answer
        finally:
            await client.close()

    def _note(self, record: Record, outcome: Outcome, content: bytes) -> Record:
        """Put an outcome on this disk, from which it is delivered whatever happens to this process."""
        write_atomically(async_outcomes.spool(self._folder, record), content)

        def change(state: State) -> None:
            state.update({"status": "Delivering", "outcome": outcome})

        return self._store.update(ASYNC_INVOCATION, record.name, change)

    async def _deliver(self, record: Record) -> None:
        """Write an outcome where the client expects it, and remove the request from the queue."""
        request, outcome = _request(record), record.state["outcome"]
        message = outcome["message"]
        file = async_outcomes.spool(self._folder, record)
        uri = request["output"] if outcome["succeeded"] else request["failure"]
        try:
            if uri is not None and file.exists():  # otherwise a killed process has delivered it
                await asyncio.to_thread(async_outcomes.deliver, file, uri, outcome)
        except ConfigurationError as error:
            if outcome["succeeded"]:
                await self._deliver(self._note(record, *_failure(f"The response could not be delivered: {error}")))
                return
            message = f"{message} Nor could this be delivered: {error}"
        with suppress(OSError):  # a full disk must not keep the request in the queue
            self._write_log(record, f"[sagemaker logs] [{request['inference_id']}] {message}")
        file.unlink(missing_ok=True)
        self._store.delete(ASYNC_INVOCATION, record.name)

    def _write_log(self, record: Record, line: str) -> None:
        """Write to the log of the variant that had the request; to that of the first one if none had it."""
        log = LogFile(self._folder.log_of(record.state.get("variant") or next(iter(self._folder.logged_variants), "")))
        try:
            log.write([line])
        finally:
            log.close()


def _request(record: Record) -> QueuedRequest:
    return cast(QueuedRequest, record.request)


def _concurrency(endpoint: Record) -> int:
    config = active(endpoint.state).get("async_config")
    client = config.get("ClientConfig") if config else None
    wanted = client.get("MaxConcurrentInvocationsPerInstance", DEFAULT_CONCURRENCY) if client else DEFAULT_CONCURRENCY
    return min(wanted, _MAX_CONCURRENCY)


def _hopeless(endpoint: Record | None, record: Record) -> str | None:
    """Why a request in the queue can't be processed any more; None if it can."""
    request = _request(record)
    if endpoint is None or endpoint.created != request["endpoint_created"]:
        return _DELETED
    if record.age > request["expires_after"]:
        return _EXPIRED.format(seconds=request["expires_after"])
    return None


def _failure(message: str, status: int | None = None, original: str | None = None) -> tuple[Outcome, bytes]:
    outcome: Outcome = {"succeeded": False, "content_type": JSON, "custom_attributes": None, "message": message}
    return outcome, async_outcomes.failure_content(message, status, original)


def _outcome(answer: Answer, *, seconds: float, waited: float) -> tuple[Outcome, bytes]:
    """The outcome of a request to which the model has responded; also an error of the model is a response."""
    if not answer.is_success:
        return _failure(described_error(answer.status, answer.text), answer.status, answer.text)
    outcome: Outcome = {
        "succeeded": True,
        "content_type": answer.headers.get("content-type", OCTET_STREAM),
        "custom_attributes": answer.headers.get("x-amzn-sagemaker-custom-attributes"),
        "message": f"Inference request succeeded. TimeInBacklog: {waited * 1000:.0f} ms, "
        f"TotalProcessingTime: {seconds * 1000:.0f} ms",
    }
    return outcome, answer.body


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
