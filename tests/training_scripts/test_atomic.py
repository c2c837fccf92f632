"""Files written in one step: what a killed writer leaves is cleared away by the next."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from training_scripts.atomic import write_atomically


def test_what_killed_writers_left_is_removed_and_living_writers_are_not_disturbed(tmp_path: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    left = tmp_path / f".model.pth.{ended.pid}.partial"
    others = [
        tmp_path / f".model.pth.{os.getppid()}.partial",
        tmp_path / f".other.pth.{ended.pid}.partial",
        tmp_path / ".model.pth.partial",
    ]
    for path in (left, *others):
        path.touch()
    write_atomically(tmp_path / "model.pth", b"content")
    assert sorted(tmp_path.iterdir()) == sorted([tmp_path / "model.pth", *others])
    assert (tmp_path / "model.pth").read_bytes() == b"content"
