"""The import graph of both packages: every import, also inside functions, under TYPE_CHECKING, and by string."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Set
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

Graph = Mapping[str, set[str]]

UNDER_ANOTHER_NAME = ("dogbreed_sdk.local.start_up._dogbreed_start_up", "dogbreed_sdk.model_server.stand_in")


def read_graph(*packages: Path) -> dict[str, set[str]]:
    """Which modules of these packages each of their modules imports.

    Args:
        packages: Folders of top-level packages.

    Returns:
        Full names of the imported modules by the full name of the module that imports them.
    """
    files = {name_of(path, package): path for package in packages for path in sorted(package.rglob("*.py"))}
    return {name: set(_imported(name, path, files.keys())) - {name} for name, path in files.items()}


def name_of(path: Path, package: Path) -> str:
    """The full name of the module in a file; a package's name for its __init__.py."""
    parts = path.relative_to(package.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def circle(graph: Graph) -> list[str]:
    """The modules of one circle, the first one twice; empty where there is none."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(reversed(error.args[1]))
    return []


def _source(module: str, path: Path, node: ast.ImportFrom) -> str:
    """The full name of the module that a statement imports from."""
    if not node.level:
        assert node.module
        return node.module
    # Only what scripts import under another name may do so.
    assert module.startswith(UNDER_ANOTHER_NAME), f"{path} imports relatively"
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    parts = package.split(".")[: len(package.split(".")) - node.level + 1]
    return ".".join([*parts, *filter(None, [node.module])])


def _imported(module: str, path: Path, modules: Set[str]) -> Iterator[str]:
    """Modules of ours that a file imports, or names in a string: for importlib, or to be run by another process.

    A string that names a package around the module does not count: importing the module has imported that already. Such
    strings name loggers, and packages whose files are read or which are run with ``-m``.
    """
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in modules)
        elif isinstance(node, ast.ImportFrom):
            source = _source(module, path, node)
            full = {f"{source}.{alias.name}" for alias in node.names}
            yield from (name for name in full if name in modules)
            if any(name not in modules for name in full) and source in modules:
                yield source
        elif (
            isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and "." in node.value
            and not module.startswith(f"{node.value}.")
        ):
            yield from {node.value} & modules
