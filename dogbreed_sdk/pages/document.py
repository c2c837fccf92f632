"""A page as one HTML file: no network, no library, styles and script inside, light and dark."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import time
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from string import Template

from dogbreed_sdk._version import __version__
from dogbreed_sdk.pages.markup import Child, Markup, element, inner
from training_scripts._util.atomic import write_atomically


def filled_page(
    *,
    brand: str,
    title: str,
    sections: Sequence[tuple[str, str]],
    body: Markup,
    footer: Child = None,
    charts: Mapping[str, object] | None = None,
    script: str = "",
    data: object = None,
    style: str = "",
    version: str | None = None,
) -> bytes:
    """A page in the style of all pages, encoded as UTF-8. It loads nothing, and shows pictures only from data: URLs.

    Args:
        brand: What kind of page it is.
        title: The document's title.
        sections: Anchor and short title of each section that the navigation links to.
        body: The sections.
        footer: What follows the version and the time in the last line.
        charts: The charts (`pages.series`) that the page's script draws at their `sections.figure`; None for a page
            without any, which then contains no chart script.
        script: The page's own JavaScript; its hash allows it, and nothing else runs.
        data: What the page's own script reads from the element with the id `data`, as JSON.
        style: Style sheet beside that of all pages.
        version: Of a page that a server on loopback keeps up to date: the page asks it for `version`, and takes
            the new sections when that has changed. None for a page that is a file.
    """
    whole_style = asset("page.css") + style
    whole_script = ("" if charts is None else asset("charts.js") + asset("page.js")) + script
    if version is not None:
        whole_script += asset("live.js")
    filled = Template(asset("page.html")).substitute(
        policy=f"default-src 'none'; img-src data:; style-src '{_hash(whole_style)}'; "
        f"script-src '{_hash(whole_script)}'; base-uri 'none'; form-action 'none'"
        + ("" if version is None else "; connect-src 'self'"),
        brand=brand,
        title=element("title", title),
        style=whole_style,
        navigation=inner([element("a", name, href=f"#{anchor}") for anchor, name in sections]),
        state="" if version is None else element("p", "live", class_="live", role="status", data_version=version),
        body=body,
        data=_embedded("charts", charts) + _embedded("data", data),
        script=whole_script,
        footer=inner([f"dogbreed-sdk {__version__}, {time.strftime('%Y-%m-%d %H:%M UTC', time.gmtime())}. ", footer]),
    )
    return filled.encode("utf-8")


def _embedded(name: str, value: object) -> str:
    """A script element with JSON, which cannot end the element; nothing without a value."""
    if value is None:
        return ""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False, ensure_ascii=True)
    text = text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
    return f'<script type="application/json" id="{name}">{text}</script>'


def _hash(content: str) -> str:
    """The hash by which the page's content security policy allows this content."""
    return f"sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}"


def write_page(page: bytes, path: str | os.PathLike[str], *, name: str) -> Path:
    """Writes a page as a whole, or not at all.

    Args:
        page: Its content.
        path: The file, or a folder.
        name: The file's name in a folder.

    Returns:
        The path of the file written.
    """
    target = Path(path).expanduser()
    target = target / name if target.is_dir() else target
    write_atomically(target, page)
    return target


def asset(name: str, *, package: str = "dogbreed_sdk.pages") -> str:
    """A script or style sheet in the folder `assets` of a package, for `filled_page`."""
    return resources.files(package).joinpath("assets").joinpath(name).read_text(encoding="utf-8")
