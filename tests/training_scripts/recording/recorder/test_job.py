"""What a training job records by default, and what its hyperparameters and the managed Debugger change of that."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.training_scripts.small_datasets import UNTRAINED, environment
from tests.training_scripts.test_train_model import epochs, failure, run
from training_scripts.models.bundle import read_description
from training_scripts.recording.profiler.profiler import Profiler
from training_scripts.recording.recorder import job
from training_scripts.recording.recorder.recorder import Recorder
from training_scripts.recording.recorder.rule_callback import RuleWatch
from training_scripts.recording.recorder.smdebug_hook import SmdebugError, SmdebugRecorder
from training_scripts.recording.trial.file_trial import FileTrial
from training_scripts.recording.trial.trial import EVAL, TRAIN
from training_scripts.rules import RuleError
from training_scripts.training.callbacks import Callback
from training_scripts.training.hyperparameters import Hyperparameters


def chosen(root: Path, lines: list[str] | None = None, **settings: object) -> list[Callback]:
    environ = {"SM_CHECKPOINT_DIR": str(root / "checkpoints"), "SM_INPUT_CONFIG_DIR": str(root / "config")}
    given = Hyperparameters(**{"profiler": "off", **settings})  # type: ignore[arg-type]
    report = (lines if lines is not None else []).append
    return list(job.callbacks(given, environ, begin=time.time(), report=report)._callbacks)


def recorder(root: Path, lines: list[str] | None = None, **settings: object) -> Recorder:
    (found,) = (callback for callback in chosen(root, lines, **settings) if isinstance(callback, Recorder))
    return found


def intervals(made: Recorder) -> tuple[int, int]:
    """The intervals of TRAIN and EVAL that were asked for."""
    return made._saving.asked, made._eval_interval


def configure(root: Path, name: str, content: object) -> None:
    (root / "config").mkdir(exist_ok=True)
    (root / "config" / f"{name}.json").write_text(content if isinstance(content, str) else json.dumps(content))


def test_by_default_a_job_is_recorded_judged_and_profiled(tmp_path: Path) -> None:
    callbacks = chosen(tmp_path, profiler="on")
    assert [type(callback) for callback in callbacks] == [Recorder, RuleWatch, Profiler]
    assert callbacks[0].folder == tmp_path / "checkpoints" / "debug-output"  # type: ignore[attr-defined]
    callbacks[2].run_ends()


def test_all_of_it_can_be_switched_off(tmp_path: Path) -> None:
    assert chosen(tmp_path, recorder="off") == []


def test_hyperparameters_go_before_the_hooks_parameters_and_those_before_ours(tmp_path: Path) -> None:
    assert intervals(recorder(tmp_path)) == (0, 0)
    assert intervals(recorder(tmp_path, eval_save_interval=1)) == (0, 1)
    assert intervals(recorder(tmp_path, save_interval=7)) == (7, 7)
    assert intervals(recorder(tmp_path, save_interval=7, train_save_interval=5)) == (5, 7)
    hook = {"train.save_interval": "100", "eval.save_interval": "10"}
    configure(tmp_path, "debughookconfig", {"LocalPath": str(tmp_path / "tensors"), "HookParameters": hook})
    assert intervals(recorder(tmp_path)) == (100, 10)
    assert intervals(recorder(tmp_path, eval_save_interval=3)) == (100, 3)
    assert recorder(tmp_path).folder == tmp_path / "tensors"
    configure(tmp_path, "debughookconfig", {"HookParameters": {"save_interval": "20", "eval.save_interval": "2"}})
    assert intervals(recorder(tmp_path)) == (20, 2)


@pytest.mark.parametrize("content", ["no json", {"HookParameters": {"train.save_interval": "often"}}])
def test_a_configuration_that_cannot_be_used_costs_a_warning(tmp_path: Path, content: object) -> None:
    configure(tmp_path, "debughookconfig", content)
    lines: list[str] = []
    assert intervals(recorder(tmp_path, lines)) == (0, 0)
    assert lines
    assert all(line.startswith("warning: ignored ") for line in lines)


def test_the_managed_profiler_says_where_the_profile_goes_and_whether(tmp_path: Path) -> None:
    local = {"ProfilingParameters": {"LocalPath": str(tmp_path / "profile")}}
    configure(tmp_path, "profilerconfig", local)
    *_, profiler = chosen(tmp_path, profiler="on")
    profiler.run_ends()
    assert (tmp_path / "profile").is_dir()
    assert not (tmp_path / "checkpoints" / "profiler-output").exists()
    # The service that wrote the configuration samples the machine; how large it is only the job can tell.
    assert not (tmp_path / "profile" / "system").exists()
    own = json.loads((tmp_path / "profile" / "profile_algo-1.json").read_text())
    assert own["facts"]["cores"] >= 1
    assert "interval_ms" not in own["facts"]
    configure(tmp_path, "profilerconfig", {"DisableProfiler": True})
    assert not any(isinstance(callback, Profiler) for callback in chosen(tmp_path, profiler="on"))


def test_rules_that_there_are_not_end_the_job_before_it_begins(tmp_path: Path) -> None:
    with pytest.raises(RuleError, match="Overtrainin"):
        chosen(tmp_path, on_finding="stop", stop_rules="ExplodingTensor,Overtrainin")


@pytest.mark.skipif(importlib.util.find_spec("smdebug") is not None, reason="smdebug is installed here")
def test_smdebug_that_is_not_installed_is_refused_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(SmdebugError, match=r"not installed here; install it with `pip install .*smdebug.* builtin"):
        SmdebugRecorder(tmp_path)
    message = failure(run("--recorder", "smdebug", environ=environment(tmp_path)), tmp_path)
    assert "leave recorder at builtin" in message


def test_a_job_leaves_its_recording_beside_its_checkpoint_and_the_same_model_as_without(
    feature_folder: Path, tmp_path: Path
) -> None:
    arguments = ("--epochs", "3", "--hidden", "8", "--batch-size", "8")
    watched = run(*arguments, environ=environment(tmp_path / "watched", features=feature_folder))
    alone = run(
        *arguments,
        "--recorder",
        "off",
        "--profiler",
        "off",
        environ=environment(tmp_path / "alone", features=feature_folder),
    )
    assert (watched.returncode, watched.stderr) == (0, "")
    assert epochs(watched.stdout)[-1] == epochs(alone.stdout)[-1]
    assert (
        read_description(tmp_path / "watched" / "model").model_id
        == read_description(tmp_path / "alone" / "model").model_id
    )
    assert {path.name for path in (tmp_path / "alone" / "checkpoints").iterdir()} == {
        "checkpoint.json",
        "checkpoint.pth",
    }
    root = tmp_path / "watched" / "checkpoints"
    assert (root / "rule-output" / "rules.json").is_file()
    assert (root / "profiler-output").is_dir()
    trial = FileTrial(root / "debug-output")
    assert trial.tensor("CrossEntropyLoss_output_0").steps(TRAIN) == list(range(9))
    assert trial.tensor_names(collection="weights") == ["Network_head.0.weight", "Network_head.2.weight"]
    assert trial.tensor_names(collection="relu_output") == ["head.1_relu_output_0"]
    assert (trial.run["inputs"], trial.run["class_counts"], len(trial.run["valid_names"])) == ("features", [8] * 3, 12)
    assert trial.run["classes"] == ["001.Red_dog", "002.Green_dog", "003.Blue_dog"]
    assert list(trial.problems) == []
    cost = trial.run["feature_pass"]  # of the pass that made the features, whichever job that was
    assert (cost["pictures"], cost["backbone"]) == (48, "efficientnet_lite0")
    by_epoch = trial.tensor("CrossEntropyLoss_output_0").series(EVAL).values
    logged = [epoch.values["valid:loss"] for epoch in epochs(watched.stdout)[:-1]]
    assert by_epoch.tolist() == pytest.approx(logged, abs=1e-4)


def test_a_search_records_nothing_and_loads_nothing_for_it(feature_folder: Path, tmp_path: Path) -> None:
    done = run("--epochs", "1", environ=environment(tmp_path, features=feature_folder), script="hpo")
    assert done.returncode == 0, done.stderr
    assert {path.name for path in (tmp_path / "checkpoints").iterdir()} == {"checkpoint.json", "checkpoint.pth"}


def test_pictures_are_recorded_by_their_channel_means(picture_folder: Path, tmp_path: Path) -> None:
    environ = environment(tmp_path, training=picture_folder)
    arguments = (*UNTRAINED, "--features", "off", "--epochs", "1", "--unfreeze", "1", "--profiler", "off")
    done = run(*arguments, environ=environ)
    assert done.returncode == 0, done.stderr
    trial = FileTrial(tmp_path / "checkpoints" / "debug-output")
    assert trial.run["inputs"] == "pictures"
    assert trial.tensor("input_image").value(0).shape == (24, 3)
    names = trial.tensor_names(collection="weights")
    assert "Network_head.0.weight" in names
    assert any(name.startswith("Network_backbone.") for name in names)
    assert len(names) < 20


def test_wherever_it_is_imported_a_job_needs_neither_torch_nor_psutil_to_choose(tmp_path: Path) -> None:
    code = (
        "import sys; import training_scripts.recording.recorder.job, training_scripts.recording.trial.file_trial;"
        "print(sorted({'torch', 'psutil', 'smdebug', 'pandas'} & set(sys.modules)))"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"


def test_a_recording_says_which_job_made_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from torch import nn  # noqa: PLC0415

    monkeypatch.setenv("TRAINING_JOB_NAME", "dogs-17")
    made = recorder(tmp_path)
    made.run_begins(nn.Linear(2, 2), {"steps_per_epoch": 1})
    made.run_ends()
    assert FileTrial(tmp_path / "checkpoints" / "debug-output").run["job"] == "dogs-17"
