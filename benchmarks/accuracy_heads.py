"""Heads on features in memory, for `accuracy.py`: the training loop's arithmetic, and more settings."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from training_scripts.models import heads
from training_scripts.models.calibration import fit_temperature
from training_scripts.training import learning_rate
from training_scripts.training.hyperparameters import Hyperparameters

_DEFAULTS = Hyperparameters()


@dataclass(frozen=True)
class Settings:
    """How a head is trained; the first ones are hyperparameters, the others are tried here only.

    Attributes:
        lr: Learning rate.
        weight_decay: Weight decay of AdamW.
        epochs: Passes over the train split.
        batch_size: Pictures per step.
        label_smoothing: Of the loss.
        hidden: Width of a hidden layer; 0 for a linear head.
        dropout: Before the last layer.
        average: Decay of an exponential average of the weights, which is what is kept; 0 for none.
        standardize: Each feature is divided by its standard deviation, after its mean was taken away.
        mix: Parameter of the beta distribution by which pairs of pictures are mixed (mixup); 0 for none.
        mix_views: A random mean of two views of a picture, instead of one view.
    """

    lr: float = _DEFAULTS.lr
    weight_decay: float = _DEFAULTS.weight_decay
    epochs: int = _DEFAULTS.epochs
    batch_size: int = _DEFAULTS.batch_size
    label_smoothing: float = _DEFAULTS.label_smoothing
    hidden: int = 0
    dropout: float = _DEFAULTS.dropout
    average: float = 0.0
    standardize: bool = False
    mix: float = 0.0
    mix_views: bool = False


VARIANTS = {
    "defaults": Settings(),
    "learning rate 1e-3": Settings(lr=1e-3),
    "learning rate 4e-3": Settings(lr=4e-3),
    "weight decay 0.1": Settings(weight_decay=0.1),
    "weight decay 1": Settings(weight_decay=1.0),
    "20 epochs, rate 1e-3": Settings(lr=1e-3, epochs=20),
    "batches of 256, rate 4e-3": Settings(lr=4e-3, batch_size=256),
    "label smoothing 0.1": Settings(label_smoothing=0.1),
    "dropout 0.3": Settings(dropout=0.3),
    "hidden 512, dropout 0.3": Settings(hidden=512, dropout=0.3),
    "standardized features": Settings(standardize=True),
    "weights averaged, 0.99": Settings(average=0.99),
    "weights averaged, 0.999": Settings(average=0.999),
    "pictures mixed, 0.2": Settings(mix=0.2),
    "views mixed": Settings(mix_views=True),
}


class Features:
    """Features [n, views, width] and targets [n] of each split; the plain view first, then its mirror image."""

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        self._tensors = tensors

    def views(self, split: str) -> Tensor:
        """Features [n, views, width]."""
        return self._tensors[f"{split}_x"].float()

    def targets(self, split: str) -> Tensor:
        """Classes [n]."""
        return self._tensors[f"{split}_y"].long()


@dataclass(frozen=True)
class Fit:
    """A trained head, and what is done to features before it: (features - mean) / scale."""

    head: nn.Module
    mean: Tensor
    scale: Tensor

    def logits(self, features: Features, split: str, tta: str) -> Tensor:
        """Logits [n, classes] of a split's plain views, or of the means of both views."""
        views = features.views(split)
        with torch.inference_mode():
            logits: Tensor = self.head(((views.mean(1) if tta == "flip" else views[:, 0]) - self.mean) / self.scale)
        return logits

    def temperature(self, features: Features, tta: str) -> float:
        """Fitted on the valid split."""
        return fit_temperature(self.logits(features, "valid", tta), features.targets("valid"))


def fit(features: Features, settings: Settings, seed: int) -> Fit:
    """Trains a head as a training job does: AdamW, cosine schedule; keeps the epoch with the lowest valid loss."""
    torch.manual_seed(seed)
    views, targets = features.views("train"), features.targets("train")
    width, classes = views.shape[2], int(targets.max()) + 1
    mean, scale = torch.zeros(width), torch.ones(width)
    if settings.standardize:
        mean, scale = views.mean((0, 1)), views.std((0, 1)).clamp(min=1e-6)
    spec = heads.HeadSpec((settings.hidden,) if settings.hidden else (), settings.dropout)
    head = heads.build(spec, width=width, classes=classes)
    average = copy.deepcopy(head)
    optimizer = torch.optim.AdamW(head.parameters(), lr=settings.lr, weight_decay=settings.weight_decay)
    steps, step, best, kept = -(-len(views) // settings.batch_size), 0, float("inf"), head
    for _ in range(settings.epochs):
        head.train()
        for rows in torch.randperm(len(views)).split(settings.batch_size):
            optimizer.param_groups[0]["lr"] = settings.lr * learning_rate.factor(
                "cosine", step / (steps * settings.epochs)
            )
            loss = _loss(head, (_drawn(views, rows, settings) - mean) / scale, targets[rows], settings)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            step += 1
            if settings.average:
                _update(average, head, min(settings.average, (1 + step) / (10 + step)))
        found = Fit(copy.deepcopy(average if settings.average else head).eval(), mean, scale)
        valid = functional.cross_entropy(found.logits(features, "valid", "none"), features.targets("valid"))
        if float(valid) < best:
            best, kept = float(valid), found.head
    return Fit(kept.eval().requires_grad_(False), mean, scale)


def _drawn(views: Tensor, rows: Tensor, settings: Settings) -> Tensor:
    """One random view of each picture, or a random mean of two."""
    first = views[rows, torch.randint(views.shape[1], (len(rows),))]
    if not settings.mix_views:
        return first
    share = torch.rand(len(rows), 1)
    return share * first + (1 - share) * views[rows, torch.randint(views.shape[1], (len(rows),))]


def _loss(head: nn.Module, inputs: Tensor, targets: Tensor, settings: Settings) -> Tensor:
    smoothing = settings.label_smoothing
    if not settings.mix:
        return functional.cross_entropy(head(inputs), targets, label_smoothing=smoothing)
    share = float(torch.distributions.Beta(settings.mix, settings.mix).sample())
    order = torch.randperm(len(inputs))
    logits = head(share * inputs + (1 - share) * inputs[order])
    own = functional.cross_entropy(logits, targets, label_smoothing=smoothing)
    return share * own + (1 - share) * functional.cross_entropy(logits, targets[order], label_smoothing=smoothing)


@torch.no_grad()
def _update(average: nn.Module, head: nn.Module, decay: float) -> None:
    for mean, parameter in zip(average.parameters(), head.parameters(), strict=True):
        mean.lerp_(parameter, 1 - decay)
