"""Every example in a docstring runs, and every public name has one.

Those of the public API use what docs/reference/api/index.md makes: a data set, jobs that have ended, an endpoint.
"""

from __future__ import annotations

import doctest
import importlib
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import dogbreed_sdk
import training_scripts

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


def is_public(test: doctest.DocTest) -> bool:
    """Whether it is an example of a name in `dogbreed_sdk`, which has the names of the reference's first page."""
    return any(test.name == home or test.name.startswith(f"{home}.") for home in HOMES)


HOMES = {f"{getattr(dogbreed_sdk, name).__module__}.{name}" for name in dogbreed_sdk.__all__}


def run(test: doctest.DocTest) -> None:
    runner = doctest.DocTestRunner(optionflags=FLAGS, verbose=False)
    said: list[str] = []
    runner.run(test, out=said.append)
    assert not runner.failures, "".join(said)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, dict[str, Any]]]:
    """The folder and the names that the block on the reference's first page makes."""
    page = (ROOT / "docs/reference/api/index.md").read_text(encoding="utf-8")
    [block] = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    folder = tmp_path_factory.mktemp("world")
    names: dict[str, Any] = {name: getattr(dogbreed_sdk, name) for name in dogbreed_sdk.__all__}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        exec(compile(block, "docs/reference/api/index.md", "exec"), names)
    yield folder, names
    names["deployment"].delete()
    names["session"].close()


@pytest.mark.parametrize("name", modules_with_examples())
def test_examples_in_docstrings_run(name: str) -> None:
    for test in doctest.DocTestFinder(exclude_empty=True).find(importlib.import_module(name)):
        if not is_public(test):
            run(test)


@pytest.mark.parametrize("name", dogbreed_sdk.__all__)
def test_examples_of_public_names_run(
    name: str, world: tuple[Path, dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, names = world
    monkeypatch.chdir(folder)
    value = getattr(dogbreed_sdk, name)
    found = doctest.DocTestFinder().find(value, name, module=False, globs=names)
    assert any(test.name == name and test.examples for test in found), f"{name} has no example"
    for test in found:
        assert not any(doctest.SKIP in example.options for example in test.examples), test.name
        run(test)
