"""A foreign script's model and loss are recorded, whichever of them it registers; smdebug is not installed here."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from dogbreed_sdk.local import start_up
from tests.local.start_up.recorded_scripts import ALL, HOOK, record
from training_scripts.recording.trial.file_trial import FileTrial

pytestmark = pytest.mark.slow

PARAMETERS = [f"Net_{layer}.{kind}" for layer in ("conv", "fc") for kind in ("bias", "weight")]
WEIGHTS = [name for name in PARAMETERS if name.endswith("weight")]
LOSS = "CrossEntropyLoss_output_0"


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recorded")
    record(sys.executable, folder, ALL)
    return folder


def trial(recorded: Path, how: str) -> FileTrial:
    found = FileTrial(recorded / how / "trial")
    assert found.problems == []
    return found


@pytest.mark.parametrize("how", ["none", "functional", "fresh", "model", "loss", "both", "late", "bfloat16"])
def test_losses_weights_and_gradients_are_recorded(recorded: Path, how: str) -> None:
    found = trial(recorded, how)
    assert set(found.collections["losses"]) == {LOSS}
    assert set(found.collections["weights"]) == set(WEIGHTS)
    assert set(found.collections["gradients"]) == {f"gradient/{name}" for name in PARAMETERS}
    assert set(found.collections["activations"]) == {"relu_output_0"}


@pytest.mark.parametrize("how", ["model", "loss", "both"])
def test_each_collection_is_saved_as_often_as_configured(recorded: Path, how: str) -> None:
    found = trial(recorded, how)
    # 8 steps of training, 4 of evaluation, which has no gradients.
    assert found.tensor(LOSS).steps("TRAIN") == list(range(8))
    assert found.tensor(LOSS).steps("EVAL") == list(range(4))
    assert found.tensor("Net_fc.weight").steps("TRAIN") == [0, 2, 4, 6]
    assert found.tensor("gradient/Net_fc.weight").steps("TRAIN") == [0, 3, 6]
    assert found.tensor("gradient/Net_fc.weight").steps("EVAL") == []


@pytest.mark.parametrize("how", ["none", "functional", "fresh"])
def test_a_script_that_registers_nothing_has_the_steps_of_both_modes_in_one(recorded: Path, how: str) -> None:
    found = trial(recorded, how)
    assert found.tensor(LOSS).steps("GLOBAL") == list(range(12))
    assert found.tensor(LOSS).modes == ("GLOBAL",)


def test_the_values_do_not_depend_on_who_registered(recorded: Path) -> None:
    losses = [
        [float(trial(recorded, how).tensor(LOSS).value(step, mode)) for mode in ("TRAIN", "EVAL") for step in range(4)]
        for how in ("model", "loss", "both")
    ]
    assert losses[0] == losses[1] == losses[2]


def test_a_model_that_is_registered_after_its_first_call_is_recorded_once(recorded: Path) -> None:
    # The first call, before the script registered it, was a step of no mode; each later call is one step.
    found = trial(recorded, "late")
    assert found.tensor(LOSS).steps("TRAIN") == list(range(8))
    assert found.tensor("Net_fc.weight").steps("TRAIN") == [0, 2, 4, 6]


def test_a_loss_that_the_script_records_itself_is_not_recorded_again(recorded: Path) -> None:
    found = trial(recorded, "value")
    assert found.tensor("my_loss_output_0").steps("TRAIN") == list(range(8))
    # Only the step in which the script's intention was not known yet.
    assert found.tensor(LOSS).steps("TRAIN") == [0]


def test_reductions_are_those_of_the_tensor(recorded: Path) -> None:
    series = trial(recorded, "both").tensor("Net_fc.weight").reduction("variance", "TRAIN")
    assert len(series.values) == 4
    assert np.all(series.values > 0)


def test_a_scalar_is_recorded(recorded: Path) -> None:
    assert trial(recorded, "both").tensor("scalar/epochs").value(7, "TRAIN").tolist() == [3]


def test_a_copied_or_saved_model_knows_nothing_of_the_recording(recorded: Path) -> None:
    assert b"smdebug" not in (recorded / "none" / "model.pt").read_bytes()
    log = (recorded / "none" / "log").read_text()
    assert "local SageMaker: " not in log
    assert "recording stops" not in log


def test_a_script_that_trains_nothing_leaves_an_empty_trial(tmp_path: Path) -> None:
    code = "import smdebug.pytorch as smd; smd.get_hook(create_if_not_exists=True)"
    (tmp_path / "hook.json").write_text(json.dumps({**HOOK, "LocalPath": str(tmp_path / "trial")}))
    environ = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(map(str, start_up.module_folders(tmp_path))),
        "SMDEBUG_CONFIG_FILE_PATH": str(tmp_path / "hook.json"),
    }
    subprocess.run([sys.executable, "-c", code], env=environ, check=True, timeout=60, stdout=subprocess.DEVNULL)
    written = json.loads((tmp_path / "trial/collections/000000000/worker_0_collections.json").read_text())
    assert written["collections"]["activations"]["include_regex"] == [".*relu_output"]
    assert not list((tmp_path / "trial").glob("claim*"))
