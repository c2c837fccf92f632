"""Generated data and small networks for the battery of training runs."""

from __future__ import annotations

import itertools
import math

import torch
from torch import Tensor, nn

from battery.training import Split


def blobs(
    generator: torch.Generator,
    *,
    classes: int = 4,
    width: int = 16,
    counts: int | list[int] = 60,
    distance: float = 2.0,
    label_noise: float = 0.0,
    offset: float = 0.0,
    centers: Tensor | None = None,
) -> Split:
    """One Gaussian cloud a class; `distance` is that of the centers from zero in standard deviations, by axis."""
    centers = torch.randn(classes, width, generator=generator) * distance if centers is None else centers
    each = [counts] * classes if isinstance(counts, int) else counts
    labels = torch.repeat_interleave(torch.arange(classes), torch.tensor(each))
    inputs = centers[labels] + torch.randn(len(labels), centers.shape[1], generator=generator) + offset
    if label_noise:
        wrong = torch.rand(len(labels), generator=generator) < label_noise
        labels = torch.where(wrong, torch.randint(classes, (len(labels),), generator=generator), labels)
    order = torch.randperm(len(labels), generator=generator)
    return inputs[order], labels[order]


def split(data: Split, share: float = 0.25) -> tuple[Split, Split]:
    """Train and valid."""
    count = int(len(data[1]) * share)
    return (data[0][count:], data[1][count:]), (data[0][:count], data[1][:count])


def parity(generator: torch.Generator, *, bits: int = 4, count: int = 400) -> Split:
    """Whether an even number of inputs is positive: a loss that stays at ln 2 for a while and then falls."""
    inputs = torch.randint(2, (count, bits), generator=generator).float() * 2 - 1
    labels = (inputs.prod(dim=1) > 0).long()
    return inputs + 0.1 * torch.randn(count, bits, generator=generator), labels


def curve(generator: torch.Generator, *, count: int = 300, noise: float = 0.05, scale: float = 1.0) -> Split:
    """A smooth function of three numbers."""
    inputs = torch.rand(count, 3, generator=generator) * 2 - 1
    values = torch.sin(2 * inputs[:, :1]) + inputs[:, 1:2] * inputs[:, 2:]
    return inputs, scale * (values + noise * torch.randn(count, 1, generator=generator))


def pictures(generator: torch.Generator, *, classes: int = 3, counts: int = 40, size: int = 8) -> Split:
    """Stripes of different direction and width, with noise, normalized."""
    labels = torch.arange(classes).repeat_interleave(counts)
    grid = torch.arange(size).float()
    rows, columns = torch.meshgrid(grid, grid, indexing="ij")
    made = []
    for label in labels.tolist():
        angle, shift = math.pi * label / classes, torch.rand(1, generator=generator).item() * 6
        waves = torch.sin((rows * math.cos(angle) + columns * math.sin(angle)) * 1.2 + shift)
        made.append(waves.expand(3, size, size) + 0.5 * torch.randn(3, size, size, generator=generator))
    order = torch.randperm(len(labels), generator=generator)
    return torch.stack(made)[order], labels[order]


def perceptron(
    widths: list[int],
    *,
    activation: type[nn.Module] = nn.ReLU,
    norm: bool = False,
    dropout: float = 0.0,
) -> nn.Sequential:
    """Linear layers of these widths, from the inputs to the outputs, with what goes between."""
    layers: list[nn.Module] = []
    for before, after in itertools.pairwise(widths[:-1]):
        layers.append(nn.Linear(before, after))
        if norm:
            layers.append(nn.BatchNorm1d(after))
        layers.append(activation())
        if dropout:
            layers.append(nn.Dropout(dropout))
    return nn.Sequential(*layers, nn.Linear(widths[-2], widths[-1]))


def convolutions(classes: int, *, channels: int = 8, norm: bool = True) -> nn.Sequential:
    """Two convolutions, pooled, and a linear layer."""
    between = [nn.BatchNorm2d(channels)] if norm else []
    return nn.Sequential(
        nn.Conv2d(3, channels, 3, padding=1),
        *between,
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(channels, 2 * channels, 3, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(2 * channels, classes),
    )


class Residual(nn.Module):
    """A deep network with shortcuts."""

    def __init__(self, width: int, classes: int, *, blocks: int = 8, hidden: int = 24) -> None:
        super().__init__()
        self.first = nn.Linear(width, hidden)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(hidden), nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, hidden))
            for _ in range(blocks)
        )
        self.last = nn.Linear(hidden, classes)

    def forward(self, inputs: Tensor) -> Tensor:
        """Logits."""
        hidden = self.first(inputs)
        for block in self.blocks:
            hidden = hidden + block(hidden)
        return self.last(hidden)


def cosine(done: float) -> float:
    """Learning rate's factor: from one to zero."""
    return (1 + math.cos(math.pi * done)) / 2


def warm_up(done: float) -> float:
    """Up over the first tenth, then down as a cosine."""
    return done * 10 if done < 0.1 else cosine((done - 0.1) / 0.9)


def thirds(done: float) -> float:
    """A tenth after each third."""
    return 0.1 ** int(done * 3)
