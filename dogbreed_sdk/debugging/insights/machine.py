"""How busy the machine was during training, in the same numbers for our samples and for AWS's report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training_scripts.recording.profile.profile import CPU, GPU, GPU_MEMORY, IO_WAIT, Profile
from training_scripts.rules.evidence.recorded import count
from training_scripts.rules.findings import NotEvaluated
from training_scripts.rules.profiling.samples import Device, at_times, cpu_total, devices, training_window

IDLE, BUSY, WAITING = 10.0, 90.0, 50.0
"""AWS's limits in CPUBottleneck and IOBottleneck for an idle GPU, a busy core and a core that waits for the disk, %."""

# Ten seconds at the default interval. Shorter training shows nothing about the machine.
ENOUGH_SAMPLES = 20


@dataclass(frozen=True)
class Level:
    """Quantiles of a metric in percent; p5 is the minimum if only statistics are known."""

    p5: float
    p50: float
    p95: float
    maximum: float


@dataclass(frozen=True)
class Waits:
    """Samples in which a GPU idled while something else was at its limit.

    Attributes:
        both: Number of such samples.
        idle: Number of samples in which a GPU idled.
        moments: Number of all samples; None if unknown.
    """

    both: int
    idle: int
    moments: int | None


@dataclass(frozen=True)
class Use:
    """How the machine was used.

    Attributes:
        when: The period, in words.
        cpu: Mean utilization over the cores.
        gpu: Utilization of the least used GPU; None without a GPU.
        gpu_memory: Memory of the fullest GPU; None if unknown.
        io_wait: Mean I/O wait over the cores; None if unknown.
        cpu_waits: GPUs that waited for the cores.
        io_waits: GPUs that waited for the disk.
    """

    when: str
    cpu: Level | None
    gpu: Level | None
    gpu_memory: Level | None
    io_wait: Level | None
    cpu_waits: Waits | None
    io_waits: Waits | None


def use_of(profile: Profile) -> Use | None:
    """Computes it from a profile; None if there is too little data."""
    return _reported(profile) if profile.source == "report" else _sampled(profile)


def fact(profile: Profile, name: str) -> int | None:
    """A count among the facts about the job; None if it is unknown, or 0 for automatic."""
    return count(profile.facts.get(name))


def ours(profile: Profile) -> bool:
    """Whether train_model recorded the profile; its options do not apply to other jobs."""
    return profile.facts.get("inputs") in ("features", "pictures")


def _sampled(profile: Profile) -> Use | None:
    try:
        window = training_window(profile)
    except NotEvaluated:
        return None
    gpus = [device.during(window) for device in devices(profile, GPU)]
    memories = [device.during(window) for device in devices(profile, GPU_MEMORY)]
    totals = [total for node in profile.system if (total := cpu_total(profile, node)) is not None]
    cpu = [m.values[(m.times >= window[0]) & (m.times <= window[1]) & np.isfinite(m.values)] for m in totals]
    if max((len(values) for values in cpu), default=0) < ENOUGH_SAMPLES:
        return None
    gpu = min((_level(device.values) for device in gpus if len(device.values)), key=lambda one: one.p50, default=None)
    memory = max((_level(one.values) for one in memories if len(one.values)), key=lambda one: one.p95, default=None)
    waiting = [device.during(window) for device in devices(profile, IO_WAIT)]
    return Use(
        when="while training",
        cpu=_level(np.concatenate(cpu)),
        gpu=gpu,
        gpu_memory=memory,
        io_wait=_level(_mean_over(waiting)) if waiting and len(waiting[0].times) else None,
        cpu_waits=_waits(gpus, [device.during(window) for device in devices(profile, CPU)], BUSY),
        io_waits=_waits(gpus, waiting, WAITING),
    )


def _mean_over(cores: list[Device]) -> NDArray[np.float64]:
    rows = np.stack([at_times(core, cores[0].times) for core in cores if len(core.times)])
    known = np.isfinite(rows).all(axis=0)
    return rows[:, known].mean(axis=0) if known.any() else np.zeros(1)


def _waits(gpus: list[Device], causes: list[Device], limit: float) -> Waits | None:
    """Counts the samples of each node in which one of its GPUs idled, and those in which a cause was at its limit."""
    both = idle = moments = 0
    for node in dict.fromkeys(gpu.node for gpu in gpus if len(gpu.times)):
        here = [gpu for gpu in gpus if gpu.node == node and len(gpu.times)]
        there = [cause for cause in causes if cause.node == node and len(cause.times)]
        if not there:
            continue
        times = here[0].times
        with np.errstate(invalid="ignore"):  # NaN if a device has no sample close enough: neither idle nor busy
            idles = np.any([at_times(gpu, times) < IDLE for gpu in here], axis=0)
            limited = np.any([at_times(cause, times) > limit for cause in there], axis=0)
        both += int((idles & limited).sum())
        idle += int(idles.sum())
        moments += len(times)
    return Waits(both, idle, moments) if moments else None


def _level(values: NDArray[np.float64]) -> Level:
    p5, p50, p95 = np.quantile(values, [0.05, 0.5, 0.95]).tolist()
    return Level(p5, p50, p95, float(values.max()))


def _reported(profile: Profile) -> Use | None:
    rows = {row.what: Level(row.minimum, row.p50, row.p95, row.maximum) for row in profile.usage}
    if CPU not in rows and GPU not in rows:
        return None
    has_gpu = bool(profile.facts.get("gpus"))
    return Use(
        when="over the whole job",
        cpu=rows.get(CPU),
        gpu=rows.get(GPU) if has_gpu else None,
        gpu_memory=rows.get(GPU_MEMORY) if has_gpu else None,
        io_wait=rows.get(IO_WAIT),
        cpu_waits=_reported_waits(profile, "CPUBottleneck") if has_gpu else None,
        io_waits=_reported_waits(profile, "IOBottleneck") if has_gpu else None,
    )


def _reported_waits(profile: Profile, rule: str) -> Waits | None:
    for result in profile.results:
        if result.name == rule:
            found, idle = result.details.get("bottlenecks"), result.details.get("low_gpu_utilization")
            if isinstance(found, Mapping) and isinstance(idle, (int, float)) and idle > 0:
                in_all = result.details.get("bottlenecks_in_all", len(found))
                return Waits(min(count(in_all) or len(found), int(idle)), int(idle), None)
    return None
