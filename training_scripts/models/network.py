"""The network to train: a head, preceded by the backbone if the inputs are pictures rather than stored features."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from training_scripts.models import test_time
from training_scripts.models.test_time import TestTimeAugmentation


class Network(nn.Module):
    """A head, preceded by the backbone if the inputs are pictures rather than stored features.

    Attributes:
        features: The head's inputs in the latest forward pass [n, width], without gradients.
    """

    features: Tensor

    def __init__(
        self,
        head: nn.Module,
        backbone: nn.Module | None = None,
        *,
        tuned: Sequence[nn.Parameter] = (),
        tta: TestTimeAugmentation = test_time.NONE,
    ) -> None:
        """Joins head and backbone.

        Args:
            head: Features [n, width] -> logits [n, classes].
            backbone: Pictures [n, 3, h, w] -> features; None if the inputs are features.
            tuned: The backbone's trainable parameters; empty for a frozen backbone.
            tta: The test-time augmentation of pictures in evaluation mode.
        """
        super().__init__()
        self.head = head
        self.backbone = backbone
        self.tuned = list(tuned)
        self._tta = tta

    @property
    def classes(self) -> int:
        """The number of classes: the width of the head's last layer."""
        last = [layer for layer in self.head.modules() if isinstance(layer, nn.Linear)][-1]
        return last.out_features

    def forward(self, inputs: Tensor) -> Tensor:
        """Logits [n, classes]."""
        features = inputs
        if self.backbone is not None:
            tta = test_time.NONE if self.training else self._tta
            with torch.set_grad_enabled(bool(self.tuned) and torch.is_grad_enabled()):
                features = test_time.features(self.backbone, inputs, tta).float()
        self.features = features.detach()
        logits: Tensor = self.head(features)
        return logits

    def train(self, mode: bool = True) -> Network:
        """Switches the head's dropout. The backbone always stays in evaluation mode, even if it is trained.

        Its batch norms keep the statistics of millions of pictures; the statistics of a fine-tuning batch are worse.
        """
        super().train(mode)
        if self.backbone is not None:
            self.backbone.eval()
        return self

    def learned(self) -> dict[str, Tensor]:
        """Copies of the tensors that training changes: `head.*`, and `backbone.*` if blocks are tuned."""
        return {
            name: tensor.detach().to("cpu", copy=True)
            for name, tensor in self.state_dict().items()
            if self.tuned or name.startswith("head.")
        }

    def restore(self, learned: dict[str, Tensor]) -> None:
        """Restores the weights that `learned` returned.

        Raises:
            ValueError: They belong to another network.
        """
        found = self.load_state_dict(learned, strict=False)
        missing = [name for name in found.missing_keys if self.tuned or name.startswith("head.")]
        if missing or found.unexpected_keys:
            raise ValueError(f"weights from another network: {', '.join([*missing, *found.unexpected_keys][:3])} …")
