"""Parts of a feature pass: whatever became of the file, it is read whole or computed anew."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from training_scripts.features import parts
from training_scripts.features.extraction import Chunk


def test_a_part_with_any_byte_changed_is_whole_or_not_there(tmp_path: Path) -> None:
    path = tmp_path / "part.npz"
    parts.write(path, Chunk(np.ones((2, 1, 3), np.float32), np.arange(2), {}))
    content = path.read_bytes()
    outcomes = set()
    for position in range(len(content)):
        for change in (1, 0xFF):
            spoiled = bytearray(content)
            spoiled[position] ^= change
            path.write_bytes(spoiled)
            outcomes.add(parts.read(path, range(2), 1, 3) is None)
    assert outcomes == {True, False}
