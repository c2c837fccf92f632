"""Healthy training runs of all kinds, none of which a rule should complain about."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import nn
from torch.nn import functional
from torch.optim import SGD, Adam, AdamW, Optimizer

from battery.parts import (
    Residual,
    blobs,
    convolutions,
    cosine,
    curve,
    parity,
    perceptron,
    pictures,
    split,
    thirds,
    warm_up,
)
from battery.training import Run, Split, Style, train
from training_scripts.recording.trial.trial import MemoryTrial

FULL = Style(full=True, interval=5)
SPARSE = Style(interval=50)
MSE = "MSELoss_output_0"


def usual(
    seed: int,
    data: Split,
    network: nn.Module,
    optimizer: Optimizer,
    *,
    valid_share: float = 0.25,
    loss: Callable[..., torch.Tensor] = functional.cross_entropy,
    **rest: object,
) -> MemoryTrial:
    """A run with a share of the data as validation."""
    trained, valid = split(data, valid_share)
    return train(Run(network, optimizer, trained, valid if valid_share else None, loss, seed=seed, **rest))  # type: ignore[arg-type]


def sgd(network: nn.Module, rate: float = 0.1, **rest: float) -> Optimizer:
    """Plain or with momentum, of what is trained."""
    return SGD([one for one in network.parameters() if one.requires_grad], lr=rate, **rest)  # type: ignore[arg-type]


def cases(seed: int) -> Iterator[tuple[str, Callable[[], MemoryTrial]]]:
    """Name and maker of every fixed run; another seed gives other data, weights and orders."""
    for place, (name, make) in enumerate(_MAKERS.items()):
        number = seed * 1000 + place

        def made(make: Callable[[int, torch.Generator], MemoryTrial] = make, number: int = number) -> MemoryTrial:
            torch.manual_seed(number)
            return make(number, torch.Generator().manual_seed(number))

        yield name, made


def _linear_sgd(seed: int, random: torch.Generator) -> MemoryTrial:
    network = perceptron([16, 4])
    return usual(seed, blobs(random), network, sgd(network))


def _two_classes(seed: int, random: torch.Generator) -> MemoryTrial:
    network = perceptron([8, 16, 2])
    data = blobs(random, classes=2, width=8, counts=250, distance=0.9)
    return usual(seed, data, network, Adam(network.parameters(), 1e-2))


def _many_classes(seed: int, random: torch.Generator, *, style: Style = SPARSE, rate: float = 1e-2) -> MemoryTrial:
    network = perceptron([64, 120])
    data = blobs(random, classes=120, width=64, counts=14, distance=0.45)
    return usual(
        seed, data, network, AdamW(network.parameters(), rate), batch=64, epochs=12, style=style, schedule=cosine
    )


def _many_classes_hidden(seed: int, random: torch.Generator) -> MemoryTrial:
    network = perceptron([64, 128, 120], dropout=0.3)
    data = blobs(random, classes=120, width=64, counts=14, distance=0.6)
    return usual(seed, data, network, AdamW(network.parameters(), 3e-3), batch=64, epochs=12)


def _many_classes_begin(seed: int, random: torch.Generator) -> MemoryTrial:
    network = perceptron([64, 120])
    data = blobs(random, classes=120, width=64, counts=14, distance=0.5)
    return usual(seed, data, network, AdamW(network.parameters(), 2e-3), batch=64, epochs=2)


def _momentum(seed: int, random: torch.Generator) -> MemoryTrial:
    network = perceptron([16, 32, 32, 5])
    return usual(seed, blobs(random, classes=5), network, sgd(network, 0.05, momentum=0.9), epochs=15, style=FULL)


def _adam_quick(seed: int, random: torch.Generator) -> MemoryTrial:
    network = perceptron([16, 32, 4])
    return usual(seed, blobs(random), network, Adam(network.parameters(), 3e-2), epochs=20)


def _dropout(seed: int, random: torch.Generator) -> MemoryTrial:
    network = perceptron([16, 64, 64, 4], dropout=0.5)
    return usual(seed, blobs(random, distance=0.8, counts=100), network, Adam(network.parameters(), 3e-3), epochs=20)


def _batch_norm(seed: int, random: torch.Generator) -> MemoryTrial:
    network = perceptron([16, 32, 32, 32, 4], norm=True)
    return usual(seed, blobs(random), network, sgd(network, 0.1, momentum=0.9), epochs=15, style=FULL)


def _batch_norm_reductions(seed: int, random: torch.Generator) -> MemoryTrial:
    network = perceptron([16, 32, 32, 4], norm=True)
    return usual(seed, blobs(random, distance=1.0, counts=80), network, AdamW(network.parameters(), 1e-2), epochs=15)


def _noisy_labels(seed: int, random: torch.Generator, *, noise: float = 0.3) -> MemoryTrial:
    network = perceptron([16, 8, 3])
    data = blobs(random, classes=3, counts=200, label_noise=noise)
    return usual(seed, data, network, AdamW(network.parameters(), 3e-3, weight_decay=0.1), epochs=12)


def _very_noisy_labels(seed: int, random: torch.Generator) -> MemoryTrial:
    network = perceptron([8, 2])
    data = blobs(random, classes=2, width=8, counts=400, label_noise=0.7)
    return usual(seed, data, network, AdamW(network.parameters(), 1e-2, weight_decay=0.1), epochs=12)


def _single_pictures(seed: int, random: torch.Generator) -> MemoryTrial:
    network = perceptron([16, 16, 3])
    return usual(
        seed, blobs(random, classes=3, counts=50, distance=1.0), network, sgd(network, 0.01), batch=1, epochs=6
    )


def _small_batches_noise(seed: int, random: torch.Generator) -> MemoryTrial:
    network = perceptron([16, 3])
    data = blobs(random, classes=3, counts=100, label_noise=0.2)
    return usual(seed, data, network, sgd(network, 0.005), batch=2, epochs=6)


def _whole_batches(seed: int, random: torch.Generator) -> MemoryTrial:
    network = perceptron([16, 32, 4])
    return usual(seed, blobs(random), network, sgd(network, 0.5), batch=1000, epochs=150, style=FULL)


def _tiny_set(seed: int, random: torch.Generator) -> MemoryTrial:
    network = perceptron([8, 16, 2])
    return usual(
        seed,
        blobs(random, classes=2, width=8, counts=12),
        network,
        Adam(network.parameters(), 1e-2),
        batch=8,
        epochs=30,
    )


def _tiny_wide(seed: int, random: torch.Generator) -> MemoryTrial:
    network = perceptron([32, 5])
    data = blobs(random, classes=5, width=32, counts=8, distance=1.5)
    return usual(seed, data, network, AdamW(network.parameters(), 5e-3), batch=8, epochs=25, style=FULL)


def _long(seed: int, random: torch.Generator) -> MemoryTrial:
    network = perceptron([16, 32, 4])
    data = blobs(random, counts=100)
    return usual(seed, data, network, sgd(network, 0.05, momentum=0.9), epochs=150, style=SPARSE)


def _long_adam(seed: int, random: torch.Generator) -> MemoryTrial:
    network = perceptron([16, 24, 3])
    data = blobs(random, classes=3, counts=100, distance=1.5)
    return usual(seed, data, network, AdamW(network.parameters(), 3e-3), epochs=200, style=SPARSE)


def _short(seed: int, random: torch.Generator, *, counts: int = 60) -> MemoryTrial:
    network = perceptron([16, 32, 4])
    return usual(seed, blobs(random, counts=counts), network, Adam(network.parameters(), 3e-3), epochs=1)


def _few_epochs(seed: int, random: torch.Generator) -> MemoryTrial:
    network = perceptron([16, 32, 4])
    return usual(seed, blobs(random, distance=1.0), network, Adam(network.parameters(), 1e-3), epochs=3, style=FULL)


def _creeping(seed: int, random: torch.Generator) -> MemoryTrial:
    network = perceptron([16, 32, 4])
    return usual(seed, blobs(random), network, sgd(network, 0.003), epochs=30)


def _good_start(seed: int, random: torch.Generator, *, rate: float = 1e-3, style: Style = FULL) -> MemoryTrial:
    network = perceptron([16, 32, 4])
    data = blobs(random)
    usual(seed, data, network, Adam(network.parameters(), 1e-2), epochs=20)
    return usual(seed, data, network, sgd(network, rate, momentum=0.9), epochs=10, style=style)


def _good_start_noisy(seed: int, random: torch.Generator) -> MemoryTrial:
    network = perceptron([16, 5])
    data = blobs(random, classes=5, counts=100, label_noise=0.2)
    usual(seed, data, network, Adam(network.parameters(), 1e-2), epochs=30)
    return usual(seed, data, network, Adam(network.parameters(), 1e-3), epochs=8)


def _converged(seed: int, random: torch.Generator) -> MemoryTrial:
    network = perceptron([16, 32, 3])
    data = blobs(random, classes=3, distance=4.0)
    usual(seed, data, network, Adam(network.parameters(), 1e-2), epochs=60)
    return usual(seed, data, network, Adam(network.parameters(), 1e-3), epochs=20)


def _to_nothing(seed: int, random: torch.Generator) -> MemoryTrial:
    network = perceptron([16, 64, 3])
    data = blobs(random, classes=3, distance=5.0)
    return usual(seed, data, network, Adam(network.parameters(), 1e-2), epochs=120, style=FULL)


def _plateau(seed: int, random: torch.Generator, *, bits: int = 4) -> MemoryTrial:
    network = perceptron([bits, 32, 2])
    return usual(seed, parity(random, bits=bits), network, Adam(network.parameters(), 3e-3), epochs=60)


def _plateau_sgd(seed: int, random: torch.Generator) -> MemoryTrial:
    network = perceptron([3, 32, 2], activation=nn.Tanh)
    return usual(seed, parity(random, bits=3), network, sgd(network, 0.1, momentum=0.9), epochs=60, style=FULL)


def _smoothing(seed: int, random: torch.Generator) -> MemoryTrial:
    network = perceptron([16, 32, 4])
    loss = nn.CrossEntropyLoss(label_smoothing=0.1)
    return usual(seed, blobs(random), network, Adam(network.parameters(), 1e-2), loss=loss, epochs=30)


def _cosine(seed: int, random: torch.Generator) -> MemoryTrial:
    network = perceptron([16, 32, 4])
    return usual(seed, blobs(random), network, sgd(network, 0.2, momentum=0.9), epochs=20, schedule=cosine, style=FULL)


def _warm_up(seed: int, random: torch.Generator) -> MemoryTrial:
    network = perceptron([16, 64, 64, 4])
    return usual(seed, blobs(random), network, AdamW(network.parameters(), 1e-2), epochs=15, schedule=warm_up)


def _thirds(seed: int, random: torch.Generator) -> MemoryTrial:
    network = perceptron([16, 32, 4])
    return usual(seed, blobs(random, distance=1.0), network, sgd(network, 0.2), epochs=24, schedule=thirds)


def _deep(seed: int, random: torch.Generator) -> MemoryTrial:
    network = perceptron([16, *[32] * 8, 4])
    return usual(seed, blobs(random, counts=100), network, Adam(network.parameters(), 1e-3), epochs=40)


def _deep_norm(seed: int, random: torch.Generator) -> MemoryTrial:
    network = perceptron([16, *[24] * 10, 4], norm=True)
    return usual(seed, blobs(random, counts=100), network, sgd(network, 0.05, momentum=0.9), epochs=15, style=FULL)


def _deep_residual(seed: int, random: torch.Generator) -> MemoryTrial:
    network = Residual(16, 4)
    return usual(seed, blobs(random, counts=80), network, AdamW(network.parameters(), 1e-3), epochs=15)


def _deep_tanh(seed: int, random: torch.Generator) -> MemoryTrial:
    network = perceptron([16, *[32] * 5, 4], activation=nn.Tanh)
    return usual(seed, blobs(random, counts=80), network, Adam(network.parameters(), 2e-3), epochs=20, style=FULL)


def _sigmoid(seed: int, random: torch.Generator) -> MemoryTrial:
    network = perceptron([16, 32, 4], activation=nn.Sigmoid)
    return usual(seed, blobs(random), network, sgd(network, 0.5, momentum=0.9), epochs=20)


def _sigmoids_adam(seed: int, random: torch.Generator) -> MemoryTrial:
    network = perceptron([16, 32, 32, 32, 4], activation=nn.Sigmoid)
    return usual(seed, blobs(random, counts=100), network, Adam(network.parameters(), 1e-2), epochs=40, style=FULL)


def _tanh_long(seed: int, random: torch.Generator) -> MemoryTrial:
    network = perceptron([16, 16, 4], activation=nn.Tanh)
    return usual(seed, blobs(random), network, Adam(network.parameters(), 2e-2), epochs=150, style=SPARSE)


def _pictures(seed: int, random: torch.Generator) -> MemoryTrial:
    network = convolutions(3)
    return usual(seed, pictures(random), network, Adam(network.parameters(), 1e-2), epochs=10, batch=16)


def _pictures_full(seed: int, random: torch.Generator) -> MemoryTrial:
    network = convolutions(4, norm=False)
    data = pictures(random, classes=4)
    return usual(seed, data, network, sgd(network, 0.1, momentum=0.9), epochs=25, batch=16, style=FULL)


def _regression(seed: int, random: torch.Generator, *, scale: float = 1.0) -> MemoryTrial:
    network = perceptron([3, 32, 1])
    rest = {"loss": functional.mse_loss, "loss_name": MSE, "epochs": 30}
    return usual(seed, curve(random, scale=scale), network, Adam(network.parameters(), 1e-2), **rest)  # type: ignore[arg-type]


def _regression_tiny_loss(seed: int, random: torch.Generator) -> MemoryTrial:
    return _regression(seed, random, scale=1e-2)


def _regression_large_loss(seed: int, random: torch.Generator) -> MemoryTrial:
    return _regression(seed, random, scale=50.0)


def _regression_full(seed: int, random: torch.Generator) -> MemoryTrial:
    network = perceptron([3, 32, 32, 1], activation=nn.Tanh)
    optimizer = sgd(network, 0.05, momentum=0.9)
    return usual(
        seed,
        curve(random),
        network,
        optimizer,
        loss=functional.smooth_l1_loss,
        loss_name="SmoothL1Loss_output_0",
        epochs=30,
        style=FULL,
    )


def _binary(seed: int, random: torch.Generator) -> MemoryTrial:
    network = perceptron([8, 16, 1])
    inputs, labels = blobs(random, classes=2, width=8, counts=100, distance=0.8)
    data = inputs, labels.float()[:, None]
    loss = functional.binary_cross_entropy_with_logits
    return usual(
        seed, data, network, Adam(network.parameters(), 1e-2), loss=loss, loss_name="BCEWithLogitsLoss_output_0"
    )


def _uneven_classes(seed: int, random: torch.Generator) -> MemoryTrial:
    network = perceptron([16, 32, 4])
    return usual(seed, blobs(random, counts=[200, 120, 60, 40]), network, Adam(network.parameters(), 5e-3), epochs=15)


def _frozen(seed: int, random: torch.Generator) -> MemoryTrial:
    network = perceptron([16, 64, 64, 4])
    for parameter in [*network.parameters()][:4]:
        parameter.requires_grad_(False)
    return usual(seed, blobs(random), network, sgd(network, 0.1), epochs=15, style=FULL)


def _head_from_zero(seed: int, random: torch.Generator) -> MemoryTrial:
    network = perceptron([32, 10])
    nn.init.zeros_(network[0].weight)
    nn.init.zeros_(network[0].bias)
    data = blobs(random, classes=10, width=32, counts=40, distance=0.7)
    return usual(seed, data, network, AdamW(network.parameters(), 1e-2), epochs=12)


def _no_validation(seed: int, random: torch.Generator) -> MemoryTrial:
    network = perceptron([16, 32, 4])
    return usual(seed, blobs(random), network, Adam(network.parameters(), 5e-3), valid_share=0.0, epochs=12)


def _losses_only(seed: int, random: torch.Generator) -> MemoryTrial:
    network = perceptron([16, 32, 4])
    style = Style(tensors=False, answers=False)
    return usual(seed, blobs(random, distance=0.6), network, sgd(network, 0.05), epochs=12, style=style)


def _sparse_losses(seed: int, random: torch.Generator) -> MemoryTrial:
    network = perceptron([16, 32, 4])
    style = Style(full=True, interval=10, loss_interval=10, answers=False)
    return usual(seed, blobs(random), network, Adam(network.parameters(), 5e-3), epochs=20, style=style)


def _sparse_five(seed: int, random: torch.Generator) -> MemoryTrial:
    network = perceptron([16, 24, 3])
    style = Style(full=True, interval=5, loss_interval=5, answers=False)
    return usual(seed, blobs(random, classes=3, distance=0.8), network, sgd(network, 0.1), epochs=12, style=style)


def _hard_classes(seed: int, random: torch.Generator) -> MemoryTrial:
    network = perceptron([8, 16, 6])
    data = blobs(random, classes=6, width=8, counts=80, distance=0.6)
    return usual(seed, data, network, AdamW(network.parameters(), 5e-3), epochs=15)


def _shifted_inputs(seed: int, random: torch.Generator) -> MemoryTrial:
    network = perceptron([16, 32, 32, 4])
    return usual(seed, blobs(random, offset=3.0), network, Adam(network.parameters(), 3e-3), epochs=20)


_MAKERS: dict[str, Callable[..., MemoryTrial]] = {
    name.lstrip("_").replace("_", " "): made
    for name, made in list(globals().items())
    if callable(made) and name.startswith("_") and getattr(made, "__module__", "") == __name__
}
