"""Stores paths below the root folder as relative paths, so that the folder may be moved, copied or packed."""

from __future__ import annotations

import json
import re
from pathlib import Path

from dogbreed_sdk.container import path_to_uri

# Stands for the root in stored JSON, which is ASCII otherwise, so that no value can contain it.
_ROOT = "\N{HOUSE}"
_ROOT_URI = f"file://{_ROOT}"
# If one of these characters precedes a path, it is another path; URIs need no such check.
_INSIDE_A_PATH = r"[\w.%/~-]"
# A longer name (/data/dogs-2 for the root /data/dogs) is another path; quotes may be escaped, even several times.
_AFTER = r"""(?=[/"'\s,;:)?#]|\\+"|\\[nrt]|$)"""


class RootPaths:
    """Replaces the root in JSON documents by a placeholder, and the placeholder by the root.

    Args:
        root: The root folder, absolute.
    """

    def __init__(self, root: Path) -> None:
        spellings = dict.fromkeys((root, root.resolve()))
        uris = [re.escape(path_to_uri(path)) for path in spellings]
        paths = [re.escape(_json(path)) for path in spellings]
        # Each pattern begins with literal text, which Python finds twenty times as fast as anything else. That is why
        # each spelling has a separate pattern, and why the characters before a path are checked afterward.
        self._patterns = [(re.compile(f"{uri}{_AFTER}"), _ROOT_URI) for uri in uris]
        self._patterns += [(re.compile(f"{path}(?<!{_INSIDE_A_PATH}{path}){_AFTER}"), _ROOT) for path in paths]
        self._shown = (path_to_uri(root), _json(root))

    def relative(self, document: str) -> str:
        """The stored form of a JSON document, which must be ASCII as `json.dumps` writes it."""
        for pattern, placeholder in self._patterns:
            document = pattern.sub(placeholder, document)
        return document

    def absolute(self, stored: str) -> str:
        """The JSON document of a stored form, with the current root."""
        uri, path = self._shown
        return stored.replace(_ROOT_URI, uri).replace(_ROOT, path)


def _json(path: Path) -> str:
    return json.dumps(str(path))[1:-1]
