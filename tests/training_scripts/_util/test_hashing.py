"""Hashing while writing: the digest is that of the file, and a full disk is reported as one."""

from __future__ import annotations

import errno
import hashlib
import io
from pathlib import Path

import pytest
import torch

from training_scripts._util.hashing import save_tensors

pytestmark = pytest.mark.extras


class FullDisk(io.BytesIO):
    def write(self, data: object) -> int:
        if self.tell() > 1000:
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().write(data)  # type: ignore[arg-type]


def test_the_digest_is_that_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "tensors.pth"
    with path.open("wb") as file:
        digest = save_tensors({"weights": torch.arange(1000)}, file)
    assert digest == hashlib.sha256(path.read_bytes()).hexdigest()
    assert torch.load(path, weights_only=True)["weights"].tolist() == list(range(1000))


def test_a_full_disk_is_an_error_of_the_system_and_not_of_torch() -> None:
    with pytest.raises(OSError, match="No space left") as raised:
        save_tensors({"weights": torch.arange(100_000)}, FullDisk())
    assert raised.value.errno == errno.ENOSPC


def test_what_torch_itself_refuses_stays_as_it_is() -> None:
    with pytest.raises(Exception, match="pickle"):
        save_tensors({"weights": lambda: None}, io.BytesIO())
