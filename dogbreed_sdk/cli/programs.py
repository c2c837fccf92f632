"""Programs that ``local run`` runs: a script or command as a process, a notebook in a kernel."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from dogbreed_sdk.cli.output import note
from dogbreed_sdk.errors import ConfigurationError

_GRACE_SECONDS = 10.0
_NOTEBOOK, _SCRIPT = ".ipynb", ".py"


@dataclass(frozen=True)
class Program:
    """A program and how to run it.

    Attributes:
        path: The notebook or script; a command as it was given.
        arguments: Its arguments.
        python: The interpreter for a notebook or script; None for a command.
        output: Where an executed notebook goes; None for other programs.
    """

    path: str
    arguments: Sequence[str]
    python: str | None
    output: Path | None = None

    @classmethod
    def of(
        cls, path: str, arguments: Sequence[str], *, python: str | None, output: Path | None, in_place: bool
    ) -> Program:
        """The program that command-line options describe.

        Raises:
            ConfigurationError: There is no such program, or an option does not apply to it.
        """
        kind = Path(path).suffix
        if kind != _NOTEBOOK and (output or in_place):
            raise ConfigurationError("--output and --in-place apply to notebooks only.")
        if kind in (_NOTEBOOK, _SCRIPT):
            if not Path(path).is_file():
                raise ConfigurationError(f"There is no file {path}.")
            found = python_path(python) if python else default_python()
            if kind == _SCRIPT:
                return cls(path, arguments, found)
            if arguments:
                raise ConfigurationError(
                    f"A notebook takes no arguments, but got: {' '.join(arguments)}. Options go before the notebook."
                )
            beside = Path(path) if in_place else Path(path).with_suffix(".executed.ipynb")
            if output and (output.is_dir() or not output.parent.is_dir()):
                raise ConfigurationError(f"{output} can't be written; pass the path of a file in an existing folder.")
            return cls(path, (), found, output or beside)
        if python:
            raise ConfigurationError(f"--python applies to notebooks and .py files, not to {path}.")
        if shutil.which(path) is None:
            raise ConfigurationError(f"{path} is not a notebook, a Python script or a command.")
        return cls(path, arguments, None)

    def run(self, environment: Mapping[str, str], *, quiet_output: bool) -> tuple[int, dict[str, object]]:
        """Run it to its end.

        Args:
            environment: Its environment.
            quiet_output: Whether standard output must stay free: the program's goes to standard error.

        Returns:
            The exit status, as a shell reports it, and a sentence about the run.
        """
        if self.python is not None:
            environment = _activated(self.python, environment)
        if self.output is not None:
            from dogbreed_sdk.cli.notebooks import execute  # noqa: PLC0415 - with optional dependencies

            assert self.python is not None
            status = execute(Path(self.path), self.output, self.python, environment, quiet_output=quiet_output)
            return status, {"program": self.path, "output": str(self.output)}
        command = [*([self.python] if self.python else []), self.path, *self.arguments]
        return _call(command, environment, quiet_output=quiet_output), {"program": self.path}


def _activated(python: str, environment: Mapping[str, str]) -> dict[str, str]:
    """An environment in which a notebook's `!pip` and `!aws` are those of its Python."""
    folder = Path(python).parent
    changed = {**environment, "PATH": f"{folder}{os.pathsep}{environment.get('PATH', os.defpath)}"}
    if (folder.parent / "pyvenv.cfg").is_file():
        changed["VIRTUAL_ENV"] = str(folder.parent)
    return changed


def _call(command: Sequence[str], environment: Mapping[str, str], *, quiet_output: bool) -> int:
    sys.stdout.flush()
    process = subprocess.Popen(command, env=dict(environment), stdout=sys.stderr if quiet_output else None)
    try:
        status = process.wait()
    except BaseException as interruption:
        # Ctrl-C reaches the program too, which may clean up; SIGTERM, which raises a subclass, does not.
        _end(process, (signal.SIGTERM, signal.SIGKILL), wait_first=type(interruption) is KeyboardInterrupt)
        raise
    if status:
        note(f"{command[-1] if len(command) == 1 else ' '.join(command[:2])} ended with exit status {status}")
    return status if status >= 0 else 128 - status


def _end(process: subprocess.Popen[bytes], signals: Sequence[signal.Signals], *, wait_first: bool) -> None:
    """End a program with one signal after the other, each after a while, or at once on another Ctrl-C."""
    for number in (None, *signals) if wait_first else signals:
        if number is not None:
            process.send_signal(number)
        with contextlib.suppress(subprocess.TimeoutExpired, KeyboardInterrupt):
            process.wait(_GRACE_SECONDS)
            return


def default_python() -> str:
    """The Python of the active environment, or the one that runs this."""
    for variable in ("VIRTUAL_ENV", "CONDA_PREFIX"):
        candidate = Path(os.environ.get(variable) or "/nonexistent") / "bin/python"
        if candidate.is_file():
            return str(candidate)
    return sys.executable


def python_path(given: str) -> str:
    """The absolute path of an interpreter that was given as a path, an environment's folder, or a command.

    Raises:
        ConfigurationError: It is not an executable file.
    """
    folder = Path(given).expanduser() / "bin/python"
    found = str(folder) if folder.is_file() else shutil.which(Path(given).expanduser())
    if found is None:
        raise ConfigurationError(f"{given} is not a Python interpreter; pass the path of one, such as venv/bin/python.")
    return os.path.abspath(found)  # noqa: PTH100 - resolving links would leave the virtual environment
