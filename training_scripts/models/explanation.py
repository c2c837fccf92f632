"""Where in a picture the evidence for a class is: a class activation map, computed on the last feature map.

The map is the feature map times the gradient of the class's logit, summed over the channels (HiResCAM: Draelos and
Carin, "Use HiResCAM instead of Grad-CAM for faithful explanations of convolutional neural networks", 2020). Where the
backbone averages the feature map and the head is linear, this is the class activation map of Zhou et al. (CVPR 2016):
its values are what each position adds to the logit, and their mean is the logit less the bias. Hidden layers, in the
head or in the backbone behind the feature map, are replaced by their linear approximation at this picture.

No backbone is named here. The last feature map is found by running the network: it is the last value with channels and
a grid, whatever pools it. A transformer with a class token (ViT) has no grid at its end; for it, the tokens that enter
the last attention count, the last ones of which the class token sees more than itself.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from training_scripts import ScriptError
from training_scripts.models import test_time
from training_scripts.models.model import Model


class ExplanationError(ScriptError):
    """A model cannot be explained; the message gives the reason."""


def contributions(model: Model, pixels: Tensor, index: int) -> Tensor:
    """What each part of a picture adds to the logit of a class.

    Args:
        model: From `training_scripts.models.model.load`.
        pixels: A preprocessed picture, [1, 3, h, w].
        index: The class.

    Returns:
        float32 [rows, columns] on the CPU, in units of the logit: the grid of the last feature map, which lies over
        the whole picture, such as 7 x 7. Its mean is the logit less the bias, exactly if the backbone averages the map
        and the head is linear. Negative values speak against the class.

    Raises:
        ExplanationError: The model has no feature map with a grid.
    """
    pixels = pixels.to(next((parameter.device for parameter in model.parameters()), pixels.device))
    # Two passes, so that only what follows the feature map is kept for the gradient.
    with torch.no_grad(), _FeatureMaps() as all_maps:
        _logits(model, pixels)
    if all_maps.last is None:
        raise ExplanationError(f"the backbone {model.description.backbone} has no feature map with a grid")
    with torch.no_grad(), _FeatureMaps(leaf=all_maps.last) as last:
        logits = _logits(model, pixels)
    [gradient] = torch.autograd.grad(logits[0, index], last.leaf)
    products = (gradient * last.leaf.detach()).float().cpu()
    grids = products.sum(1) if products.ndim == 4 else _grids_of_tokens(products.sum(2))
    # One grid for each view whose features the model averages; those after the first are of mirror images.
    by_position: Tensor = grids[0] + grids[1:].flip(2).sum(0)
    return by_position * by_position.numel()


def _logits(model: Model, pixels: Tensor) -> Tensor:
    """The logits by torch, also of a model whose predictions another engine computes."""
    logits: Tensor = model.head(test_time.features(model.backbone, pixels, model.description.tta))
    return logits


def _grids_of_tokens(values: Tensor) -> Tensor:
    """The values of tokens, [1 + side * side, n], as [n, side, side]; the first is the class token's."""
    side = math.isqrt(len(values) - 1)
    return values[1:].T.reshape(-1, side, side)


class _FeatureMaps(TorchFunctionMode):
    """Finds the value that is the last feature map; in a second pass, gradients are kept from it on.

    It changes nothing for other threads that run the same model at the same time, as hooks of modules would.

    Args:
        leaf: The number of the value that becomes a leaf of the gradient.

    Attributes:
        last: The number of the last feature map so far; None before the first one.
        leaf: The leaf: [n, channels, rows, columns], or tokens [1 + rows * columns, n, channels].
    """

    leaf: Tensor

    def __init__(self, leaf: int | None = None) -> None:
        super().__init__()
        self.last: int | None = None
        self._count = 0
        self._on_grid = True
        self._wanted = leaf

    def __torch_function__(
        self,
        function: Callable[..., Any],
        types: object,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        if function is functional.multi_head_attention_forward and _are_tokens(args[0]) and args[1] is args[0]:
            tokens = self._taken(args[0])
            args = (tokens, tokens, tokens, *args[3:])
        if function is functional.scaled_dot_product_attention:
            # timm's transformers: what follows has heads and tokens, and no grid until a convolution needs one.
            self._on_grid, self.last = False, None
        value = function(*args, **(kwargs or {}))
        self._on_grid = self._on_grid or function is functional.conv2d
        return self._taken(value) if self._on_grid and _is_map(value) else value

    def _taken(self, value: Tensor) -> Tensor:
        self.last = self._count
        self._count += 1
        if self.last != self._wanted:
            return value
        torch.set_grad_enabled(True)  # until the block that disabled it ends
        self.leaf = value.detach().requires_grad_()
        return self.leaf


def _is_map(value: object) -> bool:
    return isinstance(value, Tensor) and value.ndim == 4 and min(value.shape[2:]) > 1 and value.is_floating_point()


def _are_tokens(value: Tensor) -> bool:
    return value.ndim == 3 and value.shape[0] > 1 and math.isqrt(value.shape[0] - 1) ** 2 == value.shape[0] - 1
