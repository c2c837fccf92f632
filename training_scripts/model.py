"""A trained model, ready to answer: the network of a bundle with all that is needed to use it rightly."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from training_scripts import ScriptError, backbones, heads
from training_scripts.bundle import BundleDescription, BundleError, read_description, read_weights
from training_scripts.pictures import Preprocessing
from training_scripts.rejection import Rejection


class Model(nn.Module):
    """Pictures [n, 3, h, w], preprocessed -> logits [n, classes]; in evaluation mode, and frozen."""

    def __init__(self, backbone: nn.Module, head: nn.Module, description: BundleDescription) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head
        self.description = description

    @property
    def classes(self) -> tuple[str, ...]:
        """Class folders in index order."""
        return self.description.classes

    @property
    def preprocessing(self) -> Preprocessing:
        """What a picture must go through first."""
        return self.description.preprocessing

    @property
    def temperature(self) -> float:
        """What logits are divided by to give honest probabilities."""
        return self.description.temperature

    @property
    def model_id(self) -> str:
        """SHA-256 of the weights."""
        return self.description.model_id

    @property
    def rejection(self) -> Rejection | None:
        """What tells pictures of none of the classes; None where the bundle has no such rule."""
        return self.description.rejection

    def forward(self, pictures: Tensor) -> Tensor:
        """Logits [n, classes]."""
        return self.head(self.backbone(pictures))

    def forward_with_features(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """Logits [n, classes], as `forward` gives them, and the features [n, width] that they were made from."""
        features = self.backbone(pictures)
        return self.head(features), features


def load(folder: Path) -> Model:
    """The model of a bundle's folder, its digest verified.

    Raises:
        BundleError: There is no bundle, it is damaged, or weights and description do not go together.
    """
    description = read_description(folder)
    state = read_weights(folder, description)
    try:
        backbone = backbones.create(description.backbone, weights="none")
        width = backbones.spec(description.backbone).feature_width
    except ScriptError as error:
        raise BundleError(f"{folder}: cannot build its backbone: {error}") from error
    # On the meta device a forged width allocates nothing before the weights have disagreed.
    with torch.device("meta"):
        head = heads.build(description.head, width=width, classes=len(description.classes))
    try:
        backbone.load_state_dict(_below("backbone.", state))
        head.load_state_dict(_below("head.", state), assign=True)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:300]
        raise BundleError(f"{folder}: the weights do not fit the network of model.json: {reason}") from error
    if description.rejection:
        try:
            rule = description.rejection.with_tensors(
                _below("rejection.", state), classes=len(description.classes), width=width
            )
        except ValueError as error:
            raise BundleError(f"{folder}: the weights do not fit model.json: {error}") from error
        description = replace(description, rejection=rule)
    model = Model(backbones.for_inference(backbone.eval()), head, description)
    return model.eval().requires_grad_(requires_grad=False)


def _below(prefix: str, state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name[len(prefix) :]: tensor for name, tensor in state.items() if name.startswith(prefix)}
