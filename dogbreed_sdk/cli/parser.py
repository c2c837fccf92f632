"""The parser of the command line. `commands.py` lists the commands; what all of them share is here.

Only the command that is called gets its arguments, and only its modules are loaded: a completed word or a list of jobs
must not wait for what training needs.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Collection, Sequence
from pathlib import Path

from dogbreed_sdk._version import __version__
from dogbreed_sdk.cli.commands import COMMANDS, Command
from dogbreed_sdk.cli.usage import Parser, refuse_unknown, respelled


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The options of a command line; prints the help and ends the process if it is empty or asks for help.

    Raises:
        ConfigurationError: It is not valid; the message says why, and which help to read.
    """
    parser = make_parser(arguments)
    if not arguments:
        parser.print_help(sys.stderr)
        sys.exit(2)
    options, unknown = parser.parse_known_args(respelled(arguments, parser))
    if unknown:
        refuse_unknown(unknown, options.parser, make_parser())
    return options


def make_parser(words: Collection[str] | None = None) -> Parser:
    """The grammar of the command line.

    Args:
        words: Those of the command line to parse: all commands are known, and those that are named get their
            arguments. Default: all of them do.
    """
    parser = Parser(
        prog="dogbreed",
        description="The whole life of an image classifier: check data, tune, train, deploy, classify, clean up.",
    )
    parser.add_argument("--version", action="version", version=f"dogbreed-sdk {__version__}")
    below = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for entry in COMMANDS:
        if isinstance(entry, Command):
            _add_command(below, entry, words)
            continue
        group = below.add_parser(entry.name, help=entry.summary)
        below_group = group.add_subparsers(metavar="COMMAND", required=True)
        for command in entry.commands:
            _add_command(below_group, command, words)
    return parser


def _add_command(below: argparse._SubParsersAction[Parser], command: Command, words: Collection[str] | None) -> None:
    """Adds a command; if it is named, with its own arguments and the options that all commands share."""
    summary = command.summary
    description, epilog = f"{summary[0].upper()}{summary[1:]}.", f"example: {command.example}"
    parser = below.add_parser(command.name, help=summary, description=description, epilog=epilog)
    if words is None or command.name in words:
        work = command.load()
        _add_shared(parser, command)
        parser.set_defaults(run=work.run, parser=parser)
        work.add_arguments(parser)


def _add_shared(parser: Parser, command: Command) -> None:
    from dogbreed_sdk.cli.options import OF_AWS  # noqa: PLC0415 - the list of commands needs no session

    parser.set_defaults(root=None, aws=False, **dict.fromkeys(OF_AWS))
    common = parser.add_argument_group("common options")
    common.add_argument("--json", action="store_true", help="print one JSON document on standard output")
    common.add_argument("--debug", action="store_true", help="print the traceback of an error")
    if "local" in command.where:
        common.add_argument(
            "--root",
            type=Path,
            metavar="DIR",
            help="folder of local SageMaker (default: $DOGBREED_ROOT, or ~/.dogbreed)",
        )
    if "aws" in command.where:
        _add_aws(common)


def _add_aws(common: argparse._ArgumentGroup) -> None:
    common.add_argument("--aws", action="store_true", help="use SageMaker on AWS instead of this machine")
    common.add_argument("--region", help="AWS region")
    common.add_argument("--profile", help="profile in the AWS configuration")
    common.add_argument("--role", help="IAM role that jobs and models assume (default: $DOGBREED_ROLE)")
    common.add_argument("--bucket", help="S3 bucket (default: $DOGBREED_BUCKET, or SageMaker's default bucket)")
    common.add_argument(
        "--kms-key", metavar="KEY", help="id, alias or ARN of the KMS key for uploads, results and disks"
    )
    common.add_argument(
        "--subnet",
        action="append",
        dest="subnets",
        metavar="ID",
        help="subnet in which jobs and models run; can be repeated",
    )
    common.add_argument(
        "--security-group",
        action="append",
        dest="security_groups",
        metavar="ID",
        help="with --subnet: its security group; can be repeated",
    )
