"""Names of files relative to a folder, in files that may come from anybody."""

from __future__ import annotations

from pathlib import PurePosixPath


def is_inside(name: str) -> bool:
    """Whether a relative name, with forward slashes, stays below its folder.

    >>> is_inside("001.Pug/rex.jpg"), is_inside("../rex.jpg"), is_inside("/rex.jpg")
    (True, False, False)
    """
    path = PurePosixPath(name)
    return not path.is_absolute() and ".." not in path.parts and "\0" not in name
