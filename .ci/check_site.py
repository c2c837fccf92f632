"""Looks at the built site as a reader's browser would: no page may load anything from another server."""

from __future__ import annotations

import sys
from html.parser import HTMLParser
from pathlib import Path

LOADED = {"script": "src", "img": "src", "iframe": "src", "source": "src", "video": "src", "link": "href"}
NAMED = {"canonical", "prev", "next"}  # links of the head that nothing is loaded from


class Loads(HTMLParser):
    """What a page loads by itself, and the diagrams that the theme would fetch a renderer for."""

    def __init__(self) -> None:
        super().__init__()
        self.foreign: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Notes an element that loads something from elsewhere."""
        values = dict(attrs)
        address = values.get(LOADED.get(tag, "")) or ""
        if address.startswith(("http:", "https:", "//")) and values.get("rel") not in NAMED:
            self.foreign.append(address)
        if "mermaid" in (values.get("class") or "").split():
            self.foreign.append("the renderer of a mermaid diagram; draw it as an SVG file in docs/pictures")
        if values.get("data-md-component") == "source":
            self.foreign.append("the number of stars (repo_url in mkdocs.yml)")


def main(site: Path) -> int:
    """Prints what each page loads from elsewhere; 1 if there is anything, or no page."""
    pages = sorted(site.rglob("*.html"))
    found = []
    for page in pages:
        loads = Loads()
        loads.feed(page.read_text(encoding="utf-8"))
        found += [f"{page.relative_to(site)} loads {what}" for what in loads.foreign]
    print("\n".join(found) or f"{len(pages)} page(s) load nothing from other servers")
    return int(bool(found) or not pages)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
