"""Temporary folders; if the process that created one is killed, a later process removes it."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

from training_scripts._util.atomic import temporary_folder


@contextlib.contextmanager
def scratch_folder(name: str) -> Iterator[Path]:
    """Creates a private folder below $TMPDIR, else /tmp, for the duration of the context.

    Args:
        name: A part of its name that says what it is for.

    Raises:
        OSError: It can't be created, for instance on a full disk.
    """
    with temporary_folder(Path(tempfile.gettempdir()), name, mode=0o700) as folder:
        yield folder
