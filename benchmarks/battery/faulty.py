"""Training runs with a known fault that begins at a known step, and the rules that should find it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import torch
from torch import nn
from torch.nn import functional
from torch.optim import Adam, AdamW

from battery.healthy import FULL, MSE, sgd, usual
from battery.more_faults import MORE
from battery.parts import blobs, convolutions, curve, perceptron, pictures
from battery.training import Run, Style, train
from training_scripts.recording.trial.trial import MemoryTrial

REDUCED, EVERY_STEP = Style(interval=10), Style(interval=1)
LIKE_SMDEBUG = Style(full=True, interval=5, loss_interval=5, activations=False, answers=False)


@dataclass(frozen=True)
class Fault:
    """A faulty run.

    Attributes:
        name: The fault and its variant.
        make: Trains it.
        rules: One of these should find it.
        begins: The TRAIN step from which it is there; None where it builds up slowly.
        causes: Ids of the causes of which the report should name one (`training_scripts.rules.causes.catalog`).
    """

    name: str
    make: Callable[[], MemoryTrial]
    rules: tuple[str, ...]
    begins: int | None = 0
    causes: tuple[str, ...] = ()


CAUSES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("vanishing", ("vanishing-gradients",)),
    ("exploding: a NaN", ("nan-input",)),
    ("exploding", ("learning-rate-too-high",)),
    ("learning rate zero", ("learning-rate-too-low", "weights-not-updated")),
    ("learning rate", ("learning-rate-too-high",)),
    ("all-zero", ("bad-initialization",)),
    ("dead", ("dead-relus",)),
    ("saturated", ("saturated-activations", "bad-initialization")),
    ("overfitting", ("overfitting",)),
    ("rising loss: uphill", ("wrong-sign",)),
    ("rising loss: shuffled", ("shuffled-labels",)),
    ("rising loss: rate", ("learning-rate-too-high",)),
    ("a class starved: relabeled", ("class-imbalance", "confused-classes")),
    ("a class starved", ("class-imbalance",)),
    ("one layer x 100", ("bad-initialization",)),
    ("equal weights", ("bad-initialization",)),
    ("a convolution not in", ("layers-not-updated",)),
    ("first step", ("learning-rate-too-high",)),
    ("a pair by coin", ("confused-classes",)),
)
"""Beginning of a fault's name, and ids of the causes that the report should name; the first that fits."""


def causes_of(name: str) -> tuple[str, ...]:
    """Ids of the causes of a fault."""
    return next((causes for begin, causes in CAUSES if name.startswith(begin)), ())


Maker = Callable[[int, torch.Generator], MemoryTrial]
_VARIANTS: list[tuple[str, Maker, tuple[str, ...], int | None]] = []

STUCK = ("LossNotDecreasing",)
STILL = ("LossNotDecreasing", "UnchangedTensor", "WeightUpdateRatio")
WILD = ("LossNotDecreasing", "ExplodingTensor", "WeightUpdateRatio", "DeadRelu")


def faults(seed: int) -> Iterator[Fault]:
    """Every faulty run; another seed gives other data, weights and orders."""
    for place, (name, make, rules, begins) in enumerate((*_VARIANTS, *MORE)):
        number = seed * 1000 + 500 + place

        def made(make: Maker = make, number: int = number) -> MemoryTrial:
            torch.manual_seed(number)
            return make(number, torch.Generator().manual_seed(number))

        yield Fault(name, made, rules, begins, causes_of(name))


def _add(name: str, rules: tuple[str, ...], begins: int | None = 0) -> Callable[[Maker], Maker]:
    def add(make: Maker) -> Maker:
        _VARIANTS.append((name, make, rules, begins))
        return make

    return add


def _vary(name: str, rules: tuple[str, ...], made: dict[str, Maker], begins: int | None = 0) -> None:
    for variant, make in made.items():
        _VARIANTS.append((f"{name}: {variant}", make, rules, begins))


def _sigmoids(depth: int, *, style: Style, adam: bool = False, activation: type[nn.Module] = nn.Sigmoid) -> Maker:
    def make(seed: int, random: torch.Generator) -> MemoryTrial:
        network = perceptron([16, *[24] * depth, 4], activation=activation)
        if activation is nn.Tanh:
            for parameter in network.parameters():
                parameter.data *= 0.3
        optimizer = Adam(network.parameters(), 1e-4) if adam else sgd(network, 0.1)
        return usual(seed, blobs(random), network, optimizer, epochs=12, style=style)

    return make


_vary(
    "vanishing",
    ("VanishingGradient",),
    {
        "12 sigmoids, full": _sigmoids(12, style=FULL),
        "8 sigmoids, reductions": _sigmoids(8, style=REDUCED),
        "6 sigmoids, full": _sigmoids(6, style=FULL),
        "20 sigmoids, like smdebug": _sigmoids(20, style=LIKE_SMDEBUG),
        "10 sigmoids, Adam": _sigmoids(10, style=REDUCED, adam=True),
        "12 small tanh": _sigmoids(12, style=FULL, activation=nn.Tanh),
        "16 sigmoids, few steps": _sigmoids(16, style=Style(full=True, interval=50)),
    },
)


def _exploding(rate: float, *, style: Style, from_step: int = 0, deep: bool = False) -> Maker:
    def make(seed: int, random: torch.Generator) -> MemoryTrial:
        network = perceptron([3, 32, *([32] * 4 if deep else []), 1])

        def raise_rate(step: int, run: Run) -> None:
            if step == from_step:
                run.optimizer.param_groups[0]["lr"] = rate

        optimizer = sgd(network, 0.01)
        return usual(
            seed,
            curve(random),
            network,
            optimizer,
            loss=functional.mse_loss,
            loss_name=MSE,
            epochs=20,
            before_step=raise_rate,
            style=style,
        )

    return make


def _nan_inputs(seed: int, random: torch.Generator) -> MemoryTrial:
    inputs, labels = blobs(random)
    inputs[150, 3] = float("nan")
    network = perceptron([16, 32, 4])
    return usual(seed, (inputs, labels), network, Adam(network.parameters(), 1e-3), epochs=6, style=FULL)


_vary(
    "exploding",
    ("ExplodingTensor",),
    {
        "rate 10, full": _exploding(10.0, style=FULL),
        "rate 5, reductions": _exploding(5.0, style=REDUCED, deep=True),
        "rate 100, like smdebug": _exploding(100.0, style=LIKE_SMDEBUG),
    },
)
_vary("exploding", ("ExplodingTensor",), {"rate 20 from step 60": _exploding(20.0, style=EVERY_STEP, from_step=60)}, 60)
_vary("exploding", ("ExplodingTensor",), {"a NaN among the inputs": _nan_inputs}, None)


def _rate(
    rate: float, kind: type = AdamW, *, style: Style, norm: bool = False, epochs: int = 10, **data: float
) -> Maker:
    def make(seed: int, random: torch.Generator) -> MemoryTrial:
        classes = int(data.get("classes", 4))
        network = perceptron([16, 32, 32, classes], norm=norm, dropout=data.get("dropout", 0.0))
        optimizer = sgd(network, rate) if kind is torch.optim.SGD else kind(network.parameters(), rate)
        made = blobs(random, classes=classes, distance=data.get("distance", 1.0), label_noise=data.get("noise", 0.0))
        return usual(seed, made, network, optimizer, epochs=epochs, style=style, batch=int(data.get("batch", 32)))

    return make


_vary(
    "learning rate zero",
    STILL,
    {
        "full": _rate(0.0, style=FULL),
        "reductions": _rate(0.0, torch.optim.SGD, style=REDUCED),
        "losses only": _rate(0.0, style=Style(tensors=False)),
        "like smdebug": _rate(0.0, style=LIKE_SMDEBUG),
        "far too small": _rate(1e-9, torch.optim.SGD, style=REDUCED),
        "dropout, batch norm": _rate(0.0, style=REDUCED, norm=True, dropout=0.5),
        "small batches": _rate(0.0, style=REDUCED, batch=4, epochs=5),
    },
)
_vary(
    "learning rate far too large",
    WILD,
    {
        "SGD 100": _rate(100.0, torch.optim.SGD, style=FULL),
        "Adam 5": _rate(5.0, Adam, style=REDUCED),
        "Adam 1, noisy labels": _rate(1.0, Adam, style=REDUCED, noise=0.3),
        "SGD 30, like smdebug": _rate(30.0, torch.optim.SGD, style=LIKE_SMDEBUG),
        "SGD 10, losses only": _rate(20.0, torch.optim.SGD, style=Style(tensors=False)),
        "AdamW 1, 30 classes": _rate(1.0, AdamW, style=REDUCED, classes=30),
        "SGD 1000, small batches": _rate(1000.0, torch.optim.SGD, style=REDUCED, batch=8),
    },
)


def _zero(style: Style, *, biases: bool = True, convolution: bool = False) -> Maker:
    def make(seed: int, random: torch.Generator) -> MemoryTrial:
        network = convolutions(3, norm=False) if convolution else perceptron([16, 32, 32, 3])
        for name, parameter in network.named_parameters():
            if biases or name.endswith("weight"):
                nn.init.zeros_(parameter)
        data = pictures(random) if convolution else blobs(random, classes=3)
        return usual(seed, data, network, Adam(network.parameters(), 1e-2), epochs=10, style=style)

    return make


_vary(
    "all-zero weights",
    ("AllZero", "PoorWeightInitialization"),
    {
        "full": _zero(FULL),
        "reductions": _zero(REDUCED),
        "like smdebug": _zero(LIKE_SMDEBUG),
        "convolutions": _zero(REDUCED, convolution=True),
    },
)


def _dead(style: Style, *, bias: float = -100.0, rate: float = 0.0, layers: int = 1, at: int = 0) -> Maker:
    def make(seed: int, random: torch.Generator) -> MemoryTrial:
        network = perceptron([16, *[32] * layers, 4])

        def kill(step: int, run: Run) -> None:
            if step == at:
                nn.init.constant_(run.network[0].bias, bias)  # type: ignore[index,arg-type]

        optimizer = sgd(network, rate or 0.05)
        return usual(seed, blobs(random), network, optimizer, epochs=12, style=style, before_step=kill)

    return make


_vary(
    "dead ReLUs",
    ("DeadRelu",),
    {
        "full": _dead(FULL),
        "reductions": _dead(REDUCED, bias=-50.0),
        "two layers": _dead(REDUCED, layers=2),
        "like smdebug": _dead(LIKE_SMDEBUG, layers=2),
    },
)
_vary("dead ReLUs", ("DeadRelu",), {"from step 40": _dead(EVERY_STEP, layers=2, at=40)}, 40)


def _saturated(factor: float, activation: type[nn.Module], style: Style, *, inputs: float = 1.0) -> Maker:
    def make(seed: int, random: torch.Generator) -> MemoryTrial:
        network = perceptron([16, 32, 32, 4], activation=activation)
        for layer in (network[0], network[2]):
            layer.weight.data *= factor
        data, labels = blobs(random)
        return usual(seed, (data * inputs, labels), network, Adam(network.parameters(), 1e-3), epochs=10, style=style)

    return make


_vary(
    "saturated",
    ("SaturatedActivation",),
    {
        "sigmoid x 200, full": _saturated(200.0, nn.Sigmoid, FULL),
        "tanh x 100, reductions": _saturated(100.0, nn.Tanh, REDUCED),
        "sigmoid x 500, reductions": _saturated(500.0, nn.Sigmoid, REDUCED),
        "tanh, inputs x 255": _saturated(1.0, nn.Tanh, FULL, inputs=255.0),
    },
)


def _overfit(
    style: Style, *, noise: float = 0.5, hidden: int = 256, classes: int = 3, epochs: int = 60, counts: int = 20
) -> Maker:
    def make(seed: int, random: torch.Generator) -> MemoryTrial:
        network = perceptron([24, hidden, classes])
        data = blobs(random, classes=classes, width=24, counts=counts, distance=0.5, label_noise=noise)
        return usual(
            seed, data, network, Adam(network.parameters(), 5e-3), valid_share=0.4, batch=16, epochs=epochs, style=style
        )

    return make


_vary(
    "overfitting",
    ("Overfit",),
    {
        "noisy labels, full": _overfit(FULL),
        "reductions": _overfit(REDUCED, counts=40),
        "ten classes": _overfit(REDUCED, classes=10, noise=0.3, epochs=40),
        "two classes, losses only": _overfit(Style(tensors=False), classes=2, counts=40),
        "few pictures": _overfit(FULL, counts=10, noise=0.4, epochs=80),
    },
    None,
)


def _rising(kind: str, style: Style, at: int) -> Maker:
    """Healthy up to a step; from then on uphill, or with a rate that ruins it slowly."""

    def make(seed: int, random: torch.Generator) -> MemoryTrial:
        network = perceptron([16, 32, 4])

        def ruin(step: int, run: Run) -> None:
            if step == at and kind == "uphill":
                run.optimizer.param_groups[0]["maximize"] = True
            if step >= at and kind == "shuffled":
                order = torch.randperm(len(run.train[1]), generator=random)
                run.train = run.train[0], run.train[1][order]
            if step == at and kind == "rate":
                run.optimizer.param_groups[0]["lr"] = 300.0

        optimizer = sgd(network, 0.02)
        return usual(seed, blobs(random), network, optimizer, epochs=20, before_step=ruin, style=style)

    return make


_vary("rising loss", STUCK, {"uphill from the start": _rising("uphill", REDUCED, 0)}, 0)
_vary(
    "rising loss",
    (*STUCK, "ExplodingTensor", "WeightUpdateRatio"),
    {
        "uphill from step 60": _rising("uphill", FULL, 60),
        "shuffled labels from step 60": _rising("shuffled", REDUCED, 60),
        "rate 300 from step 60": _rising("rate", EVERY_STEP, 60),
    },
    60,
)


def _starved(counts: list[int], style: Style, *, distance: float = 1.0) -> Maker:
    def make(seed: int, random: torch.Generator) -> MemoryTrial:
        classes = len(counts)
        centers = torch.randn(classes, 16, generator=random) * distance
        trained = blobs(random, classes=classes, counts=counts, centers=centers)
        valid = blobs(random, classes=classes, counts=25, centers=centers)
        network = perceptron([16, 32, classes])
        run = Run(
            network, AdamW(network.parameters(), 2e-3), trained, valid, functional.cross_entropy, epochs=10, seed=seed
        )
        return train(replace(run, style=style))

    return make


def _never(seed: int, random: torch.Generator) -> MemoryTrial:
    """All of one class's training pictures carry another class's label."""
    centers = torch.randn(5, 16, generator=random) * 2
    inputs, labels = blobs(random, classes=5, centers=centers)
    labels = torch.where(labels == 4, torch.where(torch.rand(len(labels), generator=random) < 0.97, 3, 4), labels)
    network = perceptron([16, 32, 5])
    run = Run(
        network,
        AdamW(network.parameters(), 2e-3),
        (inputs, labels),
        blobs(random, classes=5, counts=25, centers=centers),
        functional.cross_entropy,
        seed=seed,
    )
    return train(run)


_vary(
    "a class starved",
    ("ClassImbalance", "Confusion"),
    {
        "3 of 200": _starved([200, 200, 200, 3], REDUCED),
        "2 of 60, ten classes": _starved([60] * 9 + [2], FULL),
        "binary, 4 of 200": _starved([200, 4], REDUCED, distance=0.4),
        "relabeled": _never,
    },
    None,
)
