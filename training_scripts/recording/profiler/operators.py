"""Profiles a few training steps with torch.profiler, to find the most expensive operators."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from typing import Protocol

from training_scripts.recording.profile.profile import Operator

# Steps that are profiled unless the run says otherwise.
STEPS = 3
# The first steps allocate and tune; they are not typical.
WARM_UP = 10
# Starting, three steps and reading the results take 0.02 s for a head, 0.2 s under load. CUPTI takes seconds to start.
CPU_SECONDS, GPU_SECONDS = 0.2, 3.0
# Share of the training time so far that profiling operators may take; the rest of one percent is for everything else.
SHARE = 0.006
MOST = 200
HOW = "set profile-operators to on to profile them anyway"


class _Event(Protocol):
    """What torch.profiler measured of one operator; times are microseconds."""

    key: str
    count: int
    self_cpu_time_total: float


class _Engine(Protocol):
    """The part of torch.autograd.profiler.profile that is used: its own methods are not annotated."""

    def __enter__(self) -> object: ...

    def __exit__(self, kind: None, error: None, trace: None, /) -> object: ...

    def key_averages(self) -> Iterable[_Event]: ...


class OperatorProfiler:
    """Profiles steps in the training thread; `read` may be called in another thread.

    Attributes:
        after: Seconds of training before profiling starts.
        done: Whether profiling is over.
        seconds: Time that profiling has taken.
        steps: Numbers of the profiled training steps.
    """

    def __init__(self, when: str, *, gpu: bool, coming: int | None, profiled: int = STEPS) -> None:
        """Profiles nothing yet.

        Args:
            when: on; off; or auto: once profiling takes at most `SHARE` of the training time so far.
            gpu: Whether kernels run on a GPU.
            coming: Number of training steps to come; None if unknown.
            profiled: Number of them to profile.
        """
        seconds = (GPU_SECONDS if gpu else CPU_SECONDS) * max(1.0, profiled / STEPS)
        self.after = seconds / SHARE if when == "auto" else 0.0
        self.done = when == "off"
        self.seconds = 0.0
        self.steps: tuple[int, ...] = ()
        self._gpu = gpu
        self._profiled = profiled
        self._skip = WARM_UP if coming is None or when != "on" else max(0, min(WARM_UP, coming - profiled))
        self._off = self.done
        self._profile: _Engine | None = None
        self._results: _Engine | None = None
        self._first = 0
        self._count = 0

    def before_step(self, step: int) -> bool:
        """Called before a training step; returns whether it is profiled."""
        if self.done:
            return False
        if self._profile is None and self._skip:
            self._skip -= 1
        elif self._profile is None:
            began = time.perf_counter()
            self._profile = _started(self._gpu)
            self._first, self._count = step, 0
            self.seconds += time.perf_counter() - began
        return self._profile is not None

    def after_step(self) -> bool:
        """Called after a profiled step; returns whether the next one is profiled, too."""
        self._count += 1
        if self._count >= self._profiled:
            self.stop()
        return self._profile is not None

    def stop(self) -> None:
        """Ends profiling after enough steps, or at the end of an epoch."""
        if self._profile is None:
            return
        began = time.perf_counter()
        profile, self._profile = self._profile, None
        profile.__exit__(None, None, None)
        if self._count:  # otherwise the epoch had no further step
            self.done = True
            self.steps = tuple(range(self._first, self._first + self._count))
            self._results = profile
        self.seconds += time.perf_counter() - began

    def read(self) -> tuple[Operator, ...] | None:
        """The operators, most expensive first; None if they were read before, or there are none yet."""
        if self._results is None:
            return None
        began = time.perf_counter()
        profile, self._results = self._results, None
        found = [_operator(event) for event in profile.key_averages() if _on_cpu(event)]
        found = [one for one in found if one.cpu_seconds + one.gpu_seconds > 0]
        self.seconds += time.perf_counter() - began
        return tuple(sorted(found, key=lambda one: -(one.cpu_seconds + one.gpu_seconds))[:MOST])

    def ended(self, trained: float) -> str:
        """Why a run that trained for this many seconds has no operators."""
        if self._off:
            return "Operators were not profiled: profile-operators is off."
        if trained < self.after:
            return (
                f"Operators were not profiled: profiling starts after {self.after:.0f} s of training so that it takes "
                f"less than 1% of the time, and this run trained for {trained:.1f} s; {HOW}."
            )
        return "Operators were not profiled: the run ended too early."


def _started(gpu: bool) -> _Engine:
    """Starts the engine of torch.profiler directly: torch.profiler first imports torch._inductor, which takes 1.2 s."""
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # or it logs a line on machines without a GPU
    from torch.autograd import profiler  # noqa: PLC0415 - torch is loaded by now; this module must not need it

    profile: _Engine = profiler.profile(use_kineto=True, use_device="cuda" if gpu else None)
    profile.__enter__()
    return profile


def _on_cpu(event: _Event) -> bool:
    # Kernels have separate rows next to those of the operators that launched them.
    return "CPU" in str(getattr(event, "device_type", "CPU")) and not event.key.startswith("ProfilerStep")


def _operator(event: _Event) -> Operator:
    gpu = getattr(event, "self_device_time_total", None)
    if gpu is None:  # torch before 2.4
        gpu = getattr(event, "self_cuda_time_total", 0.0)
    return Operator(event.key[:200], event.count, event.self_cpu_time_total / 1e6, float(gpu or 0.0) / 1e6)
