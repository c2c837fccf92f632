"""Temporary folders that the next process removes where the one that made them was killed."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

from training_scripts._util.atomic import temporary_folder


@contextlib.contextmanager
def scratch_folder(name: str) -> Iterator[Path]:
    """A private folder below $TMPDIR, else /tmp, for as long as the context lasts.

    Args:
        name: Part of its name: what it is for.

    Raises:
        OSError: There is no room.
    """
    with temporary_folder(Path(tempfile.gettempdir()), name, mode=0o700) as folder:
        yield folder
