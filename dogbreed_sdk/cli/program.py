"""The ``dogbreed`` program: parses the arguments, runs the command, prints its outcome or error.

Exit status: 0 after success, 1 if the work failed, 2 if the command was used wrongly, 130 or 143 after a signal.
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
from types import FrameType

from dogbreed_sdk._util.signals import end_on_hangup
from dogbreed_sdk.cli import output
from dogbreed_sdk.cli.output import Outcome, note, print_document
from dogbreed_sdk.cli.parser import parse
from dogbreed_sdk.cli.terminal import safe_streams
from dogbreed_sdk.errors import ConfigurationError, DogBreedError
from training_scripts._util.safe_text import without_secrets

EXIT_FAILED = 1
EXIT_WRONG_USE = 2
# What shells expect of a program that a signal ended: 128 plus the signal's number.
EXIT_SIGNAL = 128
# How to follow, and how to end, what keeps running without the command that started it.
_CONTROLS = {
    "job": (("logs", "-f", "{name}"), ("stop", "{name}")),
    "search": (("jobs",), ("stop", "{name}")),
    "transform": (("transform", "{name}"), ("stop", "{name}")),
    "endpoint": (("endpoints",), ("delete", "{name}")),
}


class _Terminated(KeyboardInterrupt):
    """SIGTERM, which ends a command as Ctrl-C does."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command.

    Args:
        arguments: Without the program's name. Default: those of the process.

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
    logging.getLogger("urllib3").setLevel(logging.ERROR)  # its warnings about odd headers come with tracebacks
    try:
        outcome: Outcome = options.run(options)
        _show(outcome, as_json=options.json)
    except BrokenPipeError:
        # The reader, such as head, has read enough; Python must not complain about that at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt as interruption:
        _say_what_keeps_running(options)
        return EXIT_SIGNAL + (signal.SIGTERM if isinstance(interruption, _Terminated) else signal.SIGINT)
    except Exception as error:
        if not _is_foreseen(error):
            raise
        from dogbreed_sdk.cli.command_line import in_terms_of_commands  # noqa: PLC0415 - most commands succeed

        if options.debug:
            traceback.print_exc()
        _print_error(error, in_terms_of_commands(str(error), options), as_json=options.json)
        return EXIT_WRONG_USE if isinstance(error, ConfigurationError) else EXIT_FAILED
    return outcome.exit_code


def _is_foreseen(error: Exception) -> bool:
    """Whether a message is enough; anything else is a bug, whose traceback says more."""
    if isinstance(error, (DogBreedError, OSError, ValueError)):
        return True
    if "botocore" not in sys.modules:  # then it raised nothing; importing it takes longer than most commands
        return False
    from boto3.exceptions import Boto3Error  # noqa: PLC0415
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415

    return isinstance(error, (BotoCoreError, ClientError, Boto3Error))


def _print_error(error: Exception, message: str, *, as_json: bool) -> None:
    """Prints an error on standard error, and with ``--json`` also as a document on standard output."""
    message = without_secrets(message)
    print(f"error: {message}", file=sys.stderr)
    if as_json:
        print(json.dumps({"error": message, "kind": type(error).__name__}))


def _terminate(_number: int, _frame: FrameType | None) -> None:
    raise _Terminated


def _say_what_keeps_running(options: argparse.Namespace) -> None:
    """Jobs and endpoints do not end with the command that started them."""
    note("interrupted")
    if not output.under_way():
        return
    from dogbreed_sdk.cli.command_line import command_line  # noqa: PLC0415 - few commands are interrupted
    from dogbreed_sdk.endpoints import left_behind  # noqa: PLC0415 - likewise

    for name, kind in output.under_way().items():
        if kind == "endpoint" and (options.aws or name not in left_behind.names()):
            continue  # it has been deleted again, or is mentioned with its price when the program ends
        follow, end = (command_line(options, *(word.format(name=name) for word in words)) for words in _CONTROLS[kind])
        note(f"{name} keeps running; to follow it: {follow}; to end it: {end}")


def _show(outcome: Outcome, *, as_json: bool) -> None:
    if outcome.quiet:
        return
    if as_json:
        print_document(outcome.document)
    else:
        outcome.print_text()
    sys.stdout.flush()
