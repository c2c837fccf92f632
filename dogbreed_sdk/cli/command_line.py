"""Commands to suggest: lines that work when they are pasted, for the place that this command is about."""

from __future__ import annotations

import argparse
import shlex
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from dogbreed_sdk.cli import options as read
from dogbreed_sdk.session import default_root


def command_line(options: argparse.Namespace | None, *words: object) -> str:
    """A further command: the program as it was called, the words, and the options that say where.

    Args:
        options: Those of this command; None where the other one asks no SageMaker.
        words: Name of the other command, and its arguments.
    """
    where = [] if options is None else _where(options)
    return shlex.join([*_program(), *map(str, words), *where])


def _program() -> list[str]:
    """How this program was called, shortly where the shell finds the same one."""
    called = Path(sys.argv[0])
    if called.name == "__main__.py":  # python -m; mostly the command lies beside Python
        called = Path(sys.executable).with_name("dogbreed")
        if not called.exists():
            return [sys.executable, "-m", "dogbreed_sdk"]
    found = shutil.which("dogbreed")
    return ["dogbreed"] if found and called.exists() and Path(found).samefile(called) else [str(called)]


def _where(options: argparse.Namespace) -> Iterator[str]:
    if options.aws:
        yield "--aws"
        for name in ("region", "profile"):
            if getattr(options, name):
                yield from (f"--{name}", getattr(options, name))
    elif read.root(options) != default_root():
        yield from ("--root", str(read.root(options)))
