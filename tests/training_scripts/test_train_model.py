"""The entry points as processes: what a job leaves behind, and what killing it does not change."""

from __future__ import annotations

import json
import re
import resource
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tests.training_scripts.forked_entry_points import run_forked
from tests.training_scripts.small_datasets import CLASSES, UNTRAINED, command, environment
from training_scripts import inference
from training_scripts.data import image_folder
from training_scripts.models.bundle import read_description
from training_scripts.models.model import load
from training_scripts.training.hyperparameters import names
from training_scripts.training.metrics import EpochMetrics, parse


def run(
    *arguments: str, environ: dict[str, str], script: str = "train_model", limit: Callable[[], None] | None = None
) -> subprocess.CompletedProcess[str]:
    if limit is None:
        return run_forked(command(*arguments, script=script), environ)
    return subprocess.run(
        command(*arguments, script=script),
        env=environ,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        preexec_fn=limit,
    )


def epochs(output: str) -> list[EpochMetrics]:
    return [report for report in map(parse, output.splitlines()) if isinstance(report, EpochMetrics)]


@pytest.mark.parametrize("script", ["train_model", "hpo"])
def test_a_run_on_a_features_channel_prints_epochs_and_leaves_a_bundle(
    feature_folder: Path, tmp_path: Path, script: str
) -> None:
    environ = environment(tmp_path, features=feature_folder)
    done = run("--epochs", "3", "--hidden", "8", environ=environ, script=script)
    assert (done.returncode, done.stderr) == (0, "")
    *ordinary, closing = epochs(done.stdout)
    assert [epoch.epoch for epoch in ordinary] == [1, 2, 3]
    assert set(ordinary[0].values) == {"train:loss", "train:accuracy", "valid:loss", "valid:accuracy"}
    assert closing.best
    kept = ordinary[closing.epoch - 1]
    assert {"test:loss", "test:accuracy"} == closing.values.keys() - kept.values.keys()
    assert all(closing.values[name] == value for name, value in kept.values.items())
    description = read_description(tmp_path / "model")
    assert description.classes == tuple(sorted(CLASSES))
    assert description.metrics["test:accuracy"] == pytest.approx(closing.values["test:accuracy"], abs=1e-4)
    assert {"valid:ece", "valid:ece_uncalibrated", "test:ece"} <= description.metrics.keys()
    assert description.temperature != 1.0
    assert description.hyperparameters["hidden"] == "8"
    record = description.record
    assert record is not None and record.evaluation is not None and record.weights is not None
    assert record.pictures == {"train": (8, 8, 8), "valid": (4, 4, 4), "test": (4, 4, 4)}
    assert record.weights.source.startswith("random numbers")
    assert re.fullmatch("[0-9a-f]{64}", record.weights_sha256)
    assert record.versions["torch"] == torch.__version__.partition("+")[0]
    assert (record.evaluation.split, record.evaluation.pictures) == ("test", (4, 4, 4))
    assert record.evaluation.accuracy == pytest.approx(description.metrics["test:accuracy"], abs=1e-9)
    assert record.evaluation.calibration_error == pytest.approx(description.metrics["test:ece"], abs=1e-9)
    wrong = sum(record.evaluation.pictures) - sum(record.evaluation.correct)
    assert sum(count for _, _, count in record.evaluation.confused) == wrong
    assert f"model {description.model_id} written" in done.stdout
    assert not (tmp_path / "output" / "failure").exists()


def test_pictures_become_features_first_and_a_second_run_finds_them(picture_folder: Path, tmp_path: Path) -> None:
    environ = environment(tmp_path, training=picture_folder)
    arguments = (*UNTRAINED, "--epochs", "2")
    first = run(*arguments, environ=environ)
    assert first.returncode == 0, first.stderr
    (tmp_path / "checkpoints" / "checkpoint.pth").unlink()
    second = run(*arguments, environ=environ)
    assert "nothing to compute" in second.stdout
    assert epochs(first.stdout)[-1] == epochs(second.stdout)[-1]


def test_the_ordinary_loop_sees_what_the_features_saw(
    picture_folder: Path, feature_folder: Path, tmp_path: Path
) -> None:
    """Same pictures, same views, same draws: only the arithmetic of batches may differ in the last digits."""
    arguments = (*UNTRAINED, "--epochs", "2", "--batch-size", "8")
    stored = run(*arguments, environ=environment(tmp_path / "a", features=feature_folder))
    channels = {split: picture_folder / split for split in ("train", "valid", "test")}
    looped = run(*arguments, "--features", "off", environ=environment(tmp_path / "b", **channels))
    assert looped.returncode == 0, looped.stderr
    for one, other in zip(epochs(stored.stdout), epochs(looped.stdout), strict=True):
        assert one.values == pytest.approx(other.values, abs=2e-3)


def test_unfreezing_changes_the_last_blocks_and_the_head_only(
    picture_folder: Path, feature_folder: Path, tmp_path: Path
) -> None:
    environ = environment(tmp_path, training=picture_folder)
    arguments = (*UNTRAINED, "--epochs", "1", "--unfreeze", "1", "--backbone-lr", "0.01")
    done = run(*arguments, environ=environ)
    assert done.returncode == 0, done.stderr
    before = torch.load(feature_folder / "backbone.pth", weights_only=True)
    after = torch.load(tmp_path / "model" / "model.pth", weights_only=True)
    changed = {name for name, tensor in before.items() if not torch.equal(tensor, after[f"backbone.{name}"])}
    assert changed
    assert len(changed) < len(before) / 10
    assert not any("running" in name for name in changed)
    assert load(tmp_path / "model").classes == tuple(sorted(CLASSES))


def test_corrupt_pictures_are_left_out_and_listed(picture_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "data" / "train"
    (tmp_path / "data").mkdir()
    subprocess.run(["cp", "-r", picture_folder / "train", folder], check=True)
    (folder / "001.Red_dog" / "0.png").write_bytes(b"no picture")
    environ = environment(tmp_path, train=folder)
    done = run(*UNTRAINED, "--epochs", "1", "--features", "off", environ=environ)
    assert done.returncode == 0, done.stderr
    assert "skipped train/001.Red_dog/0.png: " in done.stdout
    assert list(epochs(done.stdout)[0].values) == ["train:loss", "train:accuracy"]
    description = read_description(tmp_path / "model")
    assert description.temperature == 1.0
    assert description.record is not None
    assert description.record.evaluation is None


@pytest.mark.parametrize("features", ["auto", "off"])
def test_a_class_without_one_readable_train_picture_is_refused_by_name(
    picture_folder: Path, tmp_path: Path, features: str
) -> None:
    shutil.copytree(picture_folder / "train", tmp_path / "train")
    spoiled, *others = sorted((tmp_path / "train" / "001.Red_dog").iterdir())
    spoiled.write_bytes(b"no picture")
    for other in others:
        other.unlink()
    environ = environment(tmp_path, train=tmp_path / "train")
    done = run(*UNTRAINED, "--epochs", "1", "--features", features, environ=environ)
    assert "No picture of these classes in the train split can be read: 001.Red_dog" in failure(done, tmp_path)
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_run_ends_with_the_weights_of_an_unbroken_one(
    feature_folder: Path, tmp_path: Path, how: signal.Signals
) -> None:
    arguments = ("--epochs", "100", "--batch-size", "1", "--hidden", "8", "--dropout", "0.3")
    whole = run(*arguments, environ=environment(tmp_path / "whole", features=feature_folder))
    environ = environment(tmp_path / "broken", features=feature_folder)
    # It cannot print more than a small pipe holds, and so not come to its end, before it gets the signal.
    with subprocess.Popen(
        command(*arguments), env=environ, stdout=subprocess.PIPE, text=True, pipesize=4096
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("epoch 5/"):
                process.send_signal(how)
                break
        rest = process.stdout.read()
    assert process.returncode == (0 if how == signal.SIGTERM else -signal.SIGKILL)
    assert "epoch 100/100" not in rest
    if how == signal.SIGTERM:
        kept = read_description(tmp_path / "broken" / "model")
        assert kept.metrics["epoch"] == epochs(rest)[-1].epoch
        assert load(tmp_path / "broken" / "model").model_id == kept.model_id
    again = run(*arguments, environ=environ)
    assert "continuing after epoch" in again.stdout
    assert epochs(again.stdout)[-1] == epochs(whole.stdout)[-1]
    for name in ("model.pth", "model.json"):
        assert (tmp_path / "broken/model" / name).read_bytes() == (tmp_path / "whole/model" / name).read_bytes()


def test_trials_that_share_a_checkpoint_folder_do_not_continue_each_other(feature_folder: Path, tmp_path: Path) -> None:
    environ = environment(tmp_path, features=feature_folder)
    began = []
    for name, rate in (("dogs-001-a", "0.01"), ("dogs-002-b", "0.02"), ("dogs-001-a", "0.01")):
        done = run("--epochs", "2", "--lr", rate, environ={**environ, "TRAINING_JOB_NAME": name}, script="hpo")
        assert done.returncode == 0, done.stderr
        began.append([epoch.epoch for epoch in epochs(done.stdout)][:-1])
    assert began == [[1, 2], [1, 2], []]  # the third is the first one, restarted after its last epoch


STOPPED_IN_THE_FIRST_STEP = """
import os, signal
from tests.training_scripts.training import ranks
ranks.in_step(1, lambda: os.kill(os.getpid(), signal.SIGTERM))
"""


def test_a_stop_before_the_first_epoch_is_a_clean_end_without_a_model(picture_folder: Path, tmp_path: Path) -> None:
    environ = environment(tmp_path, training=picture_folder)
    arguments = (*UNTRAINED, "--features", "off", "--epochs", "1000")
    done = subprocess.run(
        command(*arguments, before=STOPPED_IN_THE_FIRST_STEP), env=environ, check=True, capture_output=True, text=True
    )
    assert "3 classes" in done.stdout.splitlines()[0]
    assert done.stdout.splitlines()[-1] == "stopped before the first epoch was done: there is no model to keep"
    assert not (tmp_path / "model").exists()


def only_small_files(bytes_allowed: int) -> Callable[[], None]:
    """What a full disk does to whoever writes: an OSError in the middle of a file."""
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (bytes_allowed, bytes_allowed))


def test_a_disk_without_room_for_the_model_is_a_clear_failure_and_the_next_run_continues(
    feature_folder: Path, tmp_path: Path
) -> None:
    environ = environment(tmp_path, features=feature_folder)
    full = run("--epochs", "2", environ=environ, limit=only_small_files(1 << 20))
    assert full.returncode == 1
    assert full.stderr.startswith("error: cannot write the model (13 MiB) to ")
    assert "Traceback" not in full.stderr
    assert (tmp_path / "output" / "failure").read_text() == full.stderr.removeprefix("error: ").strip()
    assert list((tmp_path / "model").iterdir()) == []
    again = run("--epochs", "2", environ=environ)
    assert again.returncode == 0
    assert "continuing after epoch 2" in again.stdout


def test_a_disk_without_room_for_checkpoints_costs_warnings_only(feature_folder: Path, tmp_path: Path) -> None:
    environ = environment(tmp_path, features=feature_folder)
    (tmp_path / "checkpoints").touch()
    done = run("--epochs", "2", environ=environ)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("warning: no checkpoint: cannot write") == 2
    assert read_description(tmp_path / "model")


def failure(done: subprocess.CompletedProcess[str], root: Path) -> str:
    """The one-line error of a run, which must also be in SageMaker's failure file."""
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    message = done.stderr.removeprefix("error: ").strip()
    assert (root / "output" / "failure").read_text().strip() == message
    return message


def test_wrong_hyperparameters_end_the_job_with_all_that_is_wrong(tmp_path: Path) -> None:
    done = run("--learnin-rate", "1", "--epochs", "0", environ=environment(tmp_path))
    message = failure(done, tmp_path)
    assert message.startswith("2 hyperparameters are wrong:")
    assert "did you mean lr?" in message
    assert message.endswith(", ".join(names("train_model")))


def test_a_missing_channel_is_named(tmp_path: Path) -> None:
    assert "channel" in failure(run(environ=environment(tmp_path)), tmp_path)


def test_features_of_another_backbone_are_refused(feature_folder: Path, tmp_path: Path) -> None:
    done = run("--model", "resnet18", environ=environment(tmp_path, features=feature_folder))
    message = failure(done, tmp_path)
    assert "the features were computed with efficientnet_lite0, but the hyperparameter model is resnet18" in message


def test_a_model_is_evaluated_as_it_is_served(picture_folder: Path, tmp_path: Path) -> None:
    """With its test-time augmentation and resize mode: the loss of the test split is that of the served logits."""
    options = ("--epochs", "1", "--tta", "flip", "--resize-mode", "squash")
    done = run(*UNTRAINED, *options, environ=environment(tmp_path, training=picture_folder))
    assert done.returncode == 0, done.stderr
    served = inference.model_fn(str(tmp_path / "model"))
    assert (served.description.tta, served.preprocessing.resize_mode) == ("flip", "squash")
    assert "squashed to 224 x 224" in (tmp_path / "model" / "MODEL_CARD.md").read_text()
    samples = image_folder.read_dataset(image_folder.find_splits(picture_folder)).splits["test"]
    predictions = inference.predict_batch_fn(
        [inference.input_fn(sample.path.read_bytes(), "image/png") for sample in samples], served
    )
    logits = torch.cat(
        [prediction.logits for prediction in predictions if isinstance(prediction, inference.Prediction)]
    )
    loss = torch.nn.functional.cross_entropy(logits, torch.tensor([sample.class_index for sample in samples]))
    assert served.description.metrics["test:loss"] == pytest.approx(float(loss), abs=1e-5)


def test_a_weights_file_travels_as_a_channel(picture_folder: Path, feature_folder: Path, tmp_path: Path) -> None:
    environ = environment(tmp_path, training=picture_folder, weights=feature_folder)
    done = run("--model", "efficientnet_lite0", "--weights", "backbone.pth", "--epochs", "1", environ=environ)
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "model" / "model.json").read_text())["backbone"] == {"name": "efficientnet_lite0"}


def test_help_lists_every_hyperparameter(tmp_path: Path) -> None:
    done = run("--help", environ=environment(tmp_path))
    assert done.returncode == 0
    assert all(f"--{name} " in done.stdout for name in names("train_model"))
