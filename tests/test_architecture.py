"""The arrows between the parts: who may import whom."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import dogbreed_sdk
import training_scripts
from tests.import_graph import read_graph
from training_scripts.models.bundle import SERVING_MODULES

SDK = Path(dogbreed_sdk.__file__).parent
SCRIPTS = Path(training_scripts.__file__).parent
PURE = (
    "aws/requests/*.py",
    "client/argument_checks.py",
    "client/images/jpeg.py",
    "client/label_cache.py",
    "client/options.py",
    "client/responses.py",
    "datasets/class_names.py",
    "datasets/report_text.py",
    "defaults.py",
    "errors.py",
    "jobs/failures.py",
    "jobs/search_ranges.py",
    "predictions.py",
    "_util/tracebacks.py",
)
WITH_SIDE_EFFECTS = {"boto3", "requests", "socket", "subprocess", "shutil", "tempfile", "urllib.request"}
OPENING = {"open", "read_text", "read_bytes", "write_text", "write_bytes", "iterdir", "glob", "rglob", "print"}
# Plain values that every part reads, so that each stands in one place.
TABLES = ("training_scripts.data.formats", "training_scripts.data.limits")
# What local SageMaker shares with the client: errors, the container contract, how files and numbers are written.
LOCAL_MAY_USE = (
    "dogbreed_sdk.local",
    "dogbreed_sdk.debugging.managed_rules",
    "dogbreed_sdk.model_server",
    "dogbreed_sdk.errors",
    "dogbreed_sdk.container",
    "dogbreed_sdk._util",
    "training_scripts._util",
    *TABLES,
)
# The model server also runs alone in a container.
SERVING_MAY_USE = (
    "dogbreed_sdk.model_server",
    "dogbreed_sdk.errors",
    "dogbreed_sdk._util",
    *TABLES,
    "training_scripts.inference",
    "training_scripts.training.runtime",
)
GRAPH = read_graph(SDK, SCRIPTS)


def modules(root: Path, pattern: str = "**/*.py") -> list[Path]:
    found = sorted(root.glob(pattern))
    assert found, f"nothing matches {pattern} below {root}"
    return found


def within(name: str, *packages: str) -> bool:
    """Whether a module is one of these, or in one of these packages."""
    return any(name == package or name.startswith(f"{package}.") for package in packages)


def arrows(source: str, *, allowed: tuple[str, ...]) -> list[str]:
    """The imports that a package must not have: all but those of what is allowed."""
    assert any(within(name, source) for name in GRAPH), source
    return [
        f"{name} imports {target}"
        for name, targets in GRAPH.items()
        for target in sorted(targets)
        if within(name, source) and not within(target, *allowed)
    ]


def arrows_to(target: str, *, allowed: tuple[str, ...]) -> list[str]:
    """The imports of a package by others than those that may."""
    assert any(within(name, target) for name in GRAPH), target
    return [
        f"{name} imports {imported}"
        for name, targets in GRAPH.items()
        for imported in sorted(targets)
        if within(imported, target) and not within(name, target, *allowed)
    ]


def test_training_scripts_run_alone() -> None:
    assert arrows("training_scripts", allowed=("training_scripts",)) == []


def test_a_bundle_carries_everything_that_its_code_imports() -> None:
    dotted = (f"training_scripts.{name}".replace("/", ".") for name in SERVING_MODULES)
    carried = {name.removesuffix(".__init__") for name in dotted}
    for name in (*carried, "training_scripts.inference"):
        assert GRAPH[name] <= carried, name


def test_nothing_imports_the_command_line() -> None:
    assert arrows_to("dogbreed_sdk.cli", allowed=("dogbreed_sdk.__main__",)) == []


def test_local_sagemaker_knows_nothing_of_the_client() -> None:
    assert arrows("dogbreed_sdk.local", allowed=LOCAL_MAY_USE) == []


def test_the_helpers_know_nothing_of_the_parts_that_use_them() -> None:
    nouns = (f"dogbreed_sdk.{noun}" for noun in ("_version", "container", "defaults", "errors"))
    assert arrows("dogbreed_sdk._util", allowed=("dogbreed_sdk._util", *nouns, "training_scripts")) == []


def test_the_parts_of_local_sagemaker_have_one_direction() -> None:
    """The API stands on jobs, searches and endpoints; searches and endpoints stand on jobs."""
    local = "dogbreed_sdk.local"
    parts = [f"{local}.{part}" for part in ("jobs", "tuning", "hosting", "api")]
    below = {"jobs": (), "tuning": ("jobs",), "hosting": ("jobs",), "api": ("jobs", "tuning", "hosting")}
    for part, allowed in below.items():
        mine = (f"{local}.{part}", *(f"{local}.{other}" for other in allowed))
        assert [
            f"{name} imports {target}"
            for name, targets in GRAPH.items()
            for target in sorted(targets)
            if within(name, f"{local}.{part}") and within(target, *parts) and not within(target, *mine)
        ] == []


def test_the_model_server_knows_nothing_of_the_client() -> None:
    assert arrows("dogbreed_sdk.model_server", allowed=SERVING_MAY_USE) == []


def test_the_service_stands_on_the_public_interface() -> None:
    for hidden in ("dogbreed_sdk.local", "dogbreed_sdk.aws.requests", "dogbreed_sdk.cli", "training_scripts"):
        found = [line for line in arrows_to(hidden, allowed=()) if line.startswith("dogbreed_sdk.service")]
        assert not [line for line in found if not line.endswith(TABLES)]


def test_only_the_command_line_starts_the_service() -> None:
    assert arrows_to("dogbreed_sdk.service", allowed=("dogbreed_sdk.cli",)) == []


@pytest.mark.parametrize("path", [path for pattern in PURE for path in modules(SDK, pattern)], ids=str)
def test_pure_parts_do_no_input_or_output(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert not {name for node in ast.walk(tree) for name in _imported_names(node)} & WITH_SIDE_EFFECTS
    calls = [node.func for node in ast.walk(tree) if isinstance(node, ast.Call)]
    names = {call.id if isinstance(call, ast.Name) else getattr(call, "attr", "") for call in calls}
    assert not names & OPENING


def _imported_names(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return [node.module or ""] if isinstance(node, ast.ImportFrom) else []


def test_a_module_says_what_it_does() -> None:
    paths = [*modules(SDK), *modules(SCRIPTS)]
    assert [path for path in paths if not ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))] == []


TEMPORARY = {"TemporaryDirectory", "NamedTemporaryFile", "mkdtemp", "mkstemp"}


def test_what_is_temporary_is_made_where_it_is_cleaned_up_after_a_kill() -> None:
    """By training_scripts._util.atomic or dogbreed_sdk._util.scratch."""
    for path in [*modules(SDK), *modules(SCRIPTS)]:
        used = {node.attr for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.Attribute)}
        assert not used & TEMPORARY, path
