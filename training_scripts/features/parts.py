"""The parts of a feature pass in progress: written atomically, verified when read, joined at the end."""

# ruff: noqa: PLC0415 - NumPy loads only when features are made

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Sequence
from pathlib import Path

from training_scripts._util.atomic import replacing, write_atomically
from training_scripts.features.extraction import Chunk


def write(path: Path, chunk: Chunk) -> None:
    """Writes a part atomically."""
    write_atomically(path, pack(chunk))


def pack(chunk: Chunk) -> bytes:
    """The content of a part's file."""
    import numpy as np

    content = io.BytesIO()
    reasons = json.dumps({str(index): reason for index, reason in chunk.skipped.items()})
    np.savez(content, features=chunk.features, kept=chunk.kept, skipped=np.array(reasons))
    return content.getvalue()


def read(path: Path, positions: Sequence[int], views: int, width: int) -> Chunk | None:
    """Reads a part and verifies its checksums; None if it is missing, damaged or incompletely copied.

    Args:
        path: Its file.
        positions: The positions in its chunk of the pictures that it must have, in ascending order.
        views: The number of views of each.
        width: The width of the features.
    """
    try:
        content = path.read_bytes()
    except OSError:
        return None
    chunk = unpack(content)
    if chunk is None or chunk.features.shape != (len(chunk.kept), views, width):
        return None
    return chunk if sorted([*chunk.kept.tolist(), *chunk.skipped]) == list(positions) else None


def unpack(content: bytes) -> Chunk | None:
    """Reads the content of a part's file and verifies its checksums; None if it is damaged."""
    import numpy as np

    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            features, kept = arrays["features"], arrays["kept"]
            skipped = {int(index): reason for index, reason in json.loads(str(arrays["skipped"])).items()}
    except (
        OSError,
        ValueError,
        KeyError,
        EOFError,
        RuntimeError,
        zipfile.BadZipFile,
    ):  # NotImplementedError is a RuntimeError
        return None
    return Chunk(features, kept, skipped)


def merged(chunks: Sequence[Chunk]) -> Chunk:
    """One part of several that have different pictures of the same chunk."""
    import numpy as np

    kept = np.concatenate([chunk.kept for chunk in chunks])
    order = np.argsort(kept)
    skipped = {position: reason for chunk in chunks for position, reason in chunk.skipped.items()}
    return Chunk(
        np.concatenate([chunk.features for chunk in chunks])[order], kept[order], dict(sorted(skipped.items()))
    )


def join(parts: Sequence[Path], path: Path, *, shape: tuple[int, int, int]) -> None:
    """Atomically writes the features of all parts as one array [n, views, width] of the given shape."""
    import numpy as np

    # Written sequentially: on a full disk, a memory map would end the process with SIGBUS.
    with replacing(path) as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": shape})
        for part in parts:
            with np.load(part, allow_pickle=False) as arrays:
                file.write(np.ascontiguousarray(arrays["features"], "<f4").tobytes())
