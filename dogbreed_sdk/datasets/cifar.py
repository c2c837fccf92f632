"""Reads the Python batches of CIFAR-10 and CIFAR-100: untrusted pickles that may contain arrays only."""

from __future__ import annotations

import io
import pickle
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dogbreed_sdk.errors import DatasetError

_SIDE = 32
_VALUES = 3 * _SIDE * _SIDE
# The largest batch of the original, CIFAR-100's train, takes 155 MB.
_LARGEST_FILE = 512 << 20
# Functions that a batch's pickle may name: those with which NumPy, old and new, rebuilds an array, and with which
# Python 2's bytes are decoded.
_ALLOWED = {
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy._core.numeric", "_frombuffer"),
    ("numpy.core.numeric", "_frombuffer"),
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    ("_codecs", "encode"),
}


@dataclass(frozen=True)
class CifarPicture:
    """One picture: its split, class, name, and 3,072 bytes: 1,024 of red, then green, then blue, row by row."""

    split: str
    class_name: str
    name: str
    pixels: bytes

    def png(self) -> bytes:
        """The picture as a PNG file, which is lossless."""
        from PIL import Image  # noqa: PLC0415 - imports Pillow

        plane = _SIDE * _SIDE
        bands = [
            Image.frombytes("L", (_SIDE, _SIDE), self.pixels[at : at + plane]) for at in range(0, 3 * plane, plane)
        ]
        file = io.BytesIO()
        Image.merge("RGB", bands).save(file, "PNG")
        return file.getvalue()


@dataclass(frozen=True)
class Batches:
    """The files of a data set in CIFAR's format.

    Attributes:
        name: "CIFAR-10" or "CIFAR-100".
        folder: Their folder.
        names_file: The file with the classes' names.
        names_key: Key of the names in that file.
        labels_key: Key of the labels in a batch; CIFAR-100 also has coarse ones.
        files: Batch -> its split.
    """

    name: str
    folder: Path
    names_file: str
    names_key: str
    labels_key: str
    files: Mapping[str, str]

    def pictures(self) -> Iterator[CifarPicture]:
        """Yields all pictures, batch by batch.

        Raises:
            DatasetError: A file is not what its name says.
        """
        names = _texts(_load(self.folder / self.names_file).get(self.names_key), self.folder / self.names_file)
        for file, split in self.files.items():
            path = self.folder / file
            batch = _load(path)
            rows, labels = _rows(batch.get("data"), path), batch.get(self.labels_key)
            if not isinstance(labels, list) or len(labels) != len(rows):
                raise DatasetError(f"{path} has {len(rows):,} pictures, but not as many {self.labels_key}")
            for number, (row, label) in enumerate(zip(rows, labels, strict=True)):
                if not isinstance(label, int) or not 0 <= label < len(names):
                    raise DatasetError(
                        f"{path} gives picture {number} the label {label!r}; there are {len(names)} classes"
                    )
                yield CifarPicture(split, names[label], f"{file}_{number:05}.png", row)


def find(folder: Path) -> Batches | None:
    """The batches in a folder; None where there are none."""
    files = {path.name for path in folder.iterdir() if path.is_file()}
    batches = sorted(name for name in files if name.startswith("data_batch_") and not name.endswith(".bin"))
    if "batches.meta" in files and batches:
        splits = dict.fromkeys(batches, "train") | ({"test_batch": "test"} if "test_batch" in files else {})
        return Batches("CIFAR-10", folder, "batches.meta", "label_names", "labels", splits)
    if {"meta", "train"} <= files:
        splits = {"train": "train"} | ({"test": "test"} if "test" in files else {})
        return Batches("CIFAR-100", folder, "meta", "fine_label_names", "fine_labels", splits)
    return None


class _ArraysOnly(pickle.Unpickler):
    """Refuses whatever a batch has no use for: a pickle can name any function to be called."""

    def find_class(self, module: str, name: str) -> Any:
        """The few names that a batch needs."""
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"it names {module}.{name}")
        return super().find_class(module, name)


def _load(path: Path) -> dict[str, Any]:
    """A batch's dictionary; keys that Python 2 wrote as bytes become text."""
    try:
        if path.stat().st_size > _LARGEST_FILE:
            raise DatasetError(f"{path} has {path.stat().st_size:,} bytes, more than any batch of CIFAR")
        with path.open("rb") as file:
            found = _ArraysOnly(file, encoding="bytes").load()
    except ImportError as error:
        raise DatasetError("reading CIFAR's batches needs NumPy; install it with: pip install numpy") from error
    except DatasetError:
        raise
    except Exception as error:  # a damaged pickle raises anything
        raise DatasetError(f"{path} is not a batch of CIFAR: {error or type(error).__name__}") from error
    if not isinstance(found, dict):
        raise DatasetError(f"{path} is not a batch of CIFAR: it contains {type(found).__name__}, not a dictionary")
    return {
        key.decode("ascii", "replace") if isinstance(key, bytes) else str(key): value for key, value in found.items()
    }


def _rows(data: Any, path: Path) -> list[bytes]:
    """The pixels of each picture."""
    shape, dtype = getattr(data, "shape", None), str(getattr(data, "dtype", ""))
    if dtype != "uint8" or shape is None or len(shape) != 2 or shape[1] != _VALUES:
        raise DatasetError(f"{path} is not a batch of CIFAR: its data are not rows of {_VALUES:,} bytes")
    return [row.tobytes() for row in data]


def _texts(names: Any, path: Path) -> list[str]:
    if not isinstance(names, list) or not names or not all(isinstance(name, bytes | str) for name in names):
        raise DatasetError(f"{path} does not list the names of the classes")
    return [name.decode("utf-8", "replace") if isinstance(name, bytes) else name for name in names]
