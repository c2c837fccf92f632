"""The shards of a feature pass in progress: written atomically, verified when the pass resumes, never copied.

A shard is the file that the finished store has. Beside it, in the folder `parts`, a record says what it contains, until
the store's manifest says so. The records of shards that no longer exist or have changed count for nothing.
"""

# ruff: noqa: PLC0415 - NumPy loads only when features are made

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from training_scripts._util import hashing
from training_scripts._util.atomic import replacing, write_atomically
from training_scripts.data.image_folder import DataError

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class Record:
    """What a shard contains.

    Attributes:
        rows: The number of its rows.
        size: Bytes of the file.
        sha256: The digest of the file.
        skipped: The position in the portion of each picture that could not be read, and the reason.
    """

    rows: int
    size: int
    sha256: str
    skipped: dict[int, str] = field(default_factory=dict)


def write(path: Path, record_path: Path, features: np.ndarray, skipped: dict[int, str]) -> Record:
    """Writes a shard and its record, each atomically.

    Args:
        path: The file of the shard.
        record_path: The file of its record.
        features: Its features [n, views, width], as they are stored.
        skipped: The position of each picture that could not be read, and the reason.
    """
    digest = write_features(path, features)
    record = Record(len(features), path.stat().st_size, digest, skipped)
    write_record(record_path, record)
    return record


def write_features(path: Path, features: np.ndarray) -> str:
    """Writes features [n, views, width] atomically in NumPy's format; returns the SHA-256 of the file."""
    import numpy as np

    # Written sequentially: on a full disk, a memory map would end the process with SIGBUS.
    with replacing(path) as file:
        writer = hashing.HashingWriter(file)
        header = np.lib.format.header_data_from_array_1_0(features)
        np.lib.format.write_array_header_1_0(writer, header)
        writer.write(np.ascontiguousarray(features).reshape(-1).view(np.uint8).data)
    return writer.digest.hexdigest()


def write_record(path: Path, record: Record) -> None:
    """Writes the record of a shard atomically."""
    write_atomically(path, json.dumps(vars(record)).encode())


def read(path: Path, record_path: Path, positions: Sequence[int], like: np.ndarray) -> Record | None:
    """Verifies a shard; None if it is missing, damaged, incompletely copied, or has no record.

    Args:
        path: The file of the shard.
        record_path: The file of its record.
        positions: The positions in the portion of the pictures that it must have, in ascending order.
        like: An array with no row, but the shape and type of the features that it must have.
    """
    record = read_record(record_path)
    if record is None or record.rows + len(record.skipped) != len(positions):
        return None
    try:
        if not is_there(path, record) or hashing.sha256_of(path) != record.sha256 or not _has(path, record.rows, like):
            return None
    except (OSError, ValueError):
        return None
    return record if set(record.skipped) <= set(positions) else None


def read_record(path: Path) -> Record | None:
    """Reads the record of a shard; None if there is none, or it is damaged."""
    try:
        found = json.loads(path.read_bytes())
        skipped = {int(position): str(reason) for position, reason in found["skipped"].items()}
        return Record(int(found["rows"]), int(found["size"]), str(found["sha256"]), skipped)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def is_there(path: Path, record: Record) -> bool:
    """Whether a shard is there with its size; its content is not read."""
    return path.is_file() and path.stat().st_size == record.size


def converted(features: np.ndarray, stored: str) -> np.ndarray:
    """Features in the type in which they are stored.

    Args:
        features: float32.
        stored: "float32" or "float16". The latter keeps 11 bits: a number is off by at most 1/2048 of itself, and
            numbers below 6e-5 by at most 3e-8.

    Raises:
        DataError: float16 cannot hold a number, which is above 65,504.
    """
    import numpy as np

    with np.errstate(over="ignore"):
        found: np.ndarray[Any, Any] = np.ascontiguousarray(features, np.dtype(stored).newbyteorder("<"))
    if found.dtype.itemsize < 4 and not np.isfinite(found).all():
        raise DataError(
            f"features of this backbone are up to {np.abs(features).max():.6g}, and float16 ends at 65504: set "
            "features-dtype to float32."
        )
    return found


def _has(path: Path, rows: int, like: np.ndarray) -> bool:
    import numpy as np

    mapped = np.lib.format.open_memmap(path, mode="r")
    return bool(mapped.shape == (rows, *like.shape[1:]) and mapped.dtype == like.dtype)
