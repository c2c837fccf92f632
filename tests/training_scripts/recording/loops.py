"""A small training loop that tells a callback what happens, as the Trainer does."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn import functional

from training_scripts.recording.recorder.recorder import Recorder
from training_scripts.training.answers import Answers
from training_scripts.training.callbacks import Callback
from training_scripts.training.optimizers import light

STEPS, ROWS, CLASSES = 8, 16, 3


def blobs(seed: int = 0, rows: int = ROWS * STEPS, width: int = 8) -> tuple[torch.Tensor, torch.Tensor]:
    """One Gaussian cloud a class: [rows, width] and labels [rows]."""
    generator = torch.Generator().manual_seed(seed)
    centers = 2 * torch.randn(CLASSES, width, generator=torch.Generator().manual_seed(9))
    labels = torch.arange(rows) % CLASSES
    return centers[labels] + torch.randn(rows, width, generator=generator), labels


def train(
    network: nn.Module,
    callback: Callback,
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
        callback: Is told.
        epochs: How many the run has.
        first: Epochs that were done before.
        last: Stop after this one, as a killed job does: without a word to the callback.
        judged: Inputs and labels of the valid split; by default two batches of blobs.
        facts: More of what the callback is told as the run begins.
    """
    valid = judged or blobs(99, rows=ROWS * 2)
    optimizer = light(torch.optim.SGD)(network.parameters(), lr=0.0625)
    told = {
        "hyperparameters": {"epochs": str(epochs), "batch-size": str(ROWS), "lr": "0.0625"},
        "steps_per_epoch": STEPS,
        "sizes": {"train": ROWS * STEPS, "valid": len(valid[1])},
        "class_counts": torch.bincount(blobs()[1]).tolist(),
        "classes": ["a", "b", "c"],
        "epoch": first,
        "fingerprint": "f",
        "optimizer": optimizer,
    }
    losses: list[float] = []
    callback.run_begins(network, told | facts)
    for epoch in range(first, epochs if last is None else last):
        network.train()
        losses += [_step(network, optimizer, callback, *batch) for batch in _batches(*blobs(epoch))]
        _judge(network, callback, *valid)
        callback.epoch_ends(epoch + 1, {})
    if last is None:
        callback.run_ends()
    elif isinstance(callback, Recorder):
        wait_until_written(callback)
    return losses


def wait_until_written(recorder: Recorder) -> None:
    """A killed process writes nothing any more when the next one begins."""
    assert recorder._buffer is not None
    assert recorder._buffer._background.wait(120.0)


def _batches(inputs: torch.Tensor, labels: torch.Tensor) -> list[tuple[torch.Tensor, torch.Tensor]]:
    return list(zip(inputs.split(ROWS), labels.split(ROWS), strict=True))


def _step(
    network: nn.Module, optimizer: torch.optim.Optimizer, callback: Callback, inputs: torch.Tensor, labels: torch.Tensor
) -> float:
    callback.step_begins("TRAIN")
    callback.batch_ready("TRAIN", inputs, labels)
    logits = network(inputs)
    callback.forward_done("TRAIN", logits)
    loss = functional.cross_entropy(logits, labels)
    optimizer.zero_grad()
    loss.backward()
    callback.backward_done("TRAIN")
    optimizer.step()
    callback.step_ends("TRAIN", loss.detach(), (logits.argmax(1) == labels).sum(), len(labels))
    return float(loss.detach())


def _judge(network: nn.Module, callback: Callback, rows: torch.Tensor, truths: torch.Tensor) -> None:
    network.eval()
    judged = []
    with torch.inference_mode():
        for inputs, labels in _batches(rows, truths):
            callback.step_begins("EVAL")
            callback.batch_ready("EVAL", inputs, labels)
            logits = network(inputs)
            callback.forward_done("EVAL", logits)
            right = (logits.argmax(1) == labels).sum()
            callback.step_ends("EVAL", functional.cross_entropy(logits, labels), right, len(labels))
            judged.append((logits, labels))
        logits, labels = (torch.cat(parts) for parts in zip(*judged, strict=True))
        callback.evaluation_ends("valid", Answers.of_logits(logits, labels))
