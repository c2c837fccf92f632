"""What the ``dogbreed`` command does from its arguments to its exit status.

Exit status: 0; 1 where the work failed; 2 for wrong use; 130 or 143 where a signal ended it.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import signal
import sys
import traceback
import warnings
from collections.abc import Sequence
from typing import Any

from boto3.exceptions import Boto3Error
from botocore.exceptions import BotoCoreError, ClientError

from dogbreed_sdk._util.signals import end_on_hangup
from dogbreed_sdk.cli import output
from dogbreed_sdk.cli.command_line import command_line
from dogbreed_sdk.cli.output import Outcome, note, print_document
from dogbreed_sdk.cli.parser import parse
from dogbreed_sdk.cli.terminal import safe_streams
from dogbreed_sdk.cli.wording import reworded
from dogbreed_sdk.errors import ConfigurationError, DogBreedError
from training_scripts._util.safe_text import without_secrets

EXIT_FAILED = 1
EXIT_WRONG_USE = 2
# What shells expect of a program that a signal ended: 128 plus its number.
EXIT_SIGNAL = 128
# How to follow, and how to end, what goes on without the command that started it.
_CONTROLS = {
    "job": [("logs", "-f", "{name}"), ("stop", "{name}")],
    "search": [("jobs",), ("stop", "{name}")],
    "endpoint": [("endpoints",), ("delete", "{name}")],
}


class _Terminated(KeyboardInterrupt):
    """SIGTERM, which ends a command as Ctrl-C does."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command.

    Args:
        arguments: Without the program's name. Default: the process's own.

    Returns:
        The exit status.
    """
    with safe_streams():
        return _run(sys.argv[1:] if arguments is None else list(arguments))


def _run(given: list[str]) -> int:
    try:
        options = parse(given)
    except ConfigurationError as error:
        _print_error(error, str(error), as_json="--json" in given)
        return EXIT_WRONG_USE
    signal.signal(signal.SIGTERM, _terminate)
    end_on_hangup()
    warnings.filterwarnings("ignore", module=r"PIL\.")
    logging.getLogger("urllib3").setLevel(logging.ERROR)  # its warnings, of odd headers, end in tracebacks
    try:
        outcome: Outcome = options.run(options)
        _show(outcome, as_json=options.json)
    except BrokenPipeError:
        # The reader, such as head, has seen enough; Python must not complain of it at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt as interruption:
        _say_what_goes_on(options)
        return EXIT_SIGNAL + (signal.SIGTERM if isinstance(interruption, _Terminated) else signal.SIGINT)
    except (DogBreedError, OSError, ValueError, BotoCoreError, ClientError, Boto3Error) as error:
        if options.debug:
            traceback.print_exc()
        _print_error(error, reworded(str(error), options), as_json=options.json)
        return EXIT_WRONG_USE if isinstance(error, ConfigurationError) else EXIT_FAILED
    return outcome.exit_code


def _print_error(error: Exception, said: str, *, as_json: bool) -> None:
    """The error in words on standard error, and as a document on standard output where one was asked for."""
    said = without_secrets(said)
    print(f"error: {said}", file=sys.stderr)
    if as_json:
        print(json.dumps({"error": said, "kind": type(error).__name__}))


def _terminate(number: int, frame: Any) -> None:  # noqa: ARG001 - a signal handler's two arguments
    raise _Terminated


def _say_what_goes_on(options: argparse.Namespace) -> None:
    """Jobs and endpoints do not end with the command that started them."""
    note("interrupted")
    for name, kind in output.under_way().items():
        commands = [command_line(options, *(word.format(name=name) for word in words)) for words in _CONTROLS[kind]]
        note(f"{name} goes on: {', '.join(commands)}")


def _show(outcome: Outcome, *, as_json: bool) -> None:
    if outcome.quiet:
        return
    if as_json:
        print_document(outcome.document)
    else:
        outcome.print_text()
    sys.stdout.flush()
