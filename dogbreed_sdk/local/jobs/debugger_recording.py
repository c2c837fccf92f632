"""Keeps a job's recordings where users find them while its scripts run: samples the machine, uploads what is new."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from dogbreed_sdk.local.jobs.companion import Companion
from dogbreed_sdk.local.jobs.debugger_outputs import (
    DEBUG_OUTPUT,
    PROFILER_OUTPUT,
    outputs,
    update_profiler,
)
from dogbreed_sdk.local.jobs.debugger_uploads import Upload
from dogbreed_sdk.local.jobs.hosts import Host
from training_scripts.recording.trial import layout

if TYPE_CHECKING:
    from types_boto3_sagemaker.type_defs import CreateTrainingJobRequestTypeDef

    from dogbreed_sdk.local.jobs.system_metrics import SystemMetrics

# A recording can be read while its job runs, so a reader should not have to wait long for the next steps.
_FIRST_DELIVERY_SECONDS, _DELIVERY_SECONDS = 1.0, 5.0
_OUR_RECORDER = "builtin"


@contextmanager
def recording(
    hosts: Sequence[Host],
    request: CreateTrainingJobRequestTypeDef,
    *,
    updated: Callable[[], CreateTrainingJobRequestTypeDef],
    report: Callable[[str], object],
    abandoned: Callable[[], bool],
) -> Iterator[None]:
    """Deliver what the scripts record while the block runs them; all of it is delivered when the block has ended.

    Args:
        hosts: The job's hosts.
        request: The CreateTrainingJob request.
        updated: Returns that request with what was updated since; called every few seconds.
        report: Called with lines for the job's log once the scripts have ended.
        abandoned: Called several times a second at the end; if it returns True, the rest is not delivered.
    """
    keeper = _Keeper(hosts, request, updated)
    keeper.begin()
    keeper.start()
    try:
        yield
    finally:
        keeper.finish(abandoned)
        for problem in keeper.problems:
            report(problem)


class _Keeper(Companion):
    """Samples and uploads until `finish`. A failure costs a line in `problems`, and never the job."""

    def __init__(
        self,
        hosts: Sequence[Host],
        request: CreateTrainingJobRequestTypeDef,
        updated: Callable[[], CreateTrainingJobRequestTypeDef],
    ) -> None:
        super().__init__("recordings")
        self.problems: list[str] = []
        self._hosts, self._request, self._updated = hosts, request, updated
        self._outputs = outputs(hosts[0], request)
        self._uploads = {name: Upload(output) for name, output in self._outputs.items() if output.is_uploaded}
        self._uploading: threading.Thread | None = None
        self._metrics: SystemMetrics | None = None

    def begin(self) -> None:
        """Take the first sample. Rates are since the one before, so even a short job has some at its end."""
        self._guarded(self._open_metrics)
        self._guarded(self._sample)

    def run(self) -> None:
        """Sample and deliver."""
        begun = time.monotonic()
        tick, due = begun + self._interval, begun + _FIRST_DELIVERY_SECONDS
        while not self._stopping.wait(max(0.0, min(tick, due) - time.monotonic())):
            now = time.monotonic()
            if now >= tick:
                self._guarded(self._sample)
                tick = max(tick + self._interval, now)
            if now >= due:
                self._guarded(self._follow_update, quiet=True)  # a busy store can wait for the next time
                self._write_metrics()
                self._begin_uploads()
                due = time.monotonic() + _DELIVERY_SECONDS
        self._guarded(self._sample)
        self._guarded(self._mark_end)
        self._write_metrics()
        if self._uploading is not None:
            self._uploading.join()
        for upload in self._uploads.values():
            if self._guarded(upload.send):
                self._guarded(upload.mark)

    @property
    def _interval(self) -> float:
        return self._metrics.interval if self._metrics else _DELIVERY_SECONDS

    def _write_metrics(self) -> None:
        if self._metrics is not None:
            self._guarded(self._metrics.write)

    def _begin_uploads(self) -> None:
        """Upload in a thread: a slow connection must not delay the samples."""
        # While scripts run, one failure is enough: the last upload tries again.
        due = [upload for upload in self._uploads.values() if not upload.failed]
        if due and (self._uploading is None or not self._uploading.is_alive()):
            self._uploading = threading.Thread(target=_try, args=(due,), name="uploads", daemon=True)
            self._uploading.start()

    def _follow_update(self) -> None:
        """Switch the profiler as UpdateTrainingJob asked for since the last time."""
        request = self._updated()
        if request.get("ProfilerConfig") == self._request.get("ProfilerConfig"):
            return
        self._write_metrics()  # before the scripts read that the profiler is disabled: no sample is added later
        for host in self._hosts:
            update_profiler(host, request)
        self._request, self._metrics = request, None
        self._outputs = outputs(self._hosts[0], request)
        profile = self._outputs.get(PROFILER_OUTPUT)
        if profile is not None and profile.is_uploaded:
            self._uploads.setdefault(PROFILER_OUTPUT, Upload(profile))
        self._open_metrics()

    def _open_metrics(self) -> None:
        profile = self._outputs.get(PROFILER_OUTPUT)
        if profile is None:
            return
        from dogbreed_sdk.local.jobs.system_metrics import DEFAULT_INTERVAL_MS, SystemMetrics  # noqa: PLC0415

        interval = (self._request.get("ProfilerConfig") or {}).get("ProfilingIntervalInMilliseconds")
        names = [host.name for host in self._hosts]
        self._metrics = SystemMetrics(profile.folder, names, interval or DEFAULT_INTERVAL_MS)

    def _sample(self) -> None:
        if self._metrics is not None:
            self._metrics.sample()

    def _mark_end(self) -> None:
        """Mark the trial as ended, as SageMaker does. Our own recorder does so itself, unless it was cut short."""
        debug = self._outputs.get(DEBUG_OUTPUT)
        if debug is None:
            return
        with suppress(OSError, ValueError):
            if layout.read_json(debug.folder / layout.RUN_FILE).get("recorder") == _OUR_RECORDER:
                return
        (debug.folder / layout.END_FILE).touch()

    def _guarded(self, work: Callable[[], object], *, quiet: bool = False) -> bool:
        """Do some work; returns whether it succeeded."""
        try:
            work()
        except Exception as error:  # noqa: BLE001 - the job must not suffer from its recordings
            problem = f"warning: the job's recordings are not complete: {error}"
            if not quiet and problem not in self.problems:
                self.problems.append(problem)
            if work == self._sample:
                self._metrics = None
            return False
        return True


def _try(uploads: Sequence[Upload]) -> None:
    for upload in uploads:
        upload.try_to_send()
