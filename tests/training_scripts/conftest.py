"""A data set, its stored features and a bundle, made once: their networks have random weights."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from tests.training_scripts.small_datasets import CLASSES, draw_pictures
from training_scripts.data import image_folder, preprocessing
from training_scripts.features import extraction
from training_scripts.models import backbones, bundle_writer, heads
from training_scripts.models.rejection import Rejection
from training_scripts.training import trainer


@pytest.fixture(autouse=True)
def _no_line_only_because_the_machine_is_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trainer, "PROGRESS_SECONDS", 3600.0)


@pytest.fixture(scope="session")
def picture_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three classes of tiny pictures, 8 + 4 + 4 of each."""
    return draw_pictures(tmp_path_factory.mktemp("pictures"))


@pytest.fixture(scope="session")
def feature_folder(picture_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Their features by a backbone of random weights."""
    folder = tmp_path_factory.mktemp("features")
    extraction.extract(
        image_folder.read_dataset(image_folder.find_splits(picture_folder)),
        backbone_name="efficientnet_lite0",
        weights="none",
        views=preprocessing.parse_views("plain,flip"),
        folder=folder,
        report=lambda _: None,
    )
    return folder


@pytest.fixture(scope="session")
def written_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle; tests only read it."""
    return write_bundle(tmp_path_factory.mktemp("bundle"))


@pytest.fixture
def own_bundle(written_bundle: Path, tmp_path: Path) -> Path:
    """A copy of the bundle that the test may spoil."""
    return Path(shutil.copytree(written_bundle, tmp_path / "bundle"))


def write_bundle(folder: Path, *, rejection: Rejection | None = None) -> Path:
    spec = backbones.spec("efficientnet_lite0")
    head_spec = heads.HeadSpec((8,), 0.5)
    torch.manual_seed(0)
    bundle_writer.write(
        folder,
        backbone_name=spec.name,
        backbone_state=backbones.create(spec.name, weights="none").state_dict(),
        head=heads.build(head_spec, width=spec.feature_width, classes=len(CLASSES)),
        head_spec=head_spec,
        classes=tuple(CLASSES),
        preprocessing=spec.preprocessing,
        metrics={"valid:accuracy": 0.75, "valid:loss": float("nan")},
        temperature=1.5,
        fingerprint="f" * 64,
        hyperparameters={"lr": "0.001"},
        rejection=rejection,
    )
    return folder
