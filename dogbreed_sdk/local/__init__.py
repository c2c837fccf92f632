"""Local SageMaker: a loopback server that speaks SageMaker's API and runs jobs as processes."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dogbreed_sdk.local.boto import LocalBotoSession
    from dogbreed_sdk.local.server import LocalSageMaker
    from dogbreed_sdk.local.store import Store

__all__ = ["LocalBotoSession", "LocalSageMaker", "Store"]

# Loaded on first use: a job's supervisor wants the store alone, without a web server and boto3.
_HOMES = {"LocalBotoSession": "boto", "LocalSageMaker": "server", "Store": "store"}


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{home}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
