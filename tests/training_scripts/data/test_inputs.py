"""What a run trains on: where it comes from, what identifies it, and what cannot go together."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from tests.training_scripts.small_datasets import CLASSES
from training_scripts.data import image_folder, preprocessing
from training_scripts.data.image_folder import DataError
from training_scripts.data.inputs import read_inputs
from training_scripts.features.extraction import extract
from training_scripts.training.hyperparameters import Hyperparameters
from training_scripts.training.stop_signal import StopFlag, Stopped


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
        read_inputs(settings, {"SM_CHANNEL_FEATURES": str(folder)}).identity().fingerprint
        for folder in (feature_folder, feature_folder, other)
    )
    assert one == again != another


def test_other_weights_in_the_same_file_make_another_run(
    picture_folder: Path, feature_folder: Path, tmp_path: Path
) -> None:
    file = tmp_path / "weights.pth"
    settings = Hyperparameters(model="efficientnet_lite0", weights=str(file), features="off")
    environ = {"SM_CHANNEL_TRAINING": str(picture_folder)}
    state = torch.load(feature_folder / "backbone.pth", weights_only=True)
    fingerprints = []
    for factor in (1.0, 1.0, 1.5):
        torch.save({name: tensor * factor for name, tensor in state.items()}, file)
        fingerprints.append(read_inputs(settings, environ).identity().fingerprint)
    one, again, another = fingerprints
    assert one == again != another


def test_a_stop_ends_the_feature_pass_of_a_training_job_after_the_next_batch(
    picture_folder: Path, tmp_path: Path
) -> None:
    environ = {"SM_CHANNEL_TRAINING": str(picture_folder), "SM_CHECKPOINT_DIR": str(tmp_path)}
    stop = StopFlag()
    stop.request()
    with pytest.raises(Stopped):
        read_inputs(
            Hyperparameters(model="efficientnet_lite0", weights="none"),
            environ,
            report=lambda _: None,
            check=stop.check,
        )
    assert not (tmp_path / "features" / "features.json").exists()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            Hyperparameters(views="plain,crops:4"),
            "were computed with the views plain,flip, but the hyperparameter views is plain,crop",
        ),
        (
            Hyperparameters(weights="/a/my.pth"),
            "were computed with the weights none, but the hyperparameter weights is /a/my.pth",
        ),
        (
            Hyperparameters(resize_mode="squash"),
            "were computed with the resize-mode crop, but the hyperparameter resize-mode is squash",
        ),
        (
            Hyperparameters(features_dtype="float16"),
            "were computed with the features-dtype float32, but the hyperparameter features-dtype is float16",
        ),
    ],
)
def test_settings_that_the_features_do_not_have_are_refused(
    feature_folder: Path, settings: Hyperparameters, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        read_inputs(settings, {"SM_CHANNEL_FEATURES": str(feature_folder)})


def test_settings_left_at_their_defaults_become_those_of_the_features(picture_folder: Path, tmp_path: Path) -> None:
    dataset = image_folder.read_dataset(image_folder.find_splits(picture_folder))
    views = preprocessing.parse_views("plain")
    extract(
        dataset,
        backbone_name="efficientnet_lite0",
        weights="none",
        views=views,
        resize_mode="squash",
        folder=tmp_path,
    )
    inputs = read_inputs(Hyperparameters(), {"SM_CHANNEL_FEATURES": str(tmp_path)})
    assert inputs.settings == Hyperparameters(
        model="efficientnet_lite0", views="plain", weights="none", resize_mode="squash"
    )
    assert inputs.preprocessing.resize_mode == "squash"


def test_pictures_of_other_classes_beside_the_features_are_refused(
    picture_folder: Path, feature_folder: Path, tmp_path: Path
) -> None:
    environ = {"SM_CHANNEL_FEATURES": str(feature_folder), "SM_CHANNEL_TRAIN": str(picture_folder / "train")}
    assert read_inputs(Hyperparameters(), environ).classes == tuple(CLASSES)
    for name in ("001.Red_dog", "002.Green_dog", "004.Gray_dog"):
        (tmp_path / "train" / name).mkdir(parents=True)
    with pytest.raises(DataError, match=r"only the features have 003\.Blue_dog; only the pictures have 004\.Gray_dog"):
        read_inputs(Hyperparameters(), environ | {"SM_CHANNEL_TRAIN": str(tmp_path / "train")})


@pytest.mark.parametrize("features", ["auto", "off"])
def test_a_single_class_is_refused_before_any_work(picture_folder: Path, tmp_path: Path, features: str) -> None:
    shutil.copytree(picture_folder / "train" / "001.Red_dog", tmp_path / "train" / "001.Red_dog")
    environ = {"SM_CHANNEL_TRAIN": str(tmp_path / "train"), "SM_CHECKPOINT_DIR": str(tmp_path / "checkpoints")}
    with pytest.raises(DataError, match=r"a single class, 001\.Red_dog: a classifier needs at least two"):
        read_inputs(Hyperparameters(weights="none", features=features), environ, report=lambda _: None)
    assert not (tmp_path / "checkpoints").exists()
