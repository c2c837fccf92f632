"""What a host of a training job runs: its entry point, in a Python with the packages that it asks for."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dogbreed_sdk._util.log_file import Report
from dogbreed_sdk.local import start_up
from dogbreed_sdk.local.jobs.hosts import Host
from dogbreed_sdk.local.python.installation import REQUIREMENTS_FILE, SETUP_FILE, install, pip_environment
from dogbreed_sdk.local.python.scripts_python import BELOW_FILE, Layer, scripts_python
from dogbreed_sdk.local.script_files import remove_tree

if TYPE_CHECKING:
    from types_boto3_sagemaker.type_defs import AlgorithmSpecificationUnionTypeDef, CreateTrainingJobRequestTypeDef


def container_command(algorithm: AlgorithmSpecificationUnionTypeDef) -> list[str]:
    """The command of a ContainerEntrypoint with its ContainerArguments; empty without an entry point."""
    entrypoint = algorithm.get("ContainerEntrypoint")
    return [*entrypoint, *(algorithm.get("ContainerArguments") or ())] if entrypoint else []


@dataclass(frozen=True)
class Program:
    """What a host runs.

    Attributes:
        script: The script's path, relative to the code folder; empty if the job has a ContainerEntrypoint.
        code: The code folder, in which it runs.
        layer: The host's Python.
        entrypoint: The command of a ContainerEntrypoint.
    """

    script: str
    code: Path
    layer: Layer
    entrypoint: tuple[str, ...] = ()

    def command(self, arguments: Sequence[str]) -> list[str]:
        """The command line, as AWS's toolkit builds it for a module, a Python script or any other program."""
        if self.entrypoint:
            return list(self.entrypoint)
        if self.is_package:
            return [self.layer.python, "-m", self.script.removesuffix(".py").replace("/", "."), *arguments]
        if self.script.endswith(".py"):
            return [self.layer.python, self.script, *arguments]
        return ["/bin/sh", "-c", shlex.join([f"./{self.script}", *arguments])]

    def shown(self, command: Sequence[str]) -> list[str]:
        """A command line for messages: with the Python that the user knows, not the layer above it."""
        return [self.layer.below.executable if word == self.layer.python else word for word in command]

    def environment(self, base: Mapping[str, str]) -> dict[str, str]:
        """A script's environment, with this program's Python, start-up hooks and code folder."""
        modules = start_up.module_folders(self.code)
        return self.layer.environment(base, modules=modules if self.entrypoint else (*modules, self.code))

    @property
    def is_package(self) -> bool:
        """Whether the script is a module of a package, which pip installs."""
        return not self.script.endswith(".sh") and (self.code / SETUP_FILE).is_file()


def remove_installed(hosts: Sequence[Host]) -> None:
    """Remove the packages that scripts have installed: on AWS they end with their containers.

    The virtual environments stay, as a server that a script started may still run in one; without packages, they are
    small.
    """
    for host in hosts:
        for path in host.job.python_of(host.name).glob("lib/python*/site-packages/*"):
            if path.name != BELOW_FILE:
                remove_tree(path)


def prepare(host: Host, script: str, request: CreateTrainingJobRequestTypeDef, layers: Path, report: Report) -> Program:
    """Prepare what a host runs, whose container is staged: its Python, and the packages that its source asks for.

    Args:
        host: The host.
        script: The script; empty if the job has a ContainerEntrypoint.
        request: The CreateTrainingJob request.
        layers: The folder of layers that jobs share.
        report: Called with lines for the host's log.

    Raises:
        InstallError: pip failed.
        ConfigurationError: The scripts' Python is unusable.
    """
    python, code = scripts_python(), host.container / "code"
    entrypoint = tuple(container_command(request["AlgorithmSpecification"]))
    environment = pip_environment(request.get("Environment", {}))
    wanted = code / REQUIREMENTS_FILE
    # As in the toolkit, a shell script installs what it needs itself.
    packages: tuple[Path, ...] | None = ()
    if script.endswith(".py") and wanted.is_file():
        from dogbreed_sdk.local.python.requirements import requirements_layers  # noqa: PLC0415 - most jobs have none

        packages = requirements_layers(wanted, python, layers, environment, report)
    folder = host.job.python_of(host.name)
    remove_tree(folder)
    layer = Layer(folder, python, packages or ()).create()
    program = Program(script, code, layer, entrypoint)
    if packages is None:
        install(layer, ["-r", REQUIREMENTS_FILE], code, environment, report)
    if program.is_package:
        install(layer, ["."], code, environment, report)
    if script and not script.endswith(".py"):
        (code / script).chmod(0o755)
    return program
