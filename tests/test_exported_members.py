"""``__all__`` is the contract: every name loads, none is missing, and the static twin agrees."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import dogbreed_sdk
from dogbreed_sdk import errors


@pytest.mark.extras
def test_every_public_name_loads_and_says_what_it_is() -> None:
    for name in dogbreed_sdk.__all__:
        assert getattr(dogbreed_sdk, name).__doc__, name


def test_the_names_are_sorted_and_are_those_that_load_lazily() -> None:
    assert sorted(dogbreed_sdk.__all__) == dogbreed_sdk.__all__
    assert set(dogbreed_sdk._HOMES) == set(dogbreed_sdk.__all__)


def test_type_checkers_see_the_same_names() -> None:
    tree = ast.parse(Path(dogbreed_sdk.__file__).read_text(encoding="utf-8"))
    block = next(node for node in tree.body if isinstance(node, ast.If))
    seen = {alias.name: node.module for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert seen == {name: f"dogbreed_sdk.{home}" for name, home in dogbreed_sdk._HOMES.items()}


def test_every_error_is_exported() -> None:
    assert set(errors.__all__) <= set(dogbreed_sdk.__all__)


def test_an_unknown_name_is_an_attribute_error_and_dir_lists_the_public_ones() -> None:
    assert not hasattr(dogbreed_sdk, "DebugReprot")
    assert set(dogbreed_sdk.__all__) <= set(dir(dogbreed_sdk))


@pytest.mark.extras
def test_everything_that_reports_progress_can_be_silenced() -> None:
    found = {
        name: inspect.signature(function).parameters["progress"]
        for name, function in public_functions()
        if "progress" in inspect.signature(function).parameters
    }
    assert {"deploy", "BreedTrainer.train", "TrainingJob.wait", "BreedDataset.check"} <= found.keys()
    for name, parameter in found.items():
        assert parameter.kind is parameter.KEYWORD_ONLY, name
        assert str(parameter.annotation).endswith("| None"), name


@pytest.mark.extras
def test_everything_says_what_it_is_in_a_console() -> None:
    for name in dogbreed_sdk.__all__:
        value = getattr(dogbreed_sdk, name)
        assert not inspect.isclass(value) or value.__repr__ is not object.__repr__, name


def public_functions() -> Iterator[tuple[str, Callable[..., object]]]:
    """The functions of the package, and the methods of its classes."""
    for name in dogbreed_sdk.__all__:
        value = getattr(dogbreed_sdk, name)
        if inspect.isclass(value):
            for method, function in inspect.getmembers(
                value, lambda each: inspect.isfunction(each) or inspect.ismethod(each)
            ):
                if not method.startswith("_"):
                    yield f"{name}.{method}", function
        elif callable(value):
            yield name, value
