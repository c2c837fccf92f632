"""Keeps a job's recordings where users find them while its scripts run: samples the machine, uploads what is new."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from dogbreed_sdk.local.jobs.debugger_outputs import (
    DEBUG_OUTPUT,
    PROFILER_OUTPUT,
    Output,
    outputs,
    update_profiler,
)
from dogbreed_sdk.local.jobs.hosts import Host
from dogbreed_sdk.local.jobs.s3_transfer import upload_objects
from dogbreed_sdk.local.jobs.script_files import contents
from training_scripts.recording.trial import layout

if TYPE_CHECKING:
    from types_boto3_sagemaker.type_defs import CreateTrainingJobRequestTypeDef

    from dogbreed_sdk.local.jobs.system_metrics import SystemMetrics

# A recording can be read while its job runs, so a reader should not have to wait long for the next steps.
_DELIVERY_SECONDS = 5.0
_LOOK_SECONDS = 0.2
_NEVER_UPLOADED = (".tmp", "claim.smd")
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
    keeper.start()
    try:
        yield
    finally:
        keeper.finish(abandoned)
        for problem in keeper.problems:
            report(problem)


class _Keeper(threading.Thread):
    """Samples and uploads until `finish`. A failure costs a line in `problems`, and never the job."""

    def __init__(
        self,
        hosts: Sequence[Host],
        request: CreateTrainingJobRequestTypeDef,
        updated: Callable[[], CreateTrainingJobRequestTypeDef],
    ) -> None:
        super().__init__(name="recordings", daemon=True)
        self.problems: list[str] = []
        self._hosts, self._request, self._updated = hosts, request, updated
        self._outputs = outputs(hosts[0], request)
        self._uploads = {name: _Upload(output) for name, output in self._outputs.items() if output.is_uploaded}
        self._metrics: SystemMetrics | None = None
        self._stopping = threading.Event()

    def finish(self, abandoned: Callable[[], bool]) -> None:
        """Deliver the rest; returns early if that is abandoned."""
        self._stopping.set()
        while self.is_alive() and not abandoned():
            self.join(_LOOK_SECONDS)

    def run(self) -> None:
        """Sample and deliver."""
        self._guarded(self._open_metrics)
        begun = time.monotonic()
        tick, due = begun, begun + _DELIVERY_SECONDS
        while not self._stopping.wait(max(0.0, min(tick, due) - time.monotonic())):
            now = time.monotonic()
            if now >= tick:
                self._guarded(self._sample)
                tick = max(tick + (self._metrics.interval if self._metrics else _DELIVERY_SECONDS), now)
            if now >= due:
                self._guarded(self._follow_update, quiet=True)  # a busy store can wait for the next time
                self._deliver()
                due = time.monotonic() + _DELIVERY_SECONDS
        self._guarded(self._sample)
        self._guarded(self._mark_end)
        self._deliver()

    def _deliver(self) -> None:
        if self._metrics is not None:
            self._guarded(self._metrics.write)
        for upload in self._uploads.values():
            last = self._stopping.is_set()
            # While scripts run, one failure is enough: the last delivery tries again.
            if last or not upload.failed:
                upload.failed = not self._guarded(upload.send, quiet=not last)

    def _follow_update(self) -> None:
        """Switch the profiler as UpdateTrainingJob asked for since the last time."""
        request = self._updated()
        if request.get("ProfilerConfig") == self._request.get("ProfilerConfig"):
            return
        for host in self._hosts:
            update_profiler(host, request)
        if self._metrics is not None:
            self._metrics.write()
        self._request, self._metrics = request, None
        self._outputs = outputs(self._hosts[0], request)
        profile = self._outputs.get(PROFILER_OUTPUT)
        if profile is not None and profile.is_uploaded:
            self._uploads.setdefault(PROFILER_OUTPUT, _Upload(profile))
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


class _Upload:
    """Copies an output's folder to its s3:// URI, and each time only what is new."""

    def __init__(self, output: Output) -> None:
        self.failed = False
        self._output = output
        self._sent: dict[str, tuple[int, int]] = {}

    def send(self) -> None:
        """Upload the files that are new or have changed.

        Raises:
            ConfigurationError: The URI cannot be written to.
            OSError: The folder cannot be read.
        """
        waves: dict[int, list[tuple[str, Path, tuple[int, int]]]] = {0: [], 1: [], 2: []}
        for entry in contents(self._output.folder, lambda _line: None):
            if entry.kind != "file" or entry.name.endswith(_NEVER_UPLOADED):
                continue
            with suppress(OSError):  # smdebug renames its files, and removes some
                status = entry.source.stat()
                state = (status.st_mtime_ns, status.st_size)
                if self._sent.get(entry.name) != state:
                    waves[_wave(entry.name)].append((entry.name, entry.source, state))
        for _, files in sorted(waves.items()):
            upload_objects([(source, f"{self._output.uri}/{name}") for name, source, _ in files])
            self._sent.update({name: state for name, _, state in files})


def _wave(name: str) -> int:
    """Readers find a step by its index, and the index's end by the mark: these come last."""
    if name == layout.END_FILE:
        return 2
    return 1 if name.startswith(f"{layout.INDEX}/") else 0
