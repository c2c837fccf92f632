"""The programs' data: points in clouds, one cloud per class, which overlap a little."""

import torch
from torch.utils.data import DataLoader, TensorDataset

CLASSES, WIDTH = 4, 16


def blobs(rows: int, seed: int) -> TensorDataset:
    centers = 0.9 * torch.randn(CLASSES, WIDTH, generator=torch.Generator().manual_seed(4))
    labels = torch.arange(rows) * CLASSES // rows
    noise = torch.randn(rows, WIDTH, generator=torch.Generator().manual_seed(seed))
    return TensorDataset(centers[labels] + noise, labels)


def loaders(*, shuffle: bool = True, batch_size: int = 32) -> tuple[DataLoader, DataLoader]:
    return DataLoader(blobs(1024, seed=1), batch_size, shuffle=shuffle), DataLoader(blobs(256, seed=2), 64)
