"""Records the cost of a pass beside its features."""

from __future__ import annotations

import contextlib
import json
import math
import os
import time
from collections.abc import Sequence
from pathlib import Path

from training_scripts._util.atomic import write_atomically
from training_scripts.features.feature_pass import FeaturePass
from training_scripts.training.callbacks import Callbacks
from training_scripts.training.runtime import available_cores


class PassRecord:
    """Records the cost of a pass beside the features, and calls the callbacks at its beginning and end."""

    def __init__(self, callbacks: Callbacks, backbone: str, runner: FeaturePass) -> None:
        self._callbacks = callbacks
        self._runner = runner
        self._facts = {"backbone": backbone, "batch_size": runner.batch_size, "workers": runner.workers}
        self._facts |= {"device": runner.engine.device, **runner.engine.choice.to_dict()}
        self._total = self._earlier = 0

    def begin(self, chunks: Sequence[tuple[int, int]], *, total: int) -> None:
        """Begins a pass.

        Args:
            chunks: Pictures and views of each chunk to compute.
            total: Pictures of the whole pass, including those that an interrupted pass has computed.
        """
        self._total, self._earlier = total, total - sum(count for count, _ in chunks)
        batches = sum(math.ceil(count / self._runner.pictures_at_once(views)) for count, views in chunks)
        self._callbacks.pass_begins(batches, self._facts)

    def write(self, path: Path) -> None:
        """Ends the pass. If the record cannot be written, the features are kept without it."""
        cost = {name: round(value, 4) for name, value in vars(self._runner.cost).items()}
        facts = {
            "job": os.environ.get("TRAINING_JOB_NAME"),
            "ended": time.time(),
            "cores": available_cores(),
            "total": self._total,
            "computed_earlier": self._earlier,
            **self._facts,
            "workers": self._runner.workers,
            **cost,
            **self._callbacks.pass_ends(),
        }
        with contextlib.suppress(OSError):
            write_atomically(path, json.dumps(facts, indent=1).encode())
