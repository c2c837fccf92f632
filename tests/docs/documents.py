"""The documentation as tests read it: its pages, and the code blocks, links and headings in them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = tuple(sorted(DOCS.rglob("*.md")))
DOCUMENTS = (*sorted(ROOT.glob("*.md")), *sorted(ROOT.glob("examples/*.md")), *PAGES)

_FENCED = re.compile(
    r"^(?:[ ]*<!-- (?P<mark>[^\n]+?) -->\n)?^(?P<indent> *)(?P<fence>`{3,}|~{3,})(?P<language>\w*)[^\n]*\n"
    r"(?P<code>.*?)^(?P=indent)(?P=fence)$",
    re.DOTALL | re.MULTILINE,
)
_LINK = re.compile(r"\]\(([^)\s]+)(?: \"[^\"]*\")?\)")


@dataclass(frozen=True)
class Block:
    """A fenced code block.

    Attributes:
        page: Its file, relative to the repository's root.
        line: The line of its first fence, from 1.
        language: What follows the fence; empty if nothing does.
        code: Its text, without the indentation of the fences.
        mark: The text of the comment in the line above it; empty if there is none.
    """

    page: str
    line: int
    language: str
    code: str
    mark: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def name(path: Path) -> str:
    """A file's path from the repository's root."""
    return path.relative_to(ROOT).as_posix()


def blocks(path: Path) -> Iterator[Block]:
    """The fenced code blocks of a document."""
    text = path.read_text(encoding="utf-8")
    for found in _FENCED.finditer(text):
        code = re.sub(rf"^{found['indent']}", "", found["code"], flags=re.MULTILINE)
        line = text.count("\n", 0, found.start("fence")) + 1
        yield Block(name(path), line, found["language"], code, found["mark"] or "")


def commands(path: Path) -> Iterator[tuple[int, str]]:
    """The lines of code blocks, fenced or indented, that call `dogbreed`, with their numbers; continued ones joined."""
    text = re.sub(r"\\\n", lambda found: " " * len(found[0]), path.read_text(encoding="utf-8"))
    for found in re.finditer(r"^ *(?:\$ )?(dogbreed [^\n]*)", text, re.MULTILINE):
        if _in_code(text, found.start()):
            yield text.count("\n", 0, found.start()) + 1, found[1].strip()


def _in_code(text: str, position: int) -> bool:
    fenced = any(block.start() < position < block.end() for block in _FENCED.finditer(text))
    return fenced or text.startswith("    ", position)


def links(path: Path) -> list[str]:
    """The targets of a document's links and pictures that are not addresses on the web."""
    prose = without_code(path.read_text(encoding="utf-8"))
    sources = re.findall(r"<img[^>]* src=\"([^\"]+)\"", prose)
    return [target for target in [*_LINK.findall(prose), *sources] if not re.match(r"[a-z]+:", target)]


def anchors(path: Path) -> set[str]:
    """The anchors that GitHub gives to a document's headings, as mkdocs.yml makes the site do."""
    found: set[str] = set()
    for heading in re.findall(r"^#+ (.+)$", without_code(path.read_text(encoding="utf-8")), re.MULTILINE):
        words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        anchor = re.sub(r"[^\w\- ]", "", words.strip().lower()).replace(" ", "-")
        found.add(anchor)
    return found


def without_code(text: str) -> str:
    """A document without its fenced blocks and code spans, in which links and headings are none."""
    return re.sub(r"`[^`\n]+`", "", _FENCED.sub("", text))
