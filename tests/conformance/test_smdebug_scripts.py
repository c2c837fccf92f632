"""Foreign scripts record the same with smdebug and with the stand-in; smdebug and we read both alike."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dogbreed_sdk import DebugReport
from tests.conformance.test_smdebug_trial import assert_same, read_all_by_smdebug
from tests.local.conftest import (  # noqa: F401 - fixtures
    boto3_session,
    client,
    ended,
    local,
    root,
    sagemaker,
    script,
    training_request,
)
from tests.local.start_up.recorded_scripts import ALL, record
from training_scripts.recording.trial.file_trial import FileTrial

# smdebug cannot record tensors of half precision; it gives up, and the script trains on.
RECORDED = tuple(how for how in ALL if how != "bfloat16")


Read = tuple[FileTrial, dict[str, Any]]


@pytest.fixture(scope="module")
def smdebugs(tmp_path_factory: pytest.TempPathFactory, smdebug_python: Path) -> dict[str, Path]:
    return record(smdebug_python, tmp_path_factory.mktemp("smdebug"), ALL)


@pytest.fixture(scope="module")
def read(
    tmp_path_factory: pytest.TempPathFactory, smdebug_python: Path, smdebugs: dict[str, Path]
) -> dict[str, tuple[Read, Read]]:
    """How -> the stand-in's trial and smdebug's, each as we read it and as smdebug reads it."""
    stand_ins = record(sys.executable, tmp_path_factory.mktemp("stand-in"), RECORDED)
    folder = tmp_path_factory.mktemp("read")
    trials = [made[how] for how in RECORDED for made in (stand_ins, smdebugs)]
    found = read_all_by_smdebug(
        smdebug_python, {trial: folder / f"{number}.json" for number, trial in enumerate(trials)}
    )
    return {
        how: (
            (FileTrial(stand_ins[how]), found[stand_ins[how]]),
            (FileTrial(smdebugs[how]), found[smdebugs[how]]),
        )
        for how in RECORDED
    }


def without_scalars(read: dict[str, Any]) -> dict[str, Any]:
    """The tensors that smdebug read, but for scalars: it records them with the next step, in that step's mode."""
    return {name: found for name, found in read["tensors"].items() if not name.startswith("scalar/")}


@pytest.mark.parametrize("how", RECORDED)
def test_the_stand_in_records_what_smdebug_records(read: dict[str, tuple[Read, Read]], how: str) -> None:
    (_, ours), (_, theirs) = read[how]
    assert ours["collections"] == theirs["collections"]
    ours, theirs = without_scalars(ours), without_scalars(theirs)
    assert ours.keys() == theirs.keys()
    compared = 0
    for name, by_mode in theirs.items():
        assert ours[name].keys() == by_mode.keys()
        for mode, by_step in by_mode.items():
            assert ours[name][mode].keys() == by_step.keys()
            for step, found in by_step.items():
                same = ours[name][mode][step]
                assert same.get("value") == found.get("value")
                assert same.get("dtype") == found.get("dtype")
                assert same["reductions"] == pytest.approx(found["reductions"], rel=1e-5)
                compared += 1
    assert compared > 40


# The first step of "late" has no mode, and to smdebug, GLOBAL is all steps of a trial that has modes too.
@pytest.mark.parametrize("how", [how for how in RECORDED if how != "late"])
def test_smdebug_and_we_read_both_alike(read: dict[str, tuple[Read, Read]], how: str) -> None:
    for ours, theirs in read[how]:
        assert assert_same(ours, theirs) > 40


def test_a_tensor_that_smdebug_cannot_record_does_not_end_the_training(smdebugs: dict[str, Path]) -> None:
    assert "smdebug's hook records no more of the model" in (smdebugs["bfloat16"].parent / "log").read_text()


LOSS_ONLY = """
import torch, smdebug.pytorch as smd
from torch import nn
hook, criterion = smd.get_hook(create_if_not_exists=True), nn.CrossEntropyLoss()
hook.register_loss(criterion)
model = nn.Linear(4, 2)
for _ in range(6):
    loss = criterion(model(torch.randn(8, 4)), torch.randint(0, 2, (8,)))
    loss.backward()
"""


@pytest.mark.parametrize("installed", [True, False], ids=["smdebug", "stand-in"])
def test_a_jobs_recording_is_read_by_smdebug_and_by_the_report(
    smdebug_python: Path,
    sagemaker: Any,  # noqa: F811 - the fixture
    training_request: Callable[..., dict[str, Any]],  # noqa: F811 - the fixture
    script: Callable[[str], dict[str, str]],  # noqa: F811 - the fixture
    ended: Callable[[str], dict[str, Any]],  # noqa: F811 - the fixture
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    installed: bool,
) -> None:
    if installed:
        monkeypatch.setenv("DOGBREED_LOCAL_PYTHON", str(smdebug_python))
    hook = {
        "S3OutputPath": (tmp_path / "debugger").as_uri(),
        "HookParameters": {"save_interval": "2"},
        "CollectionConfigurations": [{"CollectionName": "gradients"}],
    }
    sagemaker.create_training_job(**training_request("job", script(LOSS_ONLY), DebugHookConfig=hook))
    assert ended("job")["TrainingJobStatus"] == "Completed"
    folder = tmp_path / "debugger/job/debug-output"
    names = ["CrossEntropyLoss_output_0", "gradient/Linear_bias", "gradient/Linear_weight"]
    read = read_all_by_smdebug(smdebug_python, {folder: tmp_path / "read.json"})[folder]
    assert sorted(read["tensors"]) == names
    assert read["steps"] == {"GLOBAL": [0, 2, 4]}
    report = DebugReport.load(folder)
    assert report.trial is not None
    assert report.trial.tensor_names() == names
    assert report.status == "Ended"
