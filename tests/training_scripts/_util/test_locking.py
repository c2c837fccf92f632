"""Locks: one holder at a time, released however it ends, and looking at a lock leaves it alone."""

from __future__ import annotations

import fcntl
import subprocess
import sys
import time
from pathlib import Path

import pytest

from training_scripts._util.locking import exclusive, file_lock, file_lock_within, is_locked, try_lock

HOLDER = "import sys, time; from pathlib import Path; from training_scripts._util.locking import file_lock\n"
HOLDER += "with file_lock(Path(sys.argv[1])):\n    print('held', flush=True)\n    time.sleep(60)"


def test_a_killed_holder_lets_go(tmp_path: Path) -> None:
    path = tmp_path / "below" / "lock"
    with subprocess.Popen([sys.executable, "-c", HOLDER, path], stdout=subprocess.PIPE, text=True) as holder:
        try:
            assert holder.stdout is not None
            assert holder.stdout.readline() == "held\n"
            assert is_locked(path)
            with file_lock_within(path, 0.05) as is_ours:
                assert not is_ours
        finally:
            holder.kill()
    assert not is_locked(path)
    with file_lock_within(path, 0.0) as is_ours:
        assert is_ours
        assert is_locked(path)


def test_looking_at_a_lock_is_not_holding_it(tmp_path: Path) -> None:
    """Looking takes a shared lock for a moment, which must not pass for the exclusive one."""
    path = tmp_path / "lock"
    path.touch()
    with path.open() as looking:
        fcntl.flock(looking, fcntl.LOCK_SH)
        assert not is_locked(path), "two may look at once"
        began = time.monotonic()
        with file_lock_within(path, 0.1) as is_ours:
            assert not is_ours
        assert time.monotonic() - began >= 0.1
    with file_lock(path), path.open() as second:
        assert not try_lock(second.fileno())


def test_what_is_not_there_is_not_locked(tmp_path: Path) -> None:
    assert not is_locked(tmp_path / "missing")


def test_a_file_system_without_locks_is_worked_in_and_reported_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_locks(*arguments: object) -> None:
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    with exclusive(tmp_path, report=pytest.fail):
        (tmp_path / "file").touch()
    with (tmp_path / "file").open() as file, pytest.raises(OSError, match="not implemented"):
        try_lock(file.fileno())
