"""Checks of a data set before a job is created for it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dogbreed_sdk.datasets.dataset import BreedDataset
from dogbreed_sdk.session import Session


def checked_dataset(
    given: BreedDataset | str | Path, session: Session, *, needs: Sequence[str] = ("train",)
) -> BreedDataset:
    """The data set, checked for the splits that the job needs and for whatever the job would refuse.

    Args:
        given: A data set, or its folder: a path or an s3:// URI.
        session: Whose credentials read a data set on S3.
        needs: Names of the splits that it must have.

    Raises:
        DatasetError: The job would fail with it.
    """
    dataset = given if isinstance(given, BreedDataset) else BreedDataset.open(given, session=session)
    dataset.ensure_trainable(needs)
    return dataset
