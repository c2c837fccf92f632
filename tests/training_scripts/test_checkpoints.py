"""Checkpoints: what was saved last is what is loaded, or a line says why not."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from training_scripts.atomic import write_atomically
from training_scripts.checkpoints import Checkpoint


class Pickled:
    """Something that only an unsafe loader would bring back to life."""


def test_the_last_state_comes_back(tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path / "new folder", fingerprint="a")
    checkpoint.save({"epoch": 1, "weights": {"head": torch.ones(3)}})
    checkpoint.save({"epoch": 2, "weights": {"head": torch.zeros(3)}})
    state = checkpoint.load()
    assert state is not None
    assert state["epoch"] == 2
    assert torch.equal(state["weights"]["head"], torch.zeros(3))
    assert [path.name for path in checkpoint.path.parent.iterdir()] == ["checkpoint.pth"]


def test_no_checkpoint_is_no_state_and_no_line(tmp_path: Path) -> None:
    lines: list[str] = []
    assert Checkpoint(tmp_path, fingerprint="a", report=lines.append).load() is None
    assert lines == []


def test_another_configurations_checkpoint_is_ignored_aloud(tmp_path: Path) -> None:
    Checkpoint(tmp_path, fingerprint="a").save({"epoch": 1})
    lines: list[str] = []
    assert Checkpoint(tmp_path, fingerprint="b", report=lines.append).load() is None
    assert len(lines) == 1
    assert lines[0].endswith("other hyperparameters, data or backbone weights made it")


@pytest.mark.parametrize("content", [b"", b"no checkpoint", None])
def test_a_damaged_file_is_ignored_aloud(tmp_path: Path, content: bytes | None) -> None:
    lines: list[str] = []
    checkpoint = Checkpoint(tmp_path, fingerprint="a", report=lines.append)
    checkpoint.save({"epoch": 1, "weights": torch.ones(1000)})
    whole = checkpoint.path.read_bytes()
    checkpoint.path.write_bytes(whole[: len(whole) // 2] if content is None else content)
    assert checkpoint.load() is None
    assert len(lines) == 1
    assert "cannot be read" in lines[0]


def test_a_checkpoint_that_holds_code_is_not_run(tmp_path: Path) -> None:
    lines: list[str] = []
    checkpoint = Checkpoint(tmp_path, fingerprint="a", report=lines.append)
    torch.save({"version": 1, "fingerprint": "a", "state": {"epoch": Pickled()}}, checkpoint.path)
    assert checkpoint.load() is None
    assert "cannot be read" in lines[0]


def test_a_folder_that_cannot_be_written_costs_a_warning(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    lines: list[str] = []
    Checkpoint(tmp_path / "file" / "folder", fingerprint="a", report=lines.append).save({"epoch": 1})
    assert len(lines) == 1
    assert lines[0].startswith("warning: no checkpoint: cannot write")


def test_a_write_that_fails_leaves_the_old_content_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "model.pth"
    write_atomically(target, b"old")
    with pytest.raises(TypeError):
        write_atomically(target, "not bytes")  # type: ignore[arg-type]
    assert target.read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["model.pth"]
