"""The pages for people who come from other tools: what they say of this library exists."""

from __future__ import annotations

import inspect
import re
import shlex
from pathlib import Path

import pytest

import dogbreed_sdk
from dogbreed_sdk import (
    BreedClassifier,
    BreedDataset,
    BreedTrainer,
    DebugReport,
    Deployment,
    Evaluation,
    Prediction,
    Recorder,
    TrainingJob,
    TuningJob,
    debugging,
)
from dogbreed_sdk.cli.parser import parse
from tests.docs.documents import DOCS
from training_scripts.recording.trial.trial import Trial
from training_scripts.training.hyperparameters import table

PAGES = sorted((DOCS / "coming_from").glob("*.md"))
KINDS = {
    "classifier": BreedClassifier,
    "dataset": BreedDataset,
    "deployment": Deployment,
    "evaluation": Evaluation,
    "job": TrainingJob,
    "prediction": Prediction,
    "report": DebugReport,
    "run": Recorder,
    "trainer": BreedTrainer,
    "trial": Trial,
    "tuning": TuningJob,
} | {name: value for name, value in vars(dogbreed_sdk).items() if inspect.isclass(value)}

pytestmark = pytest.mark.extras


def here(page: Path) -> list[str]:
    """The code and commands in the last column of the page's tables."""
    rows = [line.split(" | ")[-1] for line in page.read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
    return [code for cell in rows for code in re.findall(r"`([^`]+)`", cell)]


def python(page: Path) -> list[str]:
    """The code in Python, with empty strings."""
    return [re.sub(r'"[^"]*"', '""', code) for code in here(page) if not code.startswith("dogbreed ")]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_names_of_this_library_exist(page: Path) -> None:
    for code in python(page):
        for name, member in re.findall(r"(?<![\w.])(\w+)\.(\w+)", code):
            assert name not in KINDS or member in members(KINDS[name]), code
        for called in re.findall(r"(?<![\w.])([A-Z]\w+|evaluate|review|deploy|register_rule|smdebug_rule)\(", code):
            assert hasattr(dogbreed_sdk, called) or hasattr(debugging, called) or "Parameter" in called, code


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_methods_take_the_arguments_that_are_shown(page: Path) -> None:
    for code in python(page):
        for name, method, arguments in re.findall(r"(?<![\w.])(\w+)\.(\w+)\(([^()]*)\)", code):
            if name in KINDS and callable(getattr(KINDS[name], method)):
                given = set(re.findall(r"(\w+)=", arguments))
                assert given <= accepted(getattr(KINDS[name], method)), code


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_commands_and_hyperparameters_exist(page: Path) -> None:
    known = {row.name for row in table()}
    for code in here(page):
        if code.startswith("dogbreed "):
            parse(shlex.split(code)[1:])
        for values in re.findall(r"\{([^{}]*)\}", code):
            keys = re.findall(r'"([\w.-]+)":', values)
            assert set(keys) <= known | {"Overfit", "patience"}, code


def members(kind: type) -> set[str]:
    """The names of attributes and methods; an attribute may be what `__init__` was given."""
    fields = getattr(kind, "__dataclass_fields__", ())
    return {*dir(kind), *fields, *getattr(kind, "__annotations__", ()), *inspect.signature(kind).parameters}


def accepted(function: object) -> set[str]:
    """The names of a function's arguments; those of its options where it takes a typed dictionary of them."""
    parameters = inspect.signature(function).parameters  # type: ignore[arg-type]
    if any(one.kind is inspect.Parameter.VAR_KEYWORD for one in parameters.values()):
        return {
            *parameters,
            *inspect.signature(dogbreed_sdk.deploy).parameters,
            *inspect.signature(BreedClassifier).parameters,
        }
    return set(parameters)
