"""Optional dependencies: imported where used, with an error that names the extra to install."""

from __future__ import annotations

import importlib
from types import ModuleType

from dogbreed_sdk.errors import ConfigurationError


def load(module: str, *, extra: str, purpose: str) -> ModuleType:
    """A module of an optional dependency, or of ours that needs one.

    Args:
        module: Full name of the module.
        extra: The extra of this distribution that brings what the module needs.
        purpose: What it is needed for, as the end of "… is needed to".

    Raises:
        ConfigurationError: A package is missing.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"The package {error.name!r} is needed to {purpose}. Install it with: pip install 'dogbreed-sdk[{extra}]'"
        ) from error
