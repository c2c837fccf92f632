"""The profiler writes what happened, in Debugger's layout, and harms nothing but the profile when it fails."""

from __future__ import annotations

import json
import re
import sys
import time
import types
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.training_scripts.recording.profiled_run import EVALUATIONS, STEPS_AN_EPOCH, profile, train
from training_scripts.recording.profile.profile import (
    BACKWARD,
    CPU,
    CPU_MEMORY,
    DATA,
    EVAL_STEP,
    FORWARD,
    GPU,
    TRAIN_STEP,
)
from training_scripts.recording.profile.reader import read_profile
from training_scripts.recording.profiler import writer
from training_scripts.recording.profiler.profiler import Profiler
from training_scripts.recording.profiler.sampler import Gpus, Machine, Reading
from training_scripts.recording.profiler.system_files import SystemFiles
from training_scripts.recording.profiler.writer import ALL_STEPS, kept_steps, node_name, one_in
from training_scripts.training.callbacks import Callback
from training_scripts.training.runtime import available_cores


def test_files_lie_where_debugger_puts_them(tmp_path: Path) -> None:
    profile(tmp_path)
    system = [path.relative_to(tmp_path).as_posix() for path in (tmp_path / "system").rglob("*.json")]
    traces = [path.relative_to(tmp_path).as_posix() for path in (tmp_path / "framework").rglob("*.json")]
    assert system and traces
    for path in system:
        found = re.fullmatch(r"system/incremental/(\d{10})/(\d{10})\.algo-1\.json", path)
        assert found
        assert int(found[2]) % 60 == 0
        assert time.strftime("%Y%m%d%H", time.gmtime(int(found[2]))) == found[1]
    for path in traces:
        assert re.fullmatch(r"framework/pevents/\d{10}/\d{16}_\d+-algo-1_pythontimeline\.json", path)


def test_a_trace_is_named_after_its_last_event(tmp_path: Path) -> None:
    profile(tmp_path)
    for path in (tmp_path / "framework").rglob("*.json"):
        events = json.loads(path.read_text())
        base = events[0]["args"]["start_time_since_epoch_in_micros"]
        ends = [base + event["ts"] + event["dur"] for event in events if event["ph"] == "X"]
        assert abs(max(ends) - int(path.name.split("_")[0])) <= 1


def test_every_step_and_its_parts_are_recorded(tmp_path: Path) -> None:
    profile(tmp_path, pause=0.002)
    read = read_profile(tmp_path)
    train_steps, data = read.phases[TRAIN_STEP], read.phases[DATA]
    assert train_steps.steps.tolist() == list(range(2 * STEPS_AN_EPOCH))
    assert read.phases[EVAL_STEP].steps.tolist() == list(range(2 * EVALUATIONS))
    assert len(read.phases[FORWARD]) == len(data) == 2 * (STEPS_AN_EPOCH + EVALUATIONS)
    assert len(read.phases[BACKWARD]) == 2 * STEPS_AN_EPOCH
    waits = data.seconds[np.isin(data.begins, train_steps.begins)]
    assert len(waits) == 2 * STEPS_AN_EPOCH
    assert (waits >= 0.002).all()
    parts = waits + read.phases[BACKWARD].seconds
    assert (train_steps.seconds > parts).all()


def test_the_timeline_runs_from_the_job_to_its_end(tmp_path: Path) -> None:
    before = time.time()
    profile(tmp_path, job_begin=before - 5)
    line = read_profile(tmp_path).timeline
    assert line.begin is not None and line.training is not None and line.trained is not None and line.end is not None
    assert line.begin == pytest.approx(before - 5, abs=1e-3)
    assert before < line.training < line.trained < line.end < time.time() + 1


def test_facts_come_from_the_job_and_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SM_CURRENT_INSTANCE_TYPE", "ml.m5.xlarge")
    profile(tmp_path)
    facts = read_profile(tmp_path).facts
    assert facts["instance_type"] == "ml.m5.xlarge"
    assert (facts["batch_size"], facts["workers"], facts["device"], facts["launch_times"]) == (4, 2, "cpu", False)
    assert facts["steps"] == {"TRAIN": 2 * STEPS_AN_EPOCH, "EVAL": 2 * EVALUATIONS}


def test_hyperparameters_may_be_text(tmp_path: Path) -> None:
    profiler = Profiler(tmp_path, operators="off")
    settings = {"epochs": "3", "batch-size": "8", "workers": "0"}
    profiler.run_begins(
        torch.nn.Linear(1, 1), {"hyperparameters": settings, "steps_per_epoch": 2, "inputs": "pictures"}
    )
    profiler.run_ends()
    facts = read_profile(tmp_path).facts
    assert (facts["epochs"], facts["batch_size"], facts["workers"]) == (3, 8, available_cores())


def test_a_restarted_job_goes_on_with_its_profile(tmp_path: Path) -> None:
    profile(tmp_path, epochs=1)
    first = read_profile(tmp_path)
    minute = sorted((tmp_path / "system").rglob("*.json"))[-1]
    with minute.open("a") as file:
        file.write('{"Type": "cpu", "Na')  # as a killed job leaves it
    profile(tmp_path, epochs=2, done=1)
    both = read_profile(tmp_path)
    assert both.problems == ()
    assert both.phases[TRAIN_STEP].steps.tolist() == list(range(2 * STEPS_AN_EPOCH))
    assert both.phases[EVAL_STEP].steps.tolist() == list(range(2 * EVALUATIONS))
    assert both.timeline.begin == first.timeline.begin
    assert both.timeline.training == first.timeline.training
    assert both.timeline.end is not None and first.timeline.end is not None
    assert both.timeline.end > first.timeline.end


def test_another_runs_profile_is_removed_as_a_run_begins(tmp_path: Path) -> None:
    profile(tmp_path, epochs=3, fingerprint="one")
    before = time.time()
    profile(tmp_path, epochs=1, fingerprint="another")
    read = read_profile(tmp_path)
    assert read.phases[TRAIN_STEP].steps.tolist() == list(range(STEPS_AN_EPOCH))
    assert read.timeline.training is not None and read.timeline.training > before
    # The processor's use needs two readings some milliseconds apart, which so short a run may not have.
    assert all(metric.times.min() > before for metric in read.system["algo-1"].values())
    assert read.facts["steps"] == {"TRAIN": STEPS_AN_EPOCH, "EVAL": EVALUATIONS}
    assert read.problems == ()


def test_a_clock_that_jumps_is_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = time.time
    profiler = Profiler(tmp_path, operators="off")
    monkeypatch.setattr(writer, "time", lambda: real() + 3600)  # the machine was asleep
    train(profiler)
    profiler._writer.finish(30)
    assert read_profile(tmp_path).phases[TRAIN_STEP].begins[0] > real() + 3000
    profiler.run_ends()


def test_a_run_without_an_end_has_a_profile_so_far(tmp_path: Path) -> None:
    profiler = Profiler(tmp_path, interval_ms=100, operators="off", facts={"job_begin": 1.0})
    train(profiler)
    profiler._writer.finish(30)  # what a killed process had written last
    read = read_profile(tmp_path)
    assert len(read.phases[TRAIN_STEP]) == 2 * STEPS_AN_EPOCH
    assert (read.timeline.begin, read.timeline.end) == (1.0, None)


def test_the_machine_is_sampled_from_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reads: list[float] = []
    read = Machine.read
    monkeypatch.setattr(Machine, "read", lambda machine, now: reads.append(now) or read(machine, now))
    profiler = Profiler(tmp_path, interval_ms=100, operators="off")
    offset = profiler._writer.offset
    profiler.start()
    while len(reads) < 5:  # keeps a core busy
        pass
    profiler.run_ends()
    system = read_profile(tmp_path).system["algo-1"]
    # The first reading begins to count.
    assert system[CPU].times[:3].tolist() == pytest.approx([moment + offset for moment in reads[1:4]], abs=0.1)
    assert system[CPU].values.max() > 20
    assert ((system[CPU].values >= 0) & (system[CPU].values <= 100)).all()
    assert 0 < system[CPU_MEMORY].values.min() < 100


def test_gpus_are_sampled_through_nvml(monkeypatch: pytest.MonkeyPatch) -> None:
    nvml = types.ModuleType("pynvml")
    rates = types.SimpleNamespace(gpu=42)
    memory = types.SimpleNamespace(used=3 << 30, total=4 << 30)
    nvml.__dict__.update(
        nvmlInit=lambda: None,
        nvmlDeviceGetCount=lambda: 1,
        nvmlDeviceGetHandleByIndex=lambda index: index,
        nvmlDeviceGetName=lambda _: b"NVIDIA T4",
        nvmlDeviceGetUtilizationRates=lambda _: rates,
        nvmlDeviceGetMemoryInfo=lambda _: memory,
        NVMLError=RuntimeError,
    )
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    gpus = Gpus()
    assert gpus.names == ["NVIDIA T4"]
    assert gpus.read() == [
        Reading("gpu", "gpu0", "GPUUtilization", 42.0),
        Reading("gpu", "gpu0", "GPUMemoryUtilization", 75.0),
    ]


def test_a_machine_without_nvml_has_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    machine = Machine()
    assert machine.gpus.names == []
    assert {reading.dimension for reading in machine.read(1.0)} == {"MemoryUsedPercent"}
    time.sleep(0.05)
    assert "CPUUtilization" in {reading.dimension for reading in machine.read(1.05)}


def test_without_psutil_one_line_says_so_and_steps_are_still_timed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "psutil", None)
    lines: list[str] = []
    profile(tmp_path, report=lines.append)
    assert len(lines) == 1
    assert lines[0].startswith("warning: the machine cannot be sampled")
    read = read_profile(tmp_path)
    assert read.system == {}
    assert len(read.phases[TRAIN_STEP]) == 2 * STEPS_AN_EPOCH


def test_a_disk_that_takes_nothing_costs_one_line(tmp_path: Path) -> None:
    (tmp_path / "profile").write_text("a file where the folder should be")
    lines: list[str] = []
    network = profile(tmp_path / "profile", report=lines.append)
    assert len(lines) == 1
    assert lines[0].startswith("warning: the profiler has failed, and training continues without it:")
    expected = train(Callback())
    assert _same(network, expected)


@pytest.mark.parametrize("operators", ["off", "on"])
def test_profiling_changes_no_number_of_training(tmp_path: Path, operators: str) -> None:
    assert _same(profile(tmp_path, operators=operators), train(Callback()))


def test_operators_are_those_of_a_few_training_steps(tmp_path: Path) -> None:
    profile(tmp_path, operators="on")
    read = read_profile(tmp_path)
    names = {operator.name: operator for operator in read.operators}
    assert read.facts["operator_steps"] == [10, 11, 12]
    assert names["aten::addmm"].calls == 6  # two linear layers, three steps
    costs = [operator.cpu_seconds for operator in read.operators]
    assert costs == sorted(costs, reverse=True)
    assert costs[-1] > 0


def test_the_number_of_profiled_steps_can_be_chosen(tmp_path: Path) -> None:
    profile(tmp_path, operators="on", operator_steps=5)
    read = read_profile(tmp_path)
    assert read.facts["operator_steps"] == [10, 11, 12, 13, 14]
    assert {operator.name: operator for operator in read.operators}["aten::addmm"].calls == 10


def test_evaluation_is_kept_out_of_the_operators(tmp_path: Path) -> None:
    profiler = Profiler(tmp_path, interval_ms=100, operators="on")
    profiler.run_begins(torch.nn.Linear(1, 1), {"hyperparameters": {"epochs": 1}, "steps_per_epoch": 2})
    loss = torch.tensor(1.0)
    for mode in ("TRAIN", "TRAIN", "EVAL", "EVAL"):
        profiler.step_begins(mode)
        torch.ones(3).add_(1) if mode == "TRAIN" else torch.ones(3).mul_(2)
        profiler.step_ends(mode, loss, loss, 1)
    profiler.run_ends()
    names = {operator.name for operator in read_profile(tmp_path).operators}
    assert "aten::add_" in names
    assert "aten::mul_" not in names


def test_a_short_run_tells_how_to_see_operators(tmp_path: Path) -> None:
    profile(tmp_path, operators="auto")
    read = read_profile(tmp_path)
    assert read.operators == ()
    assert "set profile-operators to on" in read.operators_note


def test_a_second_call_of_run_ends_does_nothing(tmp_path: Path) -> None:
    profiler = Profiler(tmp_path, operators="off")
    profiler.start()
    profiler.run_ends()
    end = read_profile(tmp_path).timeline.end
    profiler.run_ends()
    profiler.start()
    assert read_profile(tmp_path).timeline.end == end


def test_where_the_service_samples_the_machine_only_steps_are_written(tmp_path: Path) -> None:
    profiler = Profiler(tmp_path, operators="off", system=False)
    train(profiler)
    profiler.run_ends()
    assert not (tmp_path / "system").exists()
    assert len(read_profile(tmp_path).phases[TRAIN_STEP]) == 2 * STEPS_AN_EPOCH


def test_long_runs_write_ever_fewer_of_their_steps() -> None:
    assert [one_in(step) for step in (0, ALL_STEPS - 1, ALL_STEPS, 2 * ALL_STEPS, 4 * ALL_STEPS)] == [1, 1, 2, 4, 8]
    first = kept_steps(np.arange(ALL_STEPS))
    later = kept_steps(np.arange(4 * ALL_STEPS, 8 * ALL_STEPS))
    assert first.all()
    assert later.mean() == pytest.approx(1 / 8, rel=0.1)
    of_an_epoch = np.flatnonzero(later) % 64
    assert len(np.unique(of_an_epoch)) == 64  # no place of an epoch is left out


def test_values_that_are_no_numbers_are_not_written(tmp_path: Path) -> None:
    files = SystemFiles(tmp_path, "algo-1")
    files.add(
        60.5, [Reading("cpu", "cpu0", "CPUUtilization", float("nan")), Reading("cpu", "cpu1", "CPUUtilization", 5)]
    )
    files.write()
    lines = (tmp_path / "system/incremental/1970010100/0000000060.algo-1.json").read_text().splitlines()
    assert [json.loads(line)["Name"] for line in lines] == ["cpu1"]


@pytest.mark.parametrize(("host", "node"), [("algo-3", "algo-3"), (None, "algo-1"), ("../x", "algo-1")])
def test_nodes_are_named_as_debugger_reads_them(host: str | None, node: str) -> None:
    assert node_name(host) == node


def test_the_gpu_that_cannot_tell_is_left_out_once(monkeypatch: pytest.MonkeyPatch) -> None:
    nvml = types.ModuleType("pynvml")

    def refuse(_: object) -> None:
        raise RuntimeError("not supported")

    nvml.__dict__.update(
        nvmlInit=lambda: None,
        nvmlDeviceGetCount=lambda: 1,
        nvmlDeviceGetHandleByIndex=lambda index: index,
        nvmlDeviceGetName=lambda _: "NVIDIA A100 MIG",
        nvmlDeviceGetUtilizationRates=refuse,
        NVMLError=RuntimeError,
    )
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    assert Gpus().read() == []


def test_gpu_metrics_are_read_back(tmp_path: Path) -> None:
    files = SystemFiles(tmp_path, "algo-1")
    for second in range(3):
        files.add(
            100.0 + second, [Reading("gpu", f"gpu{number}", "GPUUtilization", 10.0 * number) for number in (1, 2)]
        )
    files.write()
    metric = read_profile(tmp_path).system["algo-1"][GPU]
    assert metric.values.tolist() == [15.0, 15.0, 15.0]
    assert {name: values.tolist() for name, values in metric.devices.items()} == {
        "gpu1": [10.0] * 3,
        "gpu2": [20.0] * 3,
    }


def _same(one: torch.nn.Module, other: torch.nn.Module) -> bool:
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return all(torch.equal(first, second) for first, second in pairs)
