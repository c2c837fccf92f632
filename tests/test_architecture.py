"""The arrows between the parts: who may import whom."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import dogbreed_sdk
import training_scripts
from tests.import_graph import circle, read_graph
from training_scripts.models.bundle_writer import SERVING_MODULES

SDK = Path(dogbreed_sdk.__file__).parent
SCRIPTS = Path(training_scripts.__file__).parent
PURE = (
    "aws/policy.py",
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
    "planning/content.py",
    "planning/costs.py",
    "planning/durations.py",
    "planning/instances.py",
    "planning/plan.py",
    "planning/speed.py",
    "planning/steps.py",
    "planning/text.py",
    "planning/work.py",
    "monitoring/statistics.py",
    "predictions.py",
    "_util/tracebacks.py",
)
WITH_SIDE_EFFECTS = {"boto3", "requests", "socket", "subprocess", "shutil", "tempfile", "urllib.request"}
OPENING = {"open", "read_text", "read_bytes", "write_text", "write_bytes", "iterdir", "glob", "rglob", "print"}
# Plain values that every part reads, so that each stands in one place.
TABLES = ("training_scripts.data.formats", "training_scripts.data.limits")
# The parts of the SDK from top to bottom: a part imports those below it, and its own modules.
LAYERS = (
    ("__main__",),
    ("cli",),
    ("service",),
    ("",),  # dogbreed_sdk itself: the public names
    ("monitoring", "recording", "reviewing"),
    ("debugging", "doctor"),
    ("jobs", "resources"),
    ("model_cards", "planning"),
    ("endpoints", "testing"),
    ("client", "datasets"),
    ("session",),
    ("aws", "labels", "local", "model_server", "pages"),
    ("_util",),
    ("_version", "container", "defaults", "errors", "predictions"),
)
# The few arrows that lead up or sideways, each with its reason.
EXCEPTIONS = {
    ("dogbreed_sdk.client.transports.endpoint", "dogbreed_sdk.endpoints.status"): "both wait for endpoints",
    ("dogbreed_sdk.local.api.expiry", "dogbreed_sdk.aws.requests"): "an expiry is in the tags that clients write",
    ("dogbreed_sdk.local.jobs.debugger", "dogbreed_sdk.debugging.managed_rules"): "started as a process, like an image",
    ("dogbreed_sdk.predictions", "dogbreed_sdk.pages.prediction"): "a notebook asks a value to draw itself",
    ("dogbreed_sdk.local.hosting", "dogbreed_sdk.model_server"): "started as a process, like an image",
}
# What the model server takes of the scripts: it also runs alone in a container.
MODEL_SERVER_MAY_USE = (
    "dogbreed_sdk",
    "training_scripts.data.accept",
    "training_scripts.data.arrays",
    "training_scripts.data.formats",
    "training_scripts.data.limits",
    "training_scripts.inference",
    "training_scripts.training.runtime",
)

# Programs that are run as files.
RUN_ALONE = (
    "dogbreed_sdk.local.forking.script",
    "dogbreed_sdk.local.forking.server",
    "dogbreed_sdk.local.launcher",
    "dogbreed_sdk.local.jobs.metric_process",
    "dogbreed_sdk.local.python.python_facts",
)
GRAPH = read_graph(SDK, SCRIPTS)


def modules(root: Path, pattern: str = "**/*.py") -> list[Path]:
    found = sorted(root.glob(pattern))
    assert found, f"nothing matches {pattern} below {root}"
    return found


def part_of_sdk(name: str) -> bool:
    return within(name, "dogbreed_sdk")


def within(name: str, *packages: str) -> bool:
    """Whether a module is one of these, or in one of these packages."""
    return any(name == package or name.startswith(f"{package}.") for package in packages)


def part(name: str) -> str:
    """The part of the SDK that a module belongs to: the first name below the package."""
    return name.partition(".")[2].partition(".")[0]


def arrows() -> list[tuple[str, str]]:
    """Every import as (module, imported module)."""
    return [(name, target) for name, targets in sorted(GRAPH.items()) for target in sorted(targets)]


def excepted(name: str, target: str) -> bool:
    return any(within(name, source) and within(target, below) for source, below in EXCEPTIONS)


def test_what_runs_in_a_scripts_python_imports_nothing_that_may_be_missing_there() -> None:
    for name, imported in GRAPH.items():
        if name.startswith("dogbreed_sdk.local.start_up."):
            assert all(within(each, "dogbreed_sdk.local.start_up") for each in imported), name
    for name in RUN_ALONE:
        assert not GRAPH[name], name


def test_no_import_closes_a_circle() -> None:
    assert circle(GRAPH) == []


def test_training_scripts_run_alone() -> None:
    assert [arrow for arrow in arrows() if within(arrow[0], "training_scripts") and part_of_sdk(arrow[1])] == []


def test_a_bundle_carries_everything_that_its_code_imports() -> None:
    dotted = (f"training_scripts.{name}".replace("/", ".") for name in SERVING_MODULES)
    carried = {name.removesuffix(".__init__") for name in dotted}
    for name in (*carried, "training_scripts.inference"):
        assert GRAPH[name] <= carried, name


def test_every_part_has_a_layer() -> None:
    assert {part(name) for name in GRAPH if part_of_sdk(name)} == {name for layer in LAYERS for name in layer}


def test_imports_lead_down() -> None:
    level = {name: number for number, layer in enumerate(LAYERS) for name in layer}
    up = [
        f"{name} imports {target}"
        for name, target in arrows()
        if part_of_sdk(name)
        and part_of_sdk(target)
        and part(name) != part(target)
        and level[part(name)] >= level[part(target)]
        and not excepted(name, target)
    ]
    assert up == []


# Local SageMaker's own parts: the API stands on all others, searches on jobs, batch transform on hosting.
BELOW = {
    "s3": (),
    "python": (),
    "jobs": ("s3", "python"),
    "tuning": ("jobs",),
    "hosting": ("s3", "python"),
    "transform": ("s3", "hosting"),
    "api": ("jobs", "s3", "tuning", "hosting", "transform"),
}


@pytest.mark.parametrize(("upper", "lower"), BELOW.items())
def test_the_parts_of_local_sagemaker_have_one_direction(upper: str, lower: tuple[str, ...]) -> None:
    allowed = [f"dogbreed_sdk.local.{name}" for name in (upper, *lower)]
    others = [f"dogbreed_sdk.local.{name}" for name in BELOW if name not in (upper, *lower)]
    mine = [target for name, target in arrows() if within(name, allowed[0])]
    assert [target for target in mine if within(target, *others)] == []


def test_the_exceptions_are_needed() -> None:
    for source, target in EXCEPTIONS:
        assert [arrow for arrow in arrows() if within(arrow[0], source) and within(arrow[1], target)], source


def test_the_model_server_needs_little_of_the_scripts() -> None:
    used = {target for name, target in arrows() if within(name, "dogbreed_sdk.model_server")}
    assert {target for target in used if not within(target, *MODEL_SERVER_MAY_USE)} == set()


def test_the_service_stands_on_the_public_interface() -> None:
    below = ("dogbreed_sdk.local", "dogbreed_sdk.aws", "dogbreed_sdk.jobs", "training_scripts.models")
    assert [arrow for arrow in arrows() if within(arrow[0], "dogbreed_sdk.service") and within(arrow[1], *below)] == []


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


def test_no_test_moves_the_clock_of_servers_in_its_process() -> None:
    """Timers that a server sets meanwhile would not expire: `tests.passing_time.set_time` is for one module."""
    moved = re.compile(r"""setattr\((?:"?|[\w.]+\.)time(?:, "|\.)(?:monotonic|sleep)""")
    tests = Path(__file__).parent
    assert [path.relative_to(tests).as_posix() for path in tests.rglob("*.py") if moved.search(path.read_text())] == []


def test_what_is_temporary_is_made_where_it_is_cleaned_up_after_a_kill() -> None:
    """By training_scripts._util.atomic or dogbreed_sdk._util.scratch."""
    for path in [*modules(SDK), *modules(SCRIPTS)]:
        used = {node.attr for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.Attribute)}
        assert not used & TEMPORARY, path


CIRCLES = (
    {"one": "import made_up.two", "two": "import made_up.three", "three": "from made_up import one"},
    {"one": "def late():\n    from made_up.two import name", "two": "from made_up.one import late"},
    {"one": "import importlib\nimportlib.import_module('made_up.two')", "two": "from made_up import one"},
    {"one": "COMMAND = ['-m', 'made_up.two']", "two": "from made_up.one import COMMAND"},
    {"one": "if TYPE_CHECKING:\n    from made_up.two import Name", "two": "from made_up.one import name"},
)


@pytest.mark.parametrize("modules", CIRCLES)
def test_a_circle_is_found_whatever_closes_it(modules: dict[str, str], tmp_path: Path) -> None:
    package = tmp_path / "made_up"
    package.mkdir()
    for name, text in {"__init__": "", "other": "import made_up.one", **modules}.items():
        (package / f"{name}.py").write_text(text)
    found = circle(read_graph(package))
    assert found[0] == found[-1]
    assert set(found) == {f"made_up.{name}" for name in modules}


def test_a_package_without_a_circle_passes(tmp_path: Path) -> None:
    package = tmp_path / "made_up"
    package.mkdir()
    for name, text in {"__init__": "", "one": "import made_up.two", "two": "LOG = 'made_up'"}.items():
        (package / f"{name}.py").write_text(text)
    assert circle(read_graph(package)) == []
