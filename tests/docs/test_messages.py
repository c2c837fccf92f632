"""The list of error messages is complete: the texts of each error that the code makes are found in its source."""

from __future__ import annotations

import ast
import importlib
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from dogbreed_sdk import errors

pytestmark = [pytest.mark.extras, pytest.mark.any_version]


@pytest.fixture(scope="module")
def failures() -> ModuleType:
    return importlib.import_module("_generate.failures")


@pytest.fixture(scope="module")
def texts() -> ModuleType:
    return importlib.import_module("_generate.texts")


def test_every_error_that_the_code_makes_has_a_text_on_the_list(failures: ModuleType) -> None:
    assert failures.without_text() == [], (
        "of these errors, nothing that could be searched for is known before the program runs: put the text into the "
        "call, into a constant, or into a function that returns it"
    )


def test_error_classes_are_handed_on_only_by_the_names_by_which_they_are_found(texts: ModuleType) -> None:
    """`otherwise(...)` and `_error(...)` count as errors; by another name, a class would make unlisted ones."""
    handed = set()
    for path in (path for package in texts.PACKAGES for path in package.rglob("*.py")):
        file = texts.module(path)
        if not any(name in file.source for name in errors.__all__):
            continue
        for node in file.nodes:
            parent = file.parents.get(node)
            if isinstance(node, (ast.Name, ast.Attribute)) and texts.called(node) in errors.__all__:
                if isinstance(parent, ast.keyword):
                    handed.add(parent.arg)
                assert not isinstance(parent, (ast.Assign, ast.Return, ast.Dict)), f"{path}:{node.lineno}"
    assert handed == {"otherwise", "error"}


SOURCE = """
from training_scripts.models.description import BundleError

HINT = "upgrade it"
REASONS: dict[str, str] = {"old": "it is too old", "new": "it is too new"}

class OwnError(Exception): ...

def why(name, count):
    if count:
        return f"{name} has {count} parts too many"
    return HINT + ": " + name

def check(name: str, state: str, error: BundleError) -> None:
    reason = "unused since it is hidden"
    reason = REASONS[state]
    shown = f"the state of {name}" if state else name
    make(MADE)
    try:
        pass
    except BundleError as failed:
        make(CAUGHT)
    except OwnError as own:
        make(OWN)
    except ValueError as foreign:
        make(FOREIGN)
"""


@pytest.mark.parametrize(
    ("place", "expression", "found"),
    [
        ("MADE", '"the name " + name + " is taken"', {"the name … is taken"}),
        ("MADE", 'f"{name} is taken already; {HINT}"', {"… is taken already; upgrade it"}),
        ("MADE", 'f"{name}: {reason}"', {"…: it is too old", "…: it is too new"}),
        ("MADE", 'f"{name}: " + why(name, 3)', {"…: … has … parts too many", "…: upgrade it: …"}),
        ("MADE", "shown.rstrip()", {"the state of …", "…"}),
        ("MADE", '"no {} is {} here".format(name, state)', {"no … is … here"}),
        ("MADE", 'state or "not ready yet"', {"…", "not ready yet"}),
        ("MADE", "state", {"…"}),
        ("MADE", "str(error)", {"PASSED ON"}),
        ("CAUGHT", 'f"{name}: {failed}."', {"…: PASSED ON."}),
        ("OWN", 'f"{name} {own}"', {"… …"}),
        ("FOREIGN", "str(foreign)", {"…"}),
    ],
)
def test_texts_are_followed_to_where_they_are_written(
    place: str, expression: str, found: set[str], tmp_path: Path, texts: ModuleType
) -> None:
    path = tmp_path / "module.py"
    path.write_text(SOURCE.replace(place, expression), encoding="utf-8")
    reader = texts.Reader(texts.Module(path), frozenset({"BundleError"}))
    [call] = [node for node in reader.module.nodes if is_made_of(node, expression)]
    assert {text.replace(texts.PASSED_ON, "PASSED ON") for text in reader.texts(call.args[0])} == found


def is_made_of(node: Any, expression: str) -> bool:
    made = isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "make"
    return made and ast.unparse(node.args[0]) == ast.unparse(ast.parse(expression))


def test_an_error_without_a_text_is_named(
    failures: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "module.py").write_text("def f(why):\n    raise ConfigurationError(why)\n", encoding="utf-8")
    monkeypatch.setattr(failures, "_PACKAGE", tmp_path)
    assert failures.without_text() == [f"{tmp_path.name}/module.py:2"]
