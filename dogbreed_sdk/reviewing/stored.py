"""The pictures of a data set with their stored features, as one array."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from dogbreed_sdk import container
from dogbreed_sdk.aws.storage import is_file_uri, join
from dogbreed_sdk.errors import DatasetError
from training_scripts.data.image_folder import DataError
from training_scripts.data.preprocessing import PLAIN
from training_scripts.features.files import MANIFEST
from training_scripts.features.rows import FeatureRows
from training_scripts.features.store import FeatureStore
from training_scripts.features.unit_rows import UnitFeatures, unit_features

if TYPE_CHECKING:
    from dogbreed_sdk.datasets.dataset import BreedDataset
    from dogbreed_sdk.session import Session


@dataclass(frozen=True)
class StoredPictures:
    """The pictures of all splits.

    Attributes:
        names: Paths relative to the data set's folder, with forward slashes.
        paths: Their files; those of pictures in shards name them.
        splits: The split of each.
        targets: Class index of each [n].
        features: Features of the plain view, of length 1, float32 [n, width]; read as they are indexed if there are too
            many for memory.
        classes: Class folders in index order.
        skipped: Names of pictures that could not be read.
        backbone: The backbone that computed the features.
    """

    names: tuple[str, ...]
    paths: tuple[Path, ...]
    splits: tuple[str, ...]
    targets: NDArray[np.int64]
    features: UnitFeatures
    classes: tuple[str, ...]
    skipped: tuple[str, ...]
    backbone: str

    def __len__(self) -> int:
        return len(self.names)


def read(dataset: BreedDataset, uri: str, session: Session) -> StoredPictures:
    """Reads the features that `BreedTrainer.extract_features` has stored.

    Args:
        dataset: The pictures.
        uri: The folder of their features.
        session: Whose storage it is in.

    Raises:
        DatasetError: The features are damaged.
    """
    try:
        store = FeatureStore.open(_folder(uri, session))
        stored: list[tuple[FeatureRows, int]] = []
        names: list[str] = []
        paths: list[Path] = []
        splits: list[str] = []
        targets = []
        plain = store.views.index(PLAIN) if PLAIN in store.views else 0
        for split in store.sizes:
            found = store.split(split)
            folder = dataset.folders[split]
            stored.append((found.features, plain if split == "train" else 0))
            # Splits of shards may share a folder.
            prefix = PurePosixPath(split if folder == dataset.root else folder.name)
            names += [(prefix / name).as_posix() for name in found.names]
            paths += [folder / name for name in found.names]
            splits += [split] * len(found.names)
            targets.append(found.targets)
        features = unit_features(stored)
    except DataError as error:
        raise DatasetError(str(error)) from error
    skipped = tuple(f"{dataset.folders[one['split']].name}/{one['name']}" for one in store.skipped)
    return StoredPictures(
        tuple(names),
        tuple(paths),
        tuple(splits),
        np.concatenate(targets),
        features,
        store.classes,
        skipped,
        store.backbone_name,
    )


def _folder(uri: str, session: Session) -> Path:
    """The folder of the features on this machine; those on S3 are downloaded once."""
    if is_file_uri(uri):
        return container.uri_to_path(uri)
    from dogbreed_sdk.datasets.remote import cache_root  # noqa: PLC0415 - only needed on AWS

    folder = cache_root().with_name("features") / uri.rpartition("/")[2]
    manifest = json.loads(session.storage.read_bytes(join(uri, MANIFEST)) or b"{}")
    session.storage.download_files(uri, folder, names=[*manifest.get("files", {}), MANIFEST])
    return folder
