"""What an import loads, seen in a fresh interpreter."""

from __future__ import annotations

import subprocess
import sys

import pytest

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


def test_what_scripts_and_client_share_needs_no_torch() -> None:
    loaded = loaded_after(
        "import training_scripts.data.image_folder, training_scripts.training.hyperparameters;"
        " import training_scripts.training.metrics"
    )
    assert not loaded & {"torch", "numpy", "dogbreed_sdk"}


def test_the_command_line_starts_without_what_only_some_commands_need() -> None:
    loaded = loaded_after("import dogbreed_sdk.cli.program")
    assert not loaded & set(HEAVY)
