"""Which pictures no longer show what the code draws, found without drawing them.

`docs/pictures/pictures.json` records a digest for each picture, of what can be seen of its sources: style sheets,
scripts and templates without comments, and the texts in the Python modules that draw it. Renamed functions, moved
lines, new types, comments and docstrings leave the digest as it is; another word, tag or color changes it.
"""

from __future__ import annotations

import ast
import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "docs" / "pictures"
RECORD = FOLDER / "pictures.json"
ASSETS = (".css", ".js", ".html")
_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
_COMMENTS = re.compile(r"/\*.*?\*/|<!--.*?-->|^\s*//[^\n]*", re.DOTALL | re.MULTILINE)


def digest(sources: Iterable[str], root: Path = ROOT) -> str:
    """The digest of what can be seen of these files and folders, given relative to the root.

    Args:
        sources: Files, folders, or one function of a module: `plots.py:losses`.
        root: Of the project.

    Raises:
        FileNotFoundError: A source does not exist.
    """
    seen = {text for source in sources for text in _texts(source, root)}
    return hashlib.sha256("\0".join(sorted(seen)).encode()).hexdigest()[:16]


def _texts(source: str, root: Path) -> Iterator[str]:
    name, _, function = source.partition(":")
    path = root / name
    if not path.exists():
        raise FileNotFoundError(f"{name} draws a picture and does not exist: mend docs/_pictures/recipes.py")
    for file in path.rglob("*") if path.is_dir() else [path]:
        yield from _visible(file, function)


def _visible(path: Path, function: str) -> Iterator[str]:
    """The texts of a file that may be seen in a picture, without white space: how lines are broken does not matter."""
    if path.suffix == ".py":
        tree: ast.AST = ast.parse(path.read_text(encoding="utf-8"))
        if function:
            tree = _function(tree, function, path)
        docstrings = {id(node.body[0].value) for node in ast.walk(tree) if _has_docstring(node)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
                yield "".join(node.value.split())
    elif path.suffix in ASSETS:
        yield "".join(_COMMENTS.sub("", path.read_text(encoding="utf-8")).split())


def _function(tree: ast.AST, name: str, path: Path) -> ast.AST:
    found = (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.name == name)
    function = next(found, None)
    if function is None:
        raise FileNotFoundError(f"{path.name} has no function {name}: mend docs/_pictures/recipes.py")
    return function


def _has_docstring(node: ast.AST) -> bool:
    return isinstance(node, _DOCUMENTED) and ast.get_docstring(node, clean=False) is not None


def recorded(record: Path = RECORD) -> dict[str, str]:
    """The digest of each picture when it was taken."""
    found: dict[str, str] = json.loads(record.read_text(encoding="utf-8")) if record.exists() else {}
    return found


def write(digests: Mapping[str, str], record: Path = RECORD) -> None:
    """Records the digests of all pictures."""
    record.write_text(json.dumps(dict(sorted(digests.items())), indent=2) + "\n", encoding="utf-8")
