"""The library's messages in the words of the command line: options for arguments, commands that can be pasted."""

from __future__ import annotations

import argparse
import re

from dogbreed_sdk.cli import options as read
from dogbreed_sdk.cli.command_line import command_line
from dogbreed_sdk.session import Session

# How remedies about data sets are written in the library.
_IN_BOTH_WORLDS = re.compile(r"BreedDataset\.\w+\(\)(?: or|, or on the command line with) `dogbreed ([^`]*)`")
_OTHER_PLACES = "\nFor another folder add --root DIR, for SageMaker on AWS --aws."


def reworded(text: str, options: argparse.Namespace) -> str:
    """A message without what only Python's callers can do.

    Args:
        text: What the library says.
        options: The command's.
    """
    root = read.root(options)
    here = repr(Session.local(root))
    elsewhere = _OTHER_PLACES if here in text else ""
    text = text.replace(here, f"local SageMaker in {root}")
    text = re.sub(r"Session\.aws\(region='([^']*)'\)", r"SageMaker on AWS in \1", text)
    text = text.replace("Session.aws(region=None)", "SageMaker on AWS")
    text = re.sub(r"Session\.aws\((\w+)=…\)", r"--\1", text)
    text = text.replace("work without AWS through session=Session.local()", "leave --aws out to work without AWS")
    text = as_command(text)
    text = re.sub(r"'dogbreed (jobs|endpoints)'", lambda match: f"'{command_line(options, match[1])}'", text)
    return text + elsewhere


def as_command(text: str) -> str:
    """A remedy about a data set with the command alone, to be pasted, instead of Python's method or the command."""
    return _IN_BOTH_WORLDS.sub(lambda match: _quoted(f"{command_line(None)} {match[1]}"), text)


def _quoted(command: str) -> str:
    """A command in a sentence, apart from the quotes that it may have itself."""
    return f"`{command}`" if "'" in command else f"'{command}'"
