"""Paths and URIs below the root folder, stored relative to it: the folder may be moved, copied or packed."""

from __future__ import annotations

import json
import re
from pathlib import Path

from dogbreed_sdk.container import path_to_uri

# Stands for the root in stored JSON, which is ASCII otherwise, so that no value can contain it.
_ROOT = "\N{HOUSE}"
_ROOT_URI = f"file://{_ROOT}"
_BEFORE = r"(?<![\w.%/~-])"
# A longer name (/data/dogs-2 for the root /data/dogs) is another path; quotes may be escaped, also several times.
_AFTER = r"""(?=[/"'\s,;:)?#]|\\+"|\\[nrt]|$)"""


class RootPaths:
    """Takes the root out of a JSON document and puts it in again.

    Args:
        root: The root folder, absolute.
    """

    def __init__(self, root: Path) -> None:
        spellings = dict.fromkeys((root, root.resolve()))
        self._uri = re.compile("(?:" + "|".join(re.escape(path_to_uri(path)) for path in spellings) + ")" + _AFTER)
        plain = "|".join(re.escape(_json(path)) for path in spellings)
        self._path = re.compile(f"{_BEFORE}(?:{plain}){_AFTER}")
        self._shown = (path_to_uri(root), _json(root))

    def relative(self, document: str) -> str:
        """JSON (ASCII, as `json.dumps` writes it) in the form in which it is stored."""
        return self._path.sub(_ROOT, self._uri.sub(_ROOT_URI, document))

    def absolute(self, stored: str) -> str:
        """The JSON again, with the root where it is now."""
        uri, path = self._shown
        return stored.replace(_ROOT_URI, uri).replace(_ROOT, path)


def _json(path: Path) -> str:
    return json.dumps(str(path))[1:-1]
