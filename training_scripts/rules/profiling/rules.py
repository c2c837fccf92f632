"""The profiling rules: AWS's names and parameters, its definitions (aws) and ours (default).

Where AWS's documentation, its package smdebug_rulesconfig and its service differ, `aws` is what the service ran with
in a recorded profiler report: patience 1000 and window 500 samples, increase 5 over 10, distance 0.2, 10 outliers.

Ours look at training alone, where AWS's also count initialisation, which no batch size can speed up. They take runs
of half a minute (60 samples at 500 ms) for long enough. And they ask what a fault costs before they speak up: step
outliers and waiting for data must take a tenth and a third of the time, and more than ten seconds; a first step must
not only come late, but take half of the job.
"""

from __future__ import annotations

from training_scripts.rules.findings import Judge, Rule
from training_scripts.rules.profiling.advice import ADVICE
from training_scripts.rules.profiling.bottlenecks import (
    cpu_bottleneck,
    cpu_bottleneck_aws,
    io_bottleneck,
    io_bottleneck_aws,
)
from training_scripts.rules.profiling.gpu import (
    batch_size,
    batch_size_aws,
    gpu_memory_increase,
    gpu_memory_increase_aws,
    load_balancing,
    load_balancing_aws,
    low_gpu_utilization,
    low_gpu_utilization_aws,
)
from training_scripts.rules.profiling.steps import (
    dataloader,
    dataloader_aws,
    max_initialization_time,
    max_initialization_time_aws,
    step_outlier,
    step_outlier_aws,
)
from training_scripts.rules.profiling.summaries import overall_framework_metrics, overall_system_usage

_Parameters = dict[str, float | int | None]
PATIENCE = 60


def _rule(name: str, judges: tuple[Judge, Judge | None], aws: _Parameters, ours: _Parameters, description: str) -> Rule:
    """A rule whose default parameters are AWS's but for `ours`, without those that ours do not use."""
    default = {key: value for key, value in {**aws, **ours}.items() if key not in _UNUSED.get(name, ())}
    judge, judge_aws = judges
    return Rule(name, judge, aws, default, description, ADVICE[name], "profiling", judge_aws)


# All samples of training are judged together, so there is no window.
_UNUSED = {
    "LowGPUUtilization": ("window",),
    "BatchSize": ("window",),
    "GPUMemoryIncrease": ("window",),
    "Dataloader": ("min_threshold", "max_threshold"),
}

RULES: tuple[Rule, ...] = (
    _rule(
        "LowGPUUtilization",
        (low_gpu_utilization, low_gpu_utilization_aws),
        {"threshold_p95": 70, "threshold_p5": 10, "window": 500, "patience": 1000},
        {"idle_percent": 30, "patience": PATIENCE},
        "The GPU is hardly used, or keeps stopping.",
    ),
    _rule(
        "CPUBottleneck",
        (cpu_bottleneck, cpu_bottleneck_aws),
        {"threshold": 50, "cpu_threshold": 90, "gpu_threshold": 10, "patience": 1000},
        {"patience": PATIENCE},
        "The GPU idles while a core is busy, in more than half of the samples.",
    ),
    _rule(
        "IOBottleneck",
        (io_bottleneck, io_bottleneck_aws),
        {"threshold": 50, "io_threshold": 50, "gpu_threshold": 10, "patience": 1000},
        {"patience": PATIENCE},
        "The GPU idles while a core waits for the disk, in more than half of the samples.",
    ),
    _rule(
        "BatchSize",
        (batch_size, batch_size_aws),
        {
            "cpu_threshold_p95": 70,
            "gpu_threshold_p95": 70,
            "gpu_memory_threshold_p95": 70,
            "patience": 1000,
            "window": 500,
        },
        {"patience": PATIENCE},
        "CPU, GPU and GPU memory all have room for a larger batch.",
    ),
    _rule(
        "GPUMemoryIncrease",
        (gpu_memory_increase, gpu_memory_increase_aws),
        {"increase": 5, "patience": 1000, "window": 10},
        {"patience": 2 * PATIENCE},
        "GPU memory goes on growing.",
    ),
    _rule(
        "LoadBalancing",
        (load_balancing, load_balancing_aws),
        {"threshold": 0.2, "patience": 1000},
        # A GPU that does half as much as another one is 0.5 away; less than 20 points of utilisation is noise.
        {"threshold": 0.5, "difference": 20, "patience": PATIENCE},
        "GPUs do not share the work evenly.",
    ),
    _rule(
        "StepOutlier",
        (step_outlier, step_outlier_aws),
        {"stddev": 3, "mode": None, "n_outliers": 10},
        # The step that begins an epoch and the last, smaller batch are no outliers; two hiccups are nobody's fault.
        {"n_outliers": 2, "lost_percent": 10, "lost_seconds": 10},
        "Single steps take much longer than the others.",
    ),
    _rule(
        "MaxInitializationTime",
        (max_initialization_time, max_initialization_time_aws),
        {"threshold": 20},
        {"percent": 50},
        "The first step comes late.",
    ),
    _rule(
        "Dataloader",
        (dataloader, dataloader_aws),
        {"min_threshold": 70, "max_threshold": 200},
        {"wait_percent": 33, "wait_seconds": 10, "patience": 10},
        "Loading data holds up training.",
    ),
    _rule("OverallSystemUsage", (overall_system_usage, None), {}, {}, "Sums up how busy the machine was."),
    _rule("OverallFrameworkMetrics", (overall_framework_metrics, None), {}, {}, "Sums up where the steps' time went."),
)
