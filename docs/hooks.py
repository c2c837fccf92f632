"""What the site does with pages beyond MkDocs' own means: pages stay plain Markdown that reads well on GitHub, too.

- The example programs and notebooks are files of the site, so that a reader of a tutorial has them at hand.
- A link to another file of the repository outside docs/ leads to where its source can be read (`extra.source` in
  mkdocs.yml), or becomes plain text if no such place is known.
- A picture is a link to its file: on a phone, a tap opens it in full size.
- `<!-- include: FILE -->`, a path from the repository's root, is replaced by the file without its first heading; what
  stands between it and `<!-- end -->` is for readers on GitHub.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from mkdocs.structure.files import File, Files, InclusionLevel

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
ICON = ROOT / "dogbreed_sdk" / "service" / "page" / "assets" / "icon.svg"
EXAMPLES = (*sorted(ROOT.glob("examples/*.py")), *sorted(ROOT.glob("examples/notebooks/*.ipynb")))
_LINK = re.compile(r"(?<!!)\[([^\]]*)\]\((\.\./[^)\s]*)\)")
_PICTURE = re.compile(r"<img [^>]*src=\"([^\"]+)\"[^>]*>")
_INCLUDE = re.compile(r"<!-- include: (\S+) -->\n.*?<!-- end -->", re.DOTALL)


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Adds the icon of the HTTP service's page, and the examples."""
    added = {ICON: ICON.name, **{path: path.relative_to(ROOT).as_posix() for path in EXAMPLES}}
    for path, name in added.items():
        included = InclusionLevel.INCLUDED  # mkdocs.yml leaves out the programs of docs/ itself
        files.append(File.generated(config, name, abs_src_path=str(path), inclusion=included))
    return files


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, **_: object) -> str:
    """A page's Markdown, for the site."""
    folder = (DOCS / page.file.src_uri).parent
    return with_sources(with_includes(markdown, folder), folder, config["extra"]["source"])


def on_page_content(html: str, **_: object) -> str:
    """A page's HTML, without the frame of the site."""
    return _PICTURE.sub(r'<a href="\1" title="Open in full size">\g<0></a>', html)


def with_includes(markdown: str, folder: Path) -> str:
    """Puts files in place of their markers; their links lead from a page in `folder`."""

    def included(found: re.Match[str]) -> str:
        path = ROOT / found[1]
        _, _, text = path.read_text(encoding="utf-8").partition("\n")

        def led(link: re.Match[str]) -> str:
            return f"]({Path(os.path.relpath(path.parent / link[1], folder)).as_posix()})"

        return re.sub(r"\]\((?!https?:|#)([^)\s]+)\)", led, text)

    return _INCLUDE.sub(included, markdown)


def with_sources(markdown: str, folder: Path, source: str) -> str:
    """Leads links to the repository's files outside docs/ to the site's copy, or else to their source."""

    def led(found: re.Match[str]) -> str:
        text, target = found.groups()
        path = Path(os.path.normpath(folder / target.partition("#")[0]))
        if path.is_relative_to(DOCS) or not path.exists():
            return found[0]
        if path in EXAMPLES:
            copy = os.path.relpath(DOCS / path.relative_to(ROOT), folder)
            return f"[{text}]({Path(copy).as_posix()})"
        return f"[{text}]({source}/{path.relative_to(ROOT).as_posix()})" if source else text

    return _LINK.sub(led, markdown)
