"""The arrows between the parts: who may import whom."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import dogbreed_sdk
import training_scripts
from training_scripts.bundle import SERVING_MODULES

SDK = Path(dogbreed_sdk.__file__).parent
SCRIPTS = Path(training_scripts.__file__).parent
PURE = (
    "answers.py",
    "asking/checks.py",
    "asking/known_labels.py",
    "asking/options.py",
    "aws_requests/*.py",
    "dataset_names.py",
    "dataset_text.py",
    "defaults.py",
    "errors.py",
    "failures.py",
    "images/jpeg.py",
    "predictions.py",
    "search.py",
    "tracebacks.py",
)
WITH_SIDE_EFFECTS = {"boto3", "requests", "socket", "subprocess", "shutil", "tempfile", "urllib.request"}
OPENING = {"open", "read_text", "read_bytes", "write_text", "write_bytes", "iterdir", "glob", "rglob", "print"}
# What local SageMaker shares with the client: errors, the container contract, how files and numbers are written.
LOCAL_MAY_USE = (
    "dogbreed_sdk.local",
    "dogbreed_sdk.errors",
    "dogbreed_sdk.container",
    "dogbreed_sdk.http_connections",
    "dogbreed_sdk.listening",
    "training_scripts.atomic",
    "training_scripts.safe_text",
    "training_scripts.tar_reader",
    "training_scripts.written",
    "dogbreed_sdk.tracebacks",
)
# The model server also runs alone in a container. What starts and logs processes it shares with local SageMaker.
SERVING_MAY_USE = (
    "dogbreed_sdk.serving",
    "dogbreed_sdk.errors",
    "dogbreed_sdk.http_connections",
    "dogbreed_sdk.listening",
    "dogbreed_sdk.local.caller_environment",
    "dogbreed_sdk.local.descendants",
    "dogbreed_sdk.local.log_file",
    "dogbreed_sdk.local.processes",
    "dogbreed_sdk.local.resources",
    "dogbreed_sdk.signals",
)
BELOW_THE_SERVICE = ("dogbreed_sdk.local", "dogbreed_sdk.aws_requests", "dogbreed_sdk.cli", "training_scripts")


def imports_of(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path} imports relatively"
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def modules(root: Path, pattern: str = "**/*.py") -> list[Path]:
    found = sorted(root.glob(pattern))
    assert found, f"nothing matches {pattern} below {root}"
    return found


def outside(*names: str) -> list[Path]:
    """The SDK's modules but those of these names, or in folders of these names."""
    return [path for path in modules(SDK) if not {*names} & {*path.relative_to(SDK).parts}]


@pytest.mark.parametrize("path", modules(SCRIPTS), ids=str)
def test_training_scripts_run_alone(path: Path) -> None:
    assert not [name for name in imports_of(path) if name.startswith("dogbreed_sdk")]


@pytest.mark.parametrize("name", ["inference", *SERVING_MODULES])
def test_a_bundle_carries_everything_that_its_code_imports(name: str) -> None:
    scripts = {path.stem for path in SCRIPTS.glob("*.py")}
    imported = {name.removeprefix("training_scripts.") for name in imports_of(SCRIPTS / f"{name}.py")} & scripts
    assert imported <= {*SERVING_MODULES, "inference"}


@pytest.mark.parametrize("path", outside("cli", "__main__.py"), ids=str)
def test_nothing_imports_the_command_line(path: Path) -> None:
    assert not [name for name in imports_of(path) if name.startswith("dogbreed_sdk.cli")]


@pytest.mark.parametrize("path", modules(SDK, "local/*.py"), ids=str)
def test_local_sagemaker_knows_nothing_of_the_client(path: Path) -> None:
    ours = {name for name in imports_of(path) if name.startswith(("dogbreed_sdk.", "training_scripts"))}
    assert not {name for name in ours if not name.startswith(LOCAL_MAY_USE)}


@pytest.mark.parametrize("path", modules(SDK, "serving/*.py"), ids=str)
def test_the_model_server_knows_nothing_of_the_client(path: Path) -> None:
    ours = {name for name in imports_of(path) if name.startswith(("dogbreed_sdk.", "training_scripts"))}
    assert not {name for name in ours if not name.startswith(SERVING_MAY_USE)}


@pytest.mark.parametrize("path", modules(SDK, "service/**/*.py"), ids=str)
def test_the_service_stands_on_the_public_interface(path: Path) -> None:
    assert not [name for name in imports_of(path) if name.startswith(BELOW_THE_SERVICE)]


@pytest.mark.parametrize("path", outside("cli", "service", "__main__.py"), ids=str)
def test_only_the_command_line_starts_the_service(path: Path) -> None:
    assert not [name for name in imports_of(path) if name.startswith("dogbreed_sdk.service")]


@pytest.mark.parametrize("path", [path for pattern in PURE for path in modules(SDK, pattern)], ids=str)
def test_pure_parts_do_no_input_or_output(path: Path) -> None:
    assert not set(imports_of(path)) & WITH_SIDE_EFFECTS
    calls = [node.func for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)]
    names = {call.id if isinstance(call, ast.Name) else getattr(call, "attr", "") for call in calls}
    assert not names & OPENING


@pytest.mark.parametrize("path", [*modules(SDK), *modules(SCRIPTS)], ids=str)
def test_a_module_says_what_it_does(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))), "no docstring"


TEMPORARY = {"TemporaryDirectory", "NamedTemporaryFile", "mkdtemp", "mkstemp"}


@pytest.mark.parametrize("path", [*modules(SDK), *modules(SCRIPTS)], ids=str)
def test_what_is_temporary_is_made_where_it_is_cleaned_up_after_a_kill(path: Path) -> None:
    used = {node.attr for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.Attribute)}
    assert not used & TEMPORARY, "use training_scripts.atomic or dogbreed_sdk.scratch"
