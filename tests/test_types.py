"""Types hold where they once did not: what is imported late, or optional, is checked like everything else."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.extras

ROOT = Path(__file__).parents[1]
# File -> what is written there, and how it is misspelled.
MISSPELLINGS = {
    "dogbreed_sdk/jobs/search_settings.py": ("max_parallel_jobs=min(", "max_paralel_jobs=min("),
    "dogbreed_sdk/datasets/dataset.py": ("image_folder.read_dataset(", "image_folder.read_datasett("),
    "dogbreed_sdk/jobs/training_job.py": (".stop_training_job(", ".stop_trainingjob("),
}


def test_a_misspelled_keyword_function_and_operation_fail_type_checks(tmp_path: Path) -> None:
    for package in ("dogbreed_sdk", "training_scripts", "examples"):
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy2(ROOT / "pyproject.toml", tmp_path)
    for name, (right, wrong) in MISSPELLINGS.items():
        text = (tmp_path / name).read_text(encoding="utf-8")
        assert text.count(right) == 1, f"{name}: {right}"
        (tmp_path / name).write_text(text.replace(right, wrong), encoding="utf-8")
    # The checkout's own cache: unchanged files are not checked twice.
    command = [sys.executable, "-m", "mypy", "--cache-dir", str(ROOT / ".mypy_cache")]
    done = subprocess.run(command, cwd=tmp_path, check=False, capture_output=True, text=True)
    errors = [line for line in done.stdout.splitlines() if ": error:" in line]
    assert done.returncode == 1
    assert {line.partition(":")[0] for line in errors} == MISSPELLINGS.keys(), done.stdout
    assert 'keyword argument "max_paralel_jobs"' in done.stdout
    assert 'no attribute "read_datasett"' in done.stdout
    assert 'no attribute "stop_trainingjob"' in done.stdout
