"""Optional dependencies: imported where used, with an error that names the extras to install."""

from __future__ import annotations

import importlib
import importlib.util
import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import ModuleType

from dogbreed_sdk.container import uri_to_path
from dogbreed_sdk.errors import ConfigurationError

_DISTRIBUTION = "dogbreed-sdk"
_OURS = ("dogbreed_sdk", "training_scripts")


@contextmanager
def needed(*, extra: str, purpose: str) -> Iterator[None]:
    """Imports packages of an extra: the ``with`` block holds the import statements, so that type checkers see them.

    Args:
        extra: The extra of this distribution that installs the packages.
        purpose: What they are needed for, as the end of "… is needed to".

    Raises:
        ConfigurationError: A package is missing.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] in _OURS:
            raise
        raise ConfigurationError(
            f"The package {error.name!r} is needed to {purpose}. Install it with: {install_command(extra)}"
        ) from error


def load(module: str, *, extra: str, purpose: str) -> ModuleType:
    """A module of an optional dependency whose name is known only at run time; otherwise use `needed`.

    Raises:
        ConfigurationError: A package is missing.
    """
    with needed(extra=extra, purpose=purpose):
        return importlib.import_module(module)


def require(modules: Mapping[str, Sequence[str]], *, purpose: str, otherwise: str = "") -> None:
    """Checks that packages are installed before work begins that needs them; imports nothing.

    Args:
        modules: The required modules: names without dots, by the extra that installs them.
        purpose: What they are needed for, as the end of "… are needed to".
        otherwise: A sentence that says what can be done without them.

    Raises:
        ConfigurationError: A package is missing; the message names all missing packages, and every extra to install.
    """
    lacking = missing(modules)
    if lacking:
        packages = ", ".join(sorted({name for names in lacking.values() for name in names}))
        install = install_command(*lacking)
        message = f"Packages are missing that are needed to {purpose}: {packages}. Install them with: {install}"
        raise ConfigurationError(f"{message}\n{otherwise}" if otherwise else message)


def missing(modules: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """The modules that are not installed, by the extra that installs them; omits extras whose modules are installed.

    >>> missing({"local": ["json", "no_such_module"], "service": ["json"]})
    {'local': ['no_such_module']}
    """
    absent = {
        extra: [name for name in names if importlib.util.find_spec(name) is None] for extra, names in modules.items()
    }
    return {extra: names for extra, names in absent.items() if names}


def install_command(*extras: str) -> str:
    """The command that installs extras, from the source folder if this distribution was installed from one."""
    option, source = _source()
    named = ",".join(sorted(extras))
    return f"pip install {option}{shlex.quote(f'{source}[{named}]')}"


def _source() -> tuple[str, str]:
    """Pip's option and requirement: the source folder of this installation if it exists, else the name on the index.

    Source: PyPA, "Recording the Direct URL Origin of installed distributions" (direct_url.json).
    """
    # Slow to import, and needed for a message only.
    from importlib.metadata import PackageNotFoundError, distribution  # noqa: PLC0415

    try:
        origin = json.loads(distribution(_DISTRIBUTION).read_text("direct_url.json") or "{}")
    except PackageNotFoundError:
        return "", _DISTRIBUTION
    folder = uri_to_path(origin["url"]) if "dir_info" in origin else None
    if folder is None or not folder.is_dir():
        return "", _DISTRIBUTION
    return ("-e " if origin["dir_info"].get("editable") else ""), str(folder)
