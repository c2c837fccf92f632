"""Small training loops as strangers write them, recorded with `Recorder`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

from dogbreed_sdk import DebugReport, Recorder
from training_scripts.recording.trial.trial import Trial

ROWS, BATCH, CLASSES, WIDTH = 160, 16, 3, 8
STEPS = ROWS // BATCH
VALID_ROWS = 65


def clouds(rows: int, seed: int) -> TensorDataset:
    """One Gaussian cloud per class: [rows, width] and labels [rows]."""
    centers = 2 * torch.randn(CLASSES, WIDTH, generator=torch.Generator().manual_seed(9))
    labels = torch.arange(rows) % CLASSES
    return TensorDataset(centers[labels] + torch.randn(rows, WIDTH, generator=generator(seed)), labels)


def line(rows: int, seed: int) -> TensorDataset:
    """Inputs [rows, width] and a number each, [rows, 1], that depends on them and on some noise."""
    inputs = torch.randn(rows, WIDTH, generator=generator(seed))
    slope = torch.linspace(-1, 1, WIDTH)
    return TensorDataset(inputs, (inputs @ slope + 0.3 * torch.randn(rows, generator=generator(seed + 1)))[:, None])


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def loaders(of: Callable[[int, int], TensorDataset] = clouds, seed: int = 0) -> tuple[DataLoader[Any], DataLoader[Any]]:
    """A train loader, shuffled by a seed, and a valid loader whose last batch has one row."""
    return (
        DataLoader(of(ROWS, 1), BATCH, shuffle=True, generator=generator(seed)),
        DataLoader(of(VALID_ROWS, 5), VALID_ROWS - 1),
    )


def network(outputs: int = CLASSES) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(WIDTH, 16), nn.ReLU(), nn.Linear(16, outputs))


def train(
    folder: Path,
    *,
    epochs: int = 4,
    of: Callable[[int, int], TensorDataset] = clouds,
    criterion: Callable[[Any, Any], torch.Tensor] = functional.cross_entropy,
    outputs: int = CLASSES,
    step_first: bool = False,
    **arguments: Any,
) -> tuple[nn.Module, list[float]]:
    """A plain loop; returns the model and the losses of its steps.

    Args:
        folder: Of the recording.
        epochs: Number of epochs.
        of: Makes the data.
        criterion: The loss.
        outputs: Of the network.
        step_first: Call `Recorder.step` before the optimizer's.
        arguments: Further arguments of `Recorder`.
    """
    model, (batches, valid) = network(outputs), loaders(of)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0625)
    losses = []
    with Recorder(folder, model=model, optimizer=optimizer, **{"rules": False, "profile": False} | arguments) as run:
        for _ in range(epochs):
            for inputs, labels in batches:
                scores = model(inputs)
                loss = criterion(scores, labels)
                optimizer.zero_grad()
                loss.backward()
                if step_first:
                    run.step(loss, outputs=scores, labels=labels)
                optimizer.step()
                if not step_first:
                    run.step(loss, outputs=scores, labels=labels)
                losses.append(float(loss.detach()))
            with torch.no_grad():
                for inputs, labels in valid:
                    scores = model(inputs)
                    run.evaluate(criterion(scores, labels), outputs=scores, labels=labels)
    return model, losses


def trial_of(folder: Path) -> Trial:
    trial = DebugReport.load(folder).trial
    assert trial is not None
    assert trial.problems in ([], ())
    return trial


def values(trial: Trial, name: str, mode: str = "TRAIN") -> list[float]:
    found: list[float] = trial.tensor(name).series(mode).values.tolist()
    return found
