"""A temporary folder that the next start removes where the process that made it was killed."""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

# Of a folder that its maker has not locked yet. Between making and locking passes less than this, however slow the
# disk is.
_UNLOCKED = ".new"
_UNLOCKED_SECONDS = 60.0


@contextlib.contextmanager
def scratch_folder(prefix: str, parent: Path | None = None, *, mode: int = 0o700) -> Iterator[Path]:
    """A folder for as long as the context lasts; those that dead processes left under this prefix are removed.

    Its maker holds a lock on it, which the kernel releases however the process ends. Process ids would not do: in
    another container that shares the disk they mean other processes.

    Args:
        prefix: What its name begins with.
        parent: Where it is made. Default: $TMPDIR, else /tmp.
        mode: Its permissions, less the umask's.

    Raises:
        OSError: There is no room.
    """
    place = Path(tempfile.gettempdir()) if parent is None else parent
    remove_leftovers(place, prefix)
    folder = place / f"{prefix}{secrets.token_hex(8)}"
    unlocked = folder.with_name(folder.name + _UNLOCKED)
    unlocked.mkdir(mode=mode)
    descriptor = os.open(unlocked, os.O_RDONLY | os.O_DIRECTORY)
    try:
        # Some network disks know no locks; there, folders that are left stay.
        with contextlib.suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield unlocked.rename(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
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
        may_be_locked_yet = path.name.endswith(_UNLOCKED) and time.time() - found.st_mtime < _UNLOCKED_SECONDS
        if found.st_uid != os.geteuid() or may_be_locked_yet:
            return
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)  # fails while its maker lives
        shutil.rmtree(path, ignore_errors=True)
    finally:
        os.close(descriptor)
