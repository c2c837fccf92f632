"""Record an ordinary PyTorch loop, and read the report: the numbered lines are all that recording adds.

python examples/record_your_loop.py [FOLDER]
"""

from __future__ import annotations

import sys

import torch
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

from dogbreed_sdk import Recorder  # 1


def main(folder: str = "run") -> None:
    """Trains a small network on three clouds of points; prints the verdict."""
    torch.manual_seed(0)
    train, valid = DataLoader(clouds(600), 32, shuffle=True), DataLoader(clouds(200), 64)
    model = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 3))
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.003)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=6)

    with Recorder(folder, model=model, optimizer=optimizer, hyperparameters={"lr": 0.003, "hidden": 32}) as run:  # 2
        for _ in range(6):
            model.train()
            for inputs, labels in train:
                outputs = model(inputs)
                loss = functional.cross_entropy(outputs, labels)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                run.step(loss, outputs=outputs, labels=labels)  # 3
            schedule.step()
            model.eval()
            with torch.no_grad():
                for inputs, labels in valid:
                    outputs = model(inputs)
                    run.evaluate(functional.cross_entropy(outputs, labels), outputs=outputs, labels=labels)  # 4
            run.epoch()  # 5, optional


def clouds(rows: int) -> TensorDataset:
    """Points [rows, 8] around one of three centers, with the center's number."""
    centers = torch.randn(3, 8, generator=torch.Generator().manual_seed(1))
    labels = torch.randint(3, (rows,))
    return TensorDataset(centers[labels] + torch.randn(rows, 8), labels)


if __name__ == "__main__":
    main(*sys.argv[1:])
