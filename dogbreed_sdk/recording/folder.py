"""The folder of a recording: its parts, and what happens if it contains a recording already."""

from __future__ import annotations

import shutil
from datetime import datetime
from pathlib import Path

from dogbreed_sdk.errors import ConfigurationError
from training_scripts.recording.recorder.worker import Worker
from training_scripts.recording.trial import layout

TRIAL, PROFILE = "debug-output", "profiler-output"


def check(folder: Path, *, resume: bool, overwrite: bool, worker: Worker) -> None:
    """Checks that a folder may be recorded to by a worker; changes nothing.

    Raises:
        ConfigurationError: The path is a file, or the folder contains a recording and neither is set, or both are.
    """
    if resume and overwrite:
        raise ConfigurationError(
            f"Recorder({str(folder)!r}) has both resume and overwrite; pass resume to continue the recording, or "
            "overwrite=True to replace it."
        )
    if folder.exists() and not folder.is_dir():
        raise ConfigurationError(f"{folder} is a file; pass the path of a directory to record to.")
    if not (resume or overwrite) and is_recording(folder, worker):
        raise ConfigurationError(
            f"{folder} already contains a recording{_started(folder)}. Pass resume=True to continue it, overwrite=True "
            "to replace it, or the path of another directory."
        )


def is_recording(folder: Path, worker: Worker) -> bool:
    """Whether a folder contains a recording, or a trial of smdebug's that would mix with one.

    Of several workers, each looks for its own files: another one may have begun to write.
    """
    if worker.count > 1:
        from training_scripts.recording.trial import event_files  # noqa: PLC0415 - needs NumPy

        places = (folder, folder / TRIAL)
        return any(name == worker.name for place in places for _, name, _ in event_files.listed(place))
    parts = (folder / TRIAL, folder / PROFILE, folder / layout.EVENTS, folder / layout.COLLECTIONS)
    return any(part.is_dir() and any(part.iterdir()) for part in parts)


def clear(folder: Path, worker: Worker) -> None:
    """Removes a worker's part of a recording from a folder, and nothing else; the first one removes the rest, too.

    Raises:
        OSError: A file cannot be removed.
    """
    from training_scripts.recording.trial.writer import TrialWriter  # noqa: PLC0415 - needs NumPy

    for place in (folder, folder / TRIAL):
        TrialWriter(place, worker=worker.name, workers=worker.count).clear()
    if not worker.is_first:
        return
    profile = folder / PROFILE
    for part in (profile / "system", profile / "framework"):
        if part.is_dir() and not part.is_symlink():
            shutil.rmtree(part)
    for path in profile.glob("profile_*.json"):
        path.unlink(missing_ok=True)


def _started(folder: Path) -> str:
    try:
        started = layout.read_json(folder / TRIAL / layout.RUN_FILE).get("started")
        return f", started at {datetime.fromtimestamp(float(str(started))).astimezone():%Y-%m-%d %H:%M}"
    except (OSError, ValueError, OverflowError):
        return ""
