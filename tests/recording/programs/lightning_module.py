"""A LightningModule as in Lightning's tutorials; one callback records it."""

import argparse

import torch
from blobs import CLASSES, WIDTH, loaders
from pytorch_lightning import LightningModule, Trainer
from torch import nn
from torch.nn import functional

from dogbreed_sdk.recording.lightning import RecorderCallback


class Classifier(LightningModule):
    def __init__(self, lr: float):
        super().__init__()
        self.save_hyperparameters()
        self.network = nn.Sequential(nn.Linear(WIDTH, 32), nn.ReLU(), nn.Linear(32, CLASSES))

    def training_step(self, batch, batch_idx):
        inputs, labels = batch
        loss = functional.cross_entropy(self.network(inputs), labels)
        self.log("train_loss", loss)
        return loss

    def validation_step(self, batch, batch_idx):
        inputs, labels = batch
        self.log("val_loss", functional.cross_entropy(self.network(inputs), labels))

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=self.hparams.lr, momentum=0.9)


parser = argparse.ArgumentParser()
parser.add_argument("folder")
parser.add_argument("--lr", type=float, default=0.05)
args = parser.parse_args()

torch.manual_seed(0)
trainer = Trainer(
    max_epochs=6,
    accelerator="cpu",
    callbacks=[RecorderCallback(args.folder)],
    logger=False,
    enable_checkpointing=False,
    enable_progress_bar=False,
    enable_model_summary=False,
)
trainer.fit(Classifier(args.lr), *loaders())
