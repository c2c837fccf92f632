"""The Python of a model server: a layer above the one of local SageMaker, in which the model's code may run pip.

On AWS, whatever a model's code installs ends with its container. Here each start of a server has a virtual environment
of its own, which the server removes when it ends. It begins with the packages of the requirements.txt in the model's
code, which AWS's PyTorch containers install before they start their server.
"""

from __future__ import annotations

import contextlib
import secrets
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dogbreed_sdk._util.log_file import LogFile
from dogbreed_sdk.errors import EndpointNotReadyError
from dogbreed_sdk.local.python.installation import (
    LAYERS_FOLDER,
    REQUIREMENTS_FILE,
    InstallError,
    install,
    pip_environment,
)
from dogbreed_sdk.local.python.requirements import requirements_layers
from dogbreed_sdk.local.python.scripts_python import Layer, ScriptsPython, scripts_python
from dogbreed_sdk.local.script_files import remove_tree
from training_scripts._util.locking import file_lock, is_locked, try_lock

if TYPE_CHECKING:
    from dogbreed_sdk.local.folders import EndpointFolder
    from dogbreed_sdk.local.hosting.model import Deployment

# The file in a layer that its server keeps locked as long as it runs.
_IN_USE_FILE = "in-use"


@dataclass(frozen=True)
class ServerPython:
    """The Python of one model server.

    Attributes:
        layer: The virtual environment.
        lock: A descriptor that the server must inherit: the layer is in use as long as it is open.
    """

    layer: Layer
    lock: int


@contextlib.contextmanager
def server_python(root: Path, folder: EndpointFolder, deployment: Deployment) -> Iterator[ServerPython]:
    """Create the Python of a model server, with the packages that its model's code asks for.

    Args:
        root: The root folder of local SageMaker, where jobs and models with the same requirements share packages.
        folder: The endpoint's folder; its log gets pip's output.
        deployment: What is served; its environment may contain pip's settings.

    Raises:
        EndpointNotReadyError: pip failed.
    """
    # Whatever runs the scripts of jobs, models run in this Python.
    python = scripts_python(sys.executable)
    packages = _required_packages(root, folder, deployment, python)
    with contextlib.ExitStack() as stack:
        with file_lock(folder.pythons / "lock"):
            _remove_unused(folder.pythons)
            layer = Layer(folder.pythons / secrets.token_hex(4), python, packages).create()
            in_use = stack.enter_context((layer.folder / _IN_USE_FILE).open("a"))
            try_lock(in_use.fileno())
        yield ServerPython(layer, in_use.fileno())


def _remove_unused(layers: Path) -> None:
    """Remove the layers of servers that were killed; all others remove theirs."""
    for layer in layers.iterdir():
        if layer.is_dir() and not is_locked(layer / _IN_USE_FILE):
            remove_tree(layer)


def _required_packages(
    root: Path, folder: EndpointFolder, deployment: Deployment, python: ScriptsPython
) -> tuple[Path, ...]:
    """The folders with the packages of a model's requirements.txt; what is there already is not installed again."""
    file = folder.model(deployment.digest) / "code" / REQUIREMENTS_FILE
    if not file.is_file():
        return ()
    log, settings = LogFile(folder.log_of(deployment.variant)), pip_environment(deployment.environment)

    def report(line: str) -> None:
        log.write([line])

    try:
        shared = requirements_layers(file, python, root / LAYERS_FOLDER, settings, report)
        if shared is not None:
            return shared
        layer = _own_layer(folder.container(deployment.digest) / "python", python)
        complete = layer.folder / "complete"
        if not complete.exists():
            install(layer, ["-r", REQUIREMENTS_FILE], file.parent, settings, report)
            complete.touch()
        return (layer.site_packages,)
    except InstallError as error:
        raise EndpointNotReadyError(
            f"The packages in code/{REQUIREMENTS_FILE} could not be installed: {error}"
        ) from error
    finally:
        log.close()


def _own_layer(folder: Path, python: ScriptsPython) -> Layer:
    """The layer of one model, for requirements that name files or addresses, whose content may change."""
    layer = Layer(folder, python)
    if not (folder / "complete").exists():
        remove_tree(folder)
        layer.create()
    return layer
