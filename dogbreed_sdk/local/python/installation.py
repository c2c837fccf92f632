"""Installs packages for a job, with the user's pip and never into the user's environment."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from dogbreed_sdk._util.caller_environment import PROXIES, inherited
from dogbreed_sdk._util.log_file import Report
from dogbreed_sdk._util.processes import dismiss_guard, signal_group, start_guard
from dogbreed_sdk._util.text import shorten
from dogbreed_sdk.local.python.scripts_python import Layer
from training_scripts._util.safe_text import without_secrets

REQUIREMENTS_FILE, SETUP_FILE = "requirements.txt", "setup.py"
# The folder below the root with the layers that jobs and models share; see `requirements`.
LAYERS_FOLDER = "requirements"
_MESSAGE_CHARACTERS = 700


class InstallError(Exception):
    """pip failed; the message is the job's FailureReason, in AWS's form."""


def install(layer: Layer, what: Sequence[str], folder: Path, environment: Mapping[str, str], report: Report) -> None:
    """Run `pip install` in a layer.

    Args:
        layer: The layer.
        what: pip's arguments: `-r requirements.txt`, or `.`.
        folder: The folder to which they are relative.
        environment: The environment from which pip's own settings come.
        report: Called with its output, line by line.

    Raises:
        InstallError: It failed.
    """
    command = [layer.python, "-m", "pip", "install", "--no-input", "--progress-bar", "off", *what]
    report(f"Installing packages: pip install {shlex.join(what)}")
    lines: list[str] = []
    guard: int | None = None
    with subprocess.Popen(
        command,
        cwd=folder,
        env=layer.environment(environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    ) as process:
        try:
            guard = start_guard(process.pid)  # pip must not outlive a supervisor that is killed
            assert process.stdout is not None
            for line in process.stdout:
                lines.append(without_secrets(line.rstrip()))
                report(lines[-1])
            process.wait()
        finally:
            signal_group(process.pid, signal.SIGKILL)
            process.wait()
            if guard is not None:
                dismiss_guard(guard)
    if process.returncode != 0:
        raise InstallError(_failure(process.returncode, lines, what, layer.below.executable))


def pip_environment(request: Mapping[str, str]) -> dict[str, str]:
    """Pip's environment: a script's, and the user's settings that say where packages come from, even with a password.

    It is not the user's whole environment: pip runs code of the job's source, and of packages, to build them.

    Args:
        request: The job's Environment.
    """
    settings = {
        name: value
        for name, value in os.environ.items()
        if name.startswith("PIP_") or name == "SSH_AUTH_SOCK" or name.upper() in PROXIES
    }
    return {**inherited(os.environ), **settings, **request}


def _failure(status: int, lines: list[str], what: Sequence[str], python: str) -> str:
    errors = [line for line in lines if line.startswith("ERROR:")] or lines[-3:] or ["pip printed nothing"]
    if any("No module named pip" in line for line in lines):
        errors.append(f"Install pip for {python}: {python} -m ensurepip")
    kind = "InstallModuleError" if "." in what else "InstallRequirementsError"
    message = shorten("\n".join(errors), _MESSAGE_CHARACTERS)
    command = shlex.join([python, "-m", "pip", "install", *what])
    return f'AlgorithmError: {kind}:\nExitCode {status}\nErrorMessage "{message}"\nCommand "{command}"'
