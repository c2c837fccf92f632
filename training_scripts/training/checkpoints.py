"""Saves the complete state of a run after every epoch, so that a killed run resumes with the same result."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from training_scripts import ScriptError
from training_scripts._util.atomic import replacing, write_json_atomically
from training_scripts._util.hashing import save_tensors
from training_scripts.training.callbacks import first_line
from training_scripts.training.resume import DESCRIPTION_NAME, Comparison, RunIdentity, compare

FILE_NAME = "checkpoint.pth"
FORMAT_VERSION = 2


class CheckpointError(ScriptError):
    """A checkpoint belongs to another run and cannot be resumed; the message lists the differences."""


@dataclass(frozen=True)
class Saved:
    """A checkpoint to continue from.

    Attributes:
        state: The saved state.
        comparison: How this run differs from the one that saved the checkpoint; has no conflicts.
    """

    state: dict[str, Any]
    comparison: Comparison


class Checkpoint:
    """The checkpoint file of one run."""

    def __init__(
        self, folder: Path, *, run: RunIdentity, job: str = "", report: Callable[[str], object] = print
    ) -> None:
        """Names the file; nothing is read or written yet.

        Args:
            folder: SageMaker's checkpoint folder.
            run: The run's identity.
            job: Name of the training job.
            report: Takes one line of log at a time.
        """
        self.path = folder / FILE_NAME
        self.run = run
        self._job = job
        self._report = report

    def save(self, state: dict[str, Any]) -> None:
        """Saves `state` (tensors and plain values); a failed write is reported as a warning and never fails the run."""
        content = {"version": FORMAT_VERSION, "run": self.run.to_dict(), "state": state}
        description = {"version": FORMAT_VERSION, "job": self._job, "epoch": state.get("epoch"), **self.run.to_dict()}
        try:
            with replacing(self.path) as file:
                save_tensors(content, file)
            write_json_atomically(self.path.with_name(DESCRIPTION_NAME), description)
        except OSError as error:
            self._report(
                f"warning: no checkpoint: cannot write {self.path}: {error.strerror or error}. "
                "Training continues; after a restart it would resume from the last checkpoint that was written."
            )

    def load(self) -> Saved | None:
        """The state that was saved last; None if none was saved, or, with a warning, if it cannot be read.

        Raises:
            CheckpointError: It belongs to another run, with other data or another model architecture.
        """
        import torch  # noqa: PLC0415

        if not self.path.is_file():
            return None
        try:
            content = torch.load(self.path, map_location="cpu", weights_only=True)
            if content["version"] != FORMAT_VERSION:
                raise CheckpointError(self._refusal("another version of these scripts wrote it"))
            before, state = RunIdentity.from_dict(content["run"]), dict(content["state"])
        except CheckpointError:
            raise
        except (OSError, RuntimeError, EOFError, KeyError, TypeError, ValueError, pickle.UnpicklingError) as error:
            self._report(f"warning: ignored the checkpoint {self.path}: it cannot be read ({first_line(error)})")
            return None
        comparison = compare(before, self.run)
        if comparison.conflicts:
            raise CheckpointError(self._refusal("; ".join(comparison.conflicts)))
        return Saved(state, comparison)

    def _refusal(self, why: str) -> str:
        return (
            f"the checkpoint {self.path} cannot be continued: {why}. To continue it, give the job what that run had; "
            "to train from the beginning, an empty checkpoint folder."
        )
