"""Backbone weights as state dicts: reads them from a file, loads them into a network, identifies them by a digest."""

# ruff: noqa: PLC0415 - torch loads only when weights are read

from __future__ import annotations

import hashlib
import pickle
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from training_scripts.models import torchvision
from training_scripts.models.spec import BackboneError

if TYPE_CHECKING:
    import torch
    from torch import nn


def read(path: Path) -> Mapping[str, Any]:
    """Reads a state-dict file without running code in it; unwraps an outer `state_dict` or `model` entry.

    Raises:
        BackboneError: The file is missing, or is not a state dict.
    """
    import torch

    if not path.is_file():
        raise BackboneError(
            f"the weights file {path} does not exist: pass pretrained, none, or the path of a state-dict file."
        )
    try:
        if path.suffix == ".safetensors":
            return _read_safetensors(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        reason = (str(error).splitlines() or [repr(error)])[0]
        raise BackboneError(
            f"{path} cannot be read as a state dict ({reason}). Save one with torch.save(model.state_dict(), path)."
        ) from error
    for wrapper in ("state_dict", "model"):
        if isinstance(state, Mapping) and isinstance(state.get(wrapper), Mapping):
            state = state[wrapper]
    if not isinstance(state, Mapping) or not all(isinstance(key, str) for key in state):
        raise BackboneError(f"{path} contains a {type(state).__name__}, not a state dict.")
    return state


def _read_safetensors(path: Path) -> Mapping[str, torch.Tensor]:
    """Reads the format of files on the Hugging Face Hub."""
    try:
        from safetensors import SafetensorError
        from safetensors.torch import load_file
    except ImportError as error:
        raise BackboneError(
            f"{path} needs the package safetensors ({error}): pip install 'dogbreed-sdk[timm]'."
        ) from error
    try:
        return load_file(path)
    except SafetensorError as error:
        raise ValueError(str(error)) from error


def load(network: nn.Module, state: Mapping[str, Any], *, classifiers: Sequence[str], what: str) -> None:
    """Loads weights into a backbone; accepts the usual wrappers and old names of keys.

    Args:
        network: The backbone, without its classifier.
        state: Weights of the whole network or of the backbone.
        classifiers: Names of the layers that were removed; their weights are ignored.
        what: The backbone and the source of the weights, for errors.

    Raises:
        BackboneError: A weight is missing, unknown or of another shape.
    """
    given = {torchvision.current_key(key): value for key, value in _unwrapped(state).items()}
    wanted = network.state_dict()
    missing = [key for key in wanted if key not in given and not key.endswith("num_batches_tracked")]
    dropped = (*(f"{classifier}." for classifier in classifiers), *torchvision.AUXILIARY)
    unexpected = [key for key in given if key not in wanted and not key.startswith(dropped)]
    shapes = [key for key in wanted if key in given and getattr(given[key], "shape", None) != wanted[key].shape]
    for fault, keys in (("lack", missing), ("have unknown", unexpected), ("have other shapes for", shapes)):
        if keys:
            raise BackboneError(
                f"the weights do not fit {what}: they {fault} {', '.join(keys[:3])}"
                f"{f' and {len(keys) - 3} more' if len(keys) > 3 else ''}. Does the file belong to another network?"
            )
    network.load_state_dict(versioned({key: given.get(key, wanted[key]) for key in wanted}, network))


def versioned(state: Mapping[str, torch.Tensor], network: nn.Module) -> Mapping[str, torch.Tensor]:
    """The state dict marked with the version of the network's own layout, which MNASNet requires."""
    marked = OrderedDict(state)
    marked._metadata = {"": network.state_dict()._metadata[""]}  # type: ignore[attr-defined]
    return marked


def digest(state: Mapping[str, torch.Tensor]) -> str:
    """Identifies weights: SHA-256, hexadecimal, over the names, types, shapes and values of a state dict."""
    total = hashlib.sha256()
    for key in sorted(state):
        tensor = state[key].detach().cpu().contiguous()
        total.update(f"{key}\0{tensor.dtype}\0{tuple(tensor.shape)}\0".encode())
        total.update(tensor.numpy().tobytes())
    return total.hexdigest()


def _unwrapped(state: Mapping[str, Any]) -> dict[str, Any]:
    for prefix in ("backbone.", "module."):
        inner = {key[len(prefix) :]: value for key, value in state.items() if key.startswith(prefix)}
        if inner:
            return inner
    return dict(state)
