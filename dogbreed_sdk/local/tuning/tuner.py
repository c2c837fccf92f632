"""Runs a tuning job: proposes trials, runs them as training jobs, stops hopeless ones early, finds the best."""

from __future__ import annotations

import time
import traceback
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import ParamSpec, TypeVar

from dogbreed_sdk._util.cores import available_cores
from dogbreed_sdk._util.processes import identify_self
from dogbreed_sdk._util.text import shorten
from dogbreed_sdk.errors import ConfigurationError
from dogbreed_sdk.local import failure_reason
from dogbreed_sdk.local.folders import JobFolder
from dogbreed_sdk.local.jobs import runner
from dogbreed_sdk.local.jobs import state as job_state
from dogbreed_sdk.local.jobs.metric_search import Captured, MetricSearch
from dogbreed_sdk.local.jobs.metrics import is_number
from dogbreed_sdk.local.states import RUNNING_STATUSES, State
from dogbreed_sdk.local.store import TRAINING_JOB, TUNING_JOB, NotFound, Store, StoreError
from dogbreed_sdk.local.supervision import MAXIMUM_FAILURE_CHARACTERS
from dogbreed_sdk.local.tuning import early_stopping, warm_start
from dogbreed_sdk.local.tuning.convergence import has_converged
from dogbreed_sdk.local.tuning.request import Definition, TuningRequest
from dogbreed_sdk.local.tuning.search import create_search
from dogbreed_sdk.local.tuning.trial import Branch, Trial

_TICK_SECONDS = 0.1
# How long one call may wait until an ended trial's log has been searched, and all calls together.
_SETTLE_SECONDS = 0.2
_LOG_SECONDS = 30.0
# The store itself waits half a minute for its lock.
_STORE_ATTEMPTS = 60
_STORE_SECONDS = 0.5
# Characters of a text in place of a number that a message repeats.
_LONGEST_VALUE = 100
_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")
# AWS's words; the first failure follows.
_ALL_FAILED = "All training jobs failed. Please take a look at the training jobs failures to get more details."


class Tuner:
    """Runs one tuning job; continues the search where an earlier process was killed.

    Args:
        store: The store with the job's record.
        name: The job.
    """

    def __init__(self, store: Store, name: str) -> None:
        self._store = store
        self._record = store.get(TUNING_JOB, name)
        self._running: list[Trial] = []
        self._finished: list[Trial] = []
        self._best_noted: str | None = self._record.state.get("best")
        self._convergence_noted = bool(self._record.state.get("converged"))

    def execute(self) -> None:
        """Run the search to its end; the record has the outcome afterward, unless the process is killed.

        A search that has ended already is left as it is.
        """
        if not self._begin():
            return
        try:
            self._request = TuningRequest.read(self._record.request)
            self._branches = {entry.name: self._branch(entry) for entry in self._request.definitions}
            self._inherit()
            self._resume()
            try:
                status, failure = self._loop()
            finally:
                for branch in self._branches.values():
                    branch.metrics.close()
        except ConfigurationError as error:
            status, failure = self._abandon(f"ClientError: {error}")
        except Exception as error:  # noqa: BLE001 - the record must get an outcome
            traceback.print_exc()
            log = JobFolder.of(self._store.root, self._record.name).supervisor_log
            status, failure = self._abandon(f"InternalServerError: {type(error).__name__}: {error}; see {log}.")
        reason = shorten(failure, MAXIMUM_FAILURE_CHARACTERS) if failure else None
        _patiently(self._update, {"status": status, "failure": reason, "best": self._best(), "ended": self._record.now})

    def _begin(self) -> bool:
        process = identify_self(root=self._store.root)

        def change(state: State) -> None:
            if state.get("status") in RUNNING_STATUSES:
                state["process"] = process

        return self._store.update(TUNING_JOB, self._record.name, change).state.get("process") == process

    def _branch(self, definition: Definition) -> Branch:
        request = self._request
        search = create_search(request.configuration, definition.ranges, request.objective_type)
        return Branch(definition, search, MetricSearch(definition.objective_reader(), report=print))

    def _inherit(self) -> None:
        """Teach the search what its parents found."""
        repeats = warm_start.is_identical(self._record.request)
        for entry in self._record.state.get("inherited") or ():
            search = self._branches[entry["definition"]].search
            search.learn(entry["hyperparameters"], entry["value"], repeats=repeats)

    def _resume(self) -> None:
        for name in self._record.state.get("trials", ()):
            try:
                record = self._store.get(TRAINING_JOB, name)
            except NotFound:
                continue  # it was deleted
            branch = self._branches[record.state.get("definition")]
            number = branch.search.resume(record.state["tuned"])
            stopped = bool(record.state.get("stopped_early"))
            trial = Trial.of(self._store.root, name, branch, number, stopped_early=stopped)
            self._running.append(trial)
            if record.state["status"] == "InProgress" and not record.state.get("process"):
                runner.start_training_job(self._store, name)

    def _loop(self) -> tuple[str, str | None]:
        exhausted = False
        while True:
            for trial in list(self._running):
                _patiently(self._follow, trial)
            _patiently(self._note_progress)
            state = _patiently(self._store.get, TUNING_JOB, self._record.name).state
            stopping = bool(state.get("stop")) or self._record.age >= self._request.maximum_seconds
            good_enough = self._request.is_good_enough(self._objectives())
            if stopping or good_enough:
                self._stop_trials()
            else:
                exhausted = not self._fill()
            if not self._running and (stopping or good_enough or exhausted):
                return self._outcome(stopping=stopping)
            time.sleep(_TICK_SECONDS)

    def _outcome(self, *, stopping: bool) -> tuple[str, str | None]:
        if stopping:
            return "Stopped", None
        if self._objectives() or not self._finished:
            return "Completed", None
        first = min(self._finished, key=lambda trial: trial.name)
        message = f"{_ALL_FAILED} The first one, {first.name}: "
        cause = first.failure or _no_objective(first.branch.definition.metric, first.unusable)
        return "Failed", message + failure_reason.brief(cause, MAXIMUM_FAILURE_CHARACTERS - len(message))

    def _fill(self) -> bool:
        """Start trials up to the maximum in parallel; False where there are no more."""
        limit = self._request.maximum_jobs
        while len(self._running) < self._request.parallel_jobs:
            count = len(self._running) + len(self._finished)
            if (limit is not None and count >= limit) or not self._start_next(count + 1):
                return False
        return True

    def _start_next(self, count: int) -> bool:
        """Start the trial of that number, for the definition that has had the fewest; False if all are exhausted."""
        started = Counter(trial.branch.definition.name for trial in (*self._running, *self._finished))
        for name in sorted(self._branches, key=lambda name: started[name]):
            proposal = self._branches[name].search.propose()
            if proposal is not None:
                self._start(count, self._branches[name], *proposal)
                return True
        return False

    def _start(self, count: int, branch: Branch, number: int, tuned: dict[str, str]) -> None:
        name = self._request.trial_name(count)
        state: State = {
            "status": "InProgress",
            "tuning_job": self._record.name,
            "definition": branch.definition.name,
            "tuned": tuned,
            "wanted_threads": max(1, available_cores() // self._request.parallel_jobs),
            "log_stream": f"{name}/algo-1-{int(time.time())}",
        }
        job_state.enter(state, "Starting")
        _patiently(self._record_trial, name, branch, state)
        self._running.append(Trial.of(self._store.root, name, branch, number))
        _patiently(runner.start_training_job, self._store, name)

    def _record_trial(self, name: str, branch: Branch, state: State) -> None:
        # Both or neither: a killed tuner must find every trial it has started.
        with self._store.transaction():
            request = branch.definition.training_request(name, state["tuned"])
            trial = self._store.create(TRAINING_JOB, name, request, state, region=self._record.region)
            # API reference, CreateHyperParameterTuningJob: its tags are also those of its training jobs.
            self._store.set_tags(
                trial.arn, {tag["Key"]: tag["Value"] for tag in self._record.request.get("Tags") or ()}
            )
            self._store.update(TUNING_JOB, self._record.name, lambda job: job.setdefault("trials", []).append(name))

    def _follow(self, trial: Trial) -> None:
        try:
            runner.reconcile(self._store, trial.name)
            record = self._store.get(TRAINING_JOB, trial.name)
        except NotFound:
            self._conclude(trial, failure="it was deleted before its result was read")
            return
        # The log is read after the status: a job that has ended writes no more.
        ended = record.state["status"] not in RUNNING_STATUSES
        complete = self._read_log(trial, ended=ended)
        if ended:
            if complete:
                failed = record.state["status"] == "Failed"
                failure = (record.state.get("failure") or "no reason is known") if failed else None
                final = (record.state.get("metrics") or {}).get(trial.branch.definition.metric)
                trial.final = final["value"] if final else None
                self._conclude(trial, failure=failure)
        elif not trial.stopped_early and self._is_hopeless(trial):
            self._store.update(TRAINING_JOB, trial.name, lambda state: state.update({"stopped_early": True}))
            runner.request_stop(self._store, trial.name)
            trial.stopped_early = True

    def _read_log(self, trial: Trial, *, ended: bool) -> bool:
        """Search the new lines of a log, and note what was found; returns True once there will be no more."""
        metrics = trial.branch.metrics
        read_all = trial.feed()
        self._note(metrics.settle(_SETTLE_SECONDS) if ended else metrics.collect())
        if not ended:
            return False
        trial.ended_at = trial.ended_at or time.monotonic()
        if time.monotonic() - trial.ended_at > _LOG_SECONDS:
            return True
        return read_all and not any(map(metrics.has_waiting, trial.sources))

    def _note(self, found: list[Captured]) -> None:
        trials = {source: trial for trial in self._running for source in trial.sources}
        for captured in found:
            if captured.source in trials:
                trials[captured.source].note(captured)

    def _is_hopeless(self, trial: Trial) -> bool:
        if trial.branch.search.should_stop(trial.number, trial.values):
            return True
        others = [
            other.values
            for other in self._finished
            if other.branch is trial.branch and other.failure is None and not other.stopped_early
        ]
        return self._request.stops_early and early_stopping.is_hopeless(
            trial.values, others, maximize=self._request.maximize
        )

    def _conclude(self, trial: Trial, *, failure: str | None) -> None:
        trial.failure = failure
        value = trial.objective if failure is None else None
        trial.branch.search.tell(trial.number, value, stopped_early=trial.stopped_early)
        self._running.remove(trial)
        self._finished.append(trial)

    def _note_progress(self) -> None:
        best = self._best()
        if best != self._best_noted:
            self._update({"best": best})
            self._best_noted = best
        if not self._convergence_noted and has_converged(self._objectives(), maximize=self._request.maximize):
            self._update({"converged": self._record.now})
            self._convergence_noted = True

    def _objectives(self) -> list[float]:
        return [t.objective for t in self._finished if t.failure is None and t.objective is not None]

    def _best(self) -> str | None:
        # By name, so that of equal trials the earlier proposal wins, whichever ended first.
        ordered = sorted(self._finished, key=lambda trial: trial.name)
        found = {t.name: t.objective for t in ordered if t.failure is None and t.objective is not None}
        choose = max if self._request.maximize else min
        return choose(found, key=lambda name: found[name]) if found else None

    def _stop_trials(self) -> None:
        for trial in self._running:
            with suppress(NotFound):  # it ended, and was deleted, since it was last followed
                _patiently(runner.request_stop, self._store, trial.name)

    def _abandon(self, failure: str) -> tuple[str, str]:
        self._stop_trials()
        return "Failed", failure

    def _update(self, changes: State) -> None:
        self._store.update(TUNING_JOB, self._record.name, lambda state: state.update(changes))


def _no_objective(metric: str, unusable: str | None) -> str:
    """Why a trial that did not fail has no objective value."""
    if unusable is None:
        return (
            f"its log has no line that the Regex of the objective metric {metric!r} matches; "
            "compare its output with MetricDefinitions"
        )
    printed = repr(shorten(unusable, _LONGEST_VALUE))
    if is_number(unusable):
        return (
            f"it printed {printed} for the objective metric {metric!r}, which is not a finite number. "
            "The training probably diverged: try lower learning rates"
        )
    return (
        f"the Regex of the objective metric {metric!r} captured {printed} from its log, which is not a number; "
        "compare its output with MetricDefinitions"
    )


def _patiently(
    action: Callable[_Arguments, _Result], *arguments: _Arguments.args, **named: _Arguments.kwargs
) -> _Result:
    """Call a function that uses the store; retries while the store is busy, or its disk full for a while."""
    for _ in range(_STORE_ATTEMPTS - 1):
        try:
            return action(*arguments, **named)
        except StoreError:
            time.sleep(_STORE_SECONDS)
    return action(*arguments, **named)
