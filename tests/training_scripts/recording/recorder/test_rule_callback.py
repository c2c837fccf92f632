"""Rules judge a run while it is trained: news are said once, and a rule that may end the run does."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from tests.training_scripts.recording.loops import wait_until_written
from tests.training_scripts.training.test_trainer import trainer
from training_scripts.recording.recorder import rule_callback
from training_scripts.recording.recorder.recorder import Recorder
from training_scripts.recording.recorder.rule_callback import RuleWatch
from training_scripts.recording.trial.trial import MemoryTrial
from training_scripts.rules import RuleError
from training_scripts.training.callbacks import Callbacks


def watched(
    folder: Path, lines: list[str], *, stop_rules: tuple[str, ...] = (), parameters: str = "default"
) -> Callbacks:
    memory = MemoryTrial()
    judge = RuleWatch(memory, folder / "rule-output", stop_rules=stop_rules, parameters=parameters, report=lines.append)
    return Callbacks([Recorder(None, memory=memory), judge], report=lines.append)


def answers(folder: Path) -> dict[str, object]:
    read: dict[str, object] = json.loads((folder / "rule-output" / "rules.json").read_text())
    return read


def test_a_healthy_run_has_answers_of_every_debugging_rule_and_no_line_in_the_log(tmp_path: Path) -> None:
    lines: list[str] = []
    callbacks = watched(tmp_path, lines)
    trainer(tmp_path, callbacks=callbacks, epochs=4).run()
    callbacks.run_ends()
    found = answers(tmp_path)
    assert (found["parameters"], found["epoch"]) == ("default", 4)
    rules = {rule["name"]: rule["status"] for rule in found["rules"]}  # type: ignore[attr-defined]
    assert rules["VanishingGradient"] == rules["ExplodingTensor"] == "NoIssuesFound"
    assert "LowGPUUtilization" not in rules
    assert "stopped" not in found
    assert lines == []


def test_a_finding_is_said_once_however_long_it_lasts(tmp_path: Path) -> None:
    lines: list[str] = []
    callbacks = watched(tmp_path, lines, stop_rules=("ExplodingTensor",))  # judged after every epoch
    trainer(tmp_path, callbacks=callbacks, epochs=4, lr=100.0, scheduler="none", optimizer="sgd").run()
    callbacks.run_ends()
    found = [line for line in lines if line.startswith("finding: WeightUpdateRatio at step 0: ")]
    assert len(found) == 1


def test_a_run_of_seconds_is_judged_once_when_it_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = itertools.count()
    monkeypatch.setattr(rule_callback, "time", SimpleNamespace(monotonic=lambda: next(read) * 0.5))
    lines: list[str] = []
    callbacks = watched(tmp_path, lines)
    trainer(tmp_path, callbacks=callbacks, epochs=4, lr=100.0, scheduler="none", optimizer="sgd").run()
    assert lines == []
    callbacks.run_ends()
    assert [line.split(" at ")[0] for line in lines] == ["finding: WeightUpdateRatio", "finding: LossNotDecreasing"]
    assert answers(tmp_path)["epoch"] == 4


def test_a_rule_that_may_ends_the_run_as_patience_does_and_keeps_the_reason(tmp_path: Path) -> None:
    lines: list[str] = []
    log: list[str] = []
    callbacks = watched(tmp_path, lines, stop_rules=("WeightUpdateRatio",))
    outcome = trainer(
        tmp_path, callbacks=callbacks, lines=log, epochs=6, lr=100.0, scheduler="none", optimizer="sgd"
    ).run()
    callbacks.run_ends()
    assert (len(outcome.history), outcome.stopped) == (1, False)
    assert log[-1].startswith("stopping after epoch 1: rule WeightUpdateRatio: ")
    stopped = answers(tmp_path)["stopped"]
    assert isinstance(stopped, dict)
    assert (stopped["rule"], stopped["epoch"]) == ("WeightUpdateRatio", 1)
    assert log[-1].endswith(stopped["reason"])


def test_a_run_that_a_rule_ended_has_its_answers_however_its_job_goes_on(tmp_path: Path) -> None:
    settings = {"epochs": 6, "lr": 100.0, "scheduler": "none", "optimizer": "sgd"}
    trainer(tmp_path, callbacks=watched(tmp_path, [], stop_rules=("WeightUpdateRatio",)), **settings).run()
    written = answers(tmp_path)  # the job is killed here, before it could say that the run has ended
    assert isinstance(written["stopped"], dict)
    again = watched(tmp_path, [], stop_rules=("WeightUpdateRatio",))
    trainer(tmp_path, callbacks=again, **settings).run()
    again.run_ends()
    assert answers(tmp_path)["stopped"] == written["stopped"]


def test_a_finished_run_that_restarts_is_judged_where_its_answers_were_not_written(tmp_path: Path) -> None:
    first = Recorder(tmp_path / "debug-output", memory=MemoryTrial())
    trainer(tmp_path, callbacks=Callbacks([first]), epochs=2).run()
    wait_until_written(first)
    memory = MemoryTrial()
    judge = RuleWatch(memory, tmp_path / "rule-output")
    again = Callbacks([Recorder(tmp_path / "debug-output", memory=memory), judge])
    trainer(tmp_path, callbacks=again, epochs=2).run()
    again.run_ends()
    assert answers(tmp_path)["epoch"] == 2
    assert judge.results


@pytest.mark.parametrize(("fingerprint", "epoch"), [("another", 1), ("f", 0)])
def test_answers_about_another_run_are_removed_as_a_run_begins(tmp_path: Path, fingerprint: str, epoch: int) -> None:
    (tmp_path / "rules.json").write_text(json.dumps({"fingerprint": "f", "epoch": 9, "stopped": {"epoch": epoch}}))
    judge = RuleWatch(MemoryTrial(), tmp_path)
    judge.run_begins(torch.nn.Linear(1, 1), {"fingerprint": fingerprint, "epoch": epoch})
    assert not (tmp_path / "rules.json").exists()
    assert judge.stopped == {}


def test_a_rule_that_was_not_chosen_ends_nothing(tmp_path: Path) -> None:
    callbacks = watched(tmp_path, [], stop_rules=("ExplodingTensor",))
    outcome = trainer(tmp_path, callbacks=callbacks, epochs=2, lr=100.0, scheduler="none", optimizer="sgd").run()
    assert len(outcome.history) == 2


def test_a_name_that_is_no_rule_is_refused_with_what_was_meant(tmp_path: Path) -> None:
    with pytest.raises(RuleError, match="ExplodingTensor"):
        watched(tmp_path, [], stop_rules=("ExplodingTensr",))


def test_a_disk_that_refuses_the_answers_costs_one_warning(tmp_path: Path) -> None:
    (tmp_path / "rule-output").touch()
    lines: list[str] = []
    callbacks = watched(tmp_path, lines)
    trainer(tmp_path, callbacks=callbacks, epochs=1).run()
    callbacks.run_ends()
    callbacks.run_ends()
    assert [line.split(":")[0] for line in lines] == ["warning"]
    assert "the rules' results are not saved" in lines[0]


def test_a_recording_that_a_restart_continues_is_judged_as_a_whole(tmp_path: Path) -> None:
    memory = MemoryTrial()
    first = Recorder(tmp_path / "debug-output", memory=MemoryTrial())
    run = trainer(tmp_path, callbacks=Callbacks([first]), epochs=4, patience=1)
    run.run()
    wait_until_written(first)
    again = Callbacks([Recorder(tmp_path / "debug-output", memory=memory)])
    trainer(tmp_path, callbacks=again, epochs=4, patience=1).run()
    assert len(memory.tensor("accuracy").series()) == 16
