"""The files of the web page, each with its path and media type; the page itself is filled in."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from importlib import resources
from string import Template

from dogbreed_sdk.pages.markup import element, inner

_TYPES = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}


_QUESTIONS = {"dogs": "Which breed is this dog?", "classes": "What is in this picture?"}


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
        content = index() if path == "/" else file.read_bytes()
        found[path] = (content, _TYPES[file.name.rpartition(".")[2]])
    return found


def index(
    *,
    title: str | None = None,
    subject: str | None = None,
    urls: bool = False,
    explain: bool = False,
    examples: Sequence[str] = (),
) -> bytes:
    """The page itself.

    Args:
        title: Its heading; None for a question that suits the classes.
        subject: What the classes are, "dogs" or "classes"; None if that is not known yet, and the page finds out.
        urls: Whether pictures can be given by their URL.
        explain: Whether the service explains predictions.
        examples: The names of the example pictures, which are at examples/0, examples/1, ...
    """
    question = inner(element("span", text, data_for=name) for name, text in _QUESTIONS.items())
    buttons = [
        element("li", element("button", _image(number), type="button", aria_label=f"Try the example {name}"))
        for number, name in enumerate(examples)
    ]
    filled = Template(_template()).substitute(
        title=element("title", title or _QUESTIONS[subject or "classes"]),
        heading=element("h1", title or question),
        body=element(
            "body", data_subject=subject or "classes", data_urls=urls or None, data_explain=explain or None
        ).removesuffix("</body>"),
        examples=element("ul", buttons, id="examples", role="list", aria_label="Example pictures") if buttons else "",
    )
    return filled.encode()


def _image(number: int) -> str:
    return element("img", src=f"examples/{number}", alt="", loading="lazy")


@functools.cache
def _template() -> str:
    return resources.files("dogbreed_sdk.service.page").joinpath("assets").joinpath("index.html").read_text("utf-8")
