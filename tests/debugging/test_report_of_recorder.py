"""What a report says of a run must not depend on how often the run was asked to save tensors."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
import torch
from torch import nn

from dogbreed_sdk import DebugReport
from tests.training_scripts.recording.loops import blobs, train
from training_scripts.recording.recorder.recorder import Recorder
from training_scripts.recording.trial.file_trial import FileTrial


def mislabeled() -> tuple[torch.Tensor, torch.Tensor]:
    """A valid split of 96 of which three labels are wrong: they cause most of its loss."""
    inputs, labels = blobs(99, rows=96)
    wrong = labels.clone()
    wrong[:3] = (labels[:3] + 1) % 3
    return inputs, wrong


def report(folder: Path, **intervals: int) -> DebugReport:
    torch.manual_seed(0)
    train(nn.Linear(8, 3), Recorder(folder, **intervals), epochs=12, judged=mislabeled())  # type: ignore[arg-type]
    return DebugReport("a run", trial=FileTrial(folder))


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> DebugReport:
    return report(tmp_path_factory.mktemp("plain"))


def test_the_managed_debuggers_intervals_change_no_conclusion(plain: DebugReport, tmp_path: Path) -> None:
    managed = report(tmp_path, train_interval=100, eval_interval=10)
    usual, theirs = plain.to_dict(), managed.to_dict()
    for insight in (*usual["insights"], *theirs["insights"]):
        insight["evidence"] = [line for line in insight["evidence"] if "took" not in line]  # it depends on the machine
    for key in ("verdict", "rules", "insights"):
        assert theirs[key] == usual[key], key
    assert any(insight["title"].startswith("3 pictures of 96 cause") for insight in theirs["insights"])


def test_intervals_that_were_not_kept_to_are_told_wherever_a_report_is_read(plain: DebugReport, tmp_path: Path) -> None:
    managed = report(tmp_path, train_interval=100)
    [note] = managed.notes
    assert "every 6 training steps instead of every 100" in note
    assert managed.to_dict()["notes"] == [note]
    assert "every 6 training steps instead of every 100" in " ".join(managed.to_text().split())
    assert note in managed.to_html(tmp_path / "report.html").read_text()
    assert len(managed.trial.tensor("Linear_weight").reduction("l2")) == 16  # type: ignore[union-attr]
    assert plain.notes == []
    assert "How it was recorded" not in plain.to_text()


def test_a_changed_byte_costs_a_report_one_value_and_is_named_in_it(tmp_path: Path) -> None:
    whole = report(tmp_path / "debug-output")
    path = sorted((tmp_path / "debug-output" / "events").glob("*/*"))[2]
    loss = whole.trial.tensor("CrossEntropyLoss_output_0").series("TRAIN")  # type: ignore[union-attr]
    content = path.read_bytes()
    place = content.index(struct.pack("<f", loss.values[20]))
    path.write_bytes(content[:place] + bytes([content[place] ^ 0x40]) + content[place + 1 :])
    damaged = DebugReport.load(tmp_path)
    summary = " ".join(damaged.to_text().split())
    assert "CrossEntropyLoss_output_0 at TRAIN step 20 is damaged and was left out" in summary
    assert damaged.to_dict()["verdict"]["level"] == whole.to_dict()["verdict"]["level"]
    assert "TRAIN step 20 is damaged" in damaged.to_html(tmp_path / "report.html").read_text()


def test_damage_that_is_met_while_rules_judge_takes_no_rule_away(tmp_path: Path) -> None:
    whole = report(tmp_path)
    assert whole.trial is not None
    places = sorted((tmp_path / "events").glob("*/*"))
    assert whole.trial.tensor("predictions").steps("EVAL")  # it was looked at; now the disk fails
    for path in places[3:5]:
        path.write_bytes(bytes(len(path.read_bytes())))
    assert whole.to_text()
    assert [result.name for result in whole.rules if result.status == "Error"] == []
    assert len([problem for problem in whole.problems if "cannot be read and was left out" in problem]) >= 2
    assert not any("insight on" in problem for problem in whole.problems)
