"""What is trained: a head, with the backbone below it where pictures rather than stored features come in."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class Network(nn.Module):
    """A head, with the backbone below it where pictures rather than stored features come in.

    Attributes:
        features: What the head was given in the latest forward pass [n, width], cut off from its gradients.
    """

    features: Tensor

    def __init__(
        self, head: nn.Module, backbone: nn.Module | None = None, *, tuned: Sequence[nn.Parameter] = ()
    ) -> None:
        """Joins the two.

        Args:
            head: Features [n, width] -> logits [n, classes].
            backbone: Pictures [n, 3, h, w] -> features; None where the inputs are features.
            tuned: The backbone's trainable parameters; none for a frozen one.
        """
        super().__init__()
        self.head = head
        self.backbone = backbone
        self.tuned = list(tuned)

    def forward(self, inputs: Tensor) -> Tensor:
        """Logits [n, classes]."""
        features = inputs
        if self.backbone is not None:
            with torch.set_grad_enabled(bool(self.tuned) and torch.is_grad_enabled()):
                features = self.backbone(inputs).float()
        self.features = features.detach()
        return self.head(features)

    def train(self, mode: bool = True) -> Network:
        """Switches the head's dropout. The backbone stays in evaluation mode, trained or not.

        Its batch norms keep the statistics of millions of pictures, which a fine-tuning batch cannot better.
        """
        super().train(mode)
        if self.backbone is not None:
            self.backbone.eval()
        return self

    def learned(self) -> dict[str, Tensor]:
        """Copies of the tensors that training changes: `head.*`, and `backbone.*` where blocks are tuned."""
        return {
            name: tensor.detach().to("cpu", copy=True)
            for name, tensor in self.state_dict().items()
            if self.tuned or name.startswith("head.")
        }

    def restore(self, learned: dict[str, Tensor]) -> None:
        """Takes back what `learned` gave.

        Raises:
            ValueError: It is what another network learned.
        """
        found = self.load_state_dict(learned, strict=False)
        missing = [name for name in found.missing_keys if self.tuned or name.startswith("head.")]
        if missing or found.unexpected_keys:
            raise ValueError(f"weights of another network: {', '.join([*missing, *found.unexpected_keys][:3])} …")
