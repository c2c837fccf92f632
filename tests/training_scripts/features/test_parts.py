"""Shards of a feature pass: whatever became of a file, it is taken whole or computed anew."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from training_scripts.data.image_folder import DataError
from training_scripts.features import parts


def test_a_shard_with_any_byte_of_it_or_its_record_changed_is_whole_or_not_there(tmp_path: Path) -> None:
    path, record = tmp_path / "shard.npy", tmp_path / "shard.json"
    like = np.empty((0, 1, 3), np.float32)
    written = parts.write(path, record, np.ones((2, 1, 3), np.float32), {1: "damaged"})
    assert parts.read(path, record, range(3), like) == written
    for spoiled in (path, record):
        content = spoiled.read_bytes()
        for position in range(len(content)):
            for change in (1, 0xFF):
                damaged = bytearray(content)
                damaged[position] ^= change
                spoiled.write_bytes(damaged)
                found = parts.read(path, record, range(3), like)
                # Only the reason for which a picture was left out has no checksum.
                assert found is None or (spoiled == record and found.sha256 == written.sha256)
        spoiled.write_bytes(content)


@pytest.mark.parametrize("like", [(0, 2, 3), (0, 1, 4)])
def test_a_shard_of_another_shape_is_not_there(tmp_path: Path, like: tuple[int, ...]) -> None:
    path, record = tmp_path / "shard.npy", tmp_path / "shard.json"
    parts.write(path, record, np.ones((2, 1, 3), np.float32), {})
    assert parts.read(path, record, range(2), np.empty(like, np.float32)) is None
    assert parts.read(path, record, range(2), np.empty((0, 1, 3), np.float16)) is None
    assert parts.read(path, record, range(3), np.empty((0, 1, 3), np.float32)) is None


def test_float16_is_off_by_at_most_half_of_its_last_bit() -> None:
    features = np.random.default_rng(0).normal(scale=3, size=(64, 2, 8)).astype(np.float32)
    stored = parts.converted(features, "float16").astype(np.float32)
    assert 0 < (np.abs(stored - features) / np.abs(features)).max() <= 2**-11
    with pytest.raises(DataError, match=r"up to 70000, and float16 ends at 65504: set features-dtype to float32"):
        parts.converted(np.full((1, 1, 1), 70_000, np.float32), "float16")
