"""Profiles a run: how busy the machine is, how long steps and their parts take, which operators cost most.

In the training thread a step costs a few readings of a clock; everything else happens in a thread of the profiler's.
Forward and backward times are wall times of the calls: on a GPU, which works asynchronously, those of launching
kernels (`launch_times` among the facts). Nothing is waited for to measure it.
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

from training_scripts.recording.profiler.operators import STEPS, WARM_UP, OperatorWatch
from training_scripts.recording.profiler.writer import EPOCH, ProfileWriter, Step, node_name
from training_scripts.recording.trial.trial import EVAL, PREDICT, TRAIN
from training_scripts.training.callbacks import Callback
from training_scripts.training.runtime import available_cores

if TYPE_CHECKING:
    from torch import Tensor, nn

    from training_scripts.recording.profile.profile import Operator

INTERVAL_MS = 500
FINISH_SECONDS = 30.0
# Looking at three batches of a feature pass costs a few hundredths of a second: a percent or two of a longer one.
PASS_SECONDS = 2.0
# Of a pass, as many operators are kept with its features.
PASS_OPERATORS = 20


class Profiler(Callback):
    """Writes a run's profile into a folder, in Debugger's layout. What goes wrong costs the profile alone."""

    def __init__(
        self,
        folder: Path,
        *,
        interval_ms: int = INTERVAL_MS,
        operators: str = "auto",
        facts: Mapping[str, Any] | None = None,
        report: Callable[[str], Any] = print,
        system: bool = True,
    ) -> None:
        """Nothing is sampled or written yet.

        Args:
            folder: Holds the profile; what an earlier process of the same job left there is added to.
            interval_ms: Time between two samples of the machine, milliseconds.
            operators: auto, on or off: whether torch.profiler looks at a few steps; auto only in runs that are long
                enough for it to stay within 1 % of training time.
            facts: What is known of the job: job_begin (seconds since 1970), workers, pin_memory, ...
            report: Takes the one line of log that a failure costs.
            system: Whether to sample the machine; not where the service does it itself, into the same folder.
        """
        self._steps: list[Step] = []
        node, seconds = node_name(os.environ.get("SM_CURRENT_HOST")), interval_ms / 1000
        self._writer = ProfileWriter(folder, node, interval=seconds, system=system, steps=self._steps, report=report)
        known = {"instance_type": os.environ.get("SM_CURRENT_INSTANCE_TYPE"), **(facts or {})}
        begin = known.pop("job_begin", None)
        self._writer.facts = _known(known)
        self._writer.life = {"begin": time.time() if begin is None else float(begin), "process": os.getpid()}
        self._wanted = operators
        self._watch = OperatorWatch("off", gpu=False, steps=None)
        # When step_begins looks up from its work; never, until a run begins.
        self._look_at = math.inf
        self._looking = False
        self._first: float | None = None
        self._train_step = 0
        # Of a feature pass: its batches, those done, when it began, what its operators cost.
        self._batches = self._batch = 0
        self._pass: dict[str, float] = {}
        self._pass_operators: tuple[Operator, ...] = ()
        self._ran = False
        self._begin = self._ready = self._forward = self._backward = perf_counter()
        self._ended = False

    def start(self) -> None:
        """Begins to sample the machine; as early in the job as possible. A second call does nothing."""
        if self._writer.ident is None and not self._ended:
            self._writer.start()

    def run_begins(self, network: nn.Module, facts: Mapping[str, Any]) -> None:
        """Learns what is trained; sampling begins, where it has not yet."""
        settings, writer = facts.get("hyperparameters") or {}, self._writer
        device = next((parameter.device.type for parameter in network.parameters()), "cpu")
        inputs, epochs = facts.get("inputs"), _count(settings.get("epochs"))
        found = {
            "batch_size": _count(settings.get("batch_size", settings.get("batch-size"))),
            "epochs": epochs,
            # 0 stands for one a core; stored features are not loaded by workers.
            "workers": None if inputs == "features" else _count(settings.get("workers")) or available_cores(),
            "steps_per_epoch": facts.get("steps_per_epoch"),
            "inputs": inputs,
        }
        writer.begin_run(str(facts.get("fingerprint") or ""), type(network).__name__)
        writer.facts = {**_known(found), **writer.facts, "device": device, "launch_times": device != "cpu"}
        done, steps_an_epoch = int(facts.get("epoch") or 0), int(facts.get("steps_per_epoch") or 0)
        self._train_step = done * steps_an_epoch
        evaluated = (_count(writer.earlier.get("evaluated")) or 0) if done else 0
        writer.counts = {**writer.counts, TRAIN: self._train_step, EVAL: evaluated}
        self._ran = True
        coming = (epochs - done) * steps_an_epoch if epochs else None
        self._watch_operators(device == "cuda", coming)
        self.start()

    def pass_begins(self, batches: int, facts: Mapping[str, Any]) -> None:
        """Learns what computes the features; sampling begins, where it has not yet."""
        gpu = facts.get("device") == "cuda"
        known = {**facts, "inputs": "pictures", "launch_times": gpu}
        self._writer.facts = {**self._writer.facts, **_known(known)}
        self._batches, self._batch = batches, 0
        self._pass = {"training": time.time()}
        self._watch = OperatorWatch("off" if self._wanted == "off" else "on", gpu=gpu, steps=batches)
        self.start()

    def pass_batch_begins(self) -> None:
        """Starts torch.profiler when it is time, unless the whole pass will be too short for it."""
        if self._watch.done:
            return
        begin = perf_counter()
        self._first = begin if self._first is None else self._first
        warm = max(0, min(WARM_UP, self._batches - STEPS))
        if self._wanted == "auto" and self._batch == warm:
            expected = (begin - self._first) / max(1, warm) * self._batches
            self._watch.done = expected < PASS_SECONDS
        self._looking = self._watch.before_step(self._batch)

    def pass_batch_ends(self, began: float, ready: float, ended: float) -> None:
        """Takes the times."""
        self._steps.append((PREDICT, began, ready, ended, ended, ended))
        self._batch += 1
        if self._looking:
            self._looking = self._watch.after_step()

    def pass_ends(self) -> Mapping[str, Any]:
        """The operators of the pass, to be kept with the features."""
        self._watch.stop()
        self._looking, self._first = False, None
        self._pass["trained"] = time.time()
        self._pass_operators = self._watch.read() or ()
        note = "" if self._pass_operators else self._why_no_pass_operators()
        self._writer.operators_note = note
        return {
            "operators": [asdict(operator) for operator in self._pass_operators[:PASS_OPERATORS]],
            "operators_note": note,
        }

    def step_begins(self, mode: str) -> None:
        """Takes the time."""
        self._begin = begin = perf_counter()
        if begin >= self._look_at:
            self._look(mode, begin)

    def batch_ready(self, mode: str, inputs: Tensor, labels: Tensor) -> None:  # noqa: ARG002
        """Takes the time."""
        self._ready = perf_counter()

    def forward_done(self, mode: str, logits: Tensor) -> None:  # noqa: ARG002
        """Takes the time."""
        self._forward = perf_counter()

    def backward_done(self, mode: str) -> None:  # noqa: ARG002
        """Takes the time."""
        self._backward = perf_counter()

    def step_ends(self, mode: str, loss: Tensor, correct: Tensor, size: int) -> None:  # noqa: ARG002
        """Takes the time."""
        self._steps.append((mode, self._begin, self._ready, self._forward, self._backward, perf_counter()))
        if mode == TRAIN:
            self._train_step += 1
            if self._looking:
                self._looking = self._watch.after_step()

    def epoch_ends(self, epoch: int, values: Mapping[str, float]) -> str | None:  # noqa: ARG002
        """Notes the time; writing is left to the profiler's own thread."""
        now = perf_counter()
        self._writer.life = {**self._writer.life, "trained": now + self._writer.offset, "epochs": epoch}
        self._steps.append((EPOCH, now, now, now, now, now))
        if self._writer.failed:  # nobody takes them any more
            self._steps.clear()
        return None

    def run_ends(self) -> None:
        """Writes what is left. Later calls do nothing."""
        if self._ended:
            return
        self._ended = True
        self._watch.stop()
        now = perf_counter()
        trained = now - self._first if self._first is not None else 0.0
        if self._ran:
            self._writer.operators_note = self._watch.ended(trained)
        elif self._pass:  # a job that computes features and trains nothing
            self._writer.operators = lambda: self._pass_operators
            self._writer.life = {**self._writer.life, **self._pass}
        self._writer.life = {**self._writer.life, "end": now + self._writer.offset}
        self._writer.finish(FINISH_SECONDS)

    def _watch_operators(self, gpu: bool, coming: int | None) -> None:
        """Prepares to look at operators, unless an earlier process of the job has."""
        wanted = "off" if self._writer.earlier.get("operators") else self._wanted
        self._watch = OperatorWatch(wanted, gpu=gpu, steps=coming)
        self._writer.operators = self._read_operators
        self._look_at = math.inf if self._watch.done else -math.inf

    def _look(self, mode: str, begin: float) -> None:
        """Starts torch.profiler before a training step when it is time, and keeps evaluation out of it."""
        if mode != TRAIN:
            self._watch.stop()
            self._looking = False
        else:
            self._first = begin if self._first is None else self._first
            due = self._first + self._watch.after
            if begin < due:
                self._look_at = due
            else:
                self._looking = self._watch.before_step(self._train_step)
        if self._watch.done:
            self._look_at = math.inf

    def _why_no_pass_operators(self) -> str:
        if self._wanted == "off":
            return "Operators of the feature pass were not looked at: profile-operators is off."
        return (
            f"Operators of the feature pass were not looked at: it was to last less "
            f"than {PASS_SECONDS:.0f} s; set profile-operators to on to look at them nevertheless."
        )

    def _read_operators(self) -> Any:
        found = self._watch.read()
        if found:
            extra = {"operator_steps": list(self._watch.steps), "operators_seconds": round(self._watch.seconds, 3)}
            self._writer.facts = {**self._writer.facts, **extra}
        return found


def _count(value: object) -> int | None:
    """A whole number, also one that came as text, as hyperparameters do."""
    try:
        return int(value) if isinstance(value, (int, float, str)) else None
    except (ValueError, OverflowError):
        return None


def _known(facts: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in facts.items() if value is not None}
