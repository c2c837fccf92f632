"""Reads the features of a finished pass."""

# ruff: noqa: PLC0415 - torch and NumPy load only when features are read

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from training_scripts._util import hashing
from training_scripts._util.relative_names import is_inside
from training_scripts.data.image_folder import DataError
from training_scripts.data.preprocessing import Preprocessing, View, parse_views
from training_scripts.features import names as feature_names
from training_scripts.features.files import BACKBONE_FILE, COST_FILE, MANIFEST, labels_file, names_file
from training_scripts.features.manifest import EARLIER_KEY, FORMAT, read_json
from training_scripts.features.portions import PARTS, views_of
from training_scripts.models import test_time
from training_scripts.models.engines.engine import Precision
from training_scripts.models.test_time import TestTimeAugmentation

if TYPE_CHECKING:
    import numpy as np
    import torch

    from training_scripts.features.rows import FeatureRows

# Names and labels of the pictures in stores of format 1, whose features are in one file per split.
PICTURES_FILE = "pictures.json"
_MAX_COST_BYTES = 1 << 20


@dataclass(frozen=True)
class SplitFeatures:
    """The features of a split.

    Attributes:
        features: Features float32 [n, views, width], read from their files as they are indexed.
        targets: int64 [n].
        names: Names of the n pictures, read from their file as they are needed.
    """

    features: FeatureRows
    targets: np.ndarray
    names: Sequence[str]

    def blocks(self, rows: int) -> Iterator[tuple[slice, np.ndarray]]:
        """The features in order, a few rows at a time: which rows, and their features float32 [rows, views, width]."""
        for start in range(0, len(self.targets), rows):
            part = slice(start, min(start + rows, len(self.targets)))
            yield part, self.features[part]


@dataclass(frozen=True)
class FeatureStore:
    """A finished pass, opened.

    Attributes:
        folder: Its folder.
        classes: Class folders in index order.
        backbone_name: The backbone.
        views: Views of a train picture; the other splits have those of `tta`.
        preprocessing: The preprocessing of the pictures.
        width: Width of its features.
        fingerprint: The fingerprint of the data set.
        skipped: Pictures that could not be read: "split", "name", "reason" of each.
        sizes: Pictures of each split.
        weights: Name of the weights: pretrained, none, or a file's name; empty in stores that do not record it.
        key: Everything that decides the features; two stores with the same key are equal.
        files: Its files, and the size of each in bytes.
        shards: The files with the features of each split, in order, and the number of rows in each; empty in stores of
            format 1.
        digests: SHA-256 of each file; empty in stores of format 1.
        tta: The test-time augmentation whose views the other splits have.
    """

    folder: Path
    classes: tuple[str, ...]
    backbone_name: str
    views: tuple[View, ...]
    preprocessing: Preprocessing
    width: int
    fingerprint: str
    skipped: list[dict[str, str]]
    sizes: Mapping[str, int]
    weights: str
    key: Mapping[str, Any]
    files: Mapping[str, int]
    shards: Mapping[str, Mapping[str, int]]
    digests: Mapping[str, str]
    tta: TestTimeAugmentation

    @classmethod
    def open(cls, folder: Path) -> FeatureStore:
        """Opens a finished store; nothing large is read.

        Args:
            folder: A folder that `extraction.extract` has written.

        Returns:
            The store.

        Raises:
            DataError: The pass is not finished, or a file is missing or incompletely copied.
        """
        store = cls.described(folder)
        for name in store.incomplete():
            there = (folder / name).stat().st_size if (folder / name).is_file() else 0
            raise DataError(
                f"{folder / name} has {there} of {store.files[name]} bytes: copy the features again, or delete the "
                "folder and compute them again."
            )
        return store

    @classmethod
    def described(cls, folder: Path) -> FeatureStore:
        """Reads what the manifest says of a store, whose other files may be elsewhere.

        Raises:
            DataError: The pass is not finished.
        """
        manifest = read_json(folder / MANIFEST)
        if manifest is None:
            if (folder / PARTS).is_dir():
                raise DataError(
                    f"the features in {folder} are not finished: run the same extraction again; it resumes there."
                )
            raise DataError(f"{folder} contains no features: {MANIFEST} is missing. Run extract_features.py first.")
        key = manifest["key"]
        if key.get("format") not in (1, FORMAT):
            raise DataError(
                f"the features in {folder} have format {key.get('format')}, not {FORMAT}: compute them again."
            )
        outside = next((name for name in manifest["files"] if Path(name).name != name), None)
        if outside is not None:
            raise DataError(f"{folder / MANIFEST} names a file that is not in its folder: {outside!r}.")
        return cls(
            folder=folder,
            classes=tuple(key["classes"]),
            backbone_name=key["backbone"],
            views=parse_views(key["views"]),
            preprocessing=Preprocessing.from_dict(key["preprocessing"]),
            width=key["width"],
            fingerprint=key["fingerprint"],
            skipped=manifest["skipped"],
            sizes=manifest["sizes"],
            weights=manifest.get("weights", ""),
            key=key,
            files=manifest["files"],
            shards=manifest.get("shards", {}),
            digests=manifest.get("sha256", {}),
            tta=test_time.checked(key.get("tta", test_time.NONE)),
        )

    @property
    def precision(self) -> Precision:
        """Whether the features may be rounded: "fp32" or "bf16"."""
        return "bf16" if self.key.get("precision") == "bf16" else "fp32"

    @property
    def dtype(self) -> str:
        """The type in which the features are stored: float32 or float16."""
        return str(self.key.get("dtype", EARLIER_KEY["dtype"]))

    def has(self, split: str) -> bool:
        """Whether the store has a split ("train", "valid", "test")."""
        return split in self.sizes

    def split(self, name: str) -> SplitFeatures:
        """A split's features, of which nothing is read yet.

        Args:
            name: "train" (features of every view), "valid" or "test" (of the views of `tta`, the plain one first).

        Returns:
            Its features, targets and names.

        Raises:
            DataError: The store lacks the split, or its files are damaged. Reading a name raises it too if the name
                leads out of the data set.
        """
        if not self.has(name):
            raise DataError(f"the features in {self.folder} have no {name} split, only {', '.join(self.sizes)}.")
        from training_scripts.features.rows import Shard, ShardedRows

        files = self.shards[name] if self.shards else {f"{name}.npy": self.sizes[name]}
        if not files.keys() <= self.files.keys():
            raise DataError(f"{self.folder / MANIFEST} does not list all of its shards: copy the features again.")
        features = ShardedRows(
            [Shard(self.folder / file, rows) for file, rows in files.items()],
            views=len(views_of(name, self.views, self.tta)),
            width=self.width,
            stored=self.dtype,
        )
        names, targets = self._pictures(name)
        if not len(features) == len(targets) == len(names) == self.sizes[name]:
            raise DataError(f"the features in {self.folder} do not match the number of names: copy them again.")
        return SplitFeatures(features, targets, names)

    def _pictures(self, split: str) -> tuple[Sequence[str], np.ndarray]:
        """The names and targets of a split."""
        if self.key["format"] == 1:
            return _pictures_of_format_1(self.folder, split)
        targets = feature_names.mapped_integers(self.folder / labels_file(split))
        return feature_names.StoredNames(self.folder / names_file(split)), targets

    def incomplete(self) -> Iterator[str]:
        """The files that are missing, or do not have their size; their content is not read."""
        for name, size in self.files.items():
            path = self.folder / name
            if not path.is_file() or path.stat().st_size != size:
                yield name

    def verify(self) -> None:
        """Reads every file and compares it with the digest that the manifest has.

        Raises:
            DataError: A file is missing or damaged.
        """
        for name, digest in self.digests.items():
            path = self.folder / name
            if not path.is_file() or hashing.sha256_of(path) != digest:
                raise DataError(f"{path} is damaged: copy the features again, or delete the folder and compute them.")

    def pass_facts(self) -> dict[str, object] | None:
        """The recorded cost of the pass; None if it was not recorded."""
        path = self.folder / COST_FILE
        try:
            found = read_json(path) if path.stat().st_size <= _MAX_COST_BYTES else None
        except OSError:
            return None
        return found if isinstance(found, dict) else None

    def backbone_state(self) -> dict[str, torch.Tensor]:
        """Loads the backbone's weights as the pass used them."""
        import torch

        state: dict[str, torch.Tensor] = torch.load(self.folder / BACKBONE_FILE, map_location="cpu", weights_only=True)
        return state


def _pictures_of_format_1(folder: Path, split: str) -> tuple[Sequence[str], np.ndarray]:
    import numpy as np

    listing = json.loads((folder / PICTURES_FILE).read_bytes())[split]
    # Pages show the pictures of a data set by these names, and a store may come from somebody else.
    outside = next((each for each in listing["names"] if not is_inside(each)), None)
    if outside is not None:
        raise DataError(f"the features in {folder} name a picture outside of the data set: {outside!r}.")
    return tuple(listing["names"]), np.array(listing["labels"], np.int64)
