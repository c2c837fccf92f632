"""Every example in a docstring runs, and every public name has one.

Those of the public API use what docs/reference/api/index.md makes: a data set, jobs that have ended, an endpoint.
"""

from __future__ import annotations

import doctest
import functools
import importlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import dogbreed_sdk
import training_scripts
from reference_links import documented

pytestmark = pytest.mark.extras

ROOT = Path(__file__).parents[2]
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


# From the files: walking the packages would import them, torch included, wherever tests are collected.
SOURCES = [path for package in (dogbreed_sdk, training_scripts) for path in Path(package.__path__[0]).rglob("*.py")]
MODULES = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    for path in SOURCES
    if ">>>" in path.read_text(encoding="utf-8")
)
# Values that public names return have examples now and then.
RETURNED = [
    name
    for name in documented()
    if name.startswith("dogbreed_sdk.") and name.removeprefix("dogbreed_sdk.") not in dogbreed_sdk.__all__
]


def is_in_the_reference(test: doctest.DocTest) -> bool:
    """Whether it is an example of the API reference, which uses the names of the reference's first page."""
    return any(test.name == home or test.name.startswith(f"{home}.") for home in homes())


def named(path: str) -> Any:
    """The class or function at ``package.module.Name``."""
    module, _, name = path.rpartition(".")
    return getattr(importlib.import_module(module), name)


@functools.cache
def homes() -> set[str]:
    """Where the names of the reference are defined."""
    values = map(named, [*(f"dogbreed_sdk.{name}" for name in dogbreed_sdk.__all__), *RETURNED])
    return {f"{value.__module__}.{value.__qualname__}" for value in values if callable(value)}


def run(test: doctest.DocTest) -> None:
    runner = doctest.DocTestRunner(optionflags=FLAGS, verbose=False)
    said: list[str] = []
    runner.run(test, out=said.append)
    assert not runner.failures, "".join(said)


@dataclass(frozen=True)
class World:
    """What the block on the reference's first page makes."""

    folder: Path
    names: dict[str, Any]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    page = (ROOT / "docs/reference/api/index.md").read_text(encoding="utf-8")
    [block] = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    folder = tmp_path_factory.mktemp("world")
    names: dict[str, Any] = {name: getattr(dogbreed_sdk, name) for name in dogbreed_sdk.__all__}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        exec(compile(block, "docs/reference/api/index.md", "exec"), names)
    yield World(folder, names)
    names["deployment"].delete()
    names["session"].close()


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings_run(name: str) -> None:
    for test in doctest.DocTestFinder(exclude_empty=True).find(importlib.import_module(name)):
        if not is_in_the_reference(test):
            run(test)


@pytest.mark.parametrize("name", dogbreed_sdk.__all__)
def test_examples_of_public_names_run(name: str, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(world.folder)
    found = examples(f"dogbreed_sdk.{name}", world)
    assert any(test.name.endswith(f".{name}") for test in found), f"{name} has no example"
    for test in found:
        run(test)


def test_examples_of_what_public_names_return_run(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(world.folder)
    for name in RETURNED:
        for test in examples(name, world):
            run(test)


def test_no_example_is_skipped() -> None:
    """One that cannot run is no example: it would stay when the code has long changed."""
    assert [path.name for path in SOURCES if re.search(r">>> .*doctest: *\+SKIP", path.read_text("utf-8"))] == []


def examples(name: str, world: World) -> list[doctest.DocTest]:
    """The examples of a name and its methods."""
    found = doctest.DocTestFinder().find(named(name), name, module=False, globs=world.names)
    return [test for test in found if test.examples]
