"""What an import loads, seen in a fresh interpreter."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from dogbreed_sdk.local.store import TRAINING_JOB, Store

HEAVY = ("torch", "torchvision", "sagemaker", "numpy", "pandas", "optuna", "starlette")


def loaded_after(statement: str) -> set[str]:
    code = f"{statement}\nimport sys\nprint(' '.join({{name.partition('.')[0] for name in sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return set(done.stdout.split())


def test_the_bare_package_loads_nothing_but_itself() -> None:
    loaded = loaded_after("import dogbreed_sdk")
    assert "dogbreed_sdk" in loaded
    assert not loaded & {*HEAVY, "boto3", "botocore", "PIL", "requests", "tenacity", "rich"}


@pytest.mark.parametrize("name", ["BreedClassifier", "LabelMap", "Prediction", "Session", "BreedDataset", "Deployment"])
def test_a_client_loads_nothing_that_training_needs(name: str) -> None:
    loaded = loaded_after(f"import dogbreed_sdk; dogbreed_sdk.{name}")
    assert not loaded & set(HEAVY)


def test_a_search_in_the_default_ranges_does_not_load_sagemakers_library() -> None:
    ranges = "search_ranges.checked_ranges(None)"
    loaded = loaded_after(
        f"from dogbreed_sdk.aws.requests import tuning\nfrom dogbreed_sdk.jobs import search_ranges, trainer\n"
        f"tuning.parameter_ranges({ranges})"
    )
    assert not loaded & {"sagemaker", "torch", "optuna"}


def test_what_scripts_and_client_share_needs_no_torch() -> None:
    loaded = loaded_after(
        "import training_scripts.data.image_folder, training_scripts.training.hyperparameters;"
        " import training_scripts.training.metrics"
    )
    assert not loaded & {"torch", "numpy", "dogbreed_sdk"}


def test_the_command_line_starts_without_what_only_some_commands_need() -> None:
    loaded = loaded_after("import dogbreed_sdk.cli.program")
    assert not loaded & set(HEAVY)


# What a command needs only to call AWS, to run a model, to draw a table, or to serve.
AWS_CLIENT = {"boto3", "botocore", "s3transfer", "urllib3"}
SLOW = {*HEAVY, *AWS_CLIENT, "PIL", "requests", "uvicorn", "fastapi", "pydantic", "psutil", "argcomplete", "tenacity"}


def loaded_by_command(*arguments: str, **variables: str) -> set[str]:
    """The full names of the modules that a process has loaded when its command ends."""
    code = (
        "import atexit, json, os, sys\n"
        "atexit.register(lambda: os.write(2, ('\\n' + json.dumps(list(sys.modules))).encode()))\n"
        "from dogbreed_sdk.cli import main\n"
        "sys.exit(main(sys.argv[1:]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, **variables},
        timeout=240,
    )
    return set(json.loads(done.stderr.splitlines()[-1]))


def top(modules: set[str]) -> set[str]:
    return {name.partition(".")[0] for name in modules}


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["data", "--help"]])
def test_help_loads_the_list_of_commands_alone(arguments: list[str]) -> None:
    loaded = loaded_by_command(*arguments)
    assert not top(loaded) & {*SLOW, "rich", "sqlite3", "email"}
    ours = {name for name in loaded if name.startswith(("dogbreed_sdk.", "training_scripts."))}
    assert {name.split(".")[1] for name in ours} <= {"_util", "_version", "cli", "errors"}
    commands = {name for name in ours if name.endswith(("_command", "_commands", ".quickstart"))}
    assert not commands, "a command is loaded that was not called"


@pytest.mark.extras
@pytest.mark.parametrize("as_json", [False, True])
def test_jobs_of_this_machine_are_listed_without_a_server_and_a_client(tmp_path: Path, as_json: bool) -> None:
    store = Store(tmp_path)
    store.create(TRAINING_JOB, "dogs-1", {}, {"status": "Completed"})
    store.close()
    loaded = loaded_by_command("jobs", "--root", str(tmp_path), *(["--json"] if as_json else []))
    assert not top(loaded) & SLOW
    assert ("rich" in top(loaded)) == (not as_json), "only a table needs rich"


def test_a_command_loads_no_other_command() -> None:
    loaded = loaded_by_command("train", "--help")
    assert "dogbreed_sdk.cli.training_commands" in loaded
    assert not loaded & {"dogbreed_sdk.cli.serve_command", "dogbreed_sdk.cli.quickstart", "dogbreed_sdk.debugging"}
    assert not top(loaded) & set(HEAVY)


def test_completion_loads_the_command_that_is_being_written_alone() -> None:
    code = (
        "import io, sys\n"
        "from dogbreed_sdk.cli import completion\n"
        "try: completion.complete(end=sys.exit, output=io.StringIO())\n"
        "except SystemExit: pass\n"
        "print(' '.join(sys.modules))"
    )
    line = "dogbreed jobs --li"
    variables = {"_ARGCOMPLETE": "1", "_ARGCOMPLETE_IFS": "\n", "COMP_LINE": line, "COMP_POINT": str(len(line))}
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, env={**os.environ, **variables}
    )
    loaded = set(done.stdout.split())
    assert "dogbreed_sdk.cli.list_commands" in loaded
    assert not top(loaded) & (SLOW - {"argcomplete"})
    assert "training_scripts.training.hyperparameters" not in loaded
