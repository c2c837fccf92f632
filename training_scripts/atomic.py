"""Writes a file in one step: readers and crashes see the old content or the new, never a part."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path


def write_atomically(path: Path, data: bytes, *, durable: bool = True) -> None:
    """Replaces a file's content, making its folder where it is missing.

    Args:
        path: The file.
        data: What it shall hold.
        durable: Wait until it is on the disk, as for what cannot be made again.

    Raises:
        OSError: The disk is full or the folder cannot be written; the old file is still there.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    remove_leftovers(path)
    aside = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with aside.open("wb") as file:
            file.write(data)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        aside.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            aside.unlink(missing_ok=True)
        raise


def remove_leftovers(path: Path) -> None:
    """Deletes what processes that were killed while they wrote this file have left beside it."""
    prefix, suffix = f".{path.name}.", ".partial"
    for name in os.listdir(path.parent):  # noqa: PTH208 - names alone are wanted
        writer = name[len(prefix) : -len(suffix)]
        if name.startswith(prefix) and name.endswith(suffix) and writer.isdecimal() and not _runs(int(writer)):
            with contextlib.suppress(OSError):
                (path.parent / name).unlink()


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True
