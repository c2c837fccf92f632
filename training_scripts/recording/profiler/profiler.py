"""Profiles a run: the machine's use, the duration of steps and their parts, the most expensive operators.

In the training thread a step costs a few clock readings; everything else happens in the profiler's own thread.
Forward and backward times are wall times of the calls. A GPU works asynchronously, so there they are the times of
launching kernels (the fact `launch_times` says so). The profiler never waits for a GPU.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

from training_scripts.models.engines.engine import TITLES, EngineChoice
from training_scripts.recording.profiler.operators import HOW, STEPS, WARM_UP, OperatorProfiler
from training_scripts.recording.profiler.writer import EPOCH, ProfileWriter, Step, node_name
from training_scripts.recording.trial.trial import EVAL, PREDICT, TRAIN
from training_scripts.training.callbacks import Callback
from training_scripts.training.runtime import available_cores

if TYPE_CHECKING:
    from torch import Tensor, nn

    from training_scripts.recording.profile.profile import Operator

INTERVAL_MS = 500
FINISH_SECONDS = 30.0
# Profiling three batches of a feature pass takes a few hundredths of a second: a percent or two of a longer pass.
PASS_SECONDS = 2.0
# Number of operators to keep with the features of a pass.
PASS_OPERATORS = 20


class Profiler(Callback):
    """Writes a run's profile to a folder, in Debugger's layout. A failure ends only the profile."""

    def __init__(
        self,
        folder: Path,
        *,
        interval_ms: int = INTERVAL_MS,
        operators: str = "auto",
        operator_steps: int = STEPS,
        facts: Mapping[str, object] | None = None,
        report: Callable[[str], object] = print,
        system: bool = True,
    ) -> None:
        """Samples and writes nothing yet.

        Args:
            folder: The profile's folder; the profile of an earlier process of the same job is continued.
            interval_ms: Time between two samples of the machine, milliseconds.
            operators: auto, on or off: whether to profile a few steps with torch.profiler; auto does so only in runs
                that are long enough for it to take less than 1% of the training time.
            operator_steps: Number of steps whose operators are profiled.
            facts: Facts of the job: job_begin (seconds since 1970), workers, pin_memory, ...
            report: Called with one line of log if the profiler fails.
            system: Whether to sample the machine; False if the service writes its samples to the same folder.
        """
        self._steps: list[Step] = []
        node, seconds = node_name(os.environ.get("SM_CURRENT_HOST")), interval_ms / 1000
        self._writer = ProfileWriter(folder, node, interval=seconds, system=system, steps=self._steps, report=report)
        known = {"instance_type": os.environ.get("SM_CURRENT_INSTANCE_TYPE"), **(facts or {})}
        begin = known.pop("job_begin", None)
        self._writer.facts = _known(known)
        self._writer.life = {"begin": begin if isinstance(begin, (int, float)) else time.time(), "process": os.getpid()}
        self._wanted, self._operator_steps = operators, operator_steps
        self.needs_torch = operators == "on"
        self._operators = OperatorProfiler("off", gpu=False, coming=None)
        self._engine = EngineChoice("torch", "fp32")
        # The time at which step_begins starts or stops profiling operators; infinite until a run begins.
        self._next_check = math.inf
        self._profiling = False
        self._first: float | None = None
        self._train_step = 0
        # For a feature pass: its batches, how many are done, when it began, the cost of its operators.
        self._batches = self._batch = 0
        self._pass: dict[str, float] = {}
        self._pass_operators: tuple[Operator, ...] = ()
        self._ran = False
        self._begin = self._ready = self._forward = self._backward = perf_counter()
        self._ended = False

    def start(self) -> None:
        """Starts to sample the machine, as early in the job as possible. A second call does nothing."""
        if self._writer.ident is None and not self._ended:
            self._writer.start()

    def run_begins(self, network: nn.Module, facts: Mapping[str, Any]) -> None:
        """Notes the facts of the run; starts sampling if it has not started."""
        settings, writer = facts.get("hyperparameters") or {}, self._writer
        device = next((parameter.device.type for parameter in network.parameters()), "cpu")
        inputs, epochs = facts.get("inputs"), _count(settings.get("epochs"))
        found = {
            "batch_size": _count(settings.get("batch_size", settings.get("batch-size"))),
            "epochs": epochs,
            "workers": _workers(settings.get("workers"), inputs),
            "steps_per_epoch": facts.get("steps_per_epoch"),
            "inputs": inputs,
        }
        done, steps_an_epoch = int(facts.get("epoch") or 0), int(facts.get("steps_per_epoch") or 0)
        writer.begin_run(str(facts.get("fingerprint") or ""), type(network).__name__, continues=done > 0)
        writer.facts = {**_known(found), **writer.facts, "device": device, "launch_times": device != "cpu"}
        self._train_step = facts.get("train_steps", done * steps_an_epoch)
        evaluated = facts.get("eval_steps", (_count(writer.earlier.get("evaluated")) or 0) if done else 0)
        writer.counts = {**writer.counts, TRAIN: self._train_step, EVAL: evaluated}
        self._ran = True
        coming = (epochs - done) * steps_an_epoch if epochs else None
        self._prepare_operators(device == "cuda", coming)
        self.start()

    def learn(self, facts: Mapping[str, object]) -> None:
        """Adds facts that become known while the run trains, such as the workers of its loader."""
        self._writer.facts = {**self._writer.facts, **_known(facts)}

    def pass_begins(self, batches: int, facts: Mapping[str, Any]) -> None:
        """Notes the facts of the feature pass; starts sampling if it has not started."""
        gpu = facts.get("device") == "cuda"
        known = {**facts, "inputs": "pictures", "launch_times": gpu}
        self._writer.facts = {**self._writer.facts, **_known(known)}
        self._batches, self._batch = batches, 0
        self._pass = {"training": time.time()}
        self._engine = EngineChoice.from_dict(dict(facts)) or self._engine
        profiled = self._wanted != "off" and self._engine.name == "torch"
        self._operators = OperatorProfiler(
            "on" if profiled else "off", gpu=gpu, coming=batches, profiled=self._operator_steps
        )
        self.start()

    def pass_batch_begins(self) -> None:
        """Starts torch.profiler after the warm-up, unless the pass will be too short for it."""
        if self._operators.done:
            return
        begin = perf_counter()
        self._first = begin if self._first is None else self._first
        warm = max(0, min(WARM_UP, self._batches - self._operator_steps))
        if self._wanted == "auto" and self._batch == warm:
            expected = (begin - self._first) / max(1, warm) * self._batches
            self._operators.done = expected < PASS_SECONDS
        self._profiling = self._operators.before_step(self._batch)

    def pass_batch_ends(self, began: float, ready: float, ended: float) -> None:
        """Records the batch's times."""
        self._steps.append((PREDICT, began, ready, ended, ended, ended))
        self._batch += 1
        if self._profiling:
            self._profiling = self._operators.after_step()

    def pass_ends(self) -> Mapping[str, Any]:
        """Returns the operators of the pass, which the store keeps with the features."""
        self._operators.stop()
        self._profiling, self._first = False, None
        self._pass["trained"] = time.time()
        self._pass_operators = self._operators.read() or ()
        note = "" if self._pass_operators else self._why_no_pass_operators()
        self._writer.operators_note = note
        return {
            "operators": [asdict(operator) for operator in self._pass_operators[:PASS_OPERATORS]],
            "operators_note": note,
        }

    def step_begins(self, mode: str) -> None:
        """Reads the clock."""
        self._begin = begin = perf_counter()
        if begin >= self._next_check:
            self._check_operators(mode, begin)

    def batch_ready(self, mode: str, inputs: Tensor, labels: Tensor) -> None:  # noqa: ARG002
        """Reads the clock."""
        self._ready = perf_counter()

    def forward_done(self, mode: str, logits: Tensor) -> None:  # noqa: ARG002
        """Reads the clock."""
        self._forward = perf_counter()

    def backward_done(self, mode: str) -> None:  # noqa: ARG002
        """Reads the clock."""
        self._backward = perf_counter()

    def step_ends(self, mode: str, loss: Tensor, correct: Tensor, size: int) -> None:  # noqa: ARG002
        """Reads the clock."""
        self.add_step((mode, self._begin, self._ready, self._forward, self._backward, perf_counter()))

    def add_step(self, step: Step) -> None:
        """Adds a step whose times the caller has read."""
        self._steps.append(step)
        if step[0] == TRAIN:
            self._train_step += 1
            if self._profiling:
                self._profiling = self._operators.after_step()

    def epoch_ends(self, epoch: int, values: Mapping[str, float]) -> str | None:  # noqa: ARG002
        """Notes the time; the profiler's own thread writes it."""
        now = perf_counter()
        self._writer.life = {**self._writer.life, "trained": now + self._writer.offset, "epochs": epoch}
        self._steps.append((EPOCH, now, now, now, now, now))
        if self._writer.failed:  # the thread no longer reads them
            self._steps.clear()
        return None

    def run_ends(self) -> None:
        """Writes the rest. Later calls do nothing."""
        if self._ended:
            return
        self._ended = True
        self._operators.stop()
        now = perf_counter()
        trained = now - self._first if self._first is not None else 0.0
        if self._ran:
            self._writer.operators_note = self._operators.ended(trained)
        elif self._pass:  # a job that only computes features
            self._writer.operators = lambda: self._pass_operators
            self._writer.life = {**self._writer.life, **self._pass}
        self._writer.life = {**self._writer.life, "end": now + self._writer.offset}
        self._writer.finish(FINISH_SECONDS)

    def _prepare_operators(self, gpu: bool, coming: int | None) -> None:
        """Prepares to profile operators, unless an earlier process of the job has."""
        wanted = "off" if self._writer.earlier.get("operators") else self._wanted
        self._operators = OperatorProfiler(wanted, gpu=gpu, coming=coming, profiled=self._operator_steps)
        self._writer.operators = self._read_operators
        self._next_check = math.inf if self._operators.done else -math.inf

    def _check_operators(self, mode: str, begin: float) -> None:
        """Starts torch.profiler before a training step when it is due, and stops it before an evaluation step."""
        if mode != TRAIN:
            self._operators.stop()
            self._profiling = False
        else:
            self._first = begin if self._first is None else self._first
            due = self._first + self._operators.after
            if begin < due:
                self._next_check = due
            else:
                self._profiling = self._operators.before_step(self._train_step)
        if self._operators.done:
            self._next_check = math.inf

    def _why_no_pass_operators(self) -> str:
        if self._wanted == "off":
            return "Operators of the feature pass were not profiled: profile-operators is off."
        if self._engine.name != "torch":
            title = TITLES[self._engine.name]
            return (
                f"Operators of the feature pass were not profiled: it ran in {title}, and torch's profiler sees only "
                f"torch; {HOW}."
            )
        return (
            f"Operators of the feature pass were not profiled: it was expected to last less "
            f"than {PASS_SECONDS:.0f} s; {HOW}."
        )

    def _read_operators(self) -> tuple[Operator, ...] | None:
        found = self._operators.read()
        if found:
            extra = {
                "operator_steps": list(self._operators.steps),
                "operators_seconds": round(self._operators.seconds, 3),
            }
            self._writer.facts = {**self._writer.facts, **extra}
        return found


def _workers(setting: object, inputs: object) -> int | None:
    """The number of processes that load pictures; None where nothing loads any, or the loop is not ours."""
    if inputs == "features":
        return None
    # 0 means one per core in our scripts.
    return _count(setting) or (available_cores() if inputs == "pictures" else None)


def _count(value: object) -> int | None:
    """An integer, also from a string, as hyperparameters are."""
    try:
        return int(value) if isinstance(value, (int, float, str)) else None
    except (ValueError, OverflowError):
        return None


def _known(facts: Mapping[str, object]) -> dict[str, object]:
    return {key: value for key, value in facts.items() if value is not None}
