"""What a foreign script starts with: it costs next to nothing, prints records, and never breaks the script."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from dogbreed_sdk.local import start_up
from dogbreed_sdk.local.jobs.network import INTERFACE
from training_scripts.recording.trial.file_trial import FileTrial

[FOLDER] = start_up.module_folders(Path("/nowhere"))


def run(code: str, folder: Path, *, path: str = "", environ: Mapping[str, str] | None = None) -> tuple[str, str]:
    """Runs a script of this code, which must succeed, in a folder; returns its output and its standard error."""
    done = run_any(code, folder, path=path, environ=environ)
    assert done.returncode == 0, done.stderr
    return done.stdout, done.stderr


def run_any(
    code: str, folder: Path, *, path: str = "", environ: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Runs a script of this code in a folder, whether it succeeds or not."""
    script = folder / "script.py"
    script.write_text(code)
    searched = os.pathsep.join(filter(None, [str(FOLDER), path]))
    return subprocess.run(
        [sys.executable, script],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": searched, **(environ or {})},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_it_imports_nothing_that_the_script_does_not_import(tmp_path: Path) -> None:
    (tmp_path / "hook.json").write_text("{}")
    configured = {"SMDEBUG_CONFIG_FILE_PATH": str(tmp_path / "hook.json")}
    loaded, _ = run("import sys; print(*sys.modules)", tmp_path, environ=configured)
    assert "_dogbreed_start_up" in loaded.split()
    assert not set(loaded.split()) & {"logging", "torch", "smdebug", "typing", "dogbreed_sdk", "training_scripts"}


@pytest.mark.parametrize(
    ("configured", "printed"),
    [
        ("", "INFO:__main__:Test loss: 0.5\n"),
        ("logger.addHandler(logging.StreamHandler())", "Test loss: 0.5\n"),
        ("logging.basicConfig(format='mine %(message)s')", "mine Test loss: 0.5\n"),
        ("logger.setLevel(logging.WARNING)", ""),
    ],
)
def test_a_logged_record_is_printed_once(tmp_path: Path, configured: str, printed: str) -> None:
    code = (
        "import logging\n"
        "logger = logging.getLogger(__name__)\n"
        "logger.setLevel(logging.INFO)\n"
        f"{configured}\n"
        "logger.info('Test loss: %s', 0.5)\n"
    )
    assert run(code, tmp_path) == ("", printed)


def test_another_sitecustomize_runs_too(tmp_path: Path) -> None:
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "sitecustomize.py").write_text("value = 'theirs'")
    code = "import sitecustomize; print(sitecustomize.value)"
    assert run(code, tmp_path, path=str(tmp_path / "theirs")) == ("theirs\n", "")


def test_a_failure_is_one_line_of_warning(tmp_path: Path) -> None:
    (tmp_path / "hook.json").write_text("{}")
    (tmp_path / "torch.py").write_text("value = 1")  # nothing like torch
    configured = {"SMDEBUG_CONFIG_FILE_PATH": str(tmp_path / "hook.json")}
    output, problem = run("import torch; print(torch.value)", tmp_path, environ=configured)
    assert output == "1\n"
    assert problem.startswith("warning: local SageMaker: a start-up hook is off: ")
    assert len(problem.splitlines()) == 1


@pytest.mark.parametrize("package", ["torch", "smdebug", "logging"])
def test_a_module_that_is_missing_is_missing_as_always(tmp_path: Path, package: str) -> None:
    done = run_any(f"import {package}.nothing_of_this_name", tmp_path)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("ModuleNotFoundError: ")
    assert "nothing_of_this_name" in done.stderr.splitlines()[-1]


def test_a_module_that_is_installed_later_is_hooked_then(tmp_path: Path) -> None:
    code = (
        "import pathlib\n"
        "from _dogbreed_start_up import import_hooks\n"
        "import_hooks.after('made_up', lambda: print('hooked'))\n"
        "try:\n"
        "    import made_up\n"
        "except ImportError:\n"
        "    print('missing')\n"
        "    pathlib.Path('made_up.py').write_text('value = 1')\n"
        "    import importlib; importlib.invalidate_caches()\n"
        "    import made_up\n"
        "print(made_up.value)\n"
    )
    assert run(code, tmp_path) == ("missing\nhooked\n1\n", "")


@pytest.mark.slow
def test_without_a_configuration_there_is_no_hook(tmp_path: Path) -> None:
    code = "import smdebug.pytorch as smd; print(smd.get_hook(create_if_not_exists=True))"
    none = {"SMDEBUG_CONFIG_FILE_PATH": str(tmp_path / "none.json")}
    assert run(code, tmp_path, environ=none)[0] == "None\n"


@pytest.mark.slow
def test_every_parameter_of_a_hook_is_read(tmp_path: Path) -> None:
    configuration = {
        "LocalPath": str(tmp_path / "trial"),
        "HookParameters": {
            "save_all": "true",
            "train.save_interval": "7",
            "eval.save_steps": "1,2",
            "start_step": "3",
            "end_step": "9",
            "include_regex": "relu,tanh",
            "include_workers": "all",
            "reductions": "min,abs_max,l1_norm,abs_l2_norm",
        },
        "CollectionConfigurations": [
            {"CollectionName": "mine", "CollectionParameters": {"include_regex": "fc", "save_interval": "2"}}
        ],
    }
    (tmp_path / "hook.json").write_text(json.dumps(configuration))
    code = (
        "import json, smdebug.pytorch as smd\n"
        "from smdebug import modes\n"
        "from smdebug.core.modes import ModeKeys\n"
        "from smdebug.profiler.utils import str2bool\n"
        "assert modes is ModeKeys and str2bool('True') and not str2bool('False')\n"
        "hook = smd.Hook.create_from_json_file()\n"
        "assert hook is smd.get_hook()\n"
        "mine = hook.get_collection('mine')\n"
        "train, judged = (hook.save_config.get_save_config(mode) for mode in (modes.TRAIN, modes.EVAL))\n"
        "print(json.dumps({\n"
        "  'all': hook.save_all,\n"
        "  'workers': hook.save_all_workers,\n"
        "  'kinds': hook.reduction_config.kinds(),\n"
        "  'train': train.to_json_dict(),\n"
        "  'eval': judged.to_json_dict(),\n"
        "  'mine': mine.save_config.to_json_dict()['TRAIN'],\n"
        "  'patterns': hook.get_collection('default').include_regex,\n"
        "  'included': hook.include_collections,\n"
        "}))\n"
    )
    output, _ = run(code, tmp_path, environ={"SMDEBUG_CONFIG_FILE_PATH": str(tmp_path / "hook.json")})
    found = json.loads(output.splitlines()[-1])
    assert found == {
        "all": True,
        "workers": True,
        "kinds": [["min", False], ["l1", False], ["max", True], ["l2", True]],
        "train": {"save_interval": 7, "start_step": 3, "end_step": 9, "save_steps": []},
        "eval": {"save_interval": 500, "start_step": 3, "end_step": 9, "save_steps": [1, 2]},
        # A collection's save_interval does not count for a mode that has one of its own.
        "mine": {"save_interval": 2, "start_step": 3, "end_step": 9, "save_steps": []},
        "patterns": ["relu", "tanh"],
        "included": ["losses", "mine", "default", "all"],
    }


def test_our_own_scripts_start_without_it(tmp_path: Path) -> None:
    (tmp_path / "training_scripts/recording").mkdir(parents=True)
    assert start_up.module_folders(tmp_path) == ()


# Told at the very end, as the first function that is registered is the last one called.
ONE_RANK = f"""
import atexit, os, sys
atexit.register(lambda: print(sys.modules["torch.distributed"].is_initialized()))
import torch.distributed as dist
os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT="0", RANK="0", WORLD_SIZE="1", GLOO_SOCKET_IFNAME="{INTERFACE}")
dist.init_process_group("gloo")
"""


def test_the_process_group_of_a_script_that_has_finished_is_destroyed(tmp_path: Path) -> None:
    assert run(ONE_RANK, tmp_path)[0] == "False\n"


def test_a_process_group_that_the_script_destroyed_is_left_alone(tmp_path: Path) -> None:
    assert run(f"{ONE_RANK}dist.destroy_process_group()", tmp_path) == ("False\n", "")


def test_the_process_group_of_a_script_that_raised_is_left_alone(tmp_path: Path) -> None:
    # An operation that other ranks never join would keep the process from ending.
    done = run_any(f"{ONE_RANK}raise ValueError", tmp_path)
    assert done.stdout == "True\n"


# As in AWS's examples: a hook that also records the gradients of a layer's outputs.
DERIVED = """
import smdebug.pytorch as smd
import torch

class Derived(smd.Hook):
    def forward_hook(self, module, inputs, outputs):
        name = self.module_maps[module]
        outputs.register_hook(self.backward_hook(name + "_output"))
        self._write_inputs(name, inputs)
        self._write_outputs(name, outputs)
        self.last_saved_step = self.step

hook = Derived.create_from_json_file()
model = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.ReLU())
hook.register_module(model)
for _ in range(2):
    model(torch.ones(1, 4)).sum().backward()
print(hook.last_saved_step)
torch.save(model, "model.pt")
"""


@pytest.fixture(scope="module")
def derived(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a script with a hook of its own class has recorded its model, and saved it whole."""
    folder = tmp_path_factory.mktemp("derived")
    collection = {"CollectionName": "custom", "CollectionParameters": {"include_regex": ".*", "save_interval": "1"}}
    configuration = {"LocalPath": str(folder / "trial"), "CollectionConfigurations": [collection]}
    (folder / "hook.json").write_text(json.dumps(configuration))
    output, _ = run(DERIVED, folder, environ={"SMDEBUG_CONFIG_FILE_PATH": str(folder / "hook.json")})
    assert output.splitlines()[-1] == "1"
    return folder


def test_a_hook_of_a_scripts_own_class_records_what_it_writes(derived: Path) -> None:
    found = FileTrial(derived / "trial").collections["custom"]
    parts = ("0", "1", "Sequential")
    outputs = {f"{part}_{kind}_0" for part in parts for kind in ("input", "output")}
    gradients = {f"gradient/{part}_output" for part in parts}
    parameters = {f"Sequential_0.{kind}" for kind in ("weight", "bias")}
    assert set(found) == outputs | gradients | parameters | {f"gradient/{name}" for name in parameters}


def test_a_model_that_was_saved_whole_is_loaded_where_there_is_no_smdebug(derived: Path) -> None:
    code = f"""
import torch
model = torch.load({str(derived / "model.pt")!r}, weights_only=False)
print(model(torch.zeros(1, 4)).shape)
torch.save(model, "again.pt")
"""
    script = derived / "load.py"
    script.write_text(code)
    done = subprocess.run([sys.executable, script], cwd=derived, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("torch.Size([1, 3])\n", "")
