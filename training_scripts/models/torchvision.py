"""What torchvision knows of its classification models: names, preprocessing, networks, weights."""

# ruff: noqa: PLC0415 - torch and torchvision load only when a model is asked for

from __future__ import annotations

import re
import socket
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from training_scripts.data.preprocessing import Preprocessing

if TYPE_CHECKING:
    from torch import nn

# Extra classifiers that Inception networks have for training only.
AUXILIARY = ("aux1.", "aux2.", "AuxLogits.")

# Networks whose builder sets these itself, but only when it is asked for weights.
_BUILDER_OPTIONS: dict[str, dict[str, Any]] = {
    name: {"aux_logits": False, "init_weights": False, "transform_input": True}
    for name in ("googlenet", "inception_v3")
}

# The DenseNet files still have the names of a torch that allowed dots in modules' names.
_OLD_DENSENET_KEY = re.compile(r"^(.*denselayer\d+\.(?:norm|relu|conv))\.([12]\..*)$")


def _models() -> ModuleType:
    from training_scripts.models.backbones import BackboneError

    try:
        from torchvision import models
    except ImportError as error:
        raise BackboneError(
            "this backbone needs torchvision, which cannot be imported "
            f"({error}): pip install torchvision, or use efficientnet_lite0."
        ) from error
    return models


def names() -> list[str]:
    """Names every classification model of the installed torchvision."""
    models = _models()
    return list(models.list_models(module=models))


def describe(name: str) -> tuple[int, Preprocessing]:
    """Gives the feature width of a model, and the preprocessing of its default weights."""
    import torch

    preset = _models().get_model_weights(name).DEFAULT.transforms()
    preprocessing = Preprocessing(
        resize=preset.resize_size[0],
        crop=preset.crop_size[0],
        mean=tuple(preset.mean),
        std=tuple(preset.std),
        interpolation=preset.interpolation.value,
    )
    with without_content():
        network = build(name, preprocessing.crop)
    last = [part for part in network.modules() if isinstance(part, (torch.nn.Linear, torch.nn.Conv2d))][-1]
    return last.in_features if isinstance(last, torch.nn.Linear) else last.in_channels, preprocessing


def without_content() -> AbstractContextManager[object]:
    """A context in which networks are built with parameters that have shapes and no content: at once, in no memory.

    Only what is made with `torch.empty`, as parameters are, goes to the meta device: all of it would break networks
    that compute with tensors while they are built (RegNet).
    """
    import torch
    from torch.overrides import TorchFunctionMode

    class WithoutContent(TorchFunctionMode):
        def __torch_function__(
            self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
        ) -> Any:
            kwargs = kwargs or {}
            return function(*args, **kwargs | {"device": "meta"} if function is torch.empty else kwargs)

    return WithoutContent()


def build(name: str, crop: int) -> nn.Module:
    """Builds a model, classifier included, with random weights."""
    options = _BUILDER_OPTIONS.get(name, {"image_size": crop} if name.startswith("vit_") else {})
    network: nn.Module = _models().get_model(name, weights=None, **options)
    return network


def current_key(key: str) -> str:
    """Translates a state dict's key from the names of old files to today's."""
    return _OLD_DENSENET_KEY.sub(r"\1\2", key)


def download(name: str, *, timeout: float) -> Mapping[str, Any]:
    """Fetches a model's default weights, or takes them from torch's cache.

    Args:
        name: The model.
        timeout: Seconds that the connection may stay silent.

    Returns:
        The state dict, checked against the hash in its file's name.

    Raises:
        BackboneError: They cannot be fetched; the message names the remedies.
    """
    from torch import hub

    from training_scripts.models.backbones import BackboneError

    url = _models().get_model_weights(name).DEFAULT.url
    cache = Path(hub.get_dir(), "checkpoints")
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(timeout)
    try:
        state: Mapping[str, Any] = hub.load_state_dict_from_url(
            url, map_location="cpu", progress=False, check_hash=True, weights_only=True
        )
    except (OSError, RuntimeError, EOFError, ValueError) as error:
        raise BackboneError(
            f"the pretrained weights of {name} cannot be downloaded ({error}). Either fetch {url} elsewhere and "
            f"give the file with --weights PATH, or copy it to {cache / url.rpartition('/')[2]}; or use "
            "--model efficientnet_lite0, whose weights come with its package."
        ) from error
    finally:
        socket.setdefaulttimeout(before)
    return state
