"""Each profiling rule finds its fault, stays quiet without it, and says why it cannot judge, under both sets."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from training_scripts import rules
from training_scripts.recording.profile.profile import (
    CPU,
    DATA,
    EVAL_STEP,
    GPU,
    GPU_MEMORY,
    IO_WAIT,
    TRAIN_STEP,
    Metric,
    Operator,
    Profile,
    Spans,
    Timeline,
)
from training_scripts.recording.profile.summary import phase_statistics, usage_statistics
from training_scripts.rules.declaration import Answer, Rule
from training_scripts.rules.findings import PARAMETER_SETS, Finding, NotEvaluated
from training_scripts.rules.profiling.gpu import distance
from training_scripts.rules.profiling.samples import require
from training_scripts.rules.registry import built_in

FOUND, QUIET, UNABLE = "IssuesFound", "NoIssuesFound", "NotEvaluated"
RULES = built_in("profiling")
NAMES = (
    "LowGPUUtilization",
    "CPUBottleneck",
    "IOBottleneck",
    "BatchSize",
    "GPUMemoryIncrease",
    "LoadBalancing",
    "StepOutlier",
    "MaxInitializationTime",
    "Dataloader",
    "OverallSystemUsage",
    "OverallFrameworkMetrics",
)
# Half a second apart, 20 minutes: more than AWS's patience of 1000 samples. Initialization takes the first minute.
COUNT, EARLY = 2400, 120
BEGIN = 1_700_000_000.0
TIMES = BEGIN + 0.5 * np.arange(COUNT)
GENERATOR = np.random.default_rng(3)
Values = NDArray[np.float64]


def flat(value: float, early: float = 0.0) -> Values:
    """One value through training, another before it."""
    values = np.full(COUNT, value)
    values[:EARLY] = early
    return values


def machine(**metrics: Values | Mapping[str, Values]) -> dict[str, dict[str, Metric]]:
    """A node's samples: CPU, GPU, GPU_memory, IO; for several devices, by their names."""
    names = {"GPU_memory": GPU_MEMORY, "IO": IO_WAIT}
    system = {}
    for name, values in metrics.items():
        devices = values if isinstance(values, Mapping) else {}
        mean = np.mean(list(devices.values()), axis=0) if devices else np.asarray(values)
        system[names.get(name, name)] = Metric(TIMES[: len(mean)], mean, devices)
    return {"algo-1": system}


def profile(system: dict[str, dict[str, Metric]], **facts: Any) -> Profile:
    line = Timeline(BEGIN, float(TIMES[EARLY]), float(TIMES[-1]), float(TIMES[-1]))
    known = {"gpus": 1, "device": "cuda", **facts}
    return Profile(system=system, usage=usage_statistics(system), timeline=line, facts=known, nodes=("algo-1",))


def stepped(seconds: Values, waits: Values | None = None, *, mode: str = TRAIN_STEP, **facts: Any) -> Profile:
    """A run of nothing but steps, one right after the other, each waiting for its data first."""
    begins = TIMES[EARLY] + np.concatenate([[0.0], np.cumsum(seconds)[:-1]])
    steps = np.arange(len(seconds))
    phases = {mode: Spans(steps, begins, seconds)}
    if waits is not None:
        phases[DATA] = Spans(steps, begins, waits)
    end = float(begins[-1] + seconds[-1])
    line = Timeline(BEGIN, float(begins[0]), end, end + 5)
    found = phase_statistics(phases, ("algo-1",))
    return Profile(phases=phases, timeline=line, facts=facts, nodes=("algo-1",), phase_statistics=found)


def initialized(minutes: float, job_minutes: float) -> Profile:
    first = BEGIN + 60 * minutes
    end = BEGIN + 60 * job_minutes
    return Profile(system=machine(CPU=flat(50.0)), timeline=Timeline(BEGIN, first, end, end))


def climbing(total: float) -> Values:
    """Memory that grows through all of the job."""
    return 20 + total * np.arange(COUNT) / COUNT


def jump(at: int, height: float) -> Values:
    """Memory that is taken once, as when training begins."""
    return np.where(np.arange(COUNT) < at, 10.0, 10.0 + height)


def noisy(center: float) -> Values:
    return np.clip(GENERATOR.normal(center, 6.0, COUNT), 0, 100)


def long_initialization() -> Profile:
    """Most of the samples are from before training, with busy cores and an idle GPU."""
    late = COUNT - 600
    cpu, gpu = np.full(COUNT, 99.0), np.zeros(COUNT)
    cpu[late:], gpu[late:] = 50.0, 90.0
    line = Timeline(BEGIN, float(TIMES[late]), float(TIMES[-1]), float(TIMES[-1]))
    return Profile(system=machine(CPU=cpu, GPU=gpu), timeline=line, facts={"gpus": 1})


BUSY = {"CPU": flat(40.0), "GPU": flat(90.0), "GPU_memory": flat(80.0), "IO": flat(1.0)}
STEADY = np.full(2000, 0.1)
HICCUPS = np.where(np.arange(2000) % 50 == 49, 2.0, 0.1)
NO_GPU = profile(machine(CPU=flat(95.0), IO=flat(1.0)), gpus=0, device="cpu")
SHORT = profile({"algo-1": {name: Metric(TIMES[:125], np.ones(125)) for name in (CPU, GPU, GPU_MEMORY, IO_WAIT)}})

# Rule, profile, what ours says, what AWS's says.
CASES: dict[str, tuple[str, Callable[[], Profile], str, str]] = {
    "a gpu that idles": ("LowGPUUtilization", lambda: profile(machine(**BUSY | {"GPU": flat(20.0)})), FOUND, FOUND),
    "a gpu that keeps stopping": (
        "LowGPUUtilization",
        lambda: profile(machine(**BUSY | {"GPU": np.where(np.arange(COUNT) % 2 == 0, 90.0, 0.0)})),
        FOUND,
        FOUND,
    ),
    "a busy gpu": ("LowGPUUtilization", lambda: profile(machine(**BUSY)), QUIET, QUIET),
    "a gpu that pauses between epochs": (
        "LowGPUUtilization",
        lambda: profile(machine(**BUSY | {"GPU": np.where(np.arange(COUNT) % 10 == 0, 0.0, 90.0)})),
        QUIET,
        FOUND,
    ),
    "no gpu to be low": ("LowGPUUtilization", lambda: NO_GPU, UNABLE, UNABLE),
    "too short to be low": ("LowGPUUtilization", lambda: SHORT, UNABLE, UNABLE),
    "cores that hold up the gpu": (
        "CPUBottleneck",
        lambda: profile(machine(GPU=flat(5.0), CPU={"cpu0": flat(99.0, 99.0), "cpu1": flat(1.0)})),
        FOUND,
        FOUND,
    ),
    "cores that are busy with a busy gpu": (
        "CPUBottleneck",
        lambda: profile(machine(GPU=flat(90.0), CPU=flat(99.0, 99.0))),
        QUIET,
        QUIET,
    ),
    "cores that are busy before training": (
        "CPUBottleneck",
        long_initialization,
        QUIET,
        FOUND,
    ),
    "no gpu to hold up": ("CPUBottleneck", lambda: NO_GPU, UNABLE, UNABLE),
    "too short for a bottleneck": ("CPUBottleneck", lambda: SHORT, UNABLE, UNABLE),
    "a disk that holds up the gpu": (
        "IOBottleneck",
        lambda: profile(machine(GPU=flat(5.0), IO={"cpu0": flat(80.0), "cpu1": flat(0.0)})),
        FOUND,
        FOUND,
    ),
    "a disk that does not matter": ("IOBottleneck", lambda: profile(machine(**BUSY)), QUIET, QUIET),
    "a disk that holds up the cores": (
        "IOBottleneck",
        lambda: profile(machine(CPU=flat(10.0), IO=flat(80.0)), gpus=0, device="cpu"),
        FOUND,
        UNABLE,
    ),
    "cores that do not wait": ("IOBottleneck", lambda: NO_GPU, QUIET, UNABLE),
    "a system that does not tell": ("IOBottleneck", lambda: profile(machine(GPU=flat(5.0))), UNABLE, UNABLE),
    "room for a larger batch": (
        "BatchSize",
        lambda: profile(machine(CPU=flat(30.0), GPU=flat(40.0), GPU_memory=flat(20.0))),
        FOUND,
        FOUND,
    ),
    "full memory": ("BatchSize", lambda: profile(machine(**BUSY | {"GPU": flat(40.0)})), QUIET, QUIET),
    "no gpu for a batch": ("BatchSize", lambda: NO_GPU, UNABLE, UNABLE),
    "memory that leaks": (
        "GPUMemoryIncrease",
        lambda: profile(machine(GPU=flat(90.0), GPU_memory=climbing(60.0))),
        FOUND,
        QUIET,  # it never rises by five points within five seconds
    ),
    "memory that is taken in one go, late": (
        "GPUMemoryIncrease",
        lambda: profile(machine(GPU=flat(90.0), GPU_memory=jump(1500, 80.0))),
        QUIET,
        FOUND,
    ),
    "memory that stays": ("GPUMemoryIncrease", lambda: profile(machine(**BUSY)), QUIET, QUIET),
    "no gpu memory": ("GPUMemoryIncrease", lambda: NO_GPU, UNABLE, UNABLE),
    "one gpu does the work": (
        "LoadBalancing",
        lambda: profile(machine(GPU={"gpu0": noisy(90.0), "gpu1": noisy(30.0)})),
        FOUND,
        FOUND,
    ),
    "gpus that share": (
        "LoadBalancing",
        lambda: profile(machine(GPU={"gpu0": noisy(70.0), "gpu1": noisy(70.0)})),
        QUIET,
        QUIET,
    ),
    "gpus a few points apart": (
        "LoadBalancing",
        lambda: profile(machine(GPU={"gpu0": flat(70.0), "gpu1": flat(73.0)})),
        QUIET,
        FOUND,
    ),
    "one gpu": ("LoadBalancing", lambda: profile(machine(**BUSY)), UNABLE, UNABLE),
    "steps that hang": ("StepOutlier", lambda: stepped(HICCUPS), FOUND, FOUND),
    "steady steps": ("StepOutlier", lambda: stepped(STEADY), QUIET, QUIET),
    "slow first steps of epochs": (
        "StepOutlier",
        lambda: stepped(np.where(np.arange(2000) % 50 == 0, 2.0, 0.1), steps_per_epoch=50),
        QUIET,
        FOUND,
    ),
    "hiccups of a few milliseconds": ("StepOutlier", lambda: stepped(HICCUPS / 100), QUIET, FOUND),
    "too few steps": ("StepOutlier", lambda: stepped(STEADY[:50]), UNABLE, UNABLE),
    "no steps": ("StepOutlier", lambda: profile(machine(**BUSY)), UNABLE, UNABLE),
    "a first step that never comes": ("MaxInitializationTime", lambda: initialized(40, 60), FOUND, FOUND),
    "half an hour of a long job": ("MaxInitializationTime", lambda: initialized(30, 600), QUIET, FOUND),
    "a quick start": ("MaxInitializationTime", lambda: initialized(2, 3), QUIET, QUIET),
    "a job of unknown begin": ("MaxInitializationTime", Profile, UNABLE, UNABLE),
    "waiting for data": (
        "Dataloader",
        lambda: stepped(STEADY, 0.6 * STEADY, workers=1, cores=8, gpus=1, pin_memory=False),
        FOUND,
        FOUND,
    ),
    "data in time": (
        "Dataloader",
        lambda: stepped(STEADY, 0.05 * STEADY, workers=8, cores=8, gpus=1, pin_memory=True),
        QUIET,
        QUIET,
    ),
    "few workers that keep up": (
        "Dataloader",
        lambda: stepped(STEADY, 0.05 * STEADY, workers=1, cores=8),
        QUIET,
        FOUND,
    ),
    "waiting that costs nothing": (
        "Dataloader",
        lambda: stepped(STEADY / 100, 0.6 * STEADY / 100, workers=8, cores=8),
        QUIET,
        QUIET,
    ),
    "no times of data": ("Dataloader", lambda: stepped(STEADY), UNABLE, UNABLE),
    "a used machine": ("OverallSystemUsage", lambda: profile(machine(**BUSY)), QUIET, QUIET),
    "an unknown machine": ("OverallSystemUsage", lambda: stepped(STEADY), UNABLE, UNABLE),
    "steps to sum up": ("OverallFrameworkMetrics", lambda: stepped(STEADY), QUIET, QUIET),
    "no steps to sum up": ("OverallFrameworkMetrics", lambda: profile(machine(**BUSY)), UNABLE, UNABLE),
}


def judge(rule: Rule, found: Profile, parameters: str, **overrides: Any) -> tuple[str, Answer | str]:
    """The status, with the answer or the reason why there is none."""
    values = {**(rule.aws if parameters == "aws" else rule.default), **overrides}
    judged_by = rule.judge_aws if parameters == "aws" and rule.judge_aws else rule.judge
    try:
        answer = judged_by(found, values)
    except NotEvaluated as reason:
        return UNABLE, str(reason)
    answer = answer if isinstance(answer, Answer) else Answer(answer)
    return (FOUND if answer.findings else QUIET), answer


def named(name: str) -> Rule:
    return RULES[name]


@pytest.mark.parametrize("parameters", PARAMETER_SETS)
@pytest.mark.parametrize("case", CASES)
def test_rules_answer(case: str, parameters: str) -> None:
    name, made, ours, awss = CASES[case]
    status, answer = judge(named(name), made(), parameters)
    assert status == (awss if parameters == "aws" else ours), answer
    if status == UNABLE:
        assert isinstance(answer, str) and answer.endswith((".", ")."))
    elif isinstance(answer, Answer):
        for finding in answer.findings:
            assert isinstance(finding, Finding)
            assert finding.numbers
            assert any(character.isdigit() for character in finding.message)


def test_every_rule_has_its_cases() -> None:
    for name in NAMES:
        for of_set in (2, 3):
            statuses = {case[of_set] for case in CASES.values() if case[0] == name}
            assert statuses >= ({QUIET, UNABLE} if name.startswith("Overall") else {FOUND, QUIET, UNABLE}), name


def test_the_rules_are_awss_with_its_parameters() -> None:
    assert tuple(RULES) == NAMES
    for rule in RULES.values():
        assert rule.kind == "profiling"
        assert rule.description
        assert bool(rule.advice) != rule.name.startswith("Overall")
    assert named("BatchSize").aws == {
        "cpu_threshold_p95": 70,
        "gpu_threshold_p95": 70,
        "gpu_memory_threshold_p95": 70,
        "patience": 1000,
        "window": 500,
    }


def test_a_job_without_gpu_is_told_so() -> None:
    assert judge(named("LowGPUUtilization"), NO_GPU, "default")[1] == (
        "The job had no GPU, and this rule is about GPUs."
    )


def test_a_gpu_that_was_not_sampled_is_no_missing_gpu() -> None:
    unseen = profile(machine(CPU=flat(10.0)), gpus=0, gpu_note="NVML gave no GPU (ModuleNotFoundError)")
    _, reason = judge(named("BatchSize"), unseen, "default")
    assert isinstance(reason, str)
    assert "install nvidia-ml-py" in reason


def test_outliers_are_named_with_what_they_cost() -> None:
    waits = np.where(HICCUPS > 1, 1.9, 0.001)
    _, answer = judge(named("StepOutlier"), stepped(HICCUPS, waits), "default")
    assert isinstance(answer, Answer)
    (finding,) = answer.findings
    assert finding.steps == tuple(range(49, 2000, 50))
    assert finding.numbers["outliers"] == 40
    assert finding.numbers["lost_seconds"] == pytest.approx(40 * 1.9)
    assert finding.message.endswith("In 40 of them, most of the time was spent waiting for data.")


def test_steps_that_took_no_time_fail_no_rule() -> None:
    none = stepped(np.zeros(200), np.zeros(200), operator_steps=["3"])
    for name in ("StepOutlier", "Dataloader"):
        status, answer = judge(named(name), none, "default")
        assert status == QUIET and isinstance(answer, Answer)
        assert not any(np.isnan(value) for value in answer.details.values() if isinstance(value, float))


@pytest.mark.parametrize(
    ("thinned", "waited"), [({}, 60), ({"steps": {"TRAIN": 400}, "kept_one_in": {"TRAIN": 2}}, 120)]
)
def test_nodes_that_wait_at_the_same_time_do_not_wait_twice_as_long(thinned: dict[str, Any], waited: int) -> None:
    one = stepped(np.full(200, 0.4), np.full(200, 0.3), **thinned)
    nodes = np.tile([0, 1], 200)
    twice = {
        phase: Spans(*(np.repeat(values, 2) for values in (spans.steps, spans.begins, spans.seconds)), nodes)
        for phase, spans in one.phases.items()
    }
    two = replace(one, phases=twice, nodes=("algo-1", "algo-2"))
    shares = []
    for found, where in ((one, ""), (two, " on each of 2 nodes (mean)")):
        _, answer = judge(named("Dataloader"), found, "default")
        assert isinstance(answer, Answer) and answer.details["wait_seconds"] == pytest.approx(waited)
        assert answer.findings[0].message == f"Training steps waited {waited} s{where} for data, 75% of their time."
        _, answer = judge(named("OverallFrameworkMetrics"), found, "default")
        assert isinstance(answer, Answer)
        shares.append(answer.details["phase"][TRAIN_STEP])
    assert shares[0] == pytest.approx(shares[1])


@pytest.mark.parametrize("parameters", PARAMETER_SETS)
def test_a_job_without_a_step_is_not_said_to_have_had_a_first_one(parameters: str) -> None:
    begun = initialized(40, 60)
    waiting = replace(begun, timeline=Timeline(begun.timeline.begin))
    for found, said in ((begun, "The first step came after 40 minutes"), (waiting, "No step had begun after")):
        _, answer = judge(named("MaxInitializationTime"), found, parameters, threshold=10)
        assert isinstance(answer, Answer) and answer.findings[0].message.startswith(said)


def test_steps_under_torch_profiler_are_no_outliers() -> None:
    seconds = STEADY.copy()
    looked_at = [100, 101, 102]
    seconds[[*looked_at, 103]] = 60.0
    assert judge(named("StepOutlier"), stepped(seconds), "default")[0] == FOUND
    assert judge(named("StepOutlier"), stepped(seconds, operator_steps=looked_at), "default")[0] == QUIET


def test_a_mode_can_be_chosen() -> None:
    both = stepped(HICCUPS, mode=EVAL_STEP)
    assert judge(named("StepOutlier"), both, "default", mode="EVAL")[0] == FOUND
    assert judge(named("StepOutlier"), both, "aws", mode="TRAIN")[0] == UNABLE


def test_bottlenecks_are_counted_for_reports() -> None:
    slow = profile(machine(GPU=flat(5.0), CPU={"cpu0": flat(99.0, 99.0), "cpu1": flat(1.0)}))
    _, answer = judge(named("CPUBottleneck"), slow, "aws")
    assert isinstance(answer, Answer)
    assert answer.details["algo-1"]["bottlenecks"] == COUNT
    assert answer.details["algo-1"]["low_gpu_utilization"] == COUNT


def test_stored_features_have_no_data_loaders() -> None:
    features = stepped(STEADY, 0.05 * STEADY, workers=1, cores=8, inputs="features")
    assert judge(named("Dataloader"), features, "aws")[0] == UNABLE


def test_summaries_hold_awss_tables() -> None:
    _, usage = judge(named("OverallSystemUsage"), profile(machine(**BUSY)), "aws")
    assert isinstance(usage, Answer)
    assert usage.details["GPU"]["algo-1"] == {"max": 90.0, "p99": 90.0, "p95": 90.0, "p50": 90.0, "min": 0.0}
    run = stepped(STEADY, 0.5 * STEADY)
    run = Profile(
        phases=run.phases, timeline=run.timeline, operators=(Operator("a", 3, 3e-6), Operator("b", 1, 1e-6, 2e-6))
    )
    _, framework = judge(named("OverallFrameworkMetrics"), run, "default")
    assert isinstance(framework, Answer)
    job = 60 + 200 + 5
    assert framework.details["phase"] == {
        TRAIN_STEP: pytest.approx(100 * 200 / job),
        "others": pytest.approx(100 * 65 / job),
    }
    assert framework.details["general"] == {DATA: pytest.approx(50.0)}
    assert framework.details["CPU"] == pytest.approx({"a": 75.0, "b": 25.0})
    assert framework.details["GPU_total"] == {"b": 2}


def test_awss_own_report_is_not_judged_again() -> None:
    for rule in list(RULES.values())[:9]:
        assert judge(rule, Profile(source="report"), "default")[0] == UNABLE


def test_the_distance_of_histograms_is_jensen_and_shannons() -> None:
    same = np.repeat([10.0, 50.0], 100)
    assert distance(same, same, width=2) == 0.0
    assert distance(np.full(10, 10.0), np.full(10, 50.0), width=2) == pytest.approx(np.sqrt(np.log(2)))


def test_phases_without_a_pass_are_no_step_times() -> None:
    empty = Spans(np.zeros(0, dtype=np.int64), np.zeros(0), np.zeros(0))
    [result] = rules.evaluate(profile=Profile(phases={TRAIN_STEP: empty}), only=["OverallFrameworkMetrics"])
    assert (result.status, result.message[:27]) == ("NotEvaluated", "No step times were recorded")


def test_advice_on_memory_does_not_contradict_that_on_utilization() -> None:
    assert RULES["LowGPUUtilization"].advice.startswith("While GPU memory has room and does not grow")
    assert "lower it only if" in RULES["GPUMemoryIncrease"].advice


@pytest.mark.parametrize(("count", "said"), [(0, "No samples"), (1, "Only 1 sample"), (3, "Only 3 samples")])
def test_too_few_samples_are_counted_in_good_english(count: int, said: str) -> None:
    with pytest.raises(NotEvaluated) as error:
        require(count, 4, "of GPU 0")
    assert str(error.value) == f"{said} of GPU 0: this rule needs more than 4 (its parameter patience)."
