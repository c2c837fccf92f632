"""Rules that find out whether GPUs wait for busy CPU cores or for the disk."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from training_scripts._util.number_text import number_text
from training_scripts.recording.profile.profile import CPU, GPU, IO_WAIT, Profile
from training_scripts.rules.bounds import COUNT
from training_scripts.rules.declaration import PROFILING, Answer, Explanation, Parameters, Rule
from training_scripts.rules.findings import Finding, NotEvaluated
from training_scripts.rules.profiling.samples import (
    PATIENCE,
    PATIENCE_MEANING,
    Device,
    at_times,
    devices,
    gpus,
    require,
    require_samples,
    scans,
    training_window,
    training_window_of_gpus,
)

SHOWN = 20


def cpu_bottleneck(profile: Profile, parameters: Parameters) -> Sequence[Finding] | Answer:
    """Ours: evaluates samples during training."""
    return _cpu(profile, parameters, training_window_of_gpus(profile))


def cpu_bottleneck_aws(profile: Profile, parameters: Parameters) -> Sequence[Finding] | Answer:
    """AWS: evaluates samples of the whole job, including initialization."""
    gpus(profile)
    return _cpu(profile, parameters, None)


def io_bottleneck(profile: Profile, parameters: Parameters) -> Sequence[Finding] | Answer:
    """Ours: evaluates samples during training. Without a GPU, the mean wait of the cores is compared."""
    require_samples(profile)
    window = training_window(profile)
    if devices(profile, GPU):
        return _io(profile, parameters, window)
    waits = [device.during(window) for device in _waits(profile)]
    findings = []
    for node in dict.fromkeys(device.node for device in waits):
        rows = [device for device in waits if device.node == node]
        times = rows[0].times
        mean = np.nanmean(_values(rows, times), axis=0) if len(times) else np.zeros(0)
        require(len(times), parameters["patience"], "during training")
        share = 100 * float((mean > parameters["io_threshold"]).mean())
        if share > parameters["threshold"]:
            text = (
                f"In {share:.0f}% of the samples during training, the cores of {node} waited for the disk more than "
                f"{number_text(parameters['io_threshold'])}% of the time (mean over the cores)."
            )
            findings.append(Finding(text, numbers={"percent": share, "mean_wait": float(mean.mean())}))
    return findings


def io_bottleneck_aws(profile: Profile, parameters: Parameters) -> Sequence[Finding] | Answer:
    """AWS: evaluates samples of the whole job, including initialization."""
    gpus(profile)
    return _io(profile, parameters, None)


def _cpu(profile: Profile, parameters: Parameters, window: tuple[float, float] | None) -> Answer:
    cores = devices(profile, CPU)
    limit = parameters["cpu_threshold"]
    what = f"a core was busier than {number_text(limit)}%"
    return _bottlenecks(profile, cores, limit, parameters, window=window, what=what)


def _io(profile: Profile, parameters: Parameters, window: tuple[float, float] | None) -> Answer:
    limit = parameters["io_threshold"]
    what = f"a core waited for the disk more than {number_text(limit)}% of the time"
    return _bottlenecks(profile, _waits(profile), limit, parameters, window=window, what=what)


def _waits(profile: Profile) -> list[Device]:
    found = devices(profile, IO_WAIT)
    if not found:
        raise NotEvaluated("This system does not report how long its cores wait for the disk.")
    return found


def _bottlenecks(
    profile: Profile,
    causes: list[Device],
    limit: float,
    parameters: Parameters,
    *,
    window: tuple[float, float] | None,
    what: str,
) -> Answer:
    """Counts samples in which a GPU idled while a core was at its limit; one finding per node with too many."""
    findings, details = [], {}
    for node in dict.fromkeys(device.node for device in gpus(profile)):
        busy = [device for device in causes if device.node == node]
        idle = [device for device in gpus(profile) if device.node == node]
        if not busy:
            raise NotEvaluated(f"The cores of {node} were not sampled.")
        times = max((device.times for device in idle), key=len)
        if window is not None:
            times = times[(times >= window[0]) & (times <= window[1])]
        require(len(times), parameters["patience"], "during training" if window else "")
        low = (_values(idle, times) < parameters["gpu_threshold"]).any(axis=0)
        both = low & (_values(busy, times) > limit).any(axis=0)
        count = _decisive(times, both, parameters, every_minute=window is None)
        share = 100 * float(both[:count].mean())
        moments = times[both]
        details[node] = {
            "bottlenecks": int(both.sum()),
            "low_gpu_utilization": int(low.sum()),
            "datapoints": len(times),
            "percent": round(share, 2),
            "first": moments[:SHOWN].tolist(),
        }
        if share > parameters["threshold"]:
            text = (
                f"In {share:.0f}% of {count:,} samples, a GPU of {node} was below"
                f" {number_text(parameters['gpu_threshold'])}% "
                f"while {what} (limit {number_text(parameters['threshold'])}% of the samples)."
            )
            numbers = {"percent": share, "bottlenecks": float(both.sum()), "datapoints": float(len(times))}
            findings.append(Finding(text, numbers=numbers))
    return Answer(findings, details)


def _decisive(
    times: NDArray[np.float64], both: NDArray[np.bool_], parameters: Parameters, *, every_minute: bool
) -> int:
    """Number of samples to evaluate: all, or for AWS those that had arrived when it first found too many."""
    if every_minute:
        for count in scans(times):
            if count > parameters["patience"] and 100 * both[:count].mean() > parameters["threshold"]:
                return count
    return len(times)


def _values(found: list[Device], times: NDArray[np.float64]) -> NDArray[np.float64]:
    """The values of devices at given times, float64 [devices, n]; NaN where a device has no sample close enough."""
    return np.stack([at_times(device, times) for device in found])


RULES = (
    Rule(
        name="CPUBottleneck",
        judge=cpu_bottleneck,
        judge_aws=cpu_bottleneck_aws,
        aws={"threshold": 50, "cpu_threshold": 90, "gpu_threshold": 10, "patience": 1000},
        default={"threshold": 50, "cpu_threshold": 90, "gpu_threshold": 10, "patience": PATIENCE},
        description="The GPU idles while a core is busy, in more than half of the samples.",
        advice=(
            "The GPU waits for the cores. Raise workers up to the number of cores, choose an instance with "
            "more cores for each GPU, or reduce the work of the cores: use smaller pictures, or store "
            "features first."
        ),
        kind=PROFILING,
        bounds={"patience": COUNT},
        explanation=Explanation(
            computes=(
                "Share of the samples of training in which a GPU is below `gpu_threshold` while a core of its node is "
                "above `cpu_threshold`; fires above `threshold` percent."
            ),
            computes_aws="The same over all samples, initialization included, evaluated every minute.",
            parameters={
                "threshold": "percentage of samples",
                "cpu_threshold": "percent of a core",
                "gpu_threshold": "percent of a GPU",
                "patience": PATIENCE_MEANING,
            },
        ),
        order=20,
        aws_name="CPUBottleneck",
    ),
    Rule(
        name="IOBottleneck",
        judge=io_bottleneck,
        judge_aws=io_bottleneck_aws,
        aws={"threshold": 50, "io_threshold": 50, "gpu_threshold": 10, "patience": 1000},
        default={"threshold": 50, "io_threshold": 50, "gpu_threshold": 10, "patience": PATIENCE},
        description="The GPU idles while a core waits for the disk, in more than half of the samples.",
        advice=(
            "Data arrives too slowly from the disk. Choose an instance with a local SSD, more memory (so that "
            "the data stays in the page cache), input mode FastFile or File, or shards instead of many small "
            "files."
        ),
        kind=PROFILING,
        bounds={"patience": COUNT},
        explanation=Explanation(
            computes=(
                "Share of the samples of training in which a GPU is below `gpu_threshold` while a core waits for the "
                "disk for more than `io_threshold` percent of the time; fires above `threshold` percent. Without a "
                "GPU, the mean wait of the cores is compared with `io_threshold`."
            ),
            computes_aws="The same over all samples, initialization included, evaluated every minute; GPUs only.",
            parameters={
                "threshold": "percentage of samples",
                "io_threshold": "percent of a core's time spent waiting",
                "gpu_threshold": "percent of a GPU",
                "patience": PATIENCE_MEANING,
            },
        ),
        order=30,
        aws_name="IOBottleneck",
    ),
)
