"""The files of the web page, each with its path and media type."""

from __future__ import annotations

import functools
from importlib import resources

_TYPES = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}


@functools.cache
def files() -> dict[str, tuple[bytes, str]]:
    """All files of the page: `{path: (bytes, media type)}`.

    The page itself is at "/", all other files at "/assets/...". All links are relative, so that the service can be
    mounted below a path. Nothing is inline: the page works with the policy `default-src 'none'; script-src 'self';
    style-src 'self'; img-src 'self' blob:; connect-src 'self'`.

    >>> files()["/"][1]
    'text/html; charset=utf-8'
    >>> sorted(files())[1]
    '/assets/app.js'
    """
    folder = resources.files("dogbreed_sdk.service.page").joinpath("assets")
    found = {}
    for file in sorted(folder.iterdir(), key=lambda entry: entry.name):
        path = "/" if file.name == "index.html" else f"/assets/{file.name}"
        found[path] = (file.read_bytes(), _TYPES[file.name.rpartition(".")[2]])
    return found
