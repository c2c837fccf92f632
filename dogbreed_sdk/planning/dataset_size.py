"""How large a data set is: counted in a folder, or given as numbers for pictures that are not here yet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, overload

from dogbreed_sdk.aws.storage import join
from dogbreed_sdk.datasets.dataset import BreedDataset
from dogbreed_sdk.errors import ConfigurationError
from dogbreed_sdk.session import Session
from training_scripts.data.image_folder import DataSet
from training_scripts.data.samples import Sample, SomeSamples, of_any

# The mean size of the pictures of the 133-breed data set (1,125 MB, 8,351 pictures), which are untouched photographs.
BYTES_PER_PICTURE: Final = 135_000
_VALID_SHARE = _TEST_SHARE = 0.1
_PLACEHOLDER_FINGERPRINT = "0" * 64


@dataclass(frozen=True, kw_only=True)
class DatasetSize:
    """Numbers of pictures and classes, for a plan before there is a data set.

    Attributes:
        train: Pictures to train on.
        valid: Pictures to validate on.
        test: Pictures to test on; 0 for none.
        classes: Number of classes.
        bytes_per_picture: Mean size of a picture's file, in bytes.

    Examples:
        >>> size = DatasetSize(train=6680, valid=835, test=836, classes=133)
        >>> size.pictures, size.splits
        (8351, {'train': 6680, 'valid': 835, 'test': 836})
    """

    train: int
    valid: int
    test: int
    classes: int
    bytes_per_picture: float = BYTES_PER_PICTURE

    def __post_init__(self) -> None:
        if self.classes < 2:
            raise ConfigurationError(f"A classifier needs at least 2 classes, not {self.classes}.")
        if self.train < self.classes or min(self.valid, self.test) < 0:
            raise ConfigurationError(
                f"{self.train:,} train, {self.valid:,} valid and {self.test:,} test pictures of {self.classes:,} "
                "classes: each class needs at least one picture to train on, and no number can be negative."
            )

    @classmethod
    def of(cls, *, pictures: int, classes: int) -> DatasetSize:
        """The size of a data set of which a tenth validates and a tenth tests.

        Args:
            pictures: All pictures together.
            classes: Number of classes.

        Raises:
            ConfigurationError: There are too few pictures or classes.

        Examples:
            >>> DatasetSize.of(pictures=8351, classes=133)
            DatasetSize(train=6680, valid=835, test=836, classes=133, bytes_per_picture=135000)
        """
        train = int(pictures * (1 - _VALID_SHARE - _TEST_SHARE) + 1e-6)
        valid = int(pictures * _VALID_SHARE + 1e-6)
        return cls(train=train, valid=valid, test=pictures - train - valid, classes=classes)

    @classmethod
    def measured(cls, dataset: BreedDataset) -> DatasetSize:
        """The size of a data set with splits; looks at the size of every file, but downloads none.

        Args:
            dataset: A data set with a train split.
        """
        splits = dataset.splits
        return cls(
            train=splits.get("train", 0),
            valid=splits.get("valid", 0),
            test=splits.get("test", 0),
            classes=len(dataset.classes),
            bytes_per_picture=dataset.total_bytes / max(1, len(dataset)),
        )

    @property
    def pictures(self) -> int:
        """All pictures together."""
        return self.train + self.valid + self.test

    @property
    def bytes(self) -> float:
        """All files together."""
        return self.pictures * self.bytes_per_picture

    def views(self, per_train_picture: int, per_other_picture: int = 1) -> int:
        """Pictures that go through a backbone in one pass.

        Args:
            per_train_picture: Views of a training picture.
            per_other_picture: Views of a validation or test picture.
        """
        return self.train * per_train_picture + (self.valid + self.test) * per_other_picture

    @property
    def splits(self) -> dict[str, int]:
        """Split -> number of its pictures, without empty splits."""
        counts = {"train": self.train, "valid": self.valid, "test": self.test}
        return {split: count for split, count in counts.items() if count}


class _Zeros(Sequence[int]):
    """As many zeros as asked for, in no memory."""

    def __init__(self, count: int) -> None:
        self._places = range(count)

    def __len__(self) -> int:
        return len(self._places)

    @overload
    def __getitem__(self, place: int) -> int: ...

    @overload
    def __getitem__(self, place: slice) -> _Zeros: ...

    def __getitem__(self, place: int | slice) -> int | _Zeros:
        found = self._places[place]
        return 0 if isinstance(found, int) else _Zeros(len(found))


class UnseenDataset(BreedDataset):
    """A data set of which only the size is known. It can be planned with, and neither read nor uploaded.

    Args:
        size: Its size.

    Attributes:
        size: Its size.
    """

    def __init__(self, size: DatasetSize) -> None:
        super().__init__(Path("your-data-set"))
        self.size = size
        self.folders = {split: self.root / split for split in size.splits}
        self.fingerprint = _PLACEHOLDER_FINGERPRINT
        classes = [f"{number:03d}.class" for number in range(1, size.classes + 1)]
        sample = of_any((Sample(str(self.root), "", 0),))
        # One picture again and again: a plan may be for more pictures than a tuple of them leaves memory for.
        unseen = {split: SomeSamples(sample, _Zeros(count)) for split, count in size.splits.items()}
        self._listed = DataSet(tuple(classes), unseen)

    def upload(self, session: Session, *, progress: object = None, transfer: object = None) -> str:
        """The URI that the pictures would have, with a placeholder for their fingerprint."""
        del progress, transfer
        return join(session.base_uri, "datasets", self.fingerprint[:16])
