"""Files and folders written in one step: what a killed writer leaves is cleared away by the next."""

from __future__ import annotations

import fcntl
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from training_scripts._util import atomic
from training_scripts._util.atomic import building, replacing, temporary_folder, write_atomically, write_json_atomically

WRITER = """
import sys, time
from pathlib import Path
from training_scripts._util.atomic import building, replacing
place = Path(sys.argv[1])
with replacing(place / "model.pth") as file, building(place / "data") as folder:
    file.write(b"half")
    file.flush()
    (folder / "train").mkdir()
    (folder / "train" / "1.png").write_bytes(b"half")
    print("writing", flush=True)
    time.sleep(600)
"""
PARTIAL = re.compile(r"\.(model\.pth|data)\.[0-9a-f]{8}-\d+-[0-9a-f]{8}\.partial")


@pytest.fixture(autouse=True)
def always_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine one slow look would put off the next one of the same test."""
    monkeypatch.setattr(atomic, "_LOOKING_SHARE", float("inf"))


def writer(place: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen([sys.executable, "-c", WRITER, str(place)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "writing\n"
    return process


def test_what_a_killed_writer_left_goes_with_the_next_write_and_a_living_one_is_not_disturbed(tmp_path: Path) -> None:
    with writer(tmp_path) as killed, writer(tmp_path) as living:
        killed.kill()
        killed.wait()
        left = sorted(path.name for path in tmp_path.iterdir())
        assert len(left) == 4
        assert all(PARTIAL.fullmatch(name) for name in left)
        write_atomically(tmp_path / "another.json", "{}")
        assert sorted(path.name for path in tmp_path.iterdir()) == [
            *(name for name in left if f"-{living.pid}-" in name),
            "another.json",
        ]
        living.send_signal(signal.SIGINT)
        assert living.wait() != 0
    assert [path.name for path in tmp_path.iterdir()] == ["another.json"]


def test_a_process_that_got_the_id_of_a_dead_writer_keeps_nothing_of_it(tmp_path: Path) -> None:
    left = tmp_path / f".model.pth.{atomic._HOST}-{os.getpid()}-00000000.partial"
    left.write_bytes(b"half")
    write_atomically(tmp_path / "model.pth", b"whole")
    assert [path.name for path in tmp_path.iterdir()] == ["model.pth"]


def test_another_hosts_partial_stays_until_it_must_be_abandoned(tmp_path: Path) -> None:
    other = tmp_path / ".model.pth.00000000-1-00000000.partial"
    other.write_bytes(b"half")
    write_atomically(tmp_path / "model.pth", b"whole")
    assert other.exists()
    os.utime(other, (0, 0))
    write_atomically(tmp_path / "model.pth", b"whole")
    assert not other.exists()


def test_without_locks_age_alone_decides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_locks(*_: object) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    young, old = (tmp_path / f".x.{atomic._HOST}-1-0000000{number}.partial" for number in range(2))
    for path in (young, old):
        path.write_bytes(b"half")
    os.utime(old, (0, 0))
    with building(tmp_path / "data") as folder:
        (folder / "one").touch()
    write_atomically(tmp_path / "model.pth", b"whole")
    assert sorted(tmp_path.iterdir()) == [young, tmp_path / "data", tmp_path / "model.pth"]


def test_what_only_looks_like_a_partial_is_left_alone(tmp_path: Path) -> None:
    names = [".model.pth.partial", "notes.partial", f"model.{atomic._HOST}-1-00000000.partial", ".m.1.partial"]
    for name in names:
        (tmp_path / name).touch()
    target = tmp_path / "target"
    target.touch()
    (tmp_path / f".link.{atomic._HOST}-1-00000000.partial").symlink_to(target)
    os.mkfifo(tmp_path / f".pipe.{atomic._HOST}-1-00000000.partial")  # opening one must not wait for its other end
    write_atomically(tmp_path / "model.pth", b"whole")
    assert {path.name for path in tmp_path.iterdir()} >= {*names, "target", "model.pth"}


def test_a_writer_whose_file_is_taken_for_abandoned_before_it_is_locked_makes_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock, removed = fcntl.flock, []

    def late(descriptor: int, operation: int) -> None:
        if not removed:
            removed.append(True)
            for path in tmp_path.glob(".*.partial"):
                atomic._remove_if_abandoned(str(path), host=atomic._HOST)
        lock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", late)
    write_atomically(tmp_path / "model.pth", b"whole")
    removed.clear()
    with building(tmp_path / "data") as folder:
        (folder / "one").touch()
    assert removed == [True]
    assert sorted(tmp_path.rglob("*")) == [tmp_path / "data", tmp_path / "data" / "one", tmp_path / "model.pth"]


def test_an_error_leaves_the_old_content_and_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "model.json"
    write_json_atomically(path, {"a": [1]})
    with pytest.raises(TypeError):
        write_json_atomically(path, {"a": object()})
    with pytest.raises(ZeroDivisionError), replacing(path) as file:
        file.write(b"half")
        file.write(bytes(1 // 0))
    assert json.loads(path.read_bytes()) == {"a": [1]}
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_takes_its_place_whole_or_not_at_all(tmp_path: Path) -> None:
    with building(tmp_path / "new" / "data") as folder:
        (folder / "one").touch()
        assert not (tmp_path / "new" / "data").exists()
    assert [path.name for path in (tmp_path / "new" / "data").iterdir()] == ["one"]
    with pytest.raises(OSError, match="not empty"), building(tmp_path / "new" / "data"):
        pass
    with pytest.raises(ZeroDivisionError), building(tmp_path / "other") as folder:
        (folder / str(1 // 0)).touch()
    with temporary_folder(tmp_path, "x") as folder:
        (folder / "one").touch()
    assert [path.name for path in tmp_path.iterdir()] == ["new"]


def test_the_umask_decides_who_may_read(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_atomically(tmp_path / "file", b"")
        with building(tmp_path / "folder"):
            pass
    finally:
        os.umask(before)
    assert [(tmp_path / name).stat().st_mode & 0o777 for name in ("file", "folder")] == [0o640, 0o750]


def test_the_longest_names_can_be_written(tmp_path: Path) -> None:
    for name in ("é" * 127, "x" * 255):
        write_atomically(tmp_path / name, b"whole")
        assert (tmp_path / name).read_bytes() == b"whole"


def test_a_folder_with_many_files_is_not_listed_for_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(atomic, "_LOOKING_SHARE", 1e-9)
    listed = []
    list_folder = os.listdir
    monkeypatch.setattr(os, "listdir", lambda folder: (listed.append(folder), list_folder(folder))[1])
    for number in range(5):
        write_atomically(tmp_path / str(number), b"")
    assert len(listed) == 1
