"""Options that several commands share, each with the words of its command."""

from __future__ import annotations

import argparse

from dogbreed_sdk import defaults
from dogbreed_sdk.cli.argument_types import assignment, tag


def add_environment(command: argparse._ActionsContainer, program: str) -> None:
    """Adds ``--environment``; ``program`` is what reads the variables."""
    command.add_argument(
        "--environment",
        type=assignment,
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help=f"an environment variable for {program}; can be repeated",
    )


def add_tags(command: argparse._ActionsContainer) -> None:
    """Adds ``--tag``."""
    command.add_argument(
        "--tag",
        type=tag,
        action="append",
        default=[],
        dest="tags",
        metavar="KEY=VALUE",
        help="a tag for cost reports; can be repeated",
    )


def add_serving(command: argparse._ActionsContainer) -> None:
    """Adds what every use of a model on SageMaker has: image, environment, tags, network isolation."""
    command.add_argument("--image-uri", metavar="URI", help="your own serving image (default: AWS's PyTorch image)")
    command.add_argument(
        "--framework-version",
        metavar="VERSION",
        help=f"PyTorch version of AWS's image (default: {defaults.FRAMEWORK_VERSION})",
    )
    add_environment(command, "the model server")
    add_tags(command)
    command.add_argument("--network-isolation", action="store_true", help="cut the model off from all networks")
