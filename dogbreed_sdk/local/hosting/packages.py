"""Installs the requirements.txt of a model's code, as AWS's PyTorch containers do before they start their server."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

from dogbreed_sdk._util.log_file import LogFile
from dogbreed_sdk.errors import EndpointNotReadyError
from dogbreed_sdk.local.folders import EndpointFolder
from dogbreed_sdk.local.jobs.installation import (
    LAYERS_FOLDER,
    REQUIREMENTS_FILE,
    InstallError,
    install,
    pip_environment,
)
from dogbreed_sdk.local.jobs.requirements import requirements_layers
from dogbreed_sdk.local.jobs.script_files import remove_tree
from dogbreed_sdk.local.jobs.scripts_python import Layer, ScriptsPython, scripts_python


def package_folders(
    root: Path, folder: EndpointFolder, digest: str, environment: Mapping[str, str]
) -> tuple[Path, ...]:
    """Make the packages available that a model's code asks for; what is there already is not installed again.

    Args:
        root: The root folder of local SageMaker, where jobs and models with the same requirements share packages.
        folder: The endpoint's folder; its log gets pip's output.
        digest: The digest of the model.
        environment: The model's Environment, which may contain pip's settings.

    Returns:
        The folders to add to the module search path of the model server.

    Raises:
        EndpointNotReadyError: pip failed.
    """
    file = folder.model(digest) / "code" / REQUIREMENTS_FILE
    if not file.is_file():
        return ()
    log = LogFile(folder.log)
    # The model server runs in this Python, whatever runs the scripts of jobs.
    python, settings = scripts_python(sys.executable), pip_environment(environment)

    def report(line: str) -> None:
        log.write([line])

    try:
        shared = requirements_layers(file, python, root / LAYERS_FOLDER, settings, report)
        if shared is not None:
            return shared
        layer = _own_layer(folder.container(digest) / "python", python)
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
