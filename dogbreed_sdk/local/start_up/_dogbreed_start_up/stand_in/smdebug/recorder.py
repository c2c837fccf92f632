"""Writes a trial with the recorder of training_scripts, imported under a private name.

A script may have a package called training_scripts, so the recorder's modules, which import one another by that name,
get an import function that translates it.
"""

from __future__ import annotations

import builtins
import importlib
import sys
from collections.abc import Mapping, Sequence
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

_NAME, _PRIVATE = "training_scripts", "_dogbreed_training_scripts"
_ROOT = Path(__file__).resolve().parents[6] / _NAME


def module(name: str) -> Any:
    """A module of training_scripts, such as recording.trial.writer."""
    if _Finder not in sys.meta_path:
        # First: Python's own finder also finds the modules of a package, by its folder.
        sys.meta_path.insert(0, _Finder)
    return importlib.import_module(f"{_PRIVATE}.{name}")


class _Finder:
    @classmethod
    def find_spec(
        cls, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        del path, target
        first, *rest = name.split(".")
        if first != _PRIVATE:
            return None
        place = _ROOT.joinpath(*rest)
        if place.is_dir():
            file = str(place / "__init__.py")
            return spec_from_file_location(
                name, file, loader=_Loader(name, file), submodule_search_locations=[str(place)]
            )
        file = f"{place}.py"
        return spec_from_file_location(name, file, loader=_Loader(name, file))


class _Loader(SourceFileLoader):
    def exec_module(self, module: ModuleType) -> None:
        vars(module)["__builtins__"] = {**vars(builtins), "__import__": _import}
        super().exec_module(module)


def _import(
    name: str,
    globals: Mapping[str, object] | None = None,
    locals: Mapping[str, object] | None = None,
    fromlist: Sequence[str] | None = (),
    level: int = 0,
) -> ModuleType:
    if level == 0 and (name == _NAME or name.startswith(f"{_NAME}.")):
        name = _PRIVATE + name[len(_NAME) :]
    return builtins.__import__(name, globals, locals, fromlist or (), level)
