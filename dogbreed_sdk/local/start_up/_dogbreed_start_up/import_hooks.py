"""Runs functions when modules are imported, or replaces modules; other imports pay for one look into a dictionary."""

from __future__ import annotations

import sys

TYPE_CHECKING = (
    False  # type checkers know the name; importing it, or these, would take longer than everything else here
)
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType

_after: dict[str, Callable[[], None]] = {}
_instead: dict[str, Callable[[bool], str | None]] = {}


def after(name: str, act: Callable[[], None]) -> None:
    """Call a function once a module has been imported; a failure is one line on standard error."""
    if name in sys.modules:
        _guarded(act)
    else:
        _after[name] = act
        _watch()


def instead(name: str, choose: Callable[[bool], str | None]) -> None:
    """Have a package imported from elsewhere.

    Args:
        name: The package's name.
        choose: Called with whether the package is installed; returns the folder that contains the package to import,
            or None for the installed one.
    """
    _instead[name] = choose
    _watch()


class _Finder:
    """First among the finders; finds only what is watched."""

    @classmethod
    def find_spec(
        cls, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name in _instead:
            return _replaced(name, _found(name, path, target))
        act = _after.get(name)
        if act is None:
            return None
        spec = _found(name, path, target)
        if spec is None or spec.loader is None:
            return spec  # it may be installed later
        del _after[name]
        execute = spec.loader.exec_module

        def exec_module(module: ModuleType) -> None:
            execute(module)
            _guarded(act)

        # On the loader itself, which keeps its class: resources and sources are found through it.
        spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


def _watch() -> None:
    if _Finder not in sys.meta_path:
        sys.meta_path.insert(0, _Finder)


def _found(name: str, path: Sequence[str] | None, target: ModuleType | None) -> ModuleSpec | None:
    """What the other finders find."""
    for finder in sys.meta_path:
        if finder is not _Finder and hasattr(finder, "find_spec"):
            spec = finder.find_spec(name, path, target)
            if spec is not None:
                return spec
    return None


def _replaced(name: str, installed: ModuleSpec | None) -> ModuleSpec | None:
    from importlib.machinery import PathFinder

    folder = _instead.pop(name)(installed is not None)
    return installed if folder is None else PathFinder.find_spec(name, [folder])


def _guarded(act: Callable[[], None]) -> None:
    try:
        act()
    except Exception as error:
        warn(f"a start-up hook is off: {type(error).__name__}: {error}")


def warn(problem: str) -> None:
    """Print one line of warning to the job's log."""
    print(f"warning: local SageMaker: {problem}", file=sys.stderr, flush=True)
