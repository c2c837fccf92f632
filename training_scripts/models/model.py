"""A trained model, ready for inference: the network of a bundle, and its description."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from training_scripts import ScriptError
from training_scripts.data.preprocessing import Preprocessing
from training_scripts.models import backbones, folding, heads, state_dicts, test_time
from training_scripts.models.bundle import read_description, read_weights
from training_scripts.models.bundle_archive import WEIGHTS_FILE
from training_scripts.models.description import BundleDescription, BundleError
from training_scripts.models.rejection import Rejection

# torch.save stores names, shapes and padding beside the tensors.
_BYTES_BESIDE_TENSORS = 1 << 20
_BYTES_BESIDE_A_TENSOR = 4096


class Model(nn.Module):
    """Preprocessed pictures [n, 3, h, w] -> logits [n, classes]; frozen, in evaluation mode.

    Its description's test-time augmentation is part of it.
    """

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
        """How to turn a picture into the model's input."""
        return self.description.preprocessing

    @property
    def temperature(self) -> float:
        """Divisor of the logits that calibrates the probabilities."""
        return self.description.temperature

    @property
    def model_id(self) -> str:
        """SHA-256 of the weights."""
        return self.description.model_id

    @property
    def rejection(self) -> Rejection | None:
        """Rule that recognizes pictures of none of the classes; None if the bundle has no such rule."""
        return self.description.rejection

    def forward(self, pictures: Tensor) -> Tensor:
        """Logits [n, classes]."""
        return self.forward_with_features(pictures)[0]

    def forward_with_features(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """Logits [n, classes], as from `forward`, and the features [n, width] from which they were computed."""
        features = test_time.features(self.backbone, pictures, self.description.tta)
        return self.head(features), features


def load(folder: Path) -> Model:
    """Loads the model of a bundle's folder and verifies its digest.

    The size of model.pth is compared with the network in model.json before the network is built or the file is read.

    Args:
        folder: The bundle's folder: an unpacked model.tar.gz.

    Raises:
        BundleError: The folder is not a bundle, it is damaged, or its weights do not fit its description.
    """
    description = read_description(folder)
    network = _empty(folder, description)
    state = read_weights(folder, description, check_size=lambda size: _check_size(folder, network, size))
    try:
        for part in ("backbone", "head"):
            _fill(network.get_submodule(part), _below(f"{part}.", state))
        _complete(network.backbone, description.backbone)
    except (RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())[:300]
        raise BundleError(f"{folder}: the weights do not fit the network of model.json: {reason}") from error
    if description.rejection:
        try:
            rule = description.rejection.with_tensors(
                _below("rejection.", state), classes=len(description.classes), width=network.width
            )
        except ValueError as error:
            raise BundleError(f"{folder}: the weights do not fit model.json: {error}") from error
        description = replace(description, rejection=rule)
    model = Model(folding.for_inference(network.backbone.eval()), network.head, description)
    return model.eval().requires_grad_(requires_grad=False)


def check_size(folder: Path, size: int) -> None:
    """Checks the size of packed weights against the network in model.json.

    Raises:
        BundleError: The sizes differ, or model.json is invalid.
    """
    _check_size(folder, _empty(folder, read_description(folder)), size)


class _Empty(nn.Module):
    """A bundle's network whose parameters have shapes but no content."""

    def __init__(self, backbone: nn.Module, head: nn.Module, width: int, others: int) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head
        self.width = width
        self.others = others


def _empty(folder: Path, description: BundleDescription) -> _Empty:
    try:
        backbone = backbones.skeleton(description.backbone)
        width = backbones.spec(description.backbone).feature_width
    except ScriptError as error:
        raise BundleError(f"{folder}: cannot build its backbone: {error}") from error
    with torch.device("meta"):
        head = heads.build(description.head, width=width, classes=len(description.classes))
    # The rejection rule stores a float32 mean for each class.
    return _Empty(backbone, head, width, 4 * width * len(description.classes) if description.rejection else 0)


def _check_size(folder: Path, network: _Empty, size: int) -> None:
    tensors = list(network.state_dict().values())
    expected = sum(tensor.numel() * tensor.itemsize for tensor in tensors) + network.others
    if size > expected + _BYTES_BESIDE_TENSORS + len(tensors) * _BYTES_BESIDE_A_TENSOR:
        raise BundleError(
            f"{folder}: the weights do not fit the network of model.json: {WEIGHTS_FILE} has {size / 2**20:,.1f} MiB, "
            f"but that network has {expected / 2**20:,.1f} MiB of weights"
        )


def _fill(part: nn.Module, state: dict[str, Tensor]) -> None:
    """Loads weights into an empty network without copying them.

    Raises:
        RuntimeError: They belong to another network.
        ValueError: They contain numbers that are not finite.
    """
    wanted = part.state_dict()
    shapes_fit = all(name not in wanted or wanted[name].shape == tensor.shape for name, tensor in state.items())
    for name, tensor in state.items() if shapes_fit else ():  # a forged shape may exceed the memory
        if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
            raise ValueError(f"{name} contains numbers that are not finite: the training run has diverged")
    fitting = {name: tensor.to(wanted[name].dtype) if name in wanted else tensor for name, tensor in state.items()}
    part.load_state_dict(state_dicts.versioned(fitting, part), assign=True)


def _complete(backbone: nn.Module, name: str) -> None:
    """Computes the buffers that state dicts leave out, such as the positions of attention in timm's transformers."""
    missing = [path for path, buffer in backbone.named_buffers() if buffer.is_meta]
    if not missing:
        return
    whole = backbones.create(name, weights="none")
    for path in missing:
        parent, _, attribute = path.rpartition(".")
        setattr(backbone.get_submodule(parent), attribute, whole.get_buffer(path))


def _below(prefix: str, state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name[len(prefix) :]: tensor for name, tensor in state.items() if name.startswith(prefix)}
