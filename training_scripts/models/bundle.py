"""The bundle: a self-contained model artifact, written by `bundle_writer` after training, read by serving and the SDK.

    model.json   the model's description: classes in index order, preprocessing, metrics, temperature, model_id
    model.pth    its weights, a state dict (`backbone.*`, `head.*`, and `rejection.*` if it rejects pictures)
    MODEL_CARD.md    the description for people
    code/        inference.py, the modules it needs, and requirements.txt

Reading a description does not require torch. Bundles are untrusted: model.json is checked, and weights are loaded with
`weights_only=True` and must have the digest in model.json.
"""

from __future__ import annotations

import json
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, TYPE_CHECKING

from training_scripts._util import hashing
from training_scripts.models import bundle_archive
from training_scripts.models.bundle_archive import DESCRIPTION_FILE, MAX_DESCRIPTION_BYTES, WEIGHTS_FILE
from training_scripts.models.description import BundleDescription, BundleError

if TYPE_CHECKING:
    import torch


def read_description(path: Path) -> BundleDescription:
    """Reads the description of a bundle; does not require torch, and unpacks nothing.

    Args:
        path: The bundle's folder, or its model.tar.gz.

    Raises:
        BundleError: It is not a bundle, or its model.json is invalid.
    """
    text = bundle_archive.read_description(path) if path.is_file() else _read_from_folder(path)
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BundleError(f"{path}: {DESCRIPTION_FILE} is not JSON ({error})") from error
    try:
        return BundleDescription.from_json(values)
    except ValueError as error:
        raise BundleError(f"{path}: {DESCRIPTION_FILE} is invalid: {error}") from error


def read_weights(
    folder: Path, description: BundleDescription, *, check_size: Callable[[int], object]
) -> dict[str, torch.Tensor]:
    """Reads a bundle's state dict and checks that its bytes have the digest in model.json.

    The file's bytes and its tensors are never in memory at the same time.

    Args:
        folder: The bundle's folder.
        description: Its description.
        check_size: Called with the size of the weights before they are loaded; it may raise.

    Raises:
        BundleError: The weights are missing, have another digest, or contain objects other than plain tensors.
    """
    import torch  # noqa: PLC0415

    path = folder / WEIGHTS_FILE
    try:
        with path.open("rb") as file:
            check_size(_loaded_size(file))
            _check_digest(file, path, description.model_id)
            state = torch.load(file, map_location="cpu", weights_only=True)
    except OSError as error:
        raise BundleError(f"cannot read the bundle's weights {path}: {error.strerror or error}") from error
    except BundleError:
        raise
    except (RuntimeError, pickle.UnpicklingError, EOFError, KeyError, ValueError, TypeError) as error:
        raise BundleError(f"{path} is not a state dict that can be loaded safely") from error
    if not isinstance(state, dict) or not all(_is_plain(value) for value in state.values()):
        raise BundleError(f"{path} is not a state dict: it contains objects other than plain tensors")
    return state


def _loaded_size(file: IO[bytes]) -> int:
    """Memory that the weights will take, in bytes: torch's files are ZIP archives, which may be compressed."""
    size = os.fstat(file.fileno()).st_size
    try:
        with zipfile.ZipFile(file) as parts:
            return max(size, sum(part.file_size for part in parts.infolist()))
    except (zipfile.BadZipFile, ValueError, NotImplementedError):  # torch's older format, or damaged
        return size


def _check_digest(file: IO[bytes], path: Path, expected: str) -> None:
    file.seek(0)
    digest = hashing.sha256(file)
    file.seek(0)
    if digest != expected:
        raise BundleError(
            f"{path} has SHA-256 {digest}, but {DESCRIPTION_FILE} expects {expected}: the file was "
            "damaged or replaced. Download the artifact again."
        )


def _is_plain(value: object) -> bool:
    """Whether it is a dense tensor with content; other tensors would fail only when they are first used."""
    import torch  # noqa: PLC0415

    return isinstance(value, torch.Tensor) and value.layout is torch.strided and not value.is_meta


def _read_from_folder(folder: Path) -> bytes:
    path = folder / DESCRIPTION_FILE
    try:
        with path.open("rb") as file:
            return _bounded(file.read(MAX_DESCRIPTION_BYTES + 1), path)
    except OSError as error:
        raise BundleError(f"{folder} is not a bundle: cannot read {path.name}: {error.strerror}") from error


def _bounded(content: bytes, path: Path) -> bytes:
    if len(content) > MAX_DESCRIPTION_BYTES:
        raise BundleError(f"{path}: {DESCRIPTION_FILE} is larger than {MAX_DESCRIPTION_BYTES >> 20} MiB")
    return content
