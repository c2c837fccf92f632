"""One batch transform job from its start to its outcome, as its supervisor runs it."""

from __future__ import annotations

import asyncio
import signal
import socket
import threading
import traceback
from contextlib import suppress
from datetime import datetime, timezone
from pathlib import Path

from dogbreed_sdk._util.cores import CORES_VARIABLE
from dogbreed_sdk._util.log_file import LogFile, last_lines
from dogbreed_sdk._util.processes import end_process, identify_self
from dogbreed_sdk.errors import ConfigurationError, EndpointNotReadyError
from dogbreed_sdk.local.failure_reason import unexpected
from dogbreed_sdk.local.folders import EndpointFolder, JobFolder
from dogbreed_sdk.local.hosting import servers
from dogbreed_sdk.local.hosting.model import Deployment, container_environment, model_form, model_uri, restore
from dogbreed_sdk.local.states import RUNNING_STATUSES, Server, State
from dogbreed_sdk.local.store import TRANSFORM_JOB, Store, StoreError
from dogbreed_sdk.local.supervision import write_outcome
from dogbreed_sdk.local.support import tables
from dogbreed_sdk.local.thread_ledger import ThreadLedger
from dogbreed_sdk.local.transform import state as job_state
from dogbreed_sdk.local.transform.objects import Objects
from dogbreed_sdk.local.transform.pipeline import Pipeline, Progress, Threads
from dogbreed_sdk.local.transform.request import (
    MAX_CONCURRENCY,
    TransformRequest,
    batch_environment,
    described_settings,
)
from dogbreed_sdk.local.transform.sender import ModelServerEnded, Sender
from training_scripts._util.number_text import counted

_PROGRESS_SECONDS = 5.0
_STOP_LOOK_SECONDS = 0.2
_QUEUE_SECONDS = 0.2
_STOP_SECONDS = 2.0
_FAILURE_LINES = 8
_SEE_LOGS = "See job logs for more information"


class _EndedError(Exception):
    """The job has ended, or another supervisor has begun it: it must not run again."""


class TransformRun:
    """Runs one transform job.

    Args:
        store: The store with the job's record.
        name: The job.
    """

    def __init__(self, store: Store, name: str) -> None:
        self._store = store
        self._record = store.get(TRANSFORM_JOB, name)
        self._folder = JobFolder.of(store.root, name, TRANSFORM_JOB)
        self._log = LogFile(self._folder.data_log)
        self._ledger = ThreadLedger(store.root)
        self._ledger_name = job_state.ledger_name(name)
        self._threads = Threads(MAX_CONCURRENCY + 1)
        # The model server ends when this process does, because the kernel closes the socket.
        self._line, self._servers_end = socket.socketpair()
        self._server: Server | None = None
        self._starting = threading.Event()
        self._starting.set()
        self._progress = Progress(total=0)

    def execute(self) -> None:
        """Run the whole job; afterward its record has the outcome, whatever happens."""
        try:
            self._begin()
        except _EndedError:
            return
        try:
            status, failure = asyncio.run(self._until_stopped())
        except ConfigurationError as error:
            status, failure = "Failed", f"ClientError: {error}"
        except Exception as error:  # noqa: BLE001 - the record must get an outcome
            status, failure = "Failed", unexpected(error, self._folder)
        try:
            self._end_model()
        except Exception:  # noqa: BLE001 - as above
            traceback.print_exc()
        self._finish(status, failure)
        self._ledger.release(self._ledger_name)
        self._log.close()

    def _begin(self) -> None:
        process = identify_self(root=self._store.root)

        def change(state: State) -> None:
            if state.get("begun") or state.get("status") not in RUNNING_STATUSES:
                raise _EndedError
            state.update({"begun": True, "process": process})

        self._store.update(TRANSFORM_JOB, self._record.name, change)

    async def _until_stopped(self) -> tuple[str, str | None]:
        terminated = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, terminated.set)
        work = asyncio.create_task(self._run())
        stop = asyncio.create_task(self._stop_requested(terminated))
        try:
            await asyncio.wait({work, stop}, return_when=asyncio.FIRST_COMPLETED)
            if work.done():
                return work.result()
            self._line.close()  # ends a model server that is still being started
            return "Stopped", None
        finally:
            for task in (work, stop):
                task.cancel()
            await asyncio.gather(work, stop, return_exceptions=True)

    async def _stop_requested(self, terminated: asyncio.Event) -> None:
        while not terminated.is_set():
            with suppress(StoreError):  # a busy store can wait for the next look
                if self._store.get(TRANSFORM_JOB, self._record.name).state.get("stop"):
                    return
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(terminated.wait(), _STOP_LOOK_SECONDS)

    async def _run(self) -> tuple[str, str | None]:
        request = TransformRequest.read(self._record.request)
        for member, reason in tables.without_meaning("sagemaker", "CreateTransformJob", self._record.request).items():
            self._report(f"{member} has no effect on local SageMaker: {reason}.")
        objects = Objects(self._folder.path)
        threads = await self._granted_threads()
        self._store.update(TRANSFORM_JOB, self._record.name, lambda state: state.update({"started": self._record.now}))
        items = await self._threads.call(objects.find, request.source)
        self._progress = Progress(total=len(items))
        try:
            server = await self._start_model(threads)
        except EndpointNotReadyError as error:
            return "Failed", f"AlgorithmError: {error}"
        parameters = await self._threads.call(servers.execution_parameters, server)
        concurrency = request.concurrency_for(parameters)
        self._report(described_settings(request, concurrency))
        reporting = asyncio.create_task(self._report_progress())
        sender = Sender(server, request)
        try:
            await Pipeline(
                request,
                objects=objects,
                sender=sender,
                threads=self._threads,
                concurrency=concurrency,
                parts=self._parts(),
                report=self._report,
            ).run(items, self._progress)
        except ModelServerEnded:
            return "Failed", self._server_ended()
        finally:
            reporting.cancel()
            await sender.close()
        self._report(self._described_progress())
        return self._outcome()

    async def _granted_threads(self) -> int:
        """Wait for cores of this machine, which training jobs and other transform jobs may occupy."""
        shown = ""
        while True:
            granted = self._ledger.claim(
                self._ledger_name,
                process=identify_self(root=self._store.root),
                wanted=self._ledger.cores,
            )
            if granted:
                return granted
            reason = self._ledger.why_waiting()
            if reason != shown:
                self._report(reason)
                shown = reason
            await asyncio.sleep(_QUEUE_SECONDS)

    async def _start_model(self, threads: int) -> Server:
        container = self._record.state["container"]
        deployment = Deployment(
            variant="",
            model=model_uri(container),
            environment={
                CORES_VARIABLE: str(threads),
                **container_environment(container),
                **self._record.request.get("Environment", {}),
                **batch_environment(self._record.request),
            },
            digest="",
            startup_seconds=None,
            form=model_form(container),
        )
        server = await self._threads.call(self._started, deployment)
        self._store.update(TRANSFORM_JOB, self._record.name, lambda state: state.update({"server": server}))
        return server

    def _started(self, deployment: Deployment) -> Server:
        self._starting.clear()
        try:
            folder = EndpointFolder(self._folder.path)
            prepared = restore(folder, deployment)
            self._server = servers.start(self._store.root, folder, prepared, parent=self._servers_end)
            return self._server
        finally:
            self._servers_end.close()
            self._starting.set()

    def _parts(self) -> Path:
        parts = self._folder.path / job_state.PARTS_FOLDER
        parts.mkdir(exist_ok=True)
        return parts

    def _end_model(self) -> None:
        """End the model server and what it started, and remove the unpacked model and unfinished outputs."""
        self._line.close()
        self._starting.wait(_STOP_SECONDS)
        end_process(self._server, grace_seconds=_STOP_SECONDS, root=self._store.root)
        job_state.clean_up(self._folder)

    async def _report_progress(self) -> None:
        while True:
            await asyncio.sleep(_PROGRESS_SECONDS)
            self._report(self._described_progress())

    def _described_progress(self) -> str:
        progress = self._progress
        failed = f", {progress.failed} failed" if progress.failed else ""
        return f"{progress.done} of {counted(progress.total, 'object')} transformed{failed}"

    def _report(self, line: str) -> None:
        moment = datetime.now(timezone.utc).isoformat(timespec="milliseconds").removesuffix("+00:00")
        with suppress(OSError):  # a full disk, which the outputs meet too
            self._log.write([f"{moment}:[sagemaker logs]: {line}"])

    def _outcome(self) -> tuple[str, str | None]:
        if self._progress.first is None:
            return "Completed", None
        item, failure = self._progress.first
        return "Failed", (
            f"{failure.kind}: {_SEE_LOGS}. {self._progress.failed} of {counted(self._progress.total, 'object')} "
            f"failed; the first is {item.name}: {failure}"
        )

    def _server_ended(self) -> str:
        self._report("Unable to get response from algorithm: the model server ended")
        reason = (
            f"AlgorithmError: {_SEE_LOGS}. The model server ended with {self._described_progress()}: it was killed, "
            "perhaps because the machine ran out of memory, or its code ended it. The end of its log:"
        )
        return "\n".join([reason, *last_lines(self._folder.log, _FAILURE_LINES)])

    def _finish(self, status: str, failure: str | None) -> None:
        def change(state: State) -> None:
            job_state.finish(state, status, now=self._record.now, failure=failure)

        write_outcome(self._store, self._record, change)
