"""A small training loop that tells a watcher what happens, as the Trainer does."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn import functional

from training_scripts.training.callbacks import Watcher
from training_scripts.training.optimizers import light

STEPS, ROWS, CLASSES = 8, 16, 3


def blobs(seed: int = 0, rows: int = ROWS * STEPS, width: int = 8) -> tuple[torch.Tensor, torch.Tensor]:
    """One Gaussian cloud a class: [rows, width] and labels [rows]."""
    generator = torch.Generator().manual_seed(seed)
    centres = 2 * torch.randn(CLASSES, width, generator=torch.Generator().manual_seed(9))
    labels = torch.arange(rows) % CLASSES
    return centres[labels] + torch.randn(rows, width, generator=generator), labels


def train(
    network: nn.Module,
    watcher: Watcher,
    *,
    epochs: int = 3,
    first: int = 0,
    last: int | None = None,
    judged: tuple[torch.Tensor, torch.Tensor] | None = None,
    **facts: Any,
) -> list[float]:
    """Epochs of eight steps, each judged on a valid split; the losses of every step.

    Args:
        network: Is trained.
        watcher: Is told.
        epochs: How many the run has.
        first: Epochs that were done before.
        last: Stop after this one, as a killed job does: without a word to the watcher.
        judged: Inputs and labels of the valid split; by default two batches of blobs.
        facts: More of what the watcher is told as the run begins.
    """
    valid = judged or blobs(99, rows=ROWS * 2)
    told = {
        "hyperparameters": {"epochs": str(epochs), "batch-size": str(ROWS), "lr": "0.05"},
        "steps_per_epoch": STEPS,
        "sizes": {"train": ROWS * STEPS, "valid": len(valid[1])},
        "class_counts": torch.bincount(blobs()[1]).tolist(),
        "classes": ["a", "b", "c"],
        "epoch": first,
        "fingerprint": "f",
    }
    optimizer = light(torch.optim.SGD)(network.parameters(), lr=0.05)
    losses: list[float] = []
    watcher.run_begins(network, told | facts)
    for epoch in range(first, epochs if last is None else last):
        network.train()
        losses += [_step(network, optimizer, watcher, *batch) for batch in _batches(*blobs(epoch))]
        _judge(network, watcher, *valid)
        watcher.epoch_ends(epoch + 1, {})
    if last is None:
        watcher.run_ends()
    return losses


def _batches(inputs: torch.Tensor, labels: torch.Tensor) -> list[tuple[torch.Tensor, torch.Tensor]]:
    return list(zip(inputs.split(ROWS), labels.split(ROWS), strict=True))


def _step(
    network: nn.Module, optimizer: torch.optim.Optimizer, watcher: Watcher, inputs: torch.Tensor, labels: torch.Tensor
) -> float:
    watcher.step_begins("TRAIN")
    watcher.batch_ready("TRAIN", inputs, labels)
    logits = network(inputs)
    watcher.forward_done("TRAIN", logits)
    loss = functional.cross_entropy(logits, labels)
    optimizer.zero_grad()
    loss.backward()
    watcher.backward_done("TRAIN")
    optimizer.step()
    watcher.step_ends("TRAIN", loss.detach(), (logits.argmax(1) == labels).sum(), len(labels))
    return float(loss.detach())


def _judge(network: nn.Module, watcher: Watcher, rows: torch.Tensor, truths: torch.Tensor) -> None:
    network.eval()
    judged = []
    with torch.inference_mode():
        for inputs, labels in _batches(rows, truths):
            watcher.step_begins("EVAL")
            watcher.batch_ready("EVAL", inputs, labels)
            logits = network(inputs)
            watcher.forward_done("EVAL", logits)
            right = (logits.argmax(1) == labels).sum()
            watcher.step_ends("EVAL", functional.cross_entropy(logits, labels), right, len(labels))
            judged.append((logits, labels))
        logits, labels = (torch.cat(parts) for parts in zip(*judged, strict=True))
        watcher.evaluation_ends("valid", logits, labels)
