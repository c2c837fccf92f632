"""Healthy training runs with everything drawn at random, within what practitioners use."""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.optim import Adam, AdamW, Optimizer

from battery.healthy import FULL, SPARSE, sgd, usual
from battery.parts import blobs, cosine, perceptron, thirds, warm_up
from battery.training import Style
from training_scripts.recording.trial.trial import MemoryTrial


def drawn(seed: int) -> MemoryTrial:
    """A healthy run with everything drawn at random, within what practitioners use."""
    torch.manual_seed(seed)
    random = torch.Generator().manual_seed(seed)

    def pick(*values: object) -> object:
        return values[int(torch.randint(len(values), (1,), generator=random))]

    def between(low: float, high: float) -> float:
        return math.exp(math.log(low) + float(torch.rand(1, generator=random)) * math.log(high / low))

    classes, width = int(between(2, 60)), int(between(6, 48))
    counts = int(min(between(40, 200), 3000 / classes))
    data = blobs(random, classes=classes, width=width, counts=counts, distance=between(1.0, 3))  # type: ignore[arg-type]
    depth = int(pick(0, 1, 1, 2, 3))  # type: ignore[call-overload]
    network = perceptron(
        [width, *[int(between(16, 96))] * depth, classes],
        activation=pick(nn.ReLU, nn.ReLU, nn.Tanh),  # type: ignore[arg-type]
        norm=bool(pick(False, False, True)),
        dropout=float(pick(0, 0, 0.2, 0.5)),  # type: ignore[arg-type]
    )
    kind = pick("sgd", "momentum", "adam", "adamw")
    optimizer: Optimizer = {
        "sgd": lambda: sgd(network, between(0.03, 0.3)),
        "momentum": lambda: sgd(network, between(0.005, 0.03), momentum=0.9),
        "adam": lambda: Adam(network.parameters(), between(1e-3, 1e-2)),
        "adamw": lambda: AdamW(network.parameters(), between(1e-3, 1e-2), weight_decay=0.05),
    }[str(kind)]()
    style = pick(
        Style(), FULL, SPARSE, Style(interval=1), Style(full=True, interval=10, loss_interval=10), Style(tensors=False)
    )
    batch = int(between(4, 128))
    epochs = int(min(between(3, 40), 1200 * batch / len(data[1]) + 1))
    return usual(
        seed,
        data,
        network,
        optimizer,
        batch=batch,
        epochs=epochs,
        schedule=pick(None, None, cosine, warm_up, thirds),
        style=style,
    )
