"""What a run trains on: where it comes from, what identifies it, and what cannot go together."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from training_scripts.hyperparameters import Hyperparameters
from training_scripts.material import gather
from training_scripts.stopping import StopFlag, Stopped


def with_other_weights(feature_folder: Path, folder: Path) -> Path:
    """A copy of a store whose manifest tells of other weights; nothing else differs."""
    shutil.copytree(feature_folder, folder)
    manifest = folder / "features.json"
    text = manifest.read_text()
    digest = text.partition('"weights": "')[2][:64]
    manifest.write_text(text.replace(digest, "0" * 64))
    return folder


def test_features_of_other_weights_make_another_run(feature_folder: Path, tmp_path: Path) -> None:
    """A checkpoint's head fits only the features it was trained on, so it must not be continued on others."""
    settings = Hyperparameters()
    other = with_other_weights(feature_folder, tmp_path / "other")
    one, again, another = (
        gather(settings, {"SM_CHANNEL_FEATURES": str(folder)}).run_fingerprint(settings)
        for folder in (feature_folder, feature_folder, other)
    )
    assert one == again != another


def test_other_weights_in_the_same_file_make_another_run(
    picture_folder: Path, feature_folder: Path, tmp_path: Path
) -> None:
    file = tmp_path / "weights.pth"
    settings = Hyperparameters(weights=str(file), features="off")
    environ = {"SM_CHANNEL_TRAINING": str(picture_folder)}
    state = torch.load(feature_folder / "backbone.pth", weights_only=True)
    fingerprints = []
    for factor in (1.0, 1.0, 1.5):
        torch.save({name: tensor * factor for name, tensor in state.items()}, file)
        fingerprints.append(gather(settings, environ).run_fingerprint(settings))
    one, again, another = fingerprints
    assert one == again != another


def test_a_stop_ends_the_feature_pass_of_a_training_job_after_the_next_batch(
    picture_folder: Path, tmp_path: Path
) -> None:
    environ = {"SM_CHANNEL_TRAINING": str(picture_folder), "SM_CHECKPOINT_DIR": str(tmp_path)}
    stop = StopFlag()
    stop.request()
    with pytest.raises(Stopped):
        gather(Hyperparameters(weights="none"), environ, report=lambda _: None, check=stop.check)
    assert not (tmp_path / "features" / "features.json").exists()
