"""One worker's part of a trial."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from .. import recorder
from ..core.collection import Collection
from ..messages import log

CHIEF = "worker_0"


class Trial:
    """Writes one worker's part of a trial, one event file per step, as smdebug does."""

    def __init__(self, folder: Path, worker: str, workers: int, *, wanted: bool) -> None:
        self._records = recorder.module("recording.trial.records")
        self._layout = recorder.module("recording.trial.layout")
        self._folder, self._worker, self._workers = folder, worker, workers
        self._claimed = False
        self._writer: Any = None
        if wanted and (workers > 1 or worker != CHIEF or self._claim()):
            self._writer = recorder.module("recording.trial.writer").TrialWriter(folder, worker=worker)
        self._step: Any = None
        self._described = ""

    def add(self, hook: Any, name: str, array: Any) -> None:
        """Add a tensor to the hook's current step."""
        if self._writer is not None and array.size:
            self._current(hook).arrays.append((name, array))

    def add_reduction(self, hook: Any, kind: str, name: str, value: float) -> None:
        """Add a reduction of a tensor to the hook's current step."""
        if self._writer is not None:
            self._current(hook).numbers.append((self._layout.reduction_name(kind, name), value))

    def write_step(self, collections: dict[str, Collection]) -> None:
        """Write the current step."""
        if self._step is None:
            return
        step, self._step = self._step, None
        self._writer.write([step], seconds=0.0)
        self._writer.write_index()
        self._describe(collections)

    def _describe(self, collections: dict[str, Collection]) -> None:
        """Write the collections, if they have new tensors."""
        described = self._layout.json_of_collections(
            {name: collection.to_json_dict() for name, collection in collections.items()}, workers=self._workers
        )
        if described != self._described:
            self._writer.write_collections(described)
            self._described = described

    def close(self, collections: dict[str, Collection]) -> None:
        """Write the rest, and the collections even if nothing was recorded: readers wait for them."""
        self.write_step(collections)
        if self._writer is not None:
            self._describe(collections)
        if self._claimed:
            (self._folder / self._layout.CLAIM_FILE).unlink(missing_ok=True)

    def _current(self, hook: Any) -> Any:
        if self._step is None:
            self._step = self._records.Step(
                hook.mode.name, max(0, hook.mode_steps[hook.mode]), max(0, hook.step), time.time()
            )
        return self._step

    def _claim(self) -> bool:
        """Whether this process is the one that writes: others may train at the same time without torch.distributed."""
        self._folder.mkdir(parents=True, exist_ok=True)
        try:
            (self._folder / self._layout.CLAIM_FILE).open("x").close()
        except FileExistsError:
            log(f"warning: another process records to {self._folder}, so this one does not")
            return False
        self._claimed = True
        return True
