"""Which jobs' scripts may run in forks of a fork server: our own entry points, as `jobs.source` packs them.

Other scripts could notice that modules are loaded before they import them, and may have modules of the same names.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dogbreed_sdk import container
from dogbreed_sdk.local.container_image import image_environment
from dogbreed_sdk.local.forking import lease
from dogbreed_sdk.local.forking.client import Fork
from dogbreed_sdk.local.jobs.environment import JOB_MARK
from dogbreed_sdk.local.jobs.launchers import is_distributed
from dogbreed_sdk.local.jobs.program import Program
from dogbreed_sdk.local.python.scripts_python import BELOW_FILE, scripts_executable

_ENTRY_POINTS = {"train_model.py", "hpo.py", "extract_features.py"}
_PACKAGE = "training_scripts"
_SOURCE = {*_ENTRY_POINTS, _PACKAGE, "requirements.txt", "__pycache__"}
# What only our package has.
_RECORDER = "recording/recorder"


def server_for(definition: Mapping[str, Any], hyperparameters: Mapping[str, str]) -> int | None:
    """The descriptor of a fork server for a job that is about to be started; None if its script will not use one.

    Args:
        definition: The CreateTrainingJob request, or a tuning job's definition of training jobs.
        hyperparameters: Those of its hyperparameters that name its program.
    """
    algorithm = definition.get("AlgorithmSpecification") or {}
    program = container.decode_hyperparameter(hyperparameters.get(container.PROGRAM_HYPERPARAMETER, ""))
    if program not in _ENTRY_POINTS or algorithm.get("ContainerEntrypoint") or is_distributed(hyperparameters):
        return None
    if not lease.is_possible(os.environ):
        return None
    held = lease.handed_down(os.environ)
    if held is not None:
        return held
    extra = {**image_environment(algorithm.get("TrainingImage")), **(definition.get("Environment") or {})}
    return lease.SERVERS.descriptor(scripts_executable(), extra)


def start_server() -> None:
    """Start the fork server of jobs without an Environment now, so that the first one need not wait for PyTorch."""
    if lease.is_possible(os.environ) and lease.handed_down(os.environ) is None:
        lease.SERVERS.descriptor(scripts_executable(), {})


def fork_for(program: Program, command: Sequence[str]) -> Fork | None:
    """How a fork server stands in for a program's Python; None if it can't, or if this process has none to ask.

    Args:
        program: The program of a host, whose layer has been created.
        command: The command line that starts it.
    """
    layer, below = program.layer, program.layer.below
    is_plain = not program.entrypoint and not program.is_package and list(command[:2]) == [layer.python, program.script]
    if not is_plain or not _is_ours(program) or layer.packages or _names(layer.site_packages) != {BELOW_FILE}:
        return None
    server = lease.handed_down(os.environ)
    if server is None:
        return None
    return Fork(
        server=server,
        python=below.executable,
        layer=str(layer.folder),
        site_packages=str(layer.site_packages),
        below=below.site_folders,
        added=[] if below.has_pip or not below.pip_wheel else [below.pip_wheel],
        mark=JOB_MARK,
    )


def _is_ours(program: Program) -> bool:
    """Whether a source is ours, without modules that could hide those of a fork server."""
    is_known = program.script in _ENTRY_POINTS and (program.code / _PACKAGE / _RECORDER).is_dir()
    return is_known and _names(program.code) <= _SOURCE


def _names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}
