"""The ``dogbreed`` command: a thin layer over the library; whatever it does, Python can do too."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command.

    Args:
        arguments: Without the program's name. Default: those of the process.

    Returns:
        The exit status.
    """
    try:
        if "_ARGCOMPLETE" in os.environ:  # a shell wants to complete a line
            from dogbreed_sdk.cli import completion  # noqa: PLC0415

            completion.complete()
        # Importing takes a second, during which Ctrl-C must work as it does later.
        from dogbreed_sdk.cli import program  # noqa: PLC0415

        return program.main(arguments)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 128 + signal.SIGINT
