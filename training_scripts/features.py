"""Computes a backbone's features of a data set once, and reads them back."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from training_scripts.data import DataSet
from training_scripts.pictures import Preprocessing, View

if TYPE_CHECKING:
    import numpy as np
    import torch

MANIFEST = "features.json"
BACKBONE_FILE = "backbone.pth"


@dataclass(frozen=True)
class SplitFeatures:
    """Features float32 [n, views, width] (memory-mapped), labels int64 [n], names of the n pictures."""

    features: np.ndarray
    labels: np.ndarray
    names: tuple[str, ...]


@dataclass(frozen=True)
class FeatureStore:
    """A finished pass, opened: what it was made of, and the features of each split."""

    folder: Path
    classes: tuple[str, ...]
    backbone_name: str
    views: tuple[View, ...]
    preprocessing: Preprocessing
    width: int
    fingerprint: str
    skipped: list[dict[str, str]]
    sizes: Mapping[str, int]

    @classmethod
    def open(cls, folder: Path) -> FeatureStore:
        """Opens a finished store; DataError with the remedy when it is not finished."""
        raise NotImplementedError

    def has(self, split: str) -> bool:
        """Tells whether the store has that split."""
        raise NotImplementedError

    def split(self, name: str) -> SplitFeatures:
        """Maps a split's features; views are [plain, flip, ...] for train and [plain] for the others."""
        raise NotImplementedError

    def backbone_state(self) -> dict[str, torch.Tensor]:
        """Loads the backbone's weights as the pass used them."""
        raise NotImplementedError


def extract(
    dataset: DataSet,
    *,
    backbone_name: str,
    weights: str,
    views: Sequence[View],
    folder: Path,
    batch_size: int = 32,
    workers: int | None = None,
    progress: Callable[[str], Any] = print,
) -> FeatureStore:
    """Computes and stores the features of every split; an interrupted pass resumes where it stopped."""
    raise NotImplementedError
