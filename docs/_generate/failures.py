"""Troubleshooting: the known failures of jobs, and every message of the errors."""

from __future__ import annotations

import ast
import functools
import inspect
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import training_scripts
from _generate.frame import anchor, markdown, sections, table
from dogbreed_sdk import errors
from dogbreed_sdk.cli import program
from dogbreed_sdk.jobs.failures import diagnose
from dogbreed_sdk.jobs.known_failures import KNOWN_FAILURES, KnownFailure
from dogbreed_sdk.service.problems import KINDS, problem_from_error

_PACKAGE, _SCRIPTS = Path(errors.__file__).parent, Path(training_scripts.__file__).parent
_BLANK = "…"
# A text with fewer letters, such as "…: …", says nothing that could be searched for.
_LEAST_LETTERS = 12


@table("job-failures")
def job_failures() -> str:
    """Each failure of a job that is recognized: its words, its cause, what to do."""
    return sections(*map(_failure, KNOWN_FAILURES))


def _failure(known: KnownFailure) -> str:
    first, *others = known.messages
    also = f"Also: {', '.join(f'`{one}`' for one in others)}." if others else ""
    return sections(
        f"### `{first}`",
        also,
        known.cause,
        f"**What to do:** {diagnose(first, []).fix}",
        f"`failure.kind` is `{known.kind}`.",
    )


@table("errors")
def error_tree() -> str:
    """Each error class: what it means, how the command line and the service report it."""
    rows = [
        [
            f"[`{kind.__name__}`](#{anchor(kind.__name__)})",
            f"`{kind.__bases__[0].__name__}`",
            inspect.getdoc(kind).splitlines()[0],  # type: ignore[union-attr]
            program.EXIT_WRONG_USE if issubclass(kind, errors.ConfigurationError) else program.EXIT_FAILED,
            _problem(kind),
        ]
        for kind in _classes()
    ]
    header = ["Class", "Is a", "Meaning", "Exit status", "[Problem](../reference/http.md#problems) of the service"]
    return markdown(header, rows)


@table("error-messages")
def messages() -> str:
    """Every message of every class, as the code raises it."""
    found = messages_of()
    return sections(*(f"## {name}\n\n{_listed(found[name])}" for name in _names() if found[name]))


@table("script-messages")
def script_messages() -> str:
    """Every message of the training scripts' own errors."""
    return _listed(messages_of_scripts())


def _listed(found: set[str]) -> str:
    return "\n".join(f"- {_plain(one)}" for one in sorted(found, key=str.casefold))


def _names() -> list[str]:
    return [kind.__name__ for kind in _classes()]


def _classes() -> list[type[errors.DogBreedError]]:
    """All error classes, in the order in which errors.py declares them."""
    found = [
        value for value in vars(errors).values() if isinstance(value, type) and value.__module__ == errors.__name__
    ]
    return [kind for kind in found if issubclass(kind, errors.DogBreedError)]


def _problem(kind: type[errors.DogBreedError]) -> str:
    arguments = {"reason": ""} if issubclass(kind, errors.JobFailedError) else {}
    name = problem_from_error(kind("", **arguments)).kind
    return f"`{name}` ({KINDS[name].status})"


@functools.cache
def messages_of() -> dict[str, set[str]]:
    """Class -> its messages; what is filled in at run time is an ellipsis."""
    names = _names()
    found = {name: set[str]() for name in names}
    for name, text in _raised(_PACKAGE, names):
        found[name].add(text)
    return found


@functools.cache
def messages_of_scripts() -> set[str]:
    """The messages with which a training script ends, in the same form."""
    return {text for _, text in _raised(_SCRIPTS, _script_errors())}


def _script_errors() -> list[str]:
    """The names of the training scripts' own errors, read from the source: importing all of it takes seconds."""
    text = "\n".join(path.read_text(encoding="utf-8") for path in _SCRIPTS.rglob("*.py"))
    bases = dict(re.findall(r"^class (\w+)\((\w+)\):", text, re.MULTILINE))
    found = ["ScriptError"]
    for known in found:
        found += [name for name, base in bases.items() if base == known]
    return found


def _raised(package: Path, names: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Class and message wherever the code of a package makes an error of one of these classes."""
    for path in sorted(package.rglob("*.py")):
        source = path.read_text(encoding="utf-8")
        if not any(f"{name}(" in source for name in names):
            continue
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Call) and node.args and (name := _called(node.func)) in names:
                for text in _searchable(node.args[0]):
                    yield name, text


def _called(function: ast.expr) -> str:
    if isinstance(function, ast.Attribute):
        return function.attr
    return function.id if isinstance(function, ast.Name) else ""


def _searchable(argument: ast.expr) -> Iterator[str]:
    """The texts of an argument that somebody could search for."""
    branches = [argument.body, argument.orelse] if isinstance(argument, ast.IfExp) else [argument]
    for text in filter(None, map(_text, branches)):
        if sum(letter.isalpha() for letter in text) >= _LEAST_LETTERS:
            yield text


def _text(node: ast.expr) -> str | None:
    """The text that an expression gives, as far as it is known before the program runs; None if nothing of it is."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(_text(part) or _BLANK for part in node.values)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        left, right = _text(node.left), _text(node.right)
        return None if left is None and right is None else f"{left or _BLANK}{right or _BLANK}"
    return None


def _plain(text: str) -> str:
    """One line of Markdown that shows a text as it is."""
    line = " ".join(text.split())
    for mark in "\\`*_<>[]|":
        line = line.replace(mark, f"\\{mark}")
    return line
