"""torchvision's classification models: names, preprocessing, networks, weights."""

# ruff: noqa: PLC0415 - torch and torchvision load only when a model is built

from __future__ import annotations

import importlib.util
import os
import re
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from training_scripts.data.preprocessing import Preprocessing
from training_scripts.models.spec import BackboneError

if TYPE_CHECKING:
    from torch import nn

# What AWS's PyTorch inference container lacks to serve such a backbone (it has torch and Pillow).
REQUIREMENTS = "torchvision>=0.19\n"

# Extra classifiers that Inception networks have for training only.
AUXILIARY = ("aux1.", "aux2.", "AuxLogits.")

# Networks whose builder sets these arguments only if weights are requested.
_BUILDER_OPTIONS: dict[str, dict[str, int]] = {
    name: {"aux_logits": False, "init_weights": False, "transform_input": True}
    for name in ("googlenet", "inception_v3")
}

# The files of default weights of the registered backbones, as tests verify: where they are is known without importing
# torchvision, which takes seconds.
_URL = "https://download.pytorch.org/models/"
_FILES = {
    "resnet18": "resnet18-f37072fd.pth",
    "resnet50": "resnet50-11ad3fa6.pth",
    "densenet161": "densenet161-8d451a50.pth",
    "mobilenet_v3_large": "mobilenet_v3_large-5c1a4163.pth",
    "efficientnet_b0": "efficientnet_b0_rwightman-7f5810bc.pth",
    "convnext_tiny": "convnext_tiny-983f1562.pth",
}

# The DenseNet files still use names from a torch version that allowed dots in module names.
_OLD_DENSENET_KEY = re.compile(r"^(.*denselayer\d+\.(?:norm|relu|conv))\.([12]\..*)$")


def _models() -> ModuleType:
    try:
        import torchvision
    except ImportError as error:
        raise BackboneError(
            "this backbone needs torchvision, which cannot be imported "
            f"({error}): pip install torchvision, or use efficientnet_lite0."
        ) from error
    models: ModuleType = torchvision.models
    return models


def names() -> list[str]:
    """Names of all classification models of the installed torchvision."""
    models = _models()
    return list(models.list_models(module=models))


def describe(name: str) -> tuple[int, Preprocessing]:
    """Feature width of a model, and the preprocessing of its default weights."""
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
    """A context in which networks are built with parameters that have shapes but no content: fast, and without memory.

    Only `torch.empty`, which creates parameters, uses the meta device. If all tensors were on it, networks that compute
    with tensors while they are built (RegNet) would fail.
    """
    import torch
    from torch.overrides import TorchFunctionMode

    class WithoutContent(TorchFunctionMode):
        def __torch_function__(
            self,
            function: Callable[..., object],
            types: object,
            args: Sequence[object] = (),
            kwargs: dict[str, object] | None = None,
        ) -> object:
            kwargs = kwargs or {}
            return function(*args, **kwargs | {"device": "meta"} if function is torch.empty else kwargs)

    return WithoutContent()


def build(name: str, crop: int) -> nn.Module:
    """Builds a model, classifier included, with random weights."""
    options = {"image_size": crop} if name.startswith("vit_") else _BUILDER_OPTIONS.get(name, {})
    network: nn.Module = _models().get_model(name, weights=None, **options)
    return network


def current_key(key: str) -> str:
    """Translates a state dict's key from the names in old files to the current ones."""
    return _OLD_DENSENET_KEY.sub(r"\1\2", key)


def published(name: str) -> tuple[str, Path]:
    """The URL of a model's default weights, and the file in torch's cache where a download leaves them."""
    if name in _FILES and importlib.util.find_spec("torchvision") is not None:
        url = _URL + _FILES[name]
    else:
        url = str(_models().get_model_weights(name).DEFAULT.url)
    return url, _hub_folder() / "checkpoints" / url.rpartition("/")[2]


def _hub_folder() -> Path:
    """What `torch.hub.get_dir` gives, without importing torch for it."""
    hub = sys.modules.get("torch.hub")
    if hub is not None:
        return Path(hub.get_dir())
    cache = os.environ.get("XDG_CACHE_HOME", "~/.cache")
    return Path(os.environ.get("TORCH_HOME", Path(cache, "torch")), "hub").expanduser()


def download(name: str, *, timeout: float) -> Mapping[str, Any]:
    """Downloads a model's default weights, or reads them from torch's cache.

    Args:
        name: The model.
        timeout: Seconds without data after which the download fails.

    Returns:
        The state dict, checked against the hash in its file's name.

    Raises:
        BackboneError: The download failed; the message says what to do.
    """
    from torch import hub

    url, cached = published(name)
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(timeout)
    try:
        state: Mapping[str, Any] = hub.load_state_dict_from_url(
            url, map_location="cpu", progress=False, check_hash=True, weights_only=True
        )
    except (OSError, RuntimeError, EOFError, ValueError) as error:
        raise BackboneError(
            f"the pretrained weights of {name} cannot be downloaded ({error}). Either fetch {url} elsewhere and "
            f"pass the file with --weights PATH, or copy it to {cached}; or use "
            "--model efficientnet_lite0, whose weights come with its package."
        ) from error
    finally:
        socket.setdefaulttimeout(before)
    return state
