"""Every example in a docstring runs, and every public name has one.

Those of the public API use what docs/reference/api/index.md makes: a data set, jobs that have ended, an endpoint.
"""

from __future__ import annotations

import doctest
import importlib
import pkgutil
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

ROOT = Path(__file__).parents[1]
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def modules_with_examples() -> list[str]:
    return sorted(
        module.name
        for package in (dogbreed_sdk, training_scripts)
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
        if (source := module.module_finder.find_spec(module.name, None).loader.get_source(module.name))
        and ">>>" in source
    )


def is_in_the_reference(test: doctest.DocTest) -> bool:
    """Whether it is an example of the API reference, which uses the names of the reference's first page."""
    return any(test.name == home or test.name.startswith(f"{home}.") for home in HOMES)


def named(path: str) -> Any:
    """The class or function at ``package.module.Name``."""
    module, _, name = path.rpartition(".")
    return getattr(importlib.import_module(module), name)


PUBLIC = {f"dogbreed_sdk.{name}" for name in dogbreed_sdk.__all__}
# Values that public names return have examples now and then.
RETURNED = [name for name in documented() if name.startswith("dogbreed_sdk.") and name not in PUBLIC]
HOMES = {f"{value.__module__}.{value.__qualname__}" for value in map(named, [*PUBLIC, *RETURNED]) if callable(value)}


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


@pytest.mark.parametrize("name", modules_with_examples())
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
    paths = [path for package in (dogbreed_sdk, training_scripts) for path in Path(package.__path__[0]).rglob("*.py")]
    assert [path.name for path in paths if re.search(r">>> .*doctest: *\+SKIP", path.read_text("utf-8"))] == []


def examples(name: str, world: World) -> list[doctest.DocTest]:
    """The examples of a name and its methods."""
    found = doctest.DocTestFinder().find(named(name), name, module=False, globs=world.names)
    return [test for test in found if test.examples]
