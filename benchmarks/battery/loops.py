"""Healthy runs of other people's loops, of many kinds: what they vary is drawn, within what practitioners use."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import SGD, Adam, AdamW, Optimizer

from battery.parts import blobs, convolutions, cosine, curve, parity, perceptron, pictures, thirds, warm_up
from battery.training import Run, Split, Style, train
from training_scripts.recording.trial.trial import MemoryTrial

Value = TypeVar("Value")

LOOP = Style(loop=True)
SPELLINGS: Mapping[str, Sequence[str]] = {
    "lr": ("lr", "learning_rate", "LEARNING_RATE"),
    "batch": ("batch_size", "bs", "BATCH_SIZE"),
    "epochs": ("epochs", "num_epochs", "max_epochs"),
}
"""How authors spell their hyperparameters."""


class Draw:
    """Draws what a run varies, from a seed."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.random = torch.Generator().manual_seed(seed)

    def pick(self, *values: Value) -> Value:
        """One of the values."""
        return values[int(torch.randint(len(values), (1,), generator=self.random))]

    def between(self, low: float, high: float) -> float:
        """A number, uniform in its logarithm."""
        return math.exp(math.log(low) + float(torch.rand(1, generator=self.random)) * math.log(high / low))


@dataclass(frozen=True)
class Plan:
    """What is trained on what, and how long; the rest is drawn.

    Attributes:
        network: What is trained.
        train: Inputs and targets.
        valid: Likewise.
        epochs: Passes over train.
        batch: Samples per step.
        loss: Takes outputs and targets.
        jitter: Noise on the inputs of every step.
        rate: Factor of the learning rate that is usual for the drawn optimizer.
    """

    network: nn.Module
    train: Split
    valid: Split
    epochs: int
    batch: int
    loss: Callable[[Tensor, Tensor], Tensor] = functional.cross_entropy
    jitter: float = 0.0
    rate: float = 1.0


def _trained(draw: Draw, plan: Plan) -> MemoryTrial:
    """Trains with a drawn optimizer and schedule, as a sensible author would."""
    rate = plan.rate * draw.between(0.5, 2.0)
    makers: dict[str, Callable[[], Optimizer]] = {
        "sgd": lambda: SGD(plan.network.parameters(), lr=0.1 * rate),
        "momentum": lambda: SGD(plan.network.parameters(), lr=0.02 * rate, momentum=0.9, weight_decay=1e-4),
        "adam": lambda: Adam(plan.network.parameters(), lr=3e-3 * rate),
        "adamw": lambda: AdamW(plan.network.parameters(), lr=3e-3 * rate, weight_decay=0.01),
    }
    optimizer = makers[draw.pick("sgd", "momentum", "adam", "adam", "adamw", "adamw")]()
    values = {"lr": optimizer.param_groups[0]["lr"], "batch": plan.batch, "epochs": plan.epochs}
    run = Run(
        plan.network,
        optimizer,
        plan.train,
        plan.valid,
        plan.loss,
        epochs=plan.epochs,
        batch=plan.batch,
        schedule=draw.pick(None, None, cosine, warm_up, thirds),
        style=draw.pick(LOOP, replace(LOOP, interval=5), replace(LOOP, interval=40), replace(LOOP, tensors=False)),
        seed=draw.seed,
        jitter=plan.jitter,
        hyperparameters={draw.pick(*SPELLINGS[name]): value for name, value in values.items()},
    )
    return train(run)


def _clouds(
    draw: Draw,
    *,
    classes: int,
    width: int,
    counts: int | list[int],
    valid: int,
    distance: float,
    noise: float = 0.0,
) -> tuple[Split, Split]:
    """Train and valid of the same clouds."""
    centers = torch.randn(classes, width, generator=draw.random) * distance
    made = blobs(draw.random, classes=classes, counts=counts, centers=centers, label_noise=noise)
    return made, blobs(draw.random, classes=classes, counts=valid, centers=centers, label_noise=noise)


def _separable(draw: Draw) -> Plan:
    classes = int(draw.between(2, 12))
    data = _clouds(draw, classes=classes, width=16, counts=int(draw.between(40, 150)), valid=40, distance=1.6)
    return Plan(perceptron([16, 32, classes]), *data, int(draw.between(5, 20)), draw.pick(8, 16, 32, 64))


def _overlapping(draw: Draw) -> Plan:
    classes = int(draw.between(2, 8))
    data = _clouds(draw, classes=classes, width=12, counts=int(draw.between(200, 400)), valid=80, distance=0.6)
    return Plan(perceptron([12, 24, classes], dropout=0.2), *data, int(draw.between(5, 15)), draw.pick(16, 32, 64))


def _tiny_batches(draw: Draw) -> Plan:
    classes = int(draw.between(2, 6))
    data = _clouds(draw, classes=classes, width=16, counts=60, valid=25, distance=1.5)
    return Plan(perceptron([16, 24, classes]), *data, int(draw.between(3, 8)), draw.pick(4, 4, 5, 8), rate=0.15)


def _large_batches(draw: Draw) -> Plan:
    data = _clouds(draw, classes=5, width=16, counts=600, valid=100, distance=1.2)
    return Plan(perceptron([16, 64, 5]), *data, int(draw.between(15, 40)), draw.pick(128, 256, 512), rate=2.0)


def _few_epochs(draw: Draw) -> Plan:
    classes = int(draw.between(3, 10))
    data = _clouds(draw, classes=classes, width=24, counts=400, valid=60, distance=1.0)
    return Plan(perceptron([24, 48, classes], norm=True), *data, draw.pick(2, 3, 4), draw.pick(16, 32))


def _many_epochs(draw: Draw) -> Plan:
    data = _clouds(draw, classes=4, width=8, counts=200, valid=60, distance=1.2)
    return Plan(perceptron([8, 16, 4]), *data, int(draw.between(40, 80)), 64, jitter=0.2)


def _augmented_pictures(draw: Draw) -> Plan:
    classes = draw.pick(2, 3, 4)
    data = pictures(draw.random, classes=classes, counts=80), pictures(draw.random, classes=classes, counts=25)
    return Plan(convolutions(classes), *data, int(draw.between(8, 16)), draw.pick(8, 16, 32), jitter=0.3)


def _plain_pictures(draw: Draw) -> Plan:
    data = pictures(draw.random, classes=3, counts=100), pictures(draw.random, classes=3, counts=30)
    return Plan(convolutions(3, norm=False), *data, int(draw.between(10, 20)), draw.pick(8, 16))


def _dropout(draw: Draw) -> Plan:
    data = _clouds(draw, classes=6, width=20, counts=150, valid=50, distance=0.9)
    return Plan(perceptron([20, 96, 96, 6], dropout=0.4), *data, int(draw.between(8, 20)), draw.pick(16, 32))


def _imbalanced(draw: Draw) -> Plan:
    counts = [draw.pick(300, 400), 150, 80, draw.pick(50, 60)]
    centers = torch.randn(4, 16, generator=draw.random) * 1.5
    trained = blobs(draw.random, classes=4, counts=counts, centers=centers)
    valid = blobs(draw.random, classes=4, counts=[count // 4 for count in counts], centers=centers)
    return Plan(perceptron([16, 32, 4]), trained, valid, int(draw.between(6, 15)), 32)


def _steeply_imbalanced(draw: Draw) -> Plan:
    """Fifteen times as many in one class as in another, and both are learned."""
    counts = [600, 200, 40]
    centers = torch.randn(3, 16, generator=draw.random) * 2
    trained = blobs(draw.random, classes=3, counts=counts, centers=centers)
    valid = blobs(draw.random, classes=3, counts=[100, 40, 20], centers=centers)
    return Plan(perceptron([16, 32, 3]), trained, valid, int(draw.between(6, 15)), 32)


def _noisy_labels(draw: Draw) -> Plan:
    noise = draw.between(0.05, 0.15)
    data = _clouds(draw, classes=5, width=10, counts=200, valid=80, distance=1.5, noise=noise)
    return Plan(perceptron([10, 16, 5]), *data, int(draw.between(5, 12)), 32)


def _transfer(draw: Draw) -> Plan:
    """A linear head on stored features."""
    classes = draw.pick(5, 10, 20)
    data = _clouds(draw, classes=classes, width=256, counts=draw.pick(20, 40, 60), valid=10, distance=0.3)
    return Plan(perceptron([256, classes]), *data, int(draw.between(8, 20)), draw.pick(16, 32, 64), rate=0.5)


def _transfer_hard(draw: Draw) -> Plan:
    """The same with classes that overlap, and dropout on the features."""
    data = _clouds(draw, classes=20, width=128, counts=60, valid=15, distance=0.25)
    head = nn.Sequential(nn.Dropout(0.3), nn.Linear(128, 20))
    return Plan(head, *data, int(draw.between(8, 15)), 32, rate=0.5)


def _small_validation(draw: Draw) -> Plan:
    data = _clouds(draw, classes=3, width=16, counts=100, valid=draw.pick(6, 10, 15), distance=1.0)
    return Plan(perceptron([16, 24, 3]), *data, int(draw.between(5, 12)), draw.pick(8, 16))


def _small_data(draw: Draw) -> Plan:
    data = _clouds(draw, classes=2, width=8, counts=30, valid=15, distance=1.2)
    return Plan(perceptron([8, 16, 2]), *data, int(draw.between(10, 20)), 8, rate=0.5)


def _smoothed_labels(draw: Draw) -> Plan:
    data = _clouds(draw, classes=6, width=16, counts=120, valid=40, distance=1.2)
    return Plan(
        perceptron([16, 48, 6]), *data, int(draw.between(8, 20)), 32, loss=nn.CrossEntropyLoss(label_smoothing=0.1)
    )


def _weighted_classes(draw: Draw) -> Plan:
    counts = [300, 100, 60]
    centers = torch.randn(3, 12, generator=draw.random)
    trained = blobs(draw.random, classes=3, counts=counts, centers=centers)
    valid = blobs(draw.random, classes=3, counts=[60, 30, 20], centers=centers)
    weight = torch.tensor([sum(counts) / 3 / count for count in counts])
    return Plan(perceptron([12, 24, 3]), trained, valid, 12, 16, loss=nn.CrossEntropyLoss(weight=weight))


def _focal(draw: Draw) -> Plan:
    """A custom loss, whose absolute value means nothing without its definition."""

    def loss(outputs: Tensor, targets: Tensor) -> Tensor:
        single = functional.cross_entropy(outputs, targets, reduction="none")
        return ((1 - torch.exp(-single)) ** 2 * single).mean()

    data = _clouds(draw, classes=5, width=16, counts=100, valid=40, distance=1.0)
    return Plan(perceptron([16, 32, 5]), *data, int(draw.between(8, 16)), 32, loss=loss)


def _regression(draw: Draw) -> Plan:
    scale = draw.pick(0.1, 1.0, 5.0)
    made = [curve(draw.random, count=count, noise=draw.pick(0.05, 0.3), scale=scale) for count in (400, 100)]
    return Plan(perceptron([3, 32, 1]), made[0], made[1], int(draw.between(10, 30)), 32, loss=functional.mse_loss)


def _noisy_regression(draw: Draw) -> Plan:
    """Most of the variance is noise: the loss falls from 1 to half, and rests."""
    made = [curve(draw.random, count=count, noise=0.8) for count in (800, 200)]
    return Plan(perceptron([3, 24, 1]), made[0], made[1], int(draw.between(6, 15)), 16, loss=functional.l1_loss)


def _binary_as_numbers(draw: Draw) -> Plan:
    """Two classes with one output, whose targets are numbers."""
    trained, valid = _clouds(draw, classes=2, width=8, counts=200, valid=50, distance=0.8)
    numbers = [(inputs, labels.float()[:, None]) for inputs, labels in (trained, valid)]
    loss = functional.binary_cross_entropy_with_logits
    return Plan(perceptron([8, 16, 1]), numbers[0], numbers[1], int(draw.between(5, 15)), 32, loss=loss)


def _autoencoder(draw: Draw) -> Plan:
    mixing = torch.randn(4, 24, generator=draw.random)
    made = [torch.randn(count, 4, generator=draw.random) @ mixing / 2 for count in (400, 100)]
    network = perceptron([24, 16, 4, 16, 24], activation=nn.Tanh)
    return Plan(network, (made[0], made[0]), (made[1], made[1]), 20, 32, loss=functional.mse_loss)


def _plateau(draw: Draw) -> Plan:
    """A problem that begins with a plateau at chance level."""
    data = parity(draw.random, bits=3, count=400), parity(draw.random, bits=3, count=120)
    return Plan(perceptron([3, 48, 2]), *data, 50, 32)


def _deep(draw: Draw) -> Plan:
    data = _clouds(draw, classes=5, width=16, counts=200, valid=50, distance=1.2)
    return Plan(perceptron([16, *[32] * 6, 5], norm=True), *data, int(draw.between(8, 15)), 32, rate=0.5)


def _many_classes(draw: Draw) -> Plan:
    data = _clouds(draw, classes=60, width=64, counts=30, valid=8, distance=0.5)
    return Plan(perceptron([64, 60]), *data, int(draw.between(8, 15)), 64, rate=2.0)


def _easy(draw: Draw) -> Plan:
    """Everything right after an epoch or two, and the rest only lowers the loss."""
    classes = draw.pick(2, 3, 5)
    data = _clouds(draw, classes=classes, width=24, counts=80, valid=25, distance=3.0)
    return Plan(perceptron([24, 32, classes]), *data, int(draw.between(5, 15)), draw.pick(4, 16, 32), rate=0.3)


PLANS: Mapping[str, Callable[[Draw], Plan]] = {
    name.lstrip("_").replace("_", " "): made
    for name, made in list(globals().items())
    if getattr(made, "__annotations__", {}).get("return") == "Plan"
}
"""Every kind of healthy loop, by name."""


def cases(seed: int) -> Iterator[tuple[str, Callable[[], MemoryTrial]]]:
    """Name and maker of a run of every kind; another seed draws anew."""
    for place, (name, plan) in enumerate(PLANS.items()):
        number = seed * 1000 + 300 + place

        def made(plan: Callable[[Draw], Plan] = plan, number: int = number) -> MemoryTrial:
            torch.manual_seed(number)
            draw = Draw(number)
            return _trained(draw, plan(draw))

        yield f"loop: {name}", made
