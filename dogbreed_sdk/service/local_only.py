"""Protects a service that is meant for this machine only from web pages of other sites.

Any page in a browser can post forms to loopback, and can also read the responses once its own name resolves to loopback
(DNS rebinding). Browsers send the page's site and the requested name, in the headers Origin and Host.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from starlette.datastructures import Headers

from dogbreed_sdk._util.sockets import is_loopback
from dogbreed_sdk.service.middleware import problem_response
from dogbreed_sdk.service.problems import Problem

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

    from dogbreed_sdk.service.metrics import Metrics


class LocalOnlyMiddleware:
    """Refuses requests for names other than this machine's, and from pages of other machines, with status 403.

    Args:
        app: The application to protect.
        origins: Origins whose pages are allowed.
        metrics: Counts the refusals.
    """

    def __init__(self, app: ASGIApp, *, origins: Sequence[str], metrics: Metrics) -> None:
        self._app = app
        self._origins = frozenset(origins)
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handles one request."""
        detail = self._objection(Headers(scope=scope)) if scope["type"] == "http" else None
        if detail is None:
            await self._app(scope, receive, send)
            return
        self._metrics.problem("forbidden")
        await problem_response(Problem("forbidden", detail), scope["state"]["request_id"])(scope, receive, send)

    def _objection(self, headers: Headers) -> str | None:
        host, origin = headers.get("host"), headers.get("origin")
        if host is not None and not _means_this_machine(f"//{host}"):
            return (
                "This service can be reached only from its own machine, under that machine's name. Behind a proxy that "
                "forwards the Host header, start it with --trusted-proxy."
            )
        if origin is None or _means_this_machine(origin) or self._origins & {origin, "*"}:
            return None
        return "This service refuses requests from web pages of other machines; --cors-origin allows their origins."


@lru_cache(maxsize=1024)  # clients repeat their Host and Origin with every request
def _means_this_machine(url: str) -> bool:
    try:
        return is_loopback(urlsplit(url).hostname or "")
    except ValueError:
        return False
