"""Profiles are read as far as they can be trusted: ours, Debugger's, and AWS's report."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dogbreed_sdk.debugging.insights.machine import use_of
from training_scripts import rules
from training_scripts.recording.profile import files
from training_scripts.recording.profile import system as profile_system
from training_scripts.recording.profile.profile import CPU, CPU_MEMORY, DISK, NETWORK, TRAIN_STEP, Operator
from training_scripts.recording.profile.reader import has_profile, read_profile
from training_scripts.recording.profile.summary import statistics
from training_scripts.recording.trial.trial import RecordingError
from training_scripts.rules.profiling.samples import Device, at_times

# Lines as SageMaker writes them: devices are sampled moments apart, memory and disk go by name.
AWS_SAMPLES = """\
{"Type":"cpu","Name":"cpu0","Dimension":"CPUUtilization","Value":98.0,"NodeId":"algo-1","Timestamp":1733636920.00909}
{"Type":"cpu","Name":"cpu0","Dimension":"I/OWaitPercentage","Value":14.0,"NodeId":"algo-1","Timestamp":1733636920.00909}
{"Type":"cpu","Name":"cpu1","Dimension":"CPUUtilization","Value":90.0,"NodeId":"algo-1","Timestamp":1733636920.00912}
{"Type":"memory","Name":"MemoryUsedPercent","Dimension":"","Value":6.75,"NodeId":"algo-1","Timestamp":1733636920.00916}
{"Type":"network","Name":"ReceiveBytesPerSecond","Dimension":"Algorithm","Value":5.0,"NodeId":"algo-1","Timestamp":1733636920.01}
{"Type":"network","Name":"TransmitBytesPerSecond","Dimension":"Algorithm","Value":7.0,"NodeId":"algo-1","Timestamp":1733636920.01}
{"Type":"network","Name":"ReceiveBytesPerSecond","Dimension":"Platform","Value":66775126.66,"NodeId":"algo-1","Timestamp":1733636920.01}
{"Type":"i/o","Name":"IOPS","Dimension":"","Value":5357.94,"NodeId":"algo-1","Timestamp":1733636920.5}
{"Type":"i/o","Name":"ReadThroughputInBytesPerSecond","Dimension":"","Value":8970700.56,"NodeId":"algo-1","Timestamp":1733636920.5}
{"Type":"cpu","Name":"cpu0","Dimension":"CPUUtilization","Value":50.0,"NodeId":"algo-1","Timestamp":1733636920.5091}
{"Type":"cpu","Name":"cpu1","Dimension":"CPUUtilization","Value":70.0,"NodeId":"algo-1","Timestamp":1733636920.5092}
"""


def test_samples_that_sagemaker_wrote_are_read(tmp_path: Path) -> None:
    _samples(tmp_path, AWS_SAMPLES)
    read = read_profile(tmp_path)
    system = read.system["algo-1"]
    assert system[CPU].values.tolist() == [94.0, 60.0]
    assert system[CPU].devices["cpu1"].tolist() == [90.0, 70.0]
    assert system[CPU_MEMORY].values.tolist() == [6.75]
    assert system[NETWORK].values.tolist() == [12.0]  # the platform's own traffic is not the algorithm's
    assert system[DISK].values.tolist() == [8970700.56]
    assert read.facts == {"cores": 2, "gpus": 0}
    assert read.problems == ()


def test_several_nodes_are_told_apart(tmp_path: Path) -> None:
    _samples(tmp_path, AWS_SAMPLES)
    _samples(tmp_path, AWS_SAMPLES.replace("algo-1", "algo-2"), node="algo-2")
    for number in (1, 2):
        steps = [(0, 1_000 * number), (1, 2_000 * number)]
        _trace(tmp_path, f"1733636921000000_27-algo-{number}_pythontimeline.json", steps)
    read = read_profile(tmp_path)
    assert list(read.system) == list(read.nodes) == ["algo-1", "algo-2"]
    spans = read.phases[TRAIN_STEP]
    assert spans.of_node(0).seconds.tolist() == [0.001, 0.002]
    assert spans.of_node(1).seconds.tolist() == [0.002, 0.004]
    assert {(one.what, one.node, one.maximum) for one in read.step_statistics} == {
        (TRAIN_STEP, "algo-1", 0.002),
        (TRAIN_STEP, "algo-2", 0.004),
    }


def test_begin_and_end_events_and_operators_of_debuggers_traces_are_read(tmp_path: Path) -> None:
    _trace(
        tmp_path,
        "1733636921000000_27-algo-1_pythontimeline.json",
        [(0, 1000)],
        {"name": "process_name", "ph": "M", "pid": 7, "args": {"name": "cpu_functions"}},
        {"name": "process_name", "ph": "M", "pid": 8, "args": {"name": "gpu_functions-dev:0"}},
        {"name": "process_name", "ph": "M", "pid": 9, "args": {"name": "Forward"}},
        {"name": "process_name", "ph": "M", "pid": 10, "args": {"name": "DataLoaderIterInitialize"}},
        {"name": "aten::conv2d", "pid": 7, "ph": "X", "ts": 5, "dur": 30},
        {"name": "aten::conv2d", "pid": 7, "ph": "X", "ts": 50, "dur": 20},
        {"name": "aten::conv2d", "pid": 8, "ph": "X", "ts": 6, "dur": 100},
        {"name": "Net", "pid": 9, "ph": "B", "ts": 10},
        {"pid": 9, "ph": "E", "ts": 250},
        {"name": "it", "pid": 10, "ph": "X", "ts": 1, "dur": 1, "args": {"num_workers": 6, "pin_memory": False}},
    )
    read = read_profile(tmp_path)
    (operator,) = read.operators
    assert (operator.name, operator.calls, operator.cpu_seconds, operator.gpu_seconds) == (
        "aten::conv2d",
        2,
        pytest.approx(50e-6),
        pytest.approx(100e-6),
    )
    assert read.phases["Forward"].seconds.tolist() == [pytest.approx(240e-6)]
    assert (read.facts["workers"], read.facts["pin_memory"]) == (6, False)


def test_a_sample_that_is_being_written_is_no_problem(tmp_path: Path) -> None:
    _samples(tmp_path, AWS_SAMPLES + '{"Type":"cpu","Na')
    read = read_profile(tmp_path)
    assert len(read.system["algo-1"][CPU].times) == 2
    assert read.problems == ()


def test_what_is_no_sample_is_left_out_and_told(tmp_path: Path) -> None:
    broken = '[1]\nnonsense\n{"Type": "cpu", "Value": "high"}\n{"Value": 1e999, "Timestamp": 1}\n'
    _samples(tmp_path, broken + AWS_SAMPLES)
    read = read_profile(tmp_path)
    assert len(read.system["algo-1"][CPU].times) == 2
    assert len(read.problems) == 1
    assert ": 4 lines left out, not samples." in read.problems[0]


def test_a_trace_that_was_cut_short_is_read_up_to_there(tmp_path: Path) -> None:
    path = _trace(tmp_path, "1733636921000000_27-algo-1_pythontimeline.json", [(step, 1000) for step in range(10)])
    path.write_text(path.read_text()[:-60])
    read = read_profile(tmp_path)
    assert len(read.phases[TRAIN_STEP]) == 9
    assert len(read.problems) == 1
    assert "is incomplete; only its complete part was read" in read.problems[0]


def test_a_trace_that_smdebug_is_still_writing_is_read(tmp_path: Path) -> None:
    path = _trace(tmp_path, "1_27-algo-1_pythontimeline.json", [(step, 1000) for step in range(10)])
    unfinished = tmp_path / "framework" / "27-algo-1_pythontimeline.json.tmp"
    unfinished.write_text(path.read_text().removesuffix("\n]") + ",\n")
    path.unlink()
    read = read_profile(tmp_path)
    assert len(read.phases[TRAIN_STEP]) == 10
    assert "is still being written" in read.problems[0]


def test_operators_of_several_nodes_are_added_up(tmp_path: Path) -> None:
    _samples(tmp_path, AWS_SAMPLES)
    for node, seconds in (("algo-1", 0.5), ("algo-2", 0.25)):
        row = {"name": "aten::conv2d", "calls": 3, "cpu_seconds": seconds, "gpu_seconds": 2 * seconds}
        (tmp_path / f"profile_{node}.json").write_text(json.dumps({"format": 1, "operators": [row]}))
    assert read_profile(tmp_path).operators == (Operator("aten::conv2d", 6, 0.75, 1.5),)


@pytest.mark.parametrize(
    "content", ["", "null", "{}", "[[[", '{"format": 1, "lives": 3, "facts": [], "operators": {"a": 1}, "steps": "x"}']
)
def test_nothing_in_our_own_file_is_trusted(tmp_path: Path, content: str) -> None:
    _samples(tmp_path, AWS_SAMPLES)
    (tmp_path / "profile_algo-1.json").write_text(content)
    assert len(read_profile(tmp_path).system["algo-1"][CPU].times) == 2


def test_hostile_traces_do_no_harm(tmp_path: Path) -> None:
    folder = tmp_path / "framework" / "pevents" / "2024120805"
    folder.mkdir(parents=True)
    events: list[Any] = [
        {"ph": "X", "pid": [1], "ts": 1, "dur": 1, "name": "a"},
        {"ph": "X", "pid": 1, "ts": 1, "dur": -5, "name": "a"},
        {"ph": "X", "pid": 1, "ts": "1e400", "dur": 5, "name": "a"},
        {"ph": "M", "pid": {}, "name": "process_name", "args": {"name": "x"}},
        {"ph": "M", "pid": 1, "name": "process_name", "args": 7},
        {"ph": "E", "pid": 1, "ts": 4},
        {"ph": "X", "pid": 1, "ts": 1, "dur": 5, "name": "n" * 1000, "args": {"step_num": "1e300"}},
        17,
    ]
    (folder / "1_1-algo-1_pythontimeline.json").write_text(json.dumps(events))
    (folder / "2_1-algo-1_pythontimeline.json").write_text("[" * 100_000)
    (phase,) = read_profile(tmp_path).phases.items()
    assert (len(phase[0]), phase[1].steps.tolist()) == (200, [-1])


def test_sizes_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "FILE_BYTES", 100)
    _samples(tmp_path, AWS_SAMPLES)
    read = read_profile(tmp_path)
    assert read.system == {}
    assert "was left out: the limit is" in read.problems[0]


@pytest.mark.parametrize("name", ["profile_algo-1.json", "system/x.json", "framework/1_2-algo-1_pythontimeline.json"])
def test_a_pipe_in_the_place_of_a_file_keeps_nobody_waiting(tmp_path: Path, name: str) -> None:
    _samples(tmp_path, AWS_SAMPLES)
    (tmp_path / name).parent.mkdir(exist_ok=True)
    os.mkfifo(tmp_path / name)
    read = read_profile(tmp_path)
    assert len(read.problems) == 1
    assert name in read.problems[0]
    assert len(read.system["algo-1"][CPU].values) == 2


def test_few_samples_of_many_devices_beside_one_of_many_do_not_fill_the_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(profile_system, "MOST_VALUES", 100)
    line = AWS_SAMPLES.splitlines()[0]
    often = [line.replace("20.00909", f"{second}.5") for second in range(20, 40)]
    _samples(tmp_path, "\n".join([*often, *(line.replace("cpu0", f"cpu{number}") for number in range(1, 50))]) + "\n")
    read = read_profile(tmp_path)
    assert list(read.system["algo-1"][CPU].devices) == [f"cpu{number}" for number in range(5)]
    assert read.problems == ("45 of 50 devices of CPU were left out: there are too many.",)


def test_rules_cope_with_samples_that_no_core_has_meanwhile(tmp_path: Path) -> None:
    waits = [line for line in AWS_SAMPLES.splitlines() if "I/OWait" in line]
    busy = AWS_SAMPLES.splitlines()[0].replace("1733636920", "1733646920")
    _samples(tmp_path, "\n".join([*(waits[0].replace("20.00909", f"2{second}.5") for second in range(5)), busy]) + "\n")
    answers = rules.evaluate(profile=read_profile(tmp_path))
    assert [result.message for result in answers if result.status == "Error"] == []
    nobody = Device("algo-1", "cpu0", np.zeros(0), np.zeros(0))
    assert np.isnan(at_times(nobody, np.arange(3.0))).tolist() == [True] * 3


def test_a_folder_without_a_profile_is_named(tmp_path: Path) -> None:
    assert not has_profile(tmp_path)
    with pytest.raises(RecordingError, match="contains no profile: it has neither"):
        read_profile(tmp_path)


def test_awss_report_is_a_profile(fixtures_folder: Path) -> None:
    read = read_profile(fixtures_folder / "aws-profiler-report")
    assert read.source == "report"
    assert read.problems == ()
    usage = {one.what: one for one in read.usage}
    assert (usage["GPU"].maximum, usage["GPU"].p95, usage["GPU"].p50, usage["GPU"].node) == (91.0, 87.0, 7.0, "algo-1")
    assert set(usage) == {"CPU", "GPU", "CPU memory", "GPU memory", "I/O", "Network"}
    (steps,) = read.step_statistics
    assert (steps.what, steps.maximum, steps.p50) == ("Step:ModeKeys.EVAL", 11.422705, 0.034709)
    assert (len(steps.histogram), len(steps.edges)) == (100, 101)
    assert read.operators[0].name == "aten::conv2d"
    assert (read.operators[0].cpu_seconds, read.operators[0].gpu_seconds) == (8.965037, 9.680874)
    line = read.timeline
    assert (line.begin, line.training, line.trained, line.end) == (
        1681012441.500251,
        1681012666.693130,
        1681013339.891004,
        1681013339.891004,
    )
    assert read.facts == {"cores": 4, "workers": 6, "pin_memory": False, "gpus": 1}


def test_awss_report_answers_with_its_own_words_and_parameters(fixtures_folder: Path) -> None:
    results = {one.name: one for one in read_profile(fixtures_folder / "aws-profiler-report").results}
    found = {name for name, one in results.items() if one.status == "IssuesFound"}
    assert found == {"LowGPUUtilization", "GPUMemoryIncrease", "Dataloader"}
    assert len(results) == 11
    assert results["StepOutlier"].parameters == {"threshold": 3, "mode": None, "n_outliers": 10, "stddev": 3}
    assert results["CPUBottleneck"].message.startswith("AWS's report: 378 violations in 2,410 data points")
    (finding,) = results["LowGPUUtilization"].findings
    assert (finding.numbers["gpu_95"], finding.numbers["violations"]) == (88.0, 7)
    assert results["LowGPUUtilization"].advice
    assert results["OverallFrameworkMetrics"].details["phase"]["Step:ModeKeys.TRAIN"] == 40.238925498927514


def test_awss_counts_are_said_as_people_say_them(fixtures_folder: Path, tmp_path: Path) -> None:
    report = tmp_path / "report"
    shutil.copytree(fixtures_folder / "aws-profiler-report", report)
    changed = {"LowGPUUtilization": (1, 3, 250), "GPUMemoryIncrease": (2, 1, 1), "CPUBottleneck": (0, 1, 1900)}
    for rule, counts in changed.items():
        told = json.loads((report / f"{rule}.json").read_text("utf-8"))
        told |= dict(zip(("RuleTriggered", "Violations", "Datapoints"), counts, strict=True))
        (report / f"{rule}.json").write_text(json.dumps(told), "utf-8")
    messages = {one.name: one.message for one in read_profile(report).results}
    assert messages["LowGPUUtilization"] == "AWS's report: triggered 1 time, by 3 violations in 250 data points."
    assert messages["GPUMemoryIncrease"] == "AWS's report: triggered 2 times, by 1 violation in 1 data point."
    assert messages["CPUBottleneck"] == "AWS's report: 1 violation in 1,900 data points, too few to be an issue."


def test_a_report_is_found_where_sagemaker_puts_it(fixtures_folder: Path, tmp_path: Path) -> None:
    below = tmp_path / "rule-output/ProfilerReport-1681012441/profiler-output/profiler-reports"
    shutil.copytree(fixtures_folder / "aws-profiler-report", below)
    (below / "BatchSize.json").write_text("{")
    read = read_profile(tmp_path)
    assert len(read.results) == 10
    assert "BatchSize.json is not a rule's report" in read.problems[0]


def test_samples_beside_a_report_are_judged_anew(fixtures_folder: Path, tmp_path: Path) -> None:
    below = tmp_path / "rule-output/ProfilerReport/profiler-output/profiler-reports"
    shutil.copytree(fixtures_folder / "aws-profiler-report", below)
    _samples(tmp_path / "profiler-output", AWS_SAMPLES)
    read = read_profile(tmp_path)
    assert (read.source, read.results) == ("profiler", ())
    assert read.system["algo-1"][CPU].values.tolist() == [94.0, 60.0]
    assert read.operators[0].name == "aten::conv2d"


def test_statistics_are_the_quantiles_and_a_histogram_of_all_values() -> None:
    values = np.concatenate([np.linspace(1, 2, 100), [500.0]])
    found = statistics("Step", "algo-1", values, histogram=True)
    assert (found.minimum, found.maximum, found.count) == (1.0, 500.0, 101)
    assert (found.p50, found.p95, found.p99) == tuple(np.quantile(values, [0.5, 0.95, 0.99]))
    assert sum(found.histogram) == 101
    assert found.edges[-1] == found.p99  # one hiccup does not squeeze all others into the first bin


def _samples(folder: Path, text: str, *, node: str = "algo-1") -> None:
    path = folder / "system" / "incremental" / "2024120805" / f"1733636880.{node}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def _trace(folder: Path, name: str, steps: list[tuple[int, int]], *more: dict[str, Any]) -> Path:
    """A trace as smdebug's TimelineFileWriter leaves it; steps are numbers and microseconds, one after the other."""
    path = folder / "framework" / "pevents" / "2024120805" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    base = {"start_time_since_epoch_in_micros": 1733636920000000}
    events: list[dict[str, Any]] = [
        {"name": "process_name", "ph": "M", "pid": 0, "args": base},
        {"name": "process_name", "ph": "M", "pid": 0, "args": {"name": TRAIN_STEP}},
        *more,
    ]
    for number, lasted in steps:
        event = {"name": TRAIN_STEP, "pid": 0, "ph": "X", "ts": 10_000 * number, "dur": lasted}
        events.append({**event, "args": {"step_num": str(number)}})
    path.write_text("[\n" + ",\n".join(json.dumps(event) for event in events) + "\n]")
    return path


def test_exchanges_between_workers_are_operators(tmp_path: Path) -> None:
    trace = [
        {"name": "process_name", "ph": "M", "pid": 1, "args": {"name": "DistributedOptimizer.conv1"}},
        {"name": "NEGOTIATE_ALLREDUCE", "ph": "B", "pid": 1, "ts": 100},
        {"ph": "E", "pid": 1, "ts": 350},
        {"name": "ALLREDUCE", "ph": "B", "pid": 1, "ts": 400},
        {"ph": "E", "pid": 1, "ts": 1_400},
        {"name": "ALLREDUCE", "ph": "X", "pid": 1, "ts": 2_000, "dur": 500},
    ]
    folder = tmp_path / "framework" / "pevents" / "2026113009"
    folder.mkdir(parents=True)
    (folder / "1733636921000000_27-algo-1_horovod_timeline.json").write_text(json.dumps(trace))
    read = read_profile(tmp_path)
    assert [(one.name, one.calls, round(one.cpu_seconds, 6)) for one in read.operators] == [
        ("Horovod ALLREDUCE", 2, 0.0015),
        ("Horovod NEGOTIATE_ALLREDUCE", 1, 0.00025),
    ]
    assert read.problems == ()
    assert read.phases == {}


def test_tensorflows_traces_are_named_and_not_silently_left_out(tmp_path: Path) -> None:
    folder = tmp_path / "framework" / "tensorflow" / "detailed_profiling" / "2026113009" / "plugins"
    folder.mkdir(parents=True)
    (folder / "algo-1.trace.json.gz").write_bytes(b"\x1f\x8b")
    [problem] = read_profile(tmp_path).problems
    assert problem.startswith("TensorFlow's traces are not read (1, the first is ")
    assert problem.endswith("open them in TensorBoard.")


def test_bottlenecks_beyond_the_shown_ones_count(tmp_path: Path) -> None:
    details = {
        "low_gpu_utilization": 3000,
        "bottlenecks": {str(number): {"GPUs": 1, "CPUs": 2} for number in range(2245)},
    }
    report = {"RuleTriggered": 1, "Violations": 2245, "Datapoints": 4000, "RuleParameters": "", "Details": details}
    (tmp_path / "CPUBottleneck.json").write_text(json.dumps(report))
    usage = {"Details": {"CPU": {"algo-1": _statistics(60)}, "GPU": {"algo-1": _statistics(20)}}}
    (tmp_path / "OverallSystemUsage.json").write_text(json.dumps(usage))
    profile = read_profile(tmp_path)
    [result] = [one for one in profile.results if one.name == "CPUBottleneck"]
    assert len(result.details["bottlenecks"]) == 1000
    assert result.details["bottlenecks_in_all"] == 2245
    used = use_of(profile)
    assert used is not None
    assert used.cpu_waits is not None
    assert (used.cpu_waits.both, used.cpu_waits.idle) == (2245, 3000)


def _statistics(value: float) -> dict[str, float]:
    return dict.fromkeys(("max", "p99", "p95", "p50", "min"), value)
