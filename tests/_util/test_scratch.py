"""Temporary folders belong to a living process: what dead ones left is gone after the next start."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from dogbreed_sdk import BreedClassifier
from dogbreed_sdk._util.scratch import scratch_folder
from dogbreed_sdk.errors import ConfigurationError

HOLD = """
import sys, time
from dogbreed_sdk._util.scratch import scratch_folder
with scratch_folder("dogbreed-serve") as folder:
    (folder / "model.pth").write_bytes(b"weights")
    print(folder, flush=True)
    time.sleep(60)
"""
LOAD = """
import sys, time
from pathlib import Path
from training_scripts import inference
from dogbreed_sdk import BreedClassifier
def load_model(folder, *arguments, **options):
    print(folder, flush=True)
    time.sleep(60)
inference.load_model = load_model
BreedClassifier.from_bundle(sys.argv[1])
"""


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    monkeypatch.setenv("TMPDIR", str(folder))
    return folder


def killed_in_between(code: str, *arguments: str) -> Path:
    """The folder of a process that was killed while it used it."""
    with subprocess.Popen([sys.executable, "-c", code, *arguments], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        folder = Path(process.stdout.readline().strip())
        assert folder.is_dir()
        process.kill()
    return folder


def test_a_folder_whose_process_was_killed_is_removed_by_the_next_one_at_once(temporary: Path) -> None:
    left = killed_in_between(HOLD)
    with scratch_folder("dogbreed-serve") as held:
        assert not left.exists()
        assert (held.stat().st_mode & 0o777, held.parent) == (0o700, temporary)
        with scratch_folder("dogbreed-serve"):
            assert held.is_dir(), "its process lives"
    assert list(temporary.iterdir()) == []


@pytest.mark.extras
def test_a_bundle_whose_loading_was_killed_leaves_nothing_for_good(temporary: Path, tmp_path: Path) -> None:
    archive = tmp_path / "model.tar"
    for name in ("model.pth", "model.json"):
        (tmp_path / name).write_text("{}")
    subprocess.run(["tar", "-cf", archive, "-C", tmp_path, "model.pth", "model.json"], check=True)
    left = killed_in_between(LOAD, str(archive))
    assert left.parent == temporary
    with pytest.raises(ConfigurationError):
        BreedClassifier.from_bundle(archive)
    assert list(temporary.iterdir()) == []
