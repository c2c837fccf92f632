"""The process of an entry point: threads, seeds, and how a failure is reported."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.training_scripts.small_datasets import REPOSITORY
from training_scripts import ScriptError
from training_scripts.training import runtime


def test_a_script_error_is_shown_and_recorded_without_a_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SM_OUTPUT_DIR", str(tmp_path / "output"))

    def work() -> int:
        raise ScriptError("no pictures")

    assert runtime.run_entry_point(work) == 1
    assert capsys.readouterr().err == "error: no pictures\n"
    assert (tmp_path / "output/failure").read_text() == "no pictures"


def test_a_name_that_is_no_unicode_can_be_said_and_recorded(tmp_path: Path) -> None:
    code = (
        "from training_scripts import ScriptError\n"
        "from training_scripts.training import runtime\n"
        "def work():\n"
        "    print('skipped \\udcff.jpg')\n"
        "    raise ScriptError('broken: \\udcff.jpg')\n"
        "raise SystemExit(runtime.run_entry_point(work))"
    )
    environ = {"SM_OUTPUT_DIR": str(tmp_path), "PYTHONIOENCODING": "utf-8:strict", "PYTHONPATH": str(REPOSITORY)}
    ended = subprocess.run([sys.executable, "-c", code], env=environ, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (1, "skipped \\udcff.jpg\n")
    assert ended.stderr == "error: broken: \\udcff.jpg\n"
    assert (tmp_path / "failure").read_text() == "broken: \\udcff.jpg"


def test_any_other_exception_keeps_its_traceback(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SM_OUTPUT_DIR", str(tmp_path))
    with pytest.raises(ZeroDivisionError):
        runtime.run_entry_point(lambda: 1 // 0)
    assert (tmp_path / "failure").read_text().splitlines()[-1].startswith("ZeroDivisionError")


def test_a_work_that_succeeds_leaves_no_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SM_OUTPUT_DIR", str(tmp_path))
    assert runtime.run_entry_point(lambda: 3) == 3
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("variable", "threads"), [("1", 1), *[(none, runtime.available_cores()) for none in ("", "²")]]
)
def test_threads_come_from_the_environment_or_the_cores(variable: str, threads: int) -> None:
    code = (
        "import os, sys; from training_scripts.training import runtime; runtime.prepare(); import torch;"
        f"assert torch.get_num_threads() == {threads}; assert os.environ['OMP_WAIT_POLICY'] == 'PASSIVE'"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code],
        env={"OMP_NUM_THREADS": variable, "PATH": "", "PYTHONPATH": str(Path(runtime.__file__).parents[2])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr


def test_a_seed_settles_every_generator() -> None:
    def draw() -> tuple[float, float, float]:
        runtime.seed_everything(2**32 - 1)
        return random.random(), float(np.random.random()), float(torch.rand(1))

    assert draw() == draw()


def test_the_checkpoint_folder_falls_back_to_sagemakers_own() -> None:
    assert runtime.checkpoint_folder({"SM_CHECKPOINT_DIR": "/x"}) == Path("/x")
    assert runtime.checkpoint_folder({"HOME": "/root"}) == Path("/opt/ml/checkpoints")
