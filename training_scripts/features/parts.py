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
    import numpy as np

    content = io.BytesIO()
    reasons = json.dumps({str(index): reason for index, reason in chunk.skipped.items()})
    np.savez(content, features=chunk.features, kept=chunk.kept, skipped=np.array(reasons))
    write_atomically(path, content.getvalue())


def read(path: Path, count: int, views: int, width: int) -> Chunk | None:
    """Reads a part and verifies its checksums; None if it is missing, damaged or incompletely copied."""
    import numpy as np

    try:
        # np.load forgets to close a damaged file that it opened itself.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
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
    whole = features.shape == (len(kept), views, width) and len(kept) + len(skipped) == count
    return Chunk(features, kept, skipped) if whole else None


def join(parts: Sequence[Path], path: Path, *, shape: tuple[int, int, int]) -> None:
    """Atomically writes the features of all parts as one array [n, views, width] of the given shape."""
    import numpy as np

    # Written sequentially: on a full disk, a memory map would end the process with SIGBUS.
    with replacing(path) as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": shape})
        for part in parts:
            with np.load(part, allow_pickle=False) as arrays:
                file.write(np.ascontiguousarray(arrays["features"], "<f4").tobytes())
