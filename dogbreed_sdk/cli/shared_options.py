"""Options that several commands share, each with the words of its command."""

from __future__ import annotations

import argparse

from dogbreed_sdk import defaults
from dogbreed_sdk.cli.argument_types import assignment, percentage, tag
from dogbreed_sdk.endpoints.kinds import DataCapture
from dogbreed_sdk.errors import ConfigurationError


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


def add_own_code(command: argparse._ActionsContainer) -> None:
    """Adds ``--entry-point`` and ``--source-dir``, the user's own inference code."""
    command.add_argument(
        "--entry-point",
        metavar="FILE",
        help="your own inference.py, which has model_fn and, where AWS's defaults do not fit, input_fn, predict_fn, "
        "output_fn",
    )
    command.add_argument(
        "--source-dir", metavar="DIR", help="directory with the entry point, further modules and requirements.txt"
    )


def add_capture(command: argparse._ActionsContainer) -> None:
    """Adds ``--capture`` and ``--capture-uri``, which `data_capture` reads."""
    command.add_argument(
        "--capture", type=percentage, metavar="PERCENT", help="store this share of requests and responses"
    )
    command.add_argument("--capture-uri", metavar="URI", help="folder for them (default: in the session's bucket)")


def data_capture(options: argparse.Namespace) -> DataCapture | None:
    """What is to be captured; None if nothing was said about it."""
    if options.capture is None:
        refuse_stray(options, ("capture_uri",), "--capture")
        return None
    return DataCapture(options.capture, uri=options.capture_uri)


def refuse_stray(options: argparse.Namespace, names: tuple[str, ...], needed: str) -> None:
    """Refuses options that would be ignored without another one."""
    stray = next((name for name in names if getattr(options, name) is not None), None)
    if stray is not None:
        option = f"--{stray.replace('_', '-')}"
        raise ConfigurationError(f"{option} needs {needed}: add {needed}, or omit {option}.")
