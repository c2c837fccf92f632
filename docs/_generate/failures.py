"""Troubleshooting: the known failures of jobs, and every message of the errors."""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import training_scripts
from _generate.frame import anchor, markdown, sections, table
from _generate.texts import BLANK, PASSED_ON, called, constructions, searchable
from dogbreed_sdk import errors
from dogbreed_sdk.cli import program
from dogbreed_sdk.jobs.failures import diagnose
from dogbreed_sdk.jobs.known_failures import KNOWN_FAILURES, KnownFailure
from dogbreed_sdk.service.problems import KINDS, problem_from_error

_PACKAGE, _SCRIPTS = Path(errors.__file__).parent, Path(training_scripts.__file__).parent
# By these names, code calls the class, or the function that makes an error, that it was given.
_GIVEN_CLASS, _GIVEN_MAKER = "otherwise", "_error"


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
    found = {name: set[str]() for name in _names()}
    found["JobFailedError"].add(str(errors.JobFailedError(BLANK, reason=BLANK)))
    for _, name, texts in _raised(_PACKAGE, _sdk_errors()):
        found[name] |= _shown(texts)
    return found


@functools.cache
def messages_of_scripts() -> set[str]:
    """The messages with which a training script ends, in the same form."""
    return set().union(*(_shown(texts) for _, _, texts in _raised_by_scripts()))


def without_text() -> list[str]:
    """The places in the code that make an error of which no message is listed."""
    made = [*_raised(_PACKAGE, _sdk_errors()), *_raised_by_scripts()]
    return [place for place, name, texts in made if name != "JobFailedError" and not _is_accounted_for(texts)]


def _is_accounted_for(texts: set[str]) -> bool:
    """Whether one can be searched for, or consists of words that are listed elsewhere."""
    return any(searchable(text) or PASSED_ON in text for text in texts)


@functools.cache
def _sdk_errors() -> dict[str, str]:
    """What makes an error of the SDK -> the public class under which its messages are listed."""
    found = {name: name for name in _names()} | {_GIVEN_CLASS: "DogBreedError"}
    return found | _derived(_PACKAGE, found)


@functools.cache
def _script_errors() -> dict[str, str]:
    """What makes an error of the training scripts; all of their messages are in one list."""
    found = dict.fromkeys(("ScriptError", _GIVEN_MAKER, "Fault"), "ScriptError")
    return found | _derived(_SCRIPTS, found)


def _derived(package: Path, bases: Mapping[str, str]) -> dict[str, str]:
    """The classes of a package that are derived from others, read from the source: importing it takes seconds."""
    text = "\n".join(path.read_text(encoding="utf-8") for path in package.rglob("*.py"))
    found = dict(bases)
    for name, base in re.findall(r"^class (\w+)\((\w+)\):", text, re.MULTILINE) * 2:  # a base may come later
        if base in found:
            found.setdefault(name, found[base])
    return found


def _raised(package: Path, names: Mapping[str, str]) -> Iterator[tuple[str, str, set[str]]]:
    """Wherever a package makes an error: the place, the class that it is listed under, and its texts."""
    listed = frozenset(_sdk_errors()) | frozenset(_script_errors())
    for call, reader in constructions(package, names, listed):
        found = reader.texts(call if called(call.func) == "Fault" else call.args[0])
        place = f"{reader.module.path.relative_to(package.parent)}:{call.lineno}"
        yield place, names[called(call.func)], found


def _raised_by_scripts() -> Iterator[tuple[str, str, set[str]]]:
    yield from _raised(_SCRIPTS, _script_errors())
    yield from _raised(_PACKAGE, {"ScriptError": "ScriptError"})  # in the child processes of local SageMaker


def _shown(texts: set[str]) -> set[str]:
    return {text.replace(PASSED_ON, BLANK) for text in texts if searchable(text)}


def _plain(text: str) -> str:
    """One line of Markdown that shows a text as it is."""
    line = " ".join(text.split())
    for mark in "\\`*_<>[]|":
        line = line.replace(mark, f"\\{mark}")
    return line
