"""The HTTP service for apps without an AWS client: classifies the pictures they send, and has a web page for people.

`create_app` makes the ASGI application, which ``dogbreed serve`` runs; you can also mount it in your application.
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

# Imported on first use: the page's files and the settings work without the web framework.
_HOMES = {"ApiKeys": "api_keys", "Rate": "rate_limits", "ServiceSettings": "settings", "create_app": "app"}


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{home}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
