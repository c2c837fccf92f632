"""A profile: how a run used its time and machine, from our profiler, Debugger's, or AWS's profiler report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from training_scripts.rules.findings import RuleResult

CPU, CPU_MEMORY, GPU, GPU_MEMORY, IO_WAIT, NETWORK, DISK = (
    "CPU",
    "CPU memory",
    "GPU",
    "GPU memory",
    "I/O",
    "Network",
    "Disk",
)
"""System metrics, named as AWS's OverallSystemUsage does, and Disk. Percent; Network and Disk in bytes per second."""

TRAIN_STEP, EVAL_STEP, PREDICT_STEP, FORWARD, BACKWARD, DATA = (
    "Step:ModeKeys.TRAIN",
    "Step:ModeKeys.EVAL",
    "Step:ModeKeys.PREDICT",
    "Forward",
    "Backward(post-forward)",
    "DataLoaderIter",
)
"""Phases, named as smdebug does."""

PASS_WAIT, PASS_FORWARD = "FeaturePass:Wait", "FeaturePass:Forward"
"""Phases of a feature pass (mode PREDICT), distinct from those of a run that follows it in the same job."""


@dataclass(frozen=True)
class Metric:
    """One system metric of one node over time.

    Attributes:
        times: Seconds since 1970, float64 [n], ascending.
        values: Mean (CPU, GPU) or sum (Network, Disk) over the devices, float64 [n].
        devices: Values by device, float64 [n]: cpu0, cpu1, gpu0, ...; empty for a single device.
    """

    times: NDArray[np.float64]
    values: NDArray[np.float64]
    devices: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)


@dataclass(frozen=True)
class Spans:
    """Many passes through one phase: a step, a forward pass, a wait for data.

    Attributes:
        steps: Step number of each, int64 [n]; -1 if unknown.
        begins: Seconds since 1970, float64 [n], ascending.
        seconds: Wall time of each, float64 [n].
        nodes: Index of the profile's node that each ran on, int64 [n]; empty if all ran on the first.
    """

    steps: NDArray[np.int64]
    begins: NDArray[np.float64]
    seconds: NDArray[np.float64]
    nodes: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, dtype=np.int64))

    def __len__(self) -> int:
        return len(self.seconds)

    def of_node(self, number: int) -> Spans:
        """The spans that ran on one of the profile's nodes."""
        return self.where(self.on_node(number))

    def on_node(self, number: int) -> NDArray[np.bool_]:
        """Which spans ran on one of the profile's nodes, bool [n]."""
        return self.nodes == number if len(self.nodes) else np.full(len(self), number == 0)

    @property
    def used_nodes(self) -> list[int]:
        """Indices of the nodes that any of the spans ran on, ascending."""
        return np.unique(self.nodes).tolist() if len(self.nodes) else [0] * bool(len(self))

    def where(self, chosen: NDArray[np.bool_]) -> Spans:
        """Selects spans.

        Args:
            chosen: Mask, bool [n].
        """
        nodes = self.nodes[chosen] if len(self.nodes) else self.nodes
        return Spans(self.steps[chosen], self.begins[chosen], self.seconds[chosen], nodes)


@dataclass(frozen=True)
class Statistics:
    """Statistics of a metric, or of a phase's seconds.

    Attributes:
        what: The metric or phase, for example CPU or Step:ModeKeys.TRAIN.
        node: algo-1, ...
        count: Number of values; None if unknown.
        histogram: Counts [b]; empty if unknown.
        edges: Edges of the histogram's bins [b + 1].
    """

    what: str
    node: str
    maximum: float
    p99: float
    p95: float
    p50: float
    minimum: float
    mean: float | None = None
    count: int | None = None
    histogram: tuple[float, ...] = ()
    edges: tuple[float, ...] = ()


@dataclass(frozen=True)
class Operator:
    """Seconds that one operator of the network took in the profiled steps.

    Self time, without the operators it calls, unless `Profile.operators_note` says otherwise. `calls` is 0 if unknown.
    """

    name: str
    calls: int
    cpu_seconds: float
    gpu_seconds: float = 0.0


@dataclass(frozen=True)
class Timeline:
    """A job's phases: `begin` to `training` initialization, to `trained` training, to `end` finalization.

    All seconds since 1970; None if unknown.
    """

    begin: float | None = None
    training: float | None = None
    trained: float | None = None
    end: float | None = None


@dataclass(frozen=True)
class Profile:
    """The profile of a run.

    Attributes:
        source: profiler (recorded samples) or report (AWS's profiler report: statistics, no samples).
        system: Node -> metric name -> metric.
        phases: Phase name (Step:ModeKeys.TRAIN, Forward, Backward(post-forward), DataLoaderIter, ...) -> spans.
        usage: Statistics of the system metrics.
        step_statistics: Statistics of the phases that are steps, in seconds.
        phase_statistics: Statistics of all phases.
        operators: Most expensive first.
        operators_note: Why there are no operators; or what to know about their times.
        timeline: The job's phases.
        facts: cores, gpus (how many), gpu_names, workers (decoding threads), pin_memory, batch_size, inputs,
            instance_type, device and so on, where known; operator_steps (which profiling slowed down);
            launch_times (whether forward and backward are times of launching kernels, not of running them);
            steps (their number by mode) and kept_one_in (long runs do not write every step).
        results: Rule results, if the source has them (AWS's report).
        problems: One sentence for each part that could not be read.
        nodes: algo-1, ..., in the order of `Spans.nodes`.
    """

    source: str = "profiler"
    system: Mapping[str, Mapping[str, Metric]] = field(default_factory=dict)
    phases: Mapping[str, Spans] = field(default_factory=dict)
    usage: tuple[Statistics, ...] = ()
    step_statistics: tuple[Statistics, ...] = ()
    phase_statistics: tuple[Statistics, ...] = ()
    operators: tuple[Operator, ...] = ()
    operators_note: str = ""
    timeline: Timeline = Timeline()
    facts: Mapping[str, object] = field(default_factory=dict)
    results: tuple[RuleResult, ...] = ()
    problems: tuple[str, ...] = ()
    nodes: tuple[str, ...] = ()
