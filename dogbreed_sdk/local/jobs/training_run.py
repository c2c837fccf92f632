"""One training job from its start to its outcome, as its supervisor runs it."""

from __future__ import annotations

import os
import signal
import time
import traceback
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, cast

from dogbreed_sdk._util import clock
from dogbreed_sdk._util.log_file import LogFile
from dogbreed_sdk._util.processes import identify, identify_self, is_of_copy
from dogbreed_sdk.errors import ConfigurationError
from dogbreed_sdk.local.container_view import ContainerView
from dogbreed_sdk.local.failure_reason import full_disk, is_full_disk, script_failure, unexpected
from dogbreed_sdk.local.folders import JobFolder
from dogbreed_sdk.local.jobs import debugger, debugger_states, debugger_uploads, staging
from dogbreed_sdk.local.jobs import state as job_state
from dogbreed_sdk.local.jobs.artifacts import remove_uploaded, upload_data, upload_model
from dogbreed_sdk.local.jobs.checkpoints import checkpoint_folder, kept_on_s3
from dogbreed_sdk.local.jobs.debugger_recording import recording
from dogbreed_sdk.local.jobs.environment import gpus_by_host, script_environment
from dogbreed_sdk.local.jobs.forked_scripts import fork_for
from dogbreed_sdk.local.jobs.hosts import Host, hosts_of
from dogbreed_sdk.local.jobs.launchers import launch_command
from dogbreed_sdk.local.jobs.metric_search import Captured, MetricSearch
from dogbreed_sdk.local.jobs.metrics import MetricReader, finite
from dogbreed_sdk.local.jobs.network import JobNetwork, job_network
from dogbreed_sdk.local.jobs.pipes import fed
from dogbreed_sdk.local.jobs.program import prepare, remove_installed
from dogbreed_sdk.local.jobs.script_process import Script
from dogbreed_sdk.local.jobs.script_processes import EndReason, ScriptEnd, ScriptProcesses
from dogbreed_sdk.local.jobs.script_run import ScriptRun
from dogbreed_sdk.local.metric_history import MetricHistory
from dogbreed_sdk.local.python.installation import LAYERS_FOLDER, InstallError
from dogbreed_sdk.local.script_files import remove_tree
from dogbreed_sdk.local.states import RUNNING_STATUSES, Metric, RuleOutcome, State
from dogbreed_sdk.local.store import TRAINING_JOB, Store, StoreError
from dogbreed_sdk.local.supervision import write_outcome
from dogbreed_sdk.local.support import tables
from dogbreed_sdk.local.thread_ledger import ThreadLedger

if TYPE_CHECKING:
    from types_boto3_sagemaker.type_defs import CreateTrainingJobRequestTypeDef, StoppingConditionTypeDef


_DEFAULT_MAXIMUM_SECONDS = 86_400  # API reference, StoppingCondition
_METRICS_SECONDS = 1.0
# How long the search for metrics may continue after the script has ended; a stopped job must end soon.
_SEARCH_SECONDS = 60.0
_SEARCH_SECONDS_STOPPED = 2.0
_QUEUE_SECONDS = 0.2
_CHECK_SECONDS = 0.5
_RESERVE_BYTES = 1 << 20
# The secondary statuses of jobs that a limit has ended.
_LIMITS: Mapping[EndReason, str] = {"runtime": "MaxRuntimeExceeded", "wait": "MaxWaitTimeExceeded"}


class _StoppedError(Exception):
    """The job must stop before its script runs.

    Args:
        secondary: Its secondary status, if it differs from Stopped.
    """

    def __init__(self, secondary: str | None = None) -> None:
        super().__init__()
        self.secondary = secondary


class _Interruption(BaseException):
    """The job must stop during work that does not check for that."""


class _EndedError(Exception):
    """The job has ended, or another supervisor has begun it: it must not run again."""


class TrainingRun:
    """Runs one training job.

    Args:
        store: The store with the job's record.
        name: The job.
        adopts: Whether this process adopts orphans, so that all its children are the job's; see `descendants`.
    """

    def __init__(self, store: Store, name: str, *, adopts: bool = False) -> None:
        self._adopts = adopts
        self._store = store
        self._record = store.get(TRAINING_JOB, name)
        self._folder = JobFolder.of(store.root, name)
        self._request = cast("CreateTrainingJobRequestTypeDef", self._record.request)
        self._hosts = hosts_of(self._folder, self._request)
        self._logs = {host.name: LogFile(host.log) for host in self._hosts}
        self._ledger = ThreadLedger(store.root)
        self._metrics: dict[str, Metric] = {}
        self._metrics_due = 0.0
        self._history = MetricHistory(self._folder.metrics)
        self._terminated = False
        self._deadline = float("inf")
        self._wait_deadline = float("inf")
        self._trained = 0.0
        self._clock = clock.start()
        self._process = identify_self(root=store.root)

    def terminate(self) -> None:
        """Stop the job because the supervisor was asked to end; safe in a signal handler."""
        self._terminated = True

    def execute(self) -> None:
        """Run the whole job; afterward its record has the outcome, whatever happens."""
        try:
            self._begin()
            status, secondary, failure = self._run()
        except _EndedError:
            self._close_logs()
            return
        except _StoppedError as stopped:
            status, secondary, failure = "Stopped", stopped.secondary, None
        except _Interruption:
            status, secondary, failure = "Stopped", None, None
        except InstallError as error:
            status, secondary, failure = "Failed", None, str(error)
        except ConfigurationError as error:
            status, secondary, failure = "Failed", None, f"ClientError: {error}"
            if isinstance(error, StoreError) and self._disk_is_full():
                failure = f"ClientError: {full_disk(self._folder.path)}"
        except Exception as error:  # noqa: BLE001 - the record must get an outcome
            status, secondary, failure = "Failed", None, unexpected(error, self._folder)
        self._finish(status, secondary, failure)
        self._ledger.release(self._record.name)
        self._evaluate_rules()
        debugger_uploads.remove_uploaded(self._folder)
        self._close_logs()

    def _run(self) -> tuple[str, str | None, str | None]:
        self._reserve()
        for member, reason in tables.without_meaning("sagemaker", "CreateTrainingJob", self._request).items():
            self._report(f"{member} has no effect on local SageMaker: {reason}.")
        self._wait_deadline = time.monotonic() + self._limits.get("MaxWaitTimeInSeconds", float("inf"))
        threads = self._wait_for_threads()
        with job_network() as network:
            scripts, end = self._attempt(threads, network)
            while end.reason == "interruption":
                self._lose_instances()
                scripts, end = self._attempt(threads, network)
        remove_installed(self._hosts)
        return self._outcome(end, {script.host: script.shown for script in scripts})

    def _attempt(self, threads: int, network: JobNetwork) -> tuple[list[Script], ScriptEnd]:
        """Run the scripts to their end, or until the job loses its spot instances."""
        self._enter("Downloading")
        with _interruptible(self._is_to_stop):
            scripts = self._prepare(threads, network)
        reader = MetricReader.of(self._request["AlgorithmSpecification"].get("MetricDefinitions", ()))
        with self._companions():
            return scripts, self._train(scripts, reader)

    def _lose_instances(self) -> None:
        """Leave nothing of an interrupted job's instances; the next ones get what is at its CheckpointConfig's URI."""
        self._update(job_state.interrupted)
        kept = "its checkpoints" if "CheckpointConfig" in self._request else "nothing, since it has no CheckpointConfig"
        self._report(f"The spot instance was interrupted. The job starts again elsewhere with {kept}.")
        remove_installed(self._hosts)
        for host in self._hosts:
            remove_tree(host.container)

    @property
    def _limits(self) -> StoppingConditionTypeDef:
        return self._request.get("StoppingCondition", {})

    def _prepare(self, threads: int, network: JobNetwork) -> list[Script]:
        """Prepare the containers of all hosts; returns what runs in them."""
        gpus = gpus_by_host(os.environ, len(self._hosts))
        self._folder.hosts_file.write_text(network.hosts_file(self._hosts[0].names), "utf-8")
        return [self._prepare_host(host, threads // host.count, gpus[host.index], network) for host in self._hosts]

    def _prepare_host(self, host: Host, threads: int, gpus: tuple[str, ...], network: JobNetwork) -> Script:
        report = partial(self._report, host=host.name)
        script = staging.stage(host, self._request, report)
        program = prepare(host, script, self._request, self._store.root / LAYERS_FOLDER, report)
        run = ScriptRun(
            name=self._record.name,
            arn=self._record.arn,
            request=self._request,
            host=host,
            checkpoints=checkpoint_folder(host, self._request),
            program=script,
            threads=max(1, threads),
            gpus=gpus,
            network=network,
        )
        command = launch_command(run, program)
        environment = program.environment(script_environment(run, os.environ))
        return Script(
            host.name,
            command,
            program.shown(command),
            ContainerView(
                host.container,
                files={"/etc/hosts": self._folder.hosts_file},
                host_name=host.name if host.count > 1 else None,
                addresses=network.addresses(host.names),
            ),
            host.container / "code",
            environment,
            fork_for(program, command),
        )

    @contextmanager
    def _companions(self) -> Iterator[None]:
        """What works beside the scripts: Debugger's recording, copies of checkpoints, pipes."""
        hosts, request, report = self._hosts, self._request, self._report

        def abandoned() -> bool:
            return self._terminated

        with (
            recording(hosts, request, updated=self._updated_request, report=report, abandoned=abandoned),
            kept_on_s3(hosts, request, report=report, abandoned=abandoned),
            fed(hosts, request, report=report),
        ):
            yield

    def _begin(self) -> None:
        def change(state: State) -> None:
            if state.get("begun") or state.get("status") not in RUNNING_STATUSES:
                raise _EndedError
            state["begun"] = True
            state["process"] = self._process
            state.setdefault("log_stream", f"{self._record.name}/algo-1-{int(time.time())}")
            job_state.enter(state, "Starting")
            self._clock = state["clock"]

        self._update(change)

    def _reserve(self) -> None:
        with self._folder.reserve.open("wb") as handle:
            handle.write(os.urandom(_RESERVE_BYTES))  # a file system may store zeros as a hole

    def _wait_for_threads(self) -> int:
        state = self._store.get(TRAINING_JOB, self._record.name).state
        wanted = int(state.get("wanted_threads") or self._ledger.cores)
        shown = ""
        while True:
            self._check_stop()
            granted = self._ledger.claim(
                self._record.name,
                process=identify_self(root=self._store.root),
                wanted=wanted,
            )
            if granted:
                break
            if time.monotonic() >= self._wait_deadline:
                raise _StoppedError(_LIMITS["wait"])
            reason = self._ledger.why_waiting()
            if reason != shown:
                self._update(partial(job_state.wait_for_cores, message=reason))
                shown = reason
            time.sleep(_QUEUE_SECONDS)
        self._update(lambda state: state.update({"threads": granted}))
        return granted

    def _train(self, scripts: Sequence[Script], reader: MetricReader) -> ScriptEnd:
        self._check_stop()
        limit = self._limits.get("MaxRuntimeInSeconds", _DEFAULT_MAXIMUM_SECONDS)
        self._search = MetricSearch(reader, report=self._report)
        processes = ScriptProcesses(
            scripts,
            consume=self._consume,
            end_reason=self._end_reason,
            has_room=self._has_room,
            helpers=self._helpers if self._adopts else None,
        )
        began = time.monotonic()
        self._deadline = began + limit - self._trained  # as on AWS, the limit is for all attempts together

        def change(state: State) -> None:
            found = [identify(pid, root=self._store.root) for pid in processes.pids]
            state["scripts"] = [process for process in found if process is not None]
            state["started"] = state.get("started") or job_state.now(state)
            if not state.get("stop"):
                job_state.enter(state, "Training")

        try:
            try:
                self._update(change)
            except ConfigurationError:
                self._terminated = True
                processes.wait()
                raise
            end = processes.wait()
            self._trained += time.monotonic() - began
            self._update(lambda state: state.update({"trained": self._trained}))
            seconds = _SEARCH_SECONDS if end.reason is None else _SEARCH_SECONDS_STOPPED
            self._note(self._search.finish(seconds, lambda: self._terminated))
        finally:
            self._search.close()
        return end

    def _report(self, line: str, host: str | None = None) -> None:
        """Write a line to a host's log; default: the first host's."""
        with suppress(OSError):  # a full disk, which the next line of the script meets too
            self._logs[host or self._hosts[0].name].write([line])

    def _close_logs(self) -> None:
        for log in self._logs.values():
            log.close()

    def _helpers(self) -> Collection[int]:
        return () if self._search.pid is None else (self._search.pid,)

    def _consume(self, host: str, lines: list[str]) -> None:
        now = clock.read(self._clock)
        for line in lines:
            self._search.feed(host, line, now)
        self._note(self._search.collect())
        self._logs[host].write(lines)

    def _has_room(self) -> bool:
        self._note(self._search.collect())
        return self._search.has_room

    def _note(self, found: list[Captured]) -> None:
        for captured in found:
            value = finite(captured.text)
            if value is not None:
                self._metrics[captured.name] = {"value": value, "time": captured.time}
                self._history.note(captured.name, value, captured.time)

    def _end_reason(self) -> EndReason | None:
        try:
            self._note(self._search.collect())
            self._write_metrics()
            state = self._store.get(TRAINING_JOB, self._record.name).state
            stop = self._terminated or state.get("stop")
        except StoreError:
            # A busy store can wait for the next check; a full disk can't.
            return "disk" if self._disk_is_full() else None
        if stop:
            return "stop"
        if state.get("interrupt"):
            return "interruption"
        if time.monotonic() >= self._wait_deadline:
            return "wait"
        return "runtime" if time.monotonic() >= self._deadline else None

    def _write_metrics(self) -> None:
        with suppress(OSError):  # a full disk, which the job meets too
            self._history.write_due()
        if self._metrics and time.monotonic() >= self._metrics_due:
            self._metrics_due = time.monotonic() + _METRICS_SECONDS
            self._update(lambda state: state.setdefault("metrics", {}).update(self._metrics))
            self._metrics.clear()  # only now: if the store was busy, the values are written with the next ones

    def _outcome(self, end: ScriptEnd, commands: Mapping[str, Sequence[str]]) -> tuple[str, str | None, str | None]:
        if end.reason == "disk":
            return "Failed", None, f"ClientError: {full_disk(self._folder.path)}"
        if end.reason is None and end.exit_status != 0:
            return (
                "Failed",
                None,
                script_failure(
                    exit_status=end.exit_status,
                    command=commands[end.host],
                    failure_file=self._folder.container_of(end.host) / "output/failure",
                    tail=tuple(self._logs[end.host].tail),
                    folder=self._folder.path,
                    host=end.host if len(self._hosts) > 1 else None,
                ),
            )
        if end.reason is not None:
            self._update(_stopping)
        self._enter("Uploading")
        # As on AWS, the model of a stopped job is uploaded too, but not if the supervisor was asked to end.
        with _interruptible(lambda: self._terminated):
            self._upload()
        if end.reason is None:
            return "Completed", None, None
        return "Stopped", _LIMITS.get(end.reason), None

    def _upload(self) -> None:
        """Upload the model, then the script's other output.

        If the other output can't be packed, the log says so, and the job does not fail; it does if S3 refuses it.
        """
        bases, configuration = [host.container for host in self._hosts], self._request["OutputDataConfig"]
        if is_of_copy(self._process, self._store.root):
            raise ConfigurationError(
                f"The folder of local SageMaker was moved away from {self._store.root} while the job ran, and the "
                "job's output with it. Move it only while nothing runs in it."
            )
        uri = upload_model(bases, configuration, self._record.name, self._report)
        self._update(lambda state: state.update({"artifacts": uri}))
        for base in bases:
            remove_uploaded(base / "model")
        try:
            upload_data(bases, configuration, self._record.name, self._report)
        except OSError as error:
            if is_full_disk(error):
                raise
            self._report(f"warning: output/data is not packed, and stays in {self._folder.path}: {error}")
        else:
            for base in bases:
                remove_uploaded(base / "output/data")

    def _updated_request(self) -> CreateTrainingJobRequestTypeDef:
        record = self._store.get(TRAINING_JOB, self._record.name)
        return cast("CreateTrainingJobRequestTypeDef", job_state.updated_request(record.request, record.state))

    def _evaluate_rules(self) -> None:
        """Evaluate the rules once the job has its outcome, even a failure: the recording may explain it."""
        request = self._updated_request()
        if not (request.get("DebugHookConfig") or request.get("ProfilerConfig")):
            return
        outcome: dict[str, RuleOutcome] = {}
        try:
            outcome = debugger.evaluate(
                self._hosts[0],
                request,
                report=self._report,
                ended=lambda: self._terminated,
            )
        except Exception:  # noqa: BLE001 - the job has its outcome, which rules must not change
            traceback.print_exc()

        def change(state: State) -> None:
            state["rules"] = debugger_states.with_outcome(state.get("rules") or [], outcome, time.time())

        self._update(change)

    def _check_stop(self) -> None:
        if self._is_to_stop():
            raise _StoppedError

    def _is_to_stop(self) -> bool:
        return self._terminated or bool(self._store.get(TRAINING_JOB, self._record.name).state.get("stop"))

    def _enter(self, secondary: str) -> None:
        self._update(lambda state: job_state.enter(state, secondary))

    def _update(self, change: Callable[[State], None]) -> None:
        self._store.update(TRAINING_JOB, self._record.name, change)

    def _disk_is_full(self) -> bool:
        try:
            with self._folder.path.joinpath(".probe").open("wb") as handle:
                handle.write(os.urandom(64 * 1024))
        except OSError as error:
            return is_full_disk(error)
        finally:
            with suppress(OSError):
                self._folder.path.joinpath(".probe").unlink()
        return False

    def _finish(self, status: str, secondary: str | None, failure: str | None) -> None:
        """Write the outcome; on a full disk, into the space reserved for it."""
        with suppress(OSError):  # as in `_write_metrics`
            self._history.write()
        with suppress(OSError):  # the script may have removed all folders of its job
            self._folder.reserve.unlink()

        def change(state: State) -> None:
            state.setdefault("metrics", {}).update(self._metrics)
            stopped = status == "Completed" and state.get("stop")
            job_state.finish(state, "Stopped" if stopped else status, secondary=secondary, failure=failure)

        write_outcome(self._store, self._record, change)


@contextmanager
def _interruptible(is_to_stop: Callable[[], bool]) -> Iterator[None]:
    """Check with a timer whether the job must stop while the block runs: downloads, archives, endless files.

    Raises:
        _Interruption: The job must stop.
    """

    def check(_number: int, _frame: object) -> None:
        with suppress(StoreError):  # a busy store can wait for the next check
            if is_to_stop():
                signal.setitimer(signal.ITIMER_REAL, 0)
                raise _Interruption

    before = signal.signal(signal.SIGALRM, check)
    signal.setitimer(signal.ITIMER_REAL, _CHECK_SECONDS, _CHECK_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _stopping(state: State) -> None:
    if state.get("status") in RUNNING_STATUSES:
        state["status"] = "Stopping"
        job_state.enter(state, "Stopping")
