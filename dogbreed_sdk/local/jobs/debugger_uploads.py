"""Uploads what scripts record for Debugger to S3, while they still record."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from dogbreed_sdk.errors import ConfigurationError
from dogbreed_sdk.local.folders import JobFolder
from dogbreed_sdk.local.jobs.debugger_outputs import RECORDINGS, Output
from dogbreed_sdk.local.s3.transfer import upload_objects
from dogbreed_sdk.local.script_files import contents, remove_tree
from training_scripts.recording.trial import layout

_NEVER_UPLOADED = (".tmp", layout.CLAIM_FILE)
_MARK = ".uploaded"


class Upload:
    """Copies an output's folder to its s3:// URI, and each time only what is new.

    Attributes:
        failed: Whether the last `try_to_send` failed.
    """

    def __init__(self, output: Output) -> None:
        """Uploads nothing yet.

        Args:
            output: An output with an s3:// URI.
        """
        self.failed = False
        self._output = output
        self._sent: dict[str, tuple[int, int]] = {}

    def try_to_send(self) -> None:
        """Like `send`, without its errors."""
        try:
            self.send()
        except (ConfigurationError, OSError):
            self.failed = True

    def send(self) -> None:
        """Upload the files that are new or have changed.

        Raises:
            ConfigurationError: The URI cannot be written to.
            OSError: A file cannot be read.
        """
        waves: dict[int, list[tuple[str, Path, tuple[int, int]]]] = {0: [], 1: [], 2: []}
        for entry in contents(self._output.folder, lambda _line: None):
            if entry.kind != "file" or entry.name.endswith(_NEVER_UPLOADED):
                continue
            with suppress(OSError):  # smdebug renames its files, and removes some
                status = entry.source.stat()
                state = (status.st_mtime_ns, status.st_size)
                if self._sent.get(entry.name) != state:
                    waves[_wave(entry.name)].append((entry.name, entry.source, state))
        for _, files in sorted(waves.items()):
            upload_objects([(source, f"{self._output.uri}/{name}") for name, source, _ in files])
            self._sent.update({name: state for name, _, state in files})

    def mark(self) -> None:
        """Note that all is uploaded, so that `remove_uploaded` removes the folder."""
        self._output.folder.with_name(f"{self._output.folder.name}{_MARK}").touch()


def remove_uploaded(job: JobFolder) -> None:
    """Remove the local copies of a job's uploaded recordings, once its rules are evaluated."""
    for mark in (job.path / RECORDINGS).glob(f"*{_MARK}"):
        remove_tree(mark.with_suffix(""))
        mark.unlink(missing_ok=True)


def _wave(name: str) -> int:
    """Readers find a step by its index, and the index's end by the mark: these come last."""
    if name == layout.END_FILE:
        return 2
    return 1 if name.startswith(f"{layout.INDEX}/") else 0
