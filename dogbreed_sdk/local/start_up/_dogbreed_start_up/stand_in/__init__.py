"""A small smdebug for scripts whose Python has none that works: it records what smdebug's hook for PyTorch records."""

from __future__ import annotations

import sys
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

from ..import_hooks import warn

# What smdebug 1.0.34 needs and does not declare.
_NEEDS = ("boto3", "numpy", "packaging", "pandas", "psutil", "requests", "google.protobuf")


def folder(installed: bool) -> str | None:
    """The folder of the stand-in; None if the installed smdebug works.

    Args:
        installed: Whether smdebug is installed.
    """
    problem = _problem() if installed else ""
    if problem is None:
        return None
    if problem:
        warn(f"the installed smdebug does not work ({problem}), so a stand-in of local SageMaker records instead")
    return str(Path(__file__).parent)


def _problem() -> str | None:
    """Why smdebug 1.0.34 cannot record here, without the second that importing it takes; None if it can."""
    if sys.version_info >= (3, 13):
        return "it does not load on Python 3.13 or newer"
    needs = [*_NEEDS, *(["setuptools"] if sys.version_info >= (3, 12) else [])]
    missing = [name for name in needs if not _is_installed(name)]
    if missing:
        return f"it needs {', '.join(missing)}"
    for name, below in (("numpy", (2, 3)), ("protobuf", (3, 21))):
        try:
            found = version(name)
        except PackageNotFoundError:
            continue
        if tuple(int(part) for part in found.split(".")[:2]) >= below:
            return f"it needs {name} below {below[0]}.{below[1]}, and {found} is installed"
    return None


def _is_installed(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:  # the package of a module
        return False
