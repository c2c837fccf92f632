"""The ``dogbreed`` command: a thin skin over the library, with nothing of its own."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command.

    Args:
        arguments: Without the program's name. Default: the process's own.

    Returns:
        The exit status.
    """
    try:
        if "_ARGCOMPLETE" in os.environ:  # a shell asks how the line may continue
            from dogbreed_sdk.cli import completion  # noqa: PLC0415

            completion.complete()
        # It takes a second, in which Ctrl-C is one as well.
        from dogbreed_sdk.cli import program  # noqa: PLC0415
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 128 + signal.SIGINT
    return program.main(arguments)
