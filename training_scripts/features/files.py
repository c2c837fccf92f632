"""The names of the files in a features store. Nothing else is imported, so that clients can look for one cheaply."""

from __future__ import annotations

MANIFEST = "features.json"
BACKBONE_FILE = "backbone.pth"
# The cost of the pass, for reports on the pass and on the jobs that train on its features.
COST_FILE = "feature_pass.json"


def shard_file(split: str, number: int) -> str:
    """The file with the features of a portion of a split."""
    return f"{split}-{number:06}.npy"


def names_file(split: str) -> str:
    """The file with the names of a split's pictures; where they end is beside it (`names.ends_path`)."""
    return f"{split}.names"


def labels_file(split: str) -> str:
    """The file with the labels of a split's pictures: int64, in NumPy's format."""
    return f"{split}.labels.npy"
