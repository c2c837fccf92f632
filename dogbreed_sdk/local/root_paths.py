"""Paths and URIs below the root folder, stored relative to it: the folder may be moved, copied or packed."""

from __future__ import annotations

import json
import re
from pathlib import Path

from dogbreed_sdk.container import path_to_uri

# Stands for the root in stored JSON, which is ASCII otherwise, so that no value can contain it.
_ROOT = "\N{HOUSE}"
_ROOT_URI = f"file://{_ROOT}"
# In front of a path; nothing needs to stand in front of a URI.
_INSIDE_A_PATH = r"[\w.%/~-]"
# A longer name (/data/dogs-2 for the root /data/dogs) is another path; quotes may be escaped, also several times.
_AFTER = r"""(?=[/"'\s,;:)?#]|\\+"|\\[nrt]|$)"""


class RootPaths:
    """Takes the root out of a JSON document and puts it in again.

    Args:
        root: The root folder, absolute.
    """

    def __init__(self, root: Path) -> None:
        spellings = dict.fromkeys((root, root.resolve()))
        uris = [re.escape(path_to_uri(path)) for path in spellings]
        paths = [re.escape(_json(path)) for path in spellings]
        # Each begins with plain text, which Python searches for twenty times as fast as for anything else: so there is
        # a pattern for each spelling, and what stands in front of a path is looked at behind it.
        self._patterns = [(re.compile(f"{uri}{_AFTER}"), _ROOT_URI) for uri in uris]
        self._patterns += [(re.compile(f"{path}(?<!{_INSIDE_A_PATH}{path}){_AFTER}"), _ROOT) for path in paths]
        self._shown = (path_to_uri(root), _json(root))

    def relative(self, document: str) -> str:
        """JSON (ASCII, as `json.dumps` writes it) in the form in which it is stored."""
        for pattern, placeholder in self._patterns:
            document = pattern.sub(placeholder, document)
        return document

    def absolute(self, stored: str) -> str:
        """The JSON again, with the root where it is now."""
        uri, path = self._shown
        return stored.replace(_ROOT_URI, uri).replace(_ROOT, path)


def _json(path: Path) -> str:
    return json.dumps(str(path))[1:-1]
