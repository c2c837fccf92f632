"""Further faults of single layers, of the first step, and of labels: each once, in its own variation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import nn
from torch.nn import functional
from torch.optim import Adam, AdamW

from battery.healthy import FULL, sgd, usual
from battery.parts import blobs, convolutions, perceptron, pictures
from battery.training import Run, Style, train
from training_scripts.recording.trial.trial import MemoryTrial

REDUCED, EVERY_STEP = Style(interval=10), Style(interval=1)


def _wide_layer(seed: int, random: torch.Generator) -> MemoryTrial:
    """One layer in the middle begins a hundred times too wide, and the run gets over it."""
    network = perceptron([16, 32, 32, 4])
    network[2].weight.data *= 100
    return usual(seed, blobs(random), network, Adam(network.parameters(), 5e-3), epochs=15, style=REDUCED)


def _equal_weights(seed: int, random: torch.Generator) -> MemoryTrial:
    """All weights of the one hidden layer are the same number."""
    network = perceptron([16, 32, 4])
    for layer in (network[0], network[2]):
        nn.init.constant_(layer.weight, 0.15)
    return usual(seed, blobs(random), network, sgd(network, 0.1), epochs=12, style=REDUCED)


def _forgotten_convolution(seed: int, random: torch.Generator) -> MemoryTrial:
    """The optimizer was not given the first convolution, and the rest learns without it."""
    network = convolutions(3, norm=False)
    rest = [value for name, value in network.named_parameters() if not name.startswith("0.")]
    return usual(seed, pictures(random), network, AdamW(rest, 1e-2), epochs=15, style=REDUCED)


def _leap(seed: int, random: torch.Generator) -> MemoryTrial:
    """Steps so long that the loss jumps at once, and returns to chance level at best."""
    network = perceptron([16, 32, 32, 4])
    made = blobs(random, distance=0.6)
    return usual(seed, made, network, sgd(network, 8.0, momentum=0.9), epochs=15, style=REDUCED)


def _first_step(seed: int, random: torch.Generator) -> MemoryTrial:
    """The first step alone is a thousand times too long: a warm-up the wrong way round."""

    def lower(step: int, run: Run) -> None:
        if step == 1:
            run.optimizer.param_groups[0]["lr"] = 1e-2

    network = perceptron([16, 4])
    optimizer = Adam(network.parameters(), 50.0)
    return usual(seed, blobs(random), network, optimizer, epochs=12, before_step=lower, style=EVERY_STEP)


def _coin_flips(seed: int, random: torch.Generator) -> MemoryTrial:
    """Two of eight classes have the same pictures, so that a coin decides between them."""
    centers = torch.randn(8, 16, generator=random) * 2
    centers[6] = centers[2]
    network = perceptron([16, 32, 8])
    made = Run(
        network,
        AdamW(network.parameters(), 3e-3),
        blobs(random, classes=8, centers=centers, counts=60),
        blobs(random, classes=8, centers=centers, counts=50),
        functional.cross_entropy,
        epochs=10,
        seed=seed,
    )
    return train(replace(made, style=FULL))


MORE: tuple[tuple[str, Callable[[int, torch.Generator], MemoryTrial], tuple[str, ...], int | None], ...] = (
    ("one layer x 100", _wide_layer, ("PoorWeightInitialization",), 0),
    ("equal weights, one hidden layer", _equal_weights, ("PoorWeightInitialization",), 0),
    ("a convolution not in the optimizer", _forgotten_convolution, ("UnchangedTensor",), 0),
    ("learning rate too large, with a leap", _leap, ("LossNotDecreasing", "WeightUpdateRatio", "ExplodingTensor"), 0),
    ("first step a thousand times too long", _first_step, ("WeightUpdateRatio",), 0),
    ("a pair by coin flips", _coin_flips, ("Confusion",), None),
)
"""Name, maker, the rules of which one should find it, and the step from which it is there."""
