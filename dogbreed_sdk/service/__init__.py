"""The HTTP service for apps that do not speak AWS: pictures in, breeds out, with a web page on top.

`create_app` makes the application, to be served by ``dogbreed serve`` or mounted in an application of your own.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dogbreed_sdk.service.api_keys import ApiKeys
    from dogbreed_sdk.service.app import create_app
    from dogbreed_sdk.service.rate_limits import Rate
    from dogbreed_sdk.service.settings import ServiceSettings

__all__ = ["ApiKeys", "Rate", "ServiceSettings", "create_app"]

# Loaded on first use: the page's files and the settings need no web framework.
_HOMES = {"ApiKeys": "api_keys", "Rate": "rate_limits", "ServiceSettings": "settings", "create_app": "app"}


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{home}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
