"""Checks of a data set before a job is created for it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dogbreed_sdk.datasets.dataset import BreedDataset
from dogbreed_sdk.errors import DatasetError
from training_scripts import ScriptError


def checked_dataset(given: BreedDataset | str | Path, *, needs: Sequence[str] = ("train",)) -> BreedDataset:
    """The data set, checked for the splits that the job needs and for whatever the job would refuse.

    Args:
        given: A data set, or its folder.
        needs: Names of the splits that it must have.

    Raises:
        DatasetError: The job would fail with it.
    """
    from dogbreed_sdk.datasets import layouts  # noqa: PLC0415 - only needed with a data set at hand
    from training_scripts.data import faults, image_folder  # noqa: PLC0415 - likewise

    dataset = given if isinstance(given, BreedDataset) else BreedDataset.from_folder(given)
    if not dataset.folders:
        raise DatasetError(str(layouts.fault(dataset.root) or faults.no_splits(dataset.root)))
    if "train" not in dataset.folders:
        raise DatasetError(str(faults.no_train(dataset.root)))
    missing = [split for split in needs if split not in dataset.folders]
    if missing:
        raise DatasetError(
            f"{dataset.root} has no {' and no '.join(missing)} split. {faults.made_from_train(dataset.root)}"
        )
    try:
        image_folder.check_several_classes(dataset.classes)
    except ScriptError as error:
        raise DatasetError(f"{dataset.root}: {error}") from error
    return dataset
