"""A temporary folder that the next start clears away where the process that made it was killed."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

# Between a folder's making and its locking passes less, however slow the disk is.
_YOUNG_SECONDS = 60.0


@contextlib.contextmanager
def scratch_folder(prefix: str) -> Iterator[str]:
    """A folder below $TMPDIR for as long as the context lasts; what dead processes left under this prefix goes.

    Its maker holds a lock on it, which the kernel takes away however the process ends. Numbers of processes would not
    do: in another container that shares the folder they mean other processes.

    Args:
        prefix: What its name begins with.

    Raises:
        OSError: There is no room.
    """
    remove_leftovers(Path(tempfile.gettempdir()), prefix)
    with tempfile.TemporaryDirectory(prefix=prefix) as folder:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            # Some network disks know no locks; there, folders that are left stay.
            with contextlib.suppress(OSError):
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield folder
        finally:
            os.close(descriptor)


def remove_leftovers(parent: Path, prefix: str) -> None:
    """Deletes folders of this user's that begin with `prefix`, and that no process holds any more."""
    with contextlib.suppress(OSError):
        for path in parent.iterdir():
            if path.name.startswith(prefix):
                with contextlib.suppress(OSError):
                    _remove_if_left(path)


def _remove_if_left(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        found = os.fstat(descriptor)
        if found.st_uid != os.geteuid() or time.time() - found.st_mtime < _YOUNG_SECONDS:
            return
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)  # fails while its maker lives
        shutil.rmtree(path, ignore_errors=True)
    finally:
        os.close(descriptor)
