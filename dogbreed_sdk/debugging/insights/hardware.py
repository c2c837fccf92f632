"""Insights on hardware: whether GPU and CPU were used, what they waited for, and whether the machine suits the job."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial

from dogbreed_sdk._util.formatting import percent
from dogbreed_sdk.debugging.insights import timing
from dogbreed_sdk.debugging.insights.guard import Guard
from dogbreed_sdk.debugging.insights.insight import Insight
from dogbreed_sdk.debugging.insights.machine import IDLE, Use, Waits, fact, ours, use_of
from training_scripts._util.number_text import counted
from training_scripts.recording.profile.profile import Profile
from training_scripts.rules.findings import ISSUES_FOUND, RuleResult

# AWS's LowGPUUtilization and BatchSize fire below 70%.
USED = 70.0
HARDLY = 30.0
# If half of the cores idle, the next smaller instance, which has half of them, is enough.
HALF_IDLE = 50.0
OFTEN = 0.2
SWING = 30.0
FULL = 95.0
# A larger batch may fill this much of the memory. This is conservative, since part of the memory use is fixed.
SAFE_MEMORY = 85.0
MOST_TIMES = 8


def find(profile: Profile, guard: Guard, results: Sequence[RuleResult] = ()) -> list[Insight]:
    """All insights on a profile; jobs of a few seconds show little.

    Args:
        profile: The profile.
        guard: Records failures.
        results: The results of the rules, which an insight must not contradict.
    """
    found: list[Insight | None] = []
    use = guard.value("the use of the machine", lambda: use_of(profile))
    if use is not None:
        for name, one in _FINDERS.items():
            found.append(guard.value(name, partial(one, profile, use)))
    for name, look_at in timing.LOOKS.items():
        found.append(guard.value(name, partial(look_at, profile)))
    # If memory keeps growing, its changes are not harmless.
    grows = any(one.name == "GPUMemoryIncrease" and one.status == ISSUES_FOUND for one in results)
    return [one for one in found if one is not None and not (grows and one.topic == "gpu-memory" and not one.next_step)]


def _gpu(profile: Profile, use: Use) -> Insight | None:
    """Reports a GPU that is hardly used, unless it waits for the cores or the disk."""
    gpu = use.gpu
    if gpu is None or gpu.p95 >= USED or _often(use.cpu_waits) or _often(use.io_waits):
        return None
    new, step = _fill_the_gpu(profile, use)
    return Insight(
        topic="gpu-use",
        title=f"The GPU is hardly used: 95% of the time it is below {gpu.p95:.0f}%.",
        explanation="Each step gives the GPU too little work, so it idles between steps, at the same price.",
        evidence=(
            f"GPU utilization {use.when}: median {gpu.p50:.0f}%, p95 {gpu.p95:.0f}%, highest {gpu.maximum:.0f}%.",
            *([f"GPU memory: p95 {use.gpu_memory.p95:.0f}%."] if use.gpu_memory else []),
            *([f"CPU: median {use.cpu.p50:.0f}%, p95 {use.cpu.p95:.0f}%: not the limit."] if use.cpu else []),
        ),
        next_step=step,
        severity="problem" if gpu.p95 < HARDLY else "hint",
        hyperparameters=new,
    )


def _fill_the_gpu(profile: Profile, use: Use) -> tuple[dict[str, object], str]:
    if profile.facts.get("inputs") == "features":
        return (
            {},
            (
                "Train heads on stored features on a CPU instance, such as --instance-type ml.m5.xlarge: a head is too "
                "small for a GPU."
            ),
        )
    if use.gpu_memory is None:
        return {}, "Make the batch larger, as far as GPU memory allows: how much of it was used is unknown."
    used = use.gpu_memory.maximum
    batch = fact(profile, "batch_size")
    room = SAFE_MEMORY / max(used, 1.0)
    idle = 100 / max(use.gpu.p95, 1.0) if use.gpu else 1.0
    times = 2 ** int(math.log2(max(1.0, min(room, 2 * idle, MOST_TIMES))))
    if times == 1:
        return {}, (
            f"Use an instance with a smaller GPU: {used:.0f}% of the memory was used, so twice the batch may not fit."
        )
    if not batch:
        return {}, f"Make the batch {times} times as large: it fits into memory."
    return {"batch-size": batch * times}, (
        f"Set batch-size={batch * times} (now {batch}): {times} times the batch fits, as at most {used:.0f}% of the "
        "GPU memory was used. Fewer, larger batches may need a larger lr."
    )


def _cpu(profile: Profile, use: Use) -> Insight | None:
    """Reports cores that idle in a job without a GPU."""
    if use.gpu is not None or use.cpu is None or fact(profile, "gpus") or profile.facts.get("device") == "cuda":
        return None
    cores, cpu = fact(profile, "cores"), use.cpu
    if not cores or cores < 2 or cpu.p95 >= HALF_IDLE:
        return None
    busy = cpu.p95 / 100 * cores
    needed = 2 ** math.ceil(math.log2(max(busy / 0.8, 1.0)))
    workers = fact(profile, "workers")
    if profile.facts.get("inputs") == "pictures" and workers and workers < cores:
        new: dict[str, object] = {"workers": 0}
        step = f"Set workers=0 (now {workers}): one decoding thread per core."
    else:
        if needed >= cores:  # the next smaller machine, with half of the cores, would be nearly fully used
            return None
        new = {}
        smaller = _smaller_instance(profile, cores, needed)
        step = f"Use a machine with {counted(needed, 'core')} instead of {cores}{smaller}."
    return Insight(
        topic="cpu-use",
        title=f"Most of the {cores} cores idle: 95% of the time fewer than {max(1, math.ceil(busy))} of them are busy.",
        explanation="Cores that the job cannot use cost money and do not make it faster.",
        evidence=(f"CPU {use.when}, mean over {cores} cores: median {cpu.p50:.0f}%, p95 {cpu.p95:.0f}%.",),
        confidence="medium",
        next_step=step,
        severity="hint",
        hyperparameters=new,
    )


def _smaller_instance(profile: Profile, cores: int, needed: int) -> str:
    """The instance of the same family with fewer cores; AWS's sizes double the cores."""
    written = str(profile.facts.get("instance_type") or "")
    sizes = ["large", "xlarge", "2xlarge", "4xlarge", "8xlarge", "16xlarge"]
    family, _, size = written.rpartition(".")
    if not written.startswith("ml.") or size not in sizes:
        return ""
    place = max(0, sizes.index(size) - round(math.log2(cores / needed)))
    return f", such as {family}.{sizes[place]} instead of {written}" if place < sizes.index(size) else ""


def _often(waits: Waits | None) -> bool:
    return waits is not None and waits.both >= 10 and waits.both >= OFTEN * (waits.moments or waits.idle)


def _cpu_waits(profile: Profile, use: Use) -> Insight | None:
    """Reports a GPU that idles while the cores work."""
    waits = use.cpu_waits
    if waits is None or not _often(waits):
        return None
    workers, cores = fact(profile, "workers"), fact(profile, "cores")
    step, new = _feed(profile, workers, cores)
    return Insight(
        topic="cpu-bottlenecks",
        title=f"The GPU waits for the CPU: {counted(waits.both, 'CPU bottleneck')} in {_of(waits)}.",
        explanation="The cores decode and prepare the pictures; meanwhile the GPU has nothing to do.",
        evidence=(
            (
                f"In {waits.both:,} of {waits.idle:,} samples with the GPU below {IDLE:.0f}%, a core was above "
                f"90% ({percent(waits.both / max(waits.idle, 1))}; {use.when})."
            ),
            *([f"GPU: median {use.gpu.p50:.0f}%, p95 {use.gpu.p95:.0f}%."] if use.gpu else []),
            *([f"CPU: median {use.cpu.p50:.0f}%, p95 {use.cpu.p95:.0f}%."] if use.cpu else []),
            *([f"{counted(workers, 'worker')} on {counted(cores, 'core')}."] if workers and cores else []),
        ),
        next_step=step,
        severity="problem",
        hyperparameters=new,
    )


def _feed(profile: Profile, workers: int | None, cores: int | None) -> tuple[str, dict[str, object]]:
    if profile.facts.get("inputs") == "pictures" and workers and cores and workers < cores:
        return f"Set workers=0 (now {workers}): one decoding thread for each of the {cores} cores.", {"workers": 0}
    if workers and cores and workers > cores:
        return (
            (
                f"Use an instance with more cores for each GPU, or with a smaller GPU ({workers} workers share "
                f"{cores} cores now), or {_prepared(profile)}."
            ),
            {},
        )
    return (
        f"Use an instance with more cores for each GPU, or with a smaller GPU, or {_prepared(profile)}.",
        {},
    )


def _prepared(profile: Profile) -> str:
    """What removes decoding from training."""
    if ours(profile):
        return "train on stored features (features=auto, unfreeze=0), which reads and decodes each picture once"
    return "decode and shrink the pictures once, before training"


def _of(waits: Waits) -> str:
    if waits.moments:
        return f"{waits.moments:,} samples ({percent(waits.both / waits.moments)})"
    return f"{waits.idle:,} samples with an idle GPU ({percent(waits.both / max(waits.idle, 1))})"


def _io_waits(profile: Profile, use: Use) -> Insight | None:
    """Reports a GPU that waits for the disk, or, without a GPU, cores that do."""
    waits = use.io_waits
    if waits is not None and _often(waits):
        what, evidence = "GPU", f"{waits.both} I/O bottlenecks in {_of(waits)}."
    elif use.gpu is None and use.io_wait is not None and use.io_wait.p50 > 100 * OFTEN:
        what, evidence = (
            "CPU",
            f"I/O wait, mean over the cores, {use.when}: median {use.io_wait.p50:.0f}%, p95 {use.io_wait.p95:.0f}%.",
        )
    else:
        return None
    return Insight(
        topic="io-bottlenecks",
        title=f"The {what} waits for the disk.",
        explanation="Pictures arrive more slowly than they can be processed. Usual causes are a slow or remote disk "
        "and many small files.",
        evidence=(evidence,),
        next_step=f"Use a faster disk, or {_prepared(profile)}.",
        severity="problem",
    )


def _swings(profile: Profile, use: Use) -> Insight | None:
    """Reports GPU memory that is nearly full, or that goes up and down."""
    memory = use.gpu_memory
    if memory is None:
        return None
    batch = fact(profile, "batch_size")
    if memory.maximum >= FULL:
        new: dict[str, object] = {"batch-size": max(1, batch // 2)} if batch and batch > 1 else {}
        return Insight(
            topic="gpu-memory",
            title=f"GPU memory was nearly full: {memory.maximum:.0f}% at its highest.",
            explanation="A slightly larger picture or batch would end the job with an out-of-memory error.",
            evidence=(f"GPU memory {use.when}: p95 {memory.p95:.0f}%, highest {memory.maximum:.0f}%.",),
            next_step=f"Set batch-size={batch // 2} (now {batch}) before you change anything that needs memory."
            if new and batch
            else "Use smaller batches.",
            severity="hint",
            hyperparameters=new,
        )
    if memory.p95 - memory.p5 < SWING:
        return None
    whole_job = use.when != "while training"
    return Insight(
        topic="gpu-memory",
        title=f"GPU memory goes up and down between {memory.p5:.0f}% and {memory.p95:.0f}%.",
        explanation=(
            "Training and evaluation need different amounts, or memory is released between epochs. This "
            "does no harm, but the highest value determines whether a larger batch fits."
        ),
        evidence=(
            (
                f"GPU memory {use.when}: {'lowest' if whole_job else 'p5'} {memory.p5:.0f}%, median "
                f"{memory.p50:.0f}%, p95 {memory.p95:.0f}%, highest {memory.maximum:.0f}%: "
                f"{max(0.0, 100 - memory.maximum):.0f}% was never used."
            ),
        ),
        confidence="medium" if whole_job else "high",
        severity="info",
    )


_FINDERS: dict[str, Callable[[Profile, Use], Insight | None]] = {
    "the GPU": _gpu,
    "the CPU": _cpu,
    "waiting for the CPU": _cpu_waits,
    "waiting for the disk": _io_waits,
    "GPU memory": _swings,
}
