"""What profiling rules share: the samples that were taken while the network trained, device by device."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training_scripts._util.number_text import number_text
from training_scripts.recording.profile.profile import CPU, EVAL_STEP, GPU, TRAIN_STEP, Metric, Profile
from training_scripts.rules.findings import NotEvaluated

PATIENCE = 60
"""Samples of training that a rule needs: half a minute at 500 ms."""

# The first passes allocate memory, tune kernels and fill the queues of data.
WARM_UP_SECONDS, WARM_UP_SHARE = 10.0, 0.1
# AWS's rules scan what has arrived every minute; the scans of a long run are thinned out.
SCAN_SECONDS, MOST_SCANS = 60.0, 500
# Devices that are sampled one after another still belong to one moment.
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
        """Its samples within a time."""
        chosen = (self.times >= window[0]) & (self.times <= window[1])
        return Device(self.node, self.name, self.times[chosen], self.values[chosen])


def devices(profile: Profile, metric: str) -> list[Device]:
    """Every device of a metric, with the values that are known."""
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
        NotEvaluated: There are none; the message says for which reason.
    """
    require_samples(profile)
    found = devices(profile, metric)
    if found:
        return found
    if profile.facts.get("device") == "cuda" or profile.facts.get("gpus"):
        note = profile.facts.get("gpu_note") or "NVML reported nothing"
        raise NotEvaluated(f"A GPU was used, but not sampled ({note}): install nvidia-ml-py in the job.")
    raise NotEvaluated("The job had no GPU, and this rule is about GPUs.")


def require_samples(profile: Profile) -> None:
    """Nothing, where the profile has samples of the machine.

    Raises:
        NotEvaluated: It has none.
    """
    if profile.source == "report":
        raise NotEvaluated("AWS's report has statistics, but no samples to evaluate, and no result of this rule.")
    if not profile.system:
        raise NotEvaluated("The machine was not sampled: train with profiler=on and psutil installed.")


def training_window(profile: Profile) -> tuple[float, float]:
    """From when to when the network trained, warm-up left out, seconds since 1970.

    Raises:
        NotEvaluated: It never did.
    """
    begin, end = profile.timeline.training, profile.timeline.trained
    if begin is None and not any(name in profile.phases for name in (TRAIN_STEP, EVAL_STEP)):
        # Debugger's samples alone: training is between the first and the last work of the GPU.
        busy = [device.times[device.values > 0] for device in devices(profile, GPU)]
        times = np.concatenate([one for one in busy if len(one)] or [np.zeros(0)])
        if len(times):
            begin, end = float(times.min()), float(times.max())
    if begin is None or end is None or end <= begin:
        raise NotEvaluated(
            "No training step was recorded, so samples taken during training cannot be distinguished from earlier ones."
        )
    return begin + min(WARM_UP_SECONDS, WARM_UP_SHARE * (end - begin)), end


def require(count: int, least: float, what: str) -> None:
    """Refuses to judge by too few values.

    Raises:
        NotEvaluated: There are too few to judge by.
    """
    if count <= least:
        raise NotEvaluated(
            f"Only {count} {what}: this rule needs more than {number_text(least)} (its parameter patience)."
        )


def scans(times: NDArray[np.float64]) -> list[int]:
    """How many samples had arrived at each of AWS's scans of a job; all of them at the last."""
    if not len(times):
        return []
    looks = max(1, int(np.ceil((times[-1] - times[0]) / SCAN_SECONDS)))
    marks = np.linspace(times[0], times[-1], min(looks, MOST_SCANS) + 1)[1:]
    ends: list[int] = np.unique(np.searchsorted(times, marks, side="right")).tolist()
    return ends


def at_times(device: Device, times: NDArray[np.float64]) -> NDArray[np.float64]:
    """A device's values at given times, NaN where it has none near, float64 [n]."""
    if not len(device.times):
        return np.full(len(times), np.nan)
    after = np.minimum(np.searchsorted(device.times, times), len(device.times) - 1)
    before = np.maximum(after - 1, 0)
    nearer = np.abs(device.times[before] - times) <= np.abs(device.times[after] - times)
    nearest = np.where(nearer, before, after)
    return np.where(np.abs(device.times[nearest] - times) <= SAME_MOMENT, device.values[nearest], np.nan)


def cpu_total(profile: Profile, node: str) -> Metric | None:
    """A node's mean CPU utilization over its cores."""
    return profile.system.get(node, {}).get(CPU)


def fact(profile: Profile, name: str) -> Any:
    """What is known of the job by this name; None where nothing is."""
    facts: Mapping[str, Any] = profile.facts
    return facts.get(name)
