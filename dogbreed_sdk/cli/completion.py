"""Shell completion: commands, options, choices, files, and the names of local jobs and endpoints."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NoReturn, TextIO

import argcomplete

from dogbreed_sdk.cli import options as read
from dogbreed_sdk.cli.output import Outcome, say
from dogbreed_sdk.cli.parser import make_parser
from dogbreed_sdk.cli.usage import Parser, commands_of
from dogbreed_sdk.errors import DogBreedError
from dogbreed_sdk.jobs.managed_debugger import PROFILER_RULES, RULES
from training_scripts.models import backbones
from training_scripts.training import hyperparameters, metrics

PROGRAM = "dogbreed"
# A longer list does not help.
_NEWEST = 50

Completer = Callable[..., list[str]]
# Options whose destination is also an argument's: a backbone, and a name to be given.
_OPTIONS_OF_OTHER_NAMES: Mapping[str, Completer] = {
    "model": argcomplete.ChoicesCompleter(backbones.names()),
    "name": argcomplete.SuppressCompleter(),
}


def run(options: argparse.Namespace) -> Outcome:
    """Prints the script that makes a shell complete this command."""
    script = argcomplete.shellcode([PROGRAM], shell=options.shell)
    return Outcome({"shell": options.shell, "script": script}, say(*script.strip().splitlines()))


def complete(*, end: Callable[[int], NoReturn] = os._exit, output: TextIO | None = None) -> None:
    """Answers a shell that asks how a command line may continue, and ends the process.

    Args:
        end: Ends the process with a status.
        output: Where the answer goes; by default to the file descriptor that the shell's script reads.
    """
    parser = make_parser()
    _prepare(parser)
    argcomplete.autocomplete(parser, always_complete_options=False, exit_method=end, output_stream=output)


def _prepare(parser: Parser | argparse.ArgumentParser) -> None:
    """Gives every argument the values that may stand there."""
    for command in commands_of(parser).values():
        _prepare(command)
    values = _values()
    for action in parser._actions:
        completer = _completer(action, values)
        if completer is not None:
            action.completer = completer  # type: ignore[attr-defined]


def _completer(action: argparse.Action, values: Mapping[str, Completer]) -> Completer | None:
    if action.choices is not None:
        return None
    if action.option_strings and action.dest in _OPTIONS_OF_OTHER_NAMES:
        return _OPTIONS_OF_OTHER_NAMES[action.dest]
    return values.get(action.dest) or values.get(str(action.metavar))


def _values() -> dict[str, Completer]:
    """An argument's destination, or what its help calls it -> what completes it; anything else completes files."""
    files = argcomplete.FilesCompleter()
    jobs = _names("training-job", "tuning-job")
    endpoints = _names("endpoint")
    found: dict[str, Completer] = {
        "JOB": jobs,
        "TUNING_JOB": _names("tuning-job"),
        "JOB_OR_PATH": lambda prefix, **given: [*jobs(prefix, **given), *files(prefix, **given)],
        "MODEL": lambda prefix, **given: [*endpoints(prefix, **given), *jobs(prefix, **given), *files(prefix, **given)],
        "endpoint": endpoints,
        "name": lambda prefix, **given: [*endpoints(prefix, **given), *jobs(prefix, **given)],
        "objective": argcomplete.ChoicesCompleter(metrics.METRICS),
    }
    found |= dict.fromkeys(("rules", "managed_rules"), argcomplete.ChoicesCompleter((*RULES, *PROFILER_RULES)))
    for row in hyperparameters.table():
        choices = ("true", "false") if row.kind == "true|false" else row.choices
        found[f"hp:{row.name}"] = argcomplete.ChoicesCompleter(choices)
    return found


def _names(*kinds: str) -> Completer:
    def complete(prefix: str, parsed_args: argparse.Namespace, **_: object) -> list[str]:
        # What lies on AWS would take seconds, at every press of a key.
        if getattr(parsed_args, "aws", False):
            return []
        return [name for name in _local_names(read.root(parsed_args), kinds) if name.startswith(prefix)]

    return complete


def _local_names(root: Path, kinds: tuple[str, ...]) -> Iterator[str]:
    from dogbreed_sdk.local.store import DATABASE, Filters, Store  # noqa: PLC0415 - most arguments are not names

    if not (root / DATABASE).is_file():
        return  # opening the state would make it
    try:
        store = Store(root)
        for kind in kinds:
            yield from reversed(store.names(kind, Filters())[-_NEWEST:])
    except (DogBreedError, OSError):
        return
