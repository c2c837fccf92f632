"""Checkpoints: what was saved last is what is loaded, or a line says why not."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from training_scripts._util.atomic import write_atomically
from training_scripts.training.checkpoints import Checkpoint, CheckpointError
from training_scripts.training.resume import RunIdentity

RUN = RunIdentity({"model": "efficientnet_lite0"}, data="d" * 64, classes=("Boxer", "Pug"), weights="w" * 64)


class Pickled:
    """Something that only an unsafe loader would bring back to life."""


def test_the_last_state_comes_back(tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path / "new folder", run=RUN)
    checkpoint.save({"epoch": 1, "weights": {"head": torch.ones(3)}})
    checkpoint.save({"epoch": 2, "weights": {"head": torch.zeros(3)}})
    saved = checkpoint.load()
    assert saved is not None
    state = saved.state
    assert state["epoch"] == 2
    assert torch.equal(state["weights"]["head"], torch.zeros(3))
    assert sorted(path.name for path in checkpoint.path.parent.iterdir()) == ["checkpoint.json", "checkpoint.pth"]


def test_no_checkpoint_is_no_state_and_no_line(tmp_path: Path) -> None:
    lines: list[str] = []
    assert Checkpoint(tmp_path, run=RUN, report=lines.append).load() is None
    assert lines == []


def test_another_runs_checkpoint_is_refused_by_what_differs(tmp_path: Path) -> None:
    Checkpoint(tmp_path, run=RUN).save({"epoch": 1})
    other = replace(RUN, hyperparameters={"model": "resnet18", "lr": "0.1"})
    with pytest.raises(CheckpointError, match=r"model is resnet18 \(was efficientnet_lite0\)") as caught:
        Checkpoint(tmp_path, run=other).load()
    assert "an empty checkpoint folder" in str(caught.value)


def test_another_formats_checkpoint_is_refused(tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path, run=RUN)
    torch.save({"version": 1, "fingerprint": "a", "state": {}}, checkpoint.path)
    with pytest.raises(CheckpointError, match="another version"):
        checkpoint.load()


def test_what_changes_comes_with_the_state(tmp_path: Path) -> None:
    Checkpoint(tmp_path, run=RUN).save({"epoch": 1})
    saved = Checkpoint(tmp_path, run=replace(RUN, hyperparameters={**RUN.hyperparameters, "epochs": "20"})).load()
    assert saved is not None
    assert saved.comparison.changes == {"epochs": ("10", "20")}
    assert str(saved.comparison) == "epochs 20 (was 10)"


def test_a_description_lies_beside_it_for_readers_without_torch(tmp_path: Path) -> None:
    Checkpoint(tmp_path, run=RUN, job="a-job").save({"epoch": 3})
    description = json.loads((tmp_path / "checkpoint.json").read_text())
    assert (description["job"], description["epoch"]) == ("a-job", 3)
    assert RunIdentity.from_dict(description) == RUN


@pytest.mark.parametrize("content", [b"", b"no checkpoint", None])
def test_a_damaged_file_is_ignored_aloud(tmp_path: Path, content: bytes | None) -> None:
    lines: list[str] = []
    checkpoint = Checkpoint(tmp_path, run=RUN, report=lines.append)
    checkpoint.save({"epoch": 1, "weights": torch.ones(1000)})
    whole = checkpoint.path.read_bytes()
    checkpoint.path.write_bytes(whole[: len(whole) // 2] if content is None else content)
    assert checkpoint.load() is None
    assert len(lines) == 1
    assert "cannot be read" in lines[0]


def test_a_checkpoint_that_holds_code_is_not_run(tmp_path: Path) -> None:
    lines: list[str] = []
    checkpoint = Checkpoint(tmp_path, run=RUN, report=lines.append)
    torch.save({"version": 2, "run": RUN.to_dict(), "state": {"epoch": Pickled()}}, checkpoint.path)
    assert checkpoint.load() is None
    assert "cannot be read" in lines[0]


def test_a_folder_that_cannot_be_written_costs_a_warning(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    lines: list[str] = []
    Checkpoint(tmp_path / "file" / "folder", run=RUN, report=lines.append).save({"epoch": 1})
    assert len(lines) == 1
    assert lines[0].startswith("warning: no checkpoint: cannot write")


def test_a_write_that_fails_leaves_the_old_content_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "model.pth"
    write_atomically(target, b"old")
    with pytest.raises(TypeError):
        write_atomically(target, 7)  # type: ignore[arg-type]
    assert target.read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["model.pth"]
