"""Shell completion: commands, options, choices, files, and the names of local jobs and endpoints."""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import NoReturn, Protocol, TextIO

from argcomplete.completers import FilesCompleter, SuppressCompleter
from argcomplete.finders import CompletionFinder

from dogbreed_sdk.cli import options as read
from dogbreed_sdk.cli.parser import make_parser
from dogbreed_sdk.cli.usage import commands_of
from dogbreed_sdk.errors import DogBreedError

# A longer list does not help.
_NEWEST = 50


class Completer(Protocol):
    """Returns the values that an argument may have; argcomplete drops those without the prefix."""

    def __call__(
        self, *, prefix: str, action: argparse.Action, parser: argparse.ArgumentParser, parsed_args: argparse.Namespace
    ) -> Iterable[str]:
        """The values."""
        ...


def complete(*, end: Callable[[int], NoReturn] = os._exit, output: TextIO | None = None) -> None:
    """Prints how the command line that a shell is completing may continue, and ends the process.

    Args:
        end: Ends the process with a status.
        output: Where to print; default: the file descriptor that the shell's script reads.
    """
    line = os.environ.get("COMP_LINE", "")
    parser = make_parser(re.findall(r"[\w-]+", line))
    _set_completers(parser, _completers())
    CompletionFinder()(parser, always_complete_options=False, exit_method=end, output_stream=output)


def _set_completers(parser: argparse.ArgumentParser, completers: Mapping[str, Completer]) -> None:
    """Sets the completer of every argument, where argcomplete looks for it."""
    for command in commands_of(parser).values():
        _set_completers(command, completers)
    for action in parser._actions:
        completer = _completer(action, completers)
        if completer is not None:
            action.completer = completer  # type: ignore[attr-defined]


def _completer(action: argparse.Action, completers: Mapping[str, Completer]) -> Completer | None:
    if action.choices is not None:
        return None
    # Two options have the destination of an argument that is completed differently.
    if action.option_strings and action.dest == "model":
        return _choices(_backbones)
    if action.option_strings and action.dest == "name":
        return SuppressCompleter()
    if action.dest.startswith("hp:"):
        return _values(action.dest.removeprefix("hp:"))
    return completers.get(action.dest) or completers.get(str(action.metavar))


def _completers() -> dict[str, Completer]:
    """The completer of each argument, by its destination or by its name in the help; all others complete files."""
    files = FilesCompleter()
    jobs = _names("training-job", "tuning-job")
    endpoints = _names("endpoint")
    found: dict[str, Completer] = {
        "JOB": jobs,
        "TUNING_JOB": _names("tuning-job"),
        "JOB_OR_PATH": _any_of(jobs, files),
        "MODEL": _any_of(endpoints, jobs, files),
        "endpoint": endpoints,
        "name": _any_of(endpoints, jobs),
        "objective": _choices(_metrics),
    }
    return found | dict.fromkeys(("rules", "managed_rules"), _choices(_rules))


def _choices(values: Callable[[], Iterable[str]]) -> Completer:
    """Offers values, which are looked up only when the argument is completed: their modules take time to load."""
    return lambda **_: values()


def _backbones() -> Iterable[str]:
    from training_scripts.models import backbones  # noqa: PLC0415

    return backbones.names()


def _metrics() -> Iterable[str]:
    from training_scripts.training import metrics  # noqa: PLC0415

    return metrics.METRICS


def _rules() -> Iterable[str]:
    from dogbreed_sdk.jobs.managed_debugger import PROFILER_RULES, RULES  # noqa: PLC0415

    return (*RULES, *PROFILER_RULES)


def _values(name: str) -> Completer:
    """Offers the values of a hyperparameter."""

    def values() -> Iterable[str]:
        from training_scripts.training import hyperparameters  # noqa: PLC0415

        row = next(row for row in hyperparameters.table() if row.name == name)
        return ("true", "false") if row.kind == "true|false" else row.choices

    return _choices(values)


def _any_of(*completers: Completer) -> Completer:
    def complete(
        *, prefix: str, action: argparse.Action, parser: argparse.ArgumentParser, parsed_args: argparse.Namespace
    ) -> Iterable[str]:
        for completer in completers:
            yield from completer(prefix=prefix, action=action, parser=parser, parsed_args=parsed_args)

    return complete


def _names(*kinds: str) -> Completer:
    """Names of things on local SageMaker; asking AWS would take seconds, each time the key is pressed."""

    def complete(*, prefix: str, parsed_args: argparse.Namespace, **_: object) -> Iterable[str]:
        if getattr(parsed_args, "aws", False):
            return []
        return [name for name in _local_names(read.root(parsed_args), kinds) if name.startswith(prefix)]

    return complete


def _local_names(root: Path, kinds: tuple[str, ...]) -> Iterator[str]:
    from dogbreed_sdk.local.store import DATABASE, Filters, Store  # noqa: PLC0415 - most arguments are not names

    if not (root / DATABASE).is_file():
        return  # opening the store would create it
    try:
        store = Store(root)
        for kind in kinds:
            yield from reversed(store.names(kind, Filters())[-_NEWEST:])
    except (DogBreedError, OSError):
        return
