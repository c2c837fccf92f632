"""The command ``completion``: prints the script that makes a shell complete ``dogbreed`` with the Tab key."""

from __future__ import annotations

import argparse

from dogbreed_sdk.cli.argument_types import one_of
from dogbreed_sdk.cli.output import Outcome, say

PROGRAM = "dogbreed"
SHELLS = ("bash", "zsh", "fish")


def add(command: argparse.ArgumentParser) -> None:
    """The arguments of ``dogbreed completion``."""
    command.add_argument(
        "shell", type=one_of(SHELLS), choices=SHELLS, help="the shell in which to complete the command"
    )


def run(options: argparse.Namespace) -> Outcome:
    """Prints the shell's script; `completion.complete` answers it."""
    from argcomplete.shell_integration import shellcode  # noqa: PLC0415 - only this command needs it

    script = shellcode([PROGRAM], shell=options.shell)
    return Outcome({"shell": options.shell, "script": script}, say(*script.strip().splitlines()))
