"""Writes the generated parts of the documentation anew from the code that they describe.

    python docs/generate.py            # after a change of an option, a limit, a backbone, a rule, ...
    python docs/generate.py --check    # names the files that are stale, and exits with 1

A Markdown file says where a table, a list or a whole chapter goes; what stands between the two markers is replaced:

    <!-- generated: content-types -->
    <!-- end -->

`_generate/` has one module per topic. To add a part, write a function in one of them that returns its Markdown, and
decorate it with its name. A module that is generated as a whole is likewise a function that returns its text, decorated
with the module's path.
"""

from __future__ import annotations

import importlib
import pkgutil
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import _generate
from _generate.frame import MODULES, TABLES

ROOT = Path(__file__).resolve().parents[1]
_BLOCK = re.compile(r"(<!-- generated: ([\w-]+) -->\n).*?(<!-- end -->)", re.DOTALL)

for _topic in pkgutil.iter_modules(_generate.__path__, "_generate."):
    importlib.import_module(_topic.name)


def regenerated(text: str) -> str:
    """A document with all of its generated tables written anew.

    Raises:
        ValueError: It names a table that is not in `TABLES`.
    """

    def written(found: re.Match[str]) -> str:
        begin, name, end = found.groups()
        if name not in TABLES:
            raise ValueError(f"unknown table {name!r}; valid names: {', '.join(sorted(TABLES))}")
        return f"{begin}{TABLES[name]()}\n{end}"

    return _BLOCK.sub(written, text)


def stale(root: Path = ROOT) -> Iterator[tuple[Path, str]]:
    """The documents and modules that are not up to date, each with the text that it should have."""
    for path in sorted([*root.glob("*.md"), *root.glob("docs/**/*.md")]):
        text = path.read_text(encoding="utf-8")
        wanted = regenerated(text)
        if wanted != text:
            yield path, wanted
    for name, write in MODULES.items() if root == ROOT else ():
        path, wanted = root / name, write()
        if not path.is_file() or path.read_text(encoding="utf-8") != wanted:
            yield path, wanted


def main(arguments: list[str]) -> int:
    """Writes the stale documents, or with --check only names them."""
    found = dict(stale())
    for path, text in found.items():
        if arguments == ["--check"]:
            print(f"{path.relative_to(ROOT)} is stale: run python docs/generate.py")
        else:
            path.write_text(text, encoding="utf-8")
            print(f"wrote {path.relative_to(ROOT)}")
    return int(bool(found) and arguments == ["--check"])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
