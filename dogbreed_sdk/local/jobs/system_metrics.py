"""Samples the machine while a training job runs, as SageMaker does on each instance of a job with a ProfilerConfig."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from training_scripts.recording.profiler.sampler import Machine
from training_scripts.recording.profiler.system_files import SAMPLE_BYTES, SystemFiles

DEFAULT_INTERVAL_MS = 500  # API reference, ProfilerConfig


class SystemMetrics:
    """The system metrics of a job's hosts, which share this machine: each reading is written for every host.

    Attributes:
        interval: Seconds between two samples.
    """

    def __init__(self, folder: Path, hosts: Sequence[str], interval_ms: int) -> None:
        """Starts counting; writes nothing yet.

        Args:
            folder: The profile's folder.
            hosts: The names of the job's hosts.
            interval_ms: Milliseconds between two samples.
        """
        self.interval = interval_ms / 1000
        self._machine = Machine()
        self._files = [SystemFiles(folder, host) for host in hosts]

    def sample(self) -> None:
        """Takes a sample."""
        readings = self._machine.read(time.monotonic())
        now = time.time()
        for files in self._files:
            files.add(now, readings)

    def write(self) -> None:
        """Writes the samples since the last call.

        Raises:
            OSError: The disk is full or the folder cannot be written.
        """
        for files in self._files:
            files.write()
        if sum(files.written for files in self._files) > SAMPLE_BYTES:
            self.interval *= 2
            for files in self._files:
                files.written = 0
