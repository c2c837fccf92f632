"""Rules about GPUs: their utilization, their memory, and whether they share the work evenly."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from training_scripts._util.number_text import number_text
from training_scripts.recording.profile.profile import GPU_MEMORY, Profile
from training_scripts.rules.bounds import COUNT
from training_scripts.rules.declaration import PROFILING, Explanation, Parameters, Rule
from training_scripts.rules.findings import Finding, NotEvaluated
from training_scripts.rules.profiling.samples import (
    PATIENCE,
    PATIENCE_MEANING,
    Device,
    cpu_total,
    gpus,
    require,
    scans,
    training_window_of_gpus,
)


def low_gpu_utilization(profile: Profile, parameters: Parameters) -> Sequence[Finding]:
    """Ours: over the whole training, p95 is too low, or the GPU idles in too many samples."""
    window = training_window_of_gpus(profile)
    findings = []
    for device in gpus(profile):
        values = device.during(window).values
        require(len(values), parameters["patience"], f"of {device} during training")
        p95, idle = float(np.quantile(values, 0.95)), 100 * float((values < parameters["threshold_p5"]).mean())
        numbers = {"p95": p95, "idle_percent": idle, "p50": float(np.median(values))}
        if p95 < parameters["threshold_p95"]:
            text = (
                f"{device} was hardly used: in 95% of the samples during training its utilization was below "
                f"{p95:.0f}% (limit {number_text(parameters['threshold_p95'])}%)."
            )
            findings.append(Finding(text, numbers=numbers))
        elif idle > parameters["idle_percent"]:
            text = (
                f"{device} kept stopping: it reached {p95:.0f}% (p95), but in {idle:.0f}% of the samples during "
                f"training it was below {number_text(parameters['threshold_p5'])}% (limit"
                f" {number_text(parameters['idle_percent'])}%)."
            )
            findings.append(Finding(text, numbers=numbers))
    return findings


def low_gpu_utilization_aws(profile: Profile, parameters: Parameters) -> Sequence[Finding]:
    """AWS: quantiles of the last `window` samples, evaluated every minute, including initialization."""
    findings = []
    for device in gpus(profile):
        require(len(device.values), parameters["patience"], f"of {device}")
        for count in scans(device.times):
            if count <= parameters["patience"]:
                continue
            p95, p5 = np.quantile(_last(device.values, count, parameters["window"]), [0.95, 0.05]).tolist()
            low = p95 < parameters["threshold_p95"]
            if low or (p95 > parameters["threshold_p95"] and p5 < parameters["threshold_p5"]):
                how = "is low" if low else "fluctuates"
                text = (
                    f"Utilization of {device} {how}: p95 {p95:.0f}% (threshold"
                    f" {number_text(parameters['threshold_p95'])}), "
                    f"p5 {p5:.0f}% (threshold {number_text(parameters['threshold_p5'])}) after {count:,} samples."
                )
                findings.append(Finding(text, numbers={"p95": p95, "p5": p5, "samples": count}))
                break
    return findings


def batch_size(profile: Profile, parameters: Parameters) -> Sequence[Finding]:
    """Ours: CPU, GPU and GPU memory all had room during training."""
    window = training_window_of_gpus(profile)
    return _room(profile, [device.during(window) for device in gpus(profile)], parameters, whole=True)


def batch_size_aws(profile: Profile, parameters: Parameters) -> Sequence[Finding]:
    """AWS: p95 of the last `window` samples, evaluated every minute."""
    return _room(profile, gpus(profile), parameters, whole=False)


def _room(profile: Profile, busy: list[Device], parameters: Parameters, *, whole: bool) -> list[Finding]:
    memory = {(device.node, device.name): device for device in gpus(profile, GPU_MEMORY)}
    findings = []
    for device in busy:
        require(len(device.values), parameters["patience"], f"of {device}")
        cpu, full = cpu_total(profile, device.node), memory.get((device.node, device.name))
        if cpu is None or full is None:
            raise NotEvaluated(f"The CPU or the memory of {device} was not sampled.")
        for count in [len(device.values)] if whole else scans(device.times):
            begin = 0 if whole else max(0, count - int(parameters["window"]))
            if count <= parameters["patience"] or (not whole and count <= parameters["window"]):
                continue
            span = device.times[begin], device.times[count - 1]
            rows = {
                "cpu_p95": cpu.values[(cpu.times >= span[0]) & (cpu.times <= span[1])],
                "gpu_p95": device.values[begin:count],
                "gpu_memory_p95": full.during((float(span[0]), float(span[1]))).values,
            }
            if not all(len(row) for row in rows.values()):
                continue
            found = {name: float(np.quantile(row, 0.95)) for name, row in rows.items()}
            if all(found[name] < parameters[name.replace("_p95", "_threshold_p95")] for name in found):
                text = (
                    f"{device} has room for a larger batch: 95% of the samples are below {found['gpu_p95']:.0f}% of "
                    f"the GPU, {found['gpu_memory_p95']:.0f}% of its memory and {found['cpu_p95']:.0f}% of the CPU."
                )
                findings.append(Finding(text, numbers=found))
                break
    return findings


def gpu_memory_increase(profile: Profile, parameters: Parameters) -> Sequence[Finding]:
    """Ours: memory keeps growing throughout training, after the first quarter in which the allocator settles."""
    window = training_window_of_gpus(profile)
    findings = []
    for device in gpus(profile, GPU_MEMORY):
        values = device.during(window).values
        require(len(values), parameters["patience"], f"of the memory of {device} during training")
        quarters = [float(np.median(part)) for part in np.array_split(values, 4)]
        grown = quarters[3] - quarters[1]
        steady = min(quarters[2] - quarters[1], quarters[3] - quarters[2]) >= grown / 4
        if grown > parameters["increase"] and steady:
            text = (
                f"The memory of {device} kept growing: {quarters[1]:.0f}% in the second quarter of training, "
                f"{quarters[2]:.0f}% in the third, {quarters[3]:.0f}% in the last."
            )
            findings.append(Finding(text, numbers={"increase": grown, "last": float(values[-1])}))
    return findings


def gpu_memory_increase_aws(profile: Profile, parameters: Parameters) -> Sequence[Finding]:
    """AWS: the moving average rises by more than `increase` points from one sample to the next."""
    findings = []
    for device in gpus(profile, GPU_MEMORY):
        values, window = device.values, int(parameters["window"])
        require(len(values), parameters["patience"], f"of the memory of {device}")
        sums = np.concatenate([[0.0], np.cumsum(values)])
        average = (sums[window:] - sums[:-window]) / window
        rises = np.diff(average)
        # The n-th rise ends at sample window + n. AWS evaluates it once more than `patience` samples have arrived.
        late = np.flatnonzero(
            (rises > parameters["increase"]) & (np.arange(len(rises)) + window >= parameters["patience"])
        )
        if len(late):
            text = (
                f"The memory of {device} rose by {rises[late].max():.1f} points in the moving average over {window} "
                f"samples, {len(late)} times by more than {number_text(parameters['increase'])}."
            )
            findings.append(Finding(text, numbers={"increase": float(rises[late].max()), "times": len(late)}))
    return findings


def load_balancing(profile: Profile, parameters: Parameters) -> Sequence[Finding]:
    """Ours: the utilization of GPUs during training differs in its mean, not only in the shape of its histogram."""
    window = training_window_of_gpus(profile)
    pairs = _pairs([device.during(window) for device in gpus(profile)], parameters["patience"])
    return [
        _uneven(one, other, apart)
        for one, other in pairs
        if (apart := distance(one.values, other.values, width=10)) > parameters["threshold"]
        and abs(one.values.mean() - other.values.mean()) > parameters["difference"]
    ]


def load_balancing_aws(profile: Profile, parameters: Parameters) -> Sequence[Finding]:
    """AWS: the distance between histograms of utilization, with bins of two percent."""
    return [
        _uneven(one, other, apart)
        for one, other in _pairs(gpus(profile), parameters["patience"])
        if (apart := distance(one.values, other.values, width=2)) > parameters["threshold"]
    ]


def _pairs(found: list[Device], patience: float) -> list[tuple[Device, Device]]:
    if len(found) < 2:
        raise NotEvaluated("The job had only one GPU, so there is no load to balance.")
    for device in found:
        require(len(device.values), patience, f"of {device}")
    return list(combinations(found, 2))


def _uneven(one: Device, other: Device, apart: float) -> Finding:
    means = float(one.values.mean()), float(other.values.mean())
    text = (
        f"{one} and {other} do not share the work evenly: {means[0]:.0f}% and {means[1]:.0f}% busy on average; "
        f"their histograms are {apart:.2f} apart."
    )
    return Finding(text, numbers={"distance": apart, "mean_first": means[0], "mean_second": means[1]})


def distance(one: NDArray[np.float64], other: NDArray[np.float64], *, width: int) -> float:
    """Jensen-Shannon distance of two histograms of percentages: 0 if they are equal, at most 0.83 (root of ln 2).

    AWS's bins end at 98, so a GPU at 100% is in none of them. The distance of an empty histogram to any other is 0.
    """
    bins = np.arange(0, 100 if width == 2 else 101, width)
    first, second = (np.histogram(values, bins=bins)[0].astype(np.float64) for values in (one, other))
    if not first.sum() or not second.sum():
        return 0.0
    middle = first + second
    parts = [row / row.sum() for row in (first, second)]
    middle /= middle.sum()
    divergences = [float((part[part > 0] * np.log(part[part > 0] / middle[part > 0])).sum()) for part in parts]
    return float(np.sqrt(max(0.0, sum(divergences) / 2)))


def _last(values: NDArray[np.float64], count: int, window: float) -> NDArray[np.float64]:
    return values[max(0, count - int(window)) : count]


RULES = (
    Rule(
        name="LowGPUUtilization",
        judge=low_gpu_utilization,
        judge_aws=low_gpu_utilization_aws,
        aws={"threshold_p95": 70, "threshold_p5": 10, "window": 500, "patience": 1000},
        default={"threshold_p95": 70, "threshold_p5": 10, "patience": PATIENCE, "idle_percent": 30},
        description="The GPU is hardly used, or keeps stopping.",
        advice=(
            "While GPU memory has room and does not grow from step to step, raise batch-size; if it is "
            "full or grows, choose a smaller instance instead. If the GPU keeps stopping, it waits for data: "
            "raise workers, choose an instance with more cores for each GPU, or store features first "
            "(extract_features), if the backbone is frozen."
        ),
        kind=PROFILING,
        bounds={"window": COUNT, "patience": COUNT},
        explanation=Explanation(
            computes=(
                "Per GPU, over all samples of training: `p95 < threshold_p95` (hardly used), or more than "
                "`idle_percent` percent of the samples below `threshold_p5` (keeps stopping)."
            ),
            computes_aws=(
                "Every minute, over the last `window` samples: `p95 < threshold_p95`, or `p95 > threshold_p95` and `p5 "
                "< threshold_p5`; initialization included."
            ),
            parameters={
                "threshold_p95": "percent of utilization that the 95th percentile must reach",
                "threshold_p5": (
                    "percent of utilization; for AWS the 5th percentile must reach it, for us a sample below it is idle"
                ),
                "window": "samples in the sliding window",
                "patience": PATIENCE_MEANING,
                "idle_percent": "largest allowed percentage of idle samples",
            },
        ),
        order=10,
        aws_name="LowGPUUtilization",
    ),
    Rule(
        name="BatchSize",
        judge=batch_size,
        judge_aws=batch_size_aws,
        aws={
            "cpu_threshold_p95": 70,
            "gpu_threshold_p95": 70,
            "gpu_memory_threshold_p95": 70,
            "patience": 1000,
            "window": 500,
        },
        default={
            "cpu_threshold_p95": 70,
            "gpu_threshold_p95": 70,
            "gpu_memory_threshold_p95": 70,
            "patience": PATIENCE,
        },
        description="CPU, GPU and GPU memory all have room for a larger batch.",
        advice=("Raise batch-size (and lr in proportion), or choose a smaller instance type: it costs less."),
        kind=PROFILING,
        bounds={"patience": COUNT, "window": COUNT},
        explanation=Explanation(
            computes=(
                "Over all samples of training: the 95th percentiles of CPU, GPU and GPU memory are all below their "
                "thresholds."
            ),
            computes_aws="The same over the last `window` samples, every minute.",
            parameters={
                "cpu_threshold_p95": "percent of the CPU",
                "gpu_threshold_p95": "percent of the GPU",
                "gpu_memory_threshold_p95": "percent of GPU memory",
                "patience": PATIENCE_MEANING,
                "window": "samples in the sliding window",
            },
        ),
        order=40,
        aws_name="BatchSize",
    ),
    Rule(
        name="GPUMemoryIncrease",
        judge=gpu_memory_increase,
        judge_aws=gpu_memory_increase_aws,
        aws={"increase": 5, "patience": 1000, "window": 10},
        default={"increase": 5, "patience": 2 * PATIENCE},
        description="GPU memory keeps growing.",
        advice=(
            "Something is kept from step to step, usually a loss or an output with its graph: use .item() or "
            ".detach() where numbers are collected. Changing batch-size does not fix that: lower it only if the job "
            "runs out of memory before the cause is found."
        ),
        kind=PROFILING,
        bounds={"patience": COUNT, "window": COUNT},
        explanation=Explanation(
            computes=(
                "Medians of the four quarters of training: the last exceeds the second by more than `increase` points, "
                "with a quarter of that growth or more in each of the two steps between them."
            ),
            computes_aws=(
                "The moving average over `window` samples rises by more than `increase` points from one sample to the "
                "next."
            ),
            parameters={
                "increase": "points (percent of GPU memory)",
                "patience": PATIENCE_MEANING,
                "window": "samples in the moving average",
            },
        ),
        order=50,
        aws_name="GPUMemoryIncrease",
    ),
    Rule(
        name="LoadBalancing",
        judge=load_balancing,
        judge_aws=load_balancing_aws,
        aws={"threshold": 0.2, "patience": 1000},
        default={
            "threshold": 0.5,  # the distance between a GPU and another that does half as much
            "patience": PATIENCE,
            "difference": 20,  # points of utilization; less is noise
        },
        description="GPUs do not share the work evenly.",
        advice=(
            "Give all GPUs the same amount of work: equal shards, one process for each GPU "
            "(DistributedDataParallel rather than DataParallel), and drop_last."
        ),
        kind=PROFILING,
        bounds={"patience": COUNT},
        explanation=Explanation(
            computes=(
                "Jensen-Shannon distance of two GPUs' histograms of utilization (bins of 10%) above "
                "`threshold`, and means that differ by more than `difference` points."
            ),
            computes_aws="Jensen-Shannon distance of the histograms (bins of 2%) above `threshold`.",
            parameters={
                "threshold": "distance: 0 for equal histograms, at most 0.83",
                "patience": PATIENCE_MEANING,
                "difference": "points of utilization",
            },
            sources=("Lin, Divergence measures based on the Shannon entropy (1991)",),
        ),
        order=60,
        aws_name="LoadBalancing",
    ),
)
