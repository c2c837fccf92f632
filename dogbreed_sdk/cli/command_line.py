"""Commands to suggest: lines that work when they are pasted, for the same place as the current command."""

from __future__ import annotations

import argparse
import ast
import re
import shlex
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from dogbreed_sdk.cli import options as read
from dogbreed_sdk.session import Session, default_root

_OTHER_PLACES = "\nFor another folder add --root DIR, for SageMaker on AWS add --aws."
# How the library writes remedies about data sets: a Python method, or a command in backquotes.
_METHOD_OR_COMMAND = re.compile(r"BreedDataset\.\w+\(\)(?: or|, or on the command line with) `dogbreed ([^`]*)`")

# What the library says about Python alone -> what a command says instead.
_PHRASES = {
    "work without AWS through session=Session.local()": "leave --aws out to work without AWS",
    "LabelMap.from_folder of the training data, or LabelMap.from_bundle of its bundle": "the training data's folder",
    " attach(name, session=session) finds a job by its name.": "",
    'Deploy with DataCapture(captured=["input", "output"]).': "Deploy with --capture, which captures both.",
}
# Python's arguments that are not called like their options.
_OTHER_OPTIONS = {
    "endpoint_name": "--name",
    "data_capture": "--capture",
    "percentage": "--capture",
    "serverless": "--serverless-memory-mb",
    "max_epochs": "--epochs",
    "allowed_hosts": "--allowed-host",
    "DataCapture.uri": "--capture-uri",
    "wait=False": "--no-wait",
}
# Names of arguments in messages; not within a path, a URI, a quoted value or a longer name.
_ARGUMENT = re.compile(r"(?<![\w./'\"-])(?:(\w+)=(?:…|True)|wait=False)")
_VALUED = re.compile(r"(?<![\w./'\"-])(\w+)=(?=['\d])")
_FOLDERS = re.compile(r"(?<!\w)folders=(\{[^}]*\})")
_UNDERSCORED = re.compile(r"(?<![\w./'\"-])[a-z]+(?:_[a-z]+)+(?![\w/'\"=(-]|\.\w)")


def command_line(options: argparse.Namespace | None, *words: object) -> str:
    """A command to run next: the program as it was called, the words, and the options that name the place.

    Args:
        options: The current command's; None if the suggested command does not use SageMaker.
        words: Name of the suggested command, and its arguments.
    """
    where = [] if options is None else _where(options)
    return shlex.join([*_program(), *map(str, words), *where])


def as_command(text: str) -> str:
    """A remedy about a data set that names only the command to paste, and not the Python method."""
    return _METHOD_OR_COMMAND.sub(lambda match: _quoted(f"{command_line(None)} {match[1]}"), text)


def in_terms_of_commands(message: str, options: argparse.Namespace) -> str:
    """A message of the library in the command line's terms: options instead of Python's arguments and methods.

    Args:
        message: The library's message.
        options: The current command's.
    """
    root = read.root(options)
    here = repr(Session.local(root))
    elsewhere = _OTHER_PLACES if here in message or f"The folder {root} " in message else ""
    message = message.replace(here, f"local SageMaker in {root}")
    message = re.sub(r"Pass Session\.aws\(region='([^']*)'\)", r"Pass --region \1", message)
    message = re.sub(r"Session\.aws\(region='([^']*)'\)", r"SageMaker on AWS in \1", message)
    message = message.replace("Session.aws(region=None)", "SageMaker on AWS")
    for phrase, instead in _PHRASES.items():
        message = message.replace(phrase, instead)
    message = re.sub(
        r"Endpoint (\S+) captures no data: call deployment\.update\([^()]*\(\)\)",
        lambda match: (
            f"Endpoint {match[1]} captures no data: run "
            f"'{command_line(options, 'update', match[1], 'JOB', '--capture', 100)}'"
        ),
        message,
    )
    message = _with_options(as_command(message), options)
    message = re.sub(r"'dogbreed (jobs|endpoints)'", lambda match: f"'{command_line(options, match[1])}'", message)
    return message + elsewhere


def _with_options(message: str, options: argparse.Namespace) -> str:
    """Names of Python's arguments, alone or as ``name=…``, become the current command's options."""
    actions = getattr(options, "parser", argparse.ArgumentParser())._actions
    known = {action.dest: action.option_strings[-1] for action in actions if action.option_strings}
    flags = set(known.values())
    known |= {name: flag for name, flag in _OTHER_OPTIONS.items() if flag in flags}
    message = _FOLDERS.sub(_folder_options, message)
    # Within a constructor: DataCapture(uri=…) is --capture-uri, Session.aws(role=…) is --role.
    message = re.sub(
        r"\b(?:session=)?([A-Z]\w*(?:\.aws)?)\((\w+)=…\)",
        lambda match: known.get(f"{match[1]}.{match[2]}") or known.get(match[2]) or match[0],
        message,
    )
    message = _ARGUMENT.sub(lambda match: known.get(match[1] or match[0]) or match[0], message)
    message = _VALUED.sub(lambda match: f"{known[match[1]]} " if match[1] in known else match[0], message)
    return _UNDERSCORED.sub(lambda match: known.get(match[0]) or match[0], message)


def _folder_options(match: re.Match[str]) -> str:
    """The folders of splits: ``folders={'test': 'b'}`` is --test-folder b."""
    folders = ast.literal_eval(match[1])
    return shlex.join(word for split, name in folders.items() for word in (f"--{split}-folder", name))


def _quoted(command: str) -> str:
    """A command in a sentence, in quotes that it does not contain."""
    return f"`{command}`" if "'" in command else f"'{command}'"


def _program() -> list[str]:
    """The program as it was called; by its bare name if the shell finds the same file."""
    called = Path(sys.argv[0])
    if called.name == "__main__.py":  # python -m; usually the command is installed beside Python
        called = Path(sys.executable).with_name("dogbreed")
        if not called.exists():
            return [sys.executable, "-m", "dogbreed_sdk"]
    found = shutil.which("dogbreed")
    return ["dogbreed"] if found and called.exists() and Path(found).samefile(called) else [str(called)]


def _where(options: argparse.Namespace) -> Iterator[str]:
    if options.aws:
        yield "--aws"
        for name, option in read.OF_AWS.items():
            given = getattr(options, name) or ()
            for value in (given,) if isinstance(given, str) else given:
                yield from (option, value)
    elif read.root(options) != default_root():
        yield from ("--root", str(read.root(options)))
