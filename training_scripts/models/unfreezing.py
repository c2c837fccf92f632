"""Fine-tuning: makes the last layers of a frozen backbone trainable."""

# ruff: noqa: PLC0415 - torch loads only when a backbone is at hand

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from training_scripts.models.spec import BackboneError

if TYPE_CHECKING:
    from torch import nn


def unfreeze_last(backbone: nn.Module, count: int) -> list[nn.Parameter]:
    """Makes the last layers trainable.

    A layer is what the network itself treats as one: a residual or dense block, a convolution with its
    normalization, a transformer block.

    Args:
        backbone: From `create`; it stays in eval mode.
        count: Number of layers, counted from the end.

    Returns:
        Their parameters, in the network's order.

    Raises:
        BackboneError: The backbone has fewer layers.
    """
    layers = _layers(backbone)
    if count > len(layers):
        raise BackboneError(
            f"unfreeze is {count}, but the backbone has {len(layers)} blocks: set unfreeze to at most {len(layers)}."
        )
    chosen = layers[len(layers) - count :]
    parameters = [parameter for layer in chosen for part in layer for parameter in part.parameters()]
    for parameter in parameters:
        parameter.requires_grad_(True)
    return parameters


def _layers(backbone: nn.Module) -> list[list[nn.Module]]:
    from torch import nn

    normalizations = (nn.modules.batchnorm._BatchNorm, nn.LayerNorm, nn.GroupNorm)
    layers: list[list[nn.Module]] = []
    for part in _parts(backbone):
        if layers and isinstance(part, normalizations):
            layers[-1].append(part)
        else:
            layers.append([part])
    return layers


def _parts(module: nn.Module) -> Iterator[nn.Module]:
    from torch import nn

    size = sum(parameter.numel() for parameter in module.parameters())
    for child in module.children():
        own = sum(parameter.numel() for parameter in child.parameters())
        # A child that contains nearly everything is only a wrapper (a vision transformer's encoder).
        if type(child) in (nn.Sequential, nn.ModuleList) or (own > 0.9 * size and list(child.children())):
            yield from _parts(child)
        elif own:
            yield child
