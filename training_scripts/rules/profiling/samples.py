"""Samples of each device during training, as all profiling rules use them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training_scripts._util.number_text import number_text
from training_scripts.recording.profile.profile import CPU, EVAL_STEP, GPU, TRAIN_STEP, Metric, Profile, Spans
from training_scripts.rules.findings import NotEvaluated

PATIENCE = 60
"""A rule needs more samples of training than this: half a minute at 500 ms."""
PATIENCE_MEANING = "samples that must exist before anything is evaluated"

# The first steps allocate memory, tune kernels and fill the data queues.
WARM_UP_SECONDS, WARM_UP_SHARE = 10.0, 0.1
# AWS's rules scan the samples every minute. For a long run, we scan less often.
SCAN_SECONDS, MOST_SCANS = 60.0, 500
# Seconds. Devices are sampled one after another; samples this close count as simultaneous.
SAME_MOMENT = 0.25


@dataclass(frozen=True)
class Device:
    """The samples of one device: times and values, float64 [n]."""

    node: str
    name: str
    times: NDArray[np.float64]
    values: NDArray[np.float64]

    def __str__(self) -> str:
        return f"{self.name} of {self.node}"

    def during(self, window: tuple[float, float]) -> Device:
        """The samples within a time window."""
        chosen = (self.times >= window[0]) & (self.times <= window[1])
        return Device(self.node, self.name, self.times[chosen], self.values[chosen])


def devices(profile: Profile, metric: str) -> list[Device]:
    """All devices of a metric, without missing values."""
    found = []
    for node, metrics in profile.system.items():
        if metric in metrics:
            one = metrics[metric]
            rows = one.devices or {f"{metric.split(maxsplit=1)[0].lower()}0": one.values}
            for name, values in rows.items():
                known = np.isfinite(values)
                found.append(Device(node, name, one.times[known], values[known]))
    return [device for device in found if len(device.times)]


def gpus(profile: Profile, metric: str = GPU) -> list[Device]:
    """The GPUs' samples.

    Raises:
        NotEvaluated: There are none; the message gives the reason.
    """
    require_samples(profile)
    found = devices(profile, metric)
    if found:
        return found
    if profile.facts.get("device") == "cuda" or profile.facts.get("gpus"):
        note = profile.facts.get("gpu_note") or "NVML reported nothing"
        raise NotEvaluated(f"The job used a GPU that was not sampled ({note}): install nvidia-ml-py in the job.")
    raise NotEvaluated("The job had no GPU, and this rule is about GPUs.")


def require_samples(profile: Profile) -> None:
    """Refuses a profile without samples of the machine.

    Raises:
        NotEvaluated: The profile has no samples.
    """
    if profile.source == "report":
        raise NotEvaluated("AWS's report has statistics, but no samples to evaluate, and no result of this rule.")
    if not profile.system:
        raise NotEvaluated("The machine was not sampled: train with profiler=on and psutil installed.")


def training_window(profile: Profile) -> tuple[float, float]:
    """Beginning and end of training without the warm-up, seconds since 1970.

    Raises:
        NotEvaluated: The beginning or the end of training is unknown.
    """
    begin, end = profile.timeline.training, profile.timeline.trained
    if begin is None and not any(name in profile.phases for name in (TRAIN_STEP, EVAL_STEP)):
        # Only Debugger's samples exist: training is between the first and the last sample with a busy GPU.
        busy = [device.times[device.values > 0] for device in devices(profile, GPU)]
        times = np.concatenate([one for one in busy if len(one)] or [np.zeros(0)])
        if len(times):
            begin, end = float(times.min()), float(times.max())
    if begin is None or end is None or end <= begin:
        raise NotEvaluated(
            "No training step was recorded, so samples taken during training cannot be distinguished from earlier ones."
        )
    return begin + min(WARM_UP_SECONDS, WARM_UP_SHARE * (end - begin)), end


def training_window_of_gpus(profile: Profile) -> tuple[float, float]:
    """The same as `training_window`, for a job that had GPUs.

    Raises:
        NotEvaluated: The job had no GPU, which is a better reason than that it did not train.
    """
    gpus(profile, GPU)
    return training_window(profile)


def require(count: int, least: float, which: str) -> None:
    """Refuses to evaluate too few samples, of which the words say whose or when they were taken.

    Raises:
        NotEvaluated: There are too few values.
    """
    if count <= least:
        few = "Only 1 sample" if count == 1 else f"Only {count} samples" if count else "No samples"
        raise NotEvaluated(
            f"{few} {which}".rstrip() + f": this rule needs more than {number_text(least)} (its parameter patience)."
        )


def scans(times: NDArray[np.float64]) -> list[int]:
    """Number of samples that had arrived at each of AWS's scans of a job; at the last scan, all of them."""
    if not len(times):
        return []
    looks = max(1, int(np.ceil((times[-1] - times[0]) / SCAN_SECONDS)))
    marks = np.linspace(times[0], times[-1], min(looks, MOST_SCANS) + 1)[1:]
    ends: list[int] = np.unique(np.searchsorted(times, marks, side="right")).tolist()
    return ends


def at_times(device: Device, times: NDArray[np.float64]) -> NDArray[np.float64]:
    """The values of a device at given times, float64 [n]; NaN if there is no sample close enough."""
    if not len(device.times):
        return np.full(len(times), np.nan)
    after = np.minimum(np.searchsorted(device.times, times), len(device.times) - 1)
    before = np.maximum(after - 1, 0)
    nearer = np.abs(device.times[before] - times) <= np.abs(device.times[after] - times)
    nearest = np.where(nearer, before, after)
    return np.where(np.abs(device.times[nearest] - times) <= SAME_MOMENT, device.values[nearest], np.nan)


def cpu_total(profile: Profile, node: str) -> Metric | None:
    """Mean CPU utilization over the cores of a node."""
    return profile.system.get(node, {}).get(CPU)


def steps_per_written(profile: Profile, phase: str, written: Spans) -> float:
    """How many steps of a phase a node took for each one that was written; 1 unless a long run left some out."""
    steps = fact(profile, "steps")
    count = steps.get(mode_of(phase)) if isinstance(steps, Mapping) else None
    if not isinstance(count, int) or not len(written) or not fact(profile, "kept_one_in"):
        return 1.0
    return max(1.0, count * len(written.used_nodes) / len(written))


def mode_of(phase: str) -> str:
    """The mode in the name of a phase.

    >>> mode_of("Step:ModeKeys.TRAIN")
    'TRAIN'
    """
    return phase.rpartition(".")[2]


def fact(profile: Profile, name: str) -> Any:
    """The recorded fact about the job with this name; None if there is none."""
    facts: Mapping[str, Any] = profile.facts
    return facts.get(name)
