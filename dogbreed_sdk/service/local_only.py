"""Keeps web pages from elsewhere out of a service that is meant for this machine only.

Whatever page a browser shows may post forms to loopback, and may read the answers, too, once its own name has been made
to lead there (DNS rebinding). Browsers say which page asks, and under which name: the headers Origin and Host.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from starlette.datastructures import Headers

from dogbreed_sdk._util.sockets import is_loopback
from dogbreed_sdk.service.middleware import problem_response
from dogbreed_sdk.service.problems import Problem

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

    from dogbreed_sdk.service.metrics import Metrics


class LocalOnly:
    """Answers 403 to requests for another name than this machine's own, and from pages of other machines.

    Args:
        app: What is kept for this machine.
        origins: Origins whose pages may ask all the same.
        metrics: Where refusals are counted.
    """

    def __init__(self, app: ASGIApp, *, origins: Sequence[str], metrics: Metrics) -> None:
        self._app = app
        self._origins = frozenset(origins)
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
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
                "This service answers this machine only, and not under another name. Behind a proxy that passes names "
                "on, it is to be started with --trusted-proxy."
            )
        if origin is None or _means_this_machine(origin) or self._origins & {origin, "*"}:
            return None
        return "This service takes no requests from other machines' pages; --cors-origin names those that may ask."


def _means_this_machine(url: str) -> bool:
    try:
        return is_loopback(urlsplit(url).hostname or "")
    except ValueError:
        return False
