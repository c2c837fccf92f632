"""A bundle on disk: where it is, whether it is complete, and how its archive is unpacked."""

from __future__ import annotations

import functools
import os
import sys
from pathlib import Path

from dogbreed_sdk import container
from dogbreed_sdk.errors import ConfigurationError


def bundle_path(path: str | os.PathLike[str]) -> Path:
    """The path of a bundle that is given as a path or a file:// URI.

    Raises:
        ConfigurationError: It is a URI with another scheme.
    """
    text = os.fspath(path)
    if "://" not in text:
        return Path(text).expanduser()
    try:
        return container.uri_to_path(text)
    except ValueError as error:
        raise ConfigurationError(
            f"{error}. Download the bundle first, for example with TrainingJob.download_model."
        ) from error


def check(folder: Path) -> None:
    """Checks that a folder holds a bundle, before a process is started for it.

    Raises:
        ConfigurationError: It does not hold one, or the description is invalid.
    """
    from training_scripts.models.bundle import read_description  # noqa: PLC0415 - clients of endpoints do not need it
    from training_scripts.models.bundle_archive import WEIGHTS_FILE  # noqa: PLC0415
    from training_scripts.models.description import BundleError  # noqa: PLC0415

    try:
        read_description(folder)
    except BundleError as error:
        raise ConfigurationError(
            f"{error}. Pass a bundle: the model.tar.gz of a training job, or the folder that it was unpacked to."
        ) from error
    if not (folder / WEIGHTS_FILE).is_file():
        raise ConfigurationError(f"{folder} has no {WEIGHTS_FILE}: unpack the whole model.tar.gz.")


def unpack(archive: Path, folder: Path) -> None:
    """Unpacks the files that a bundle is loaded from, after checking their sizes; its code stays in the archive.

    Raises:
        ConfigurationError: It is not a bundle's archive, or its weights do not have the size of its network.
        OSError: The folder cannot be written.
    """
    from training_scripts.models import bundle_archive  # noqa: PLC0415 - only archives need it
    from training_scripts.models.description import BundleError  # noqa: PLC0415

    names = (bundle_archive.DESCRIPTION_FILE, bundle_archive.WEIGHTS_FILE)
    try:
        bundle_archive.extract(archive, folder, names, check_weights=functools.partial(_check_size, folder))
    except BundleError as error:
        raise ConfigurationError(f"{naming_archive(archive, folder, str(error))}.") from error


def unpack_all(archive: Path, folder: Path) -> None:
    """Unpacks a bundle including its code.

    Raises:
        ConfigurationError: It is not an archive, or not one that is safe to unpack.
        OSError: The folder cannot be written.
    """
    from training_scripts.models import bundle_archive  # noqa: PLC0415 - only archives need it
    from training_scripts.models.description import BundleError  # noqa: PLC0415

    try:
        bundle_archive.extract_all(archive, folder)
    except BundleError as error:
        raise ConfigurationError(f"{error}.") from error


def naming_archive(archive: Path, folder: Path, message: str) -> str:
    """A message about an unpacked bundle that names the archive instead of the temporary folder."""
    return message.replace(str(folder), str(archive))


def _check_size(folder: Path, size: int) -> None:
    """Checks the weights' size before they are unpacked, if torch is loaded anyway."""
    model = sys.modules.get("training_scripts.models.model")
    if model is not None:
        model.check_size(folder, size)
