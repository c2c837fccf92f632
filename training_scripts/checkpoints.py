"""Keeps a run's whole state on disk after every epoch, so that a killed run goes on as if nothing had been."""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

from training_scripts.atomic import write_atomically
from training_scripts.watching import first_line

FILE_NAME = "checkpoint.pth"
FORMAT_VERSION = 1


class Checkpoint:
    """The checkpoint file of one run."""

    def __init__(self, folder: Path, *, fingerprint: str, report: Callable[[str], Any] = print) -> None:
        """Names the file; nothing is read or written yet.

        Args:
            folder: SageMaker's checkpoint folder.
            fingerprint: Identifies the run's configuration: another one's checkpoint is not continued.
            report: Takes one line of log at a time.
        """
        self.path = folder / FILE_NAME
        self.fingerprint = fingerprint
        self._report = report

    def save(self, state: dict[str, Any]) -> None:
        """Keeps `state` (tensors and plain values); a disk that refuses costs a warning, not the run."""
        import torch  # noqa: PLC0415

        buffer = io.BytesIO()
        torch.save({"version": FORMAT_VERSION, "fingerprint": self.fingerprint, "state": state}, buffer)
        try:
            write_atomically(self.path, buffer.getvalue())
        except OSError as error:
            self._report(
                f"warning: no checkpoint: cannot write {self.path}: {error.strerror or error}. "
                "Training goes on; a restart would begin from the last checkpoint that was written."
            )

    def load(self) -> dict[str, Any] | None:
        """The state that was saved last; None, with a line that says why, where it cannot be continued."""
        import torch  # noqa: PLC0415

        if not self.path.is_file():
            return None
        try:
            content = torch.load(self.path, map_location="cpu", weights_only=True)
            version, fingerprint, state = content["version"], content["fingerprint"], content["state"]
        except (OSError, RuntimeError, EOFError, KeyError, TypeError, ValueError, pickle.UnpicklingError) as error:
            self._report(f"ignored the checkpoint {self.path}: it cannot be read ({first_line(error)})")
            return None
        if version != FORMAT_VERSION or fingerprint != self.fingerprint:
            self._report(f"ignored the checkpoint {self.path}: other hyperparameters, data or backbone weights made it")
            return None
        return dict(state)
