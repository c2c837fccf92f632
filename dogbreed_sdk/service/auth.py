"""Who may ask, and how often: API keys and request rates."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from fastapi import Request  # FastAPI reads the annotation when the application is made

from dogbreed_sdk._util.http_connections import network
from dogbreed_sdk.service.problems import raised
from dogbreed_sdk.service.rate_limits import RateLimiter

if TYPE_CHECKING:
    from dogbreed_sdk.service.settings import ServiceSettings


class Guard:
    """Lets a request below /v1 pass, or ends it with 401 or 429.

    Args:
        settings: The keys and the rate, where there are any.
    """

    def __init__(self, settings: ServiceSettings) -> None:
        self._keys = settings.api_keys
        self._rate = settings.rate
        self._limiter = RateLimiter(settings.rate) if settings.rate else None

    async def __call__(self, request: Request) -> None:
        """Checks one request, as a dependency of its route.

        Raises:
            ProblemError: No key that is right, or too many requests.
        """
        who = self._who(request)
        request.state.who = who
        if self._limiter is None or request.method != "POST":  # pictures count; asking for the labels does not
            return
        wait = self._limiter.take(who)
        if wait > 0:
            detail = f"Pictures are taken at a rate of {self._rate}, which has been used up."
            raise raised("rate-limit", detail, retry_after=math.ceil(wait))

    def charge(self, request: Request, pictures: int) -> None:
        """Counts the further pictures of a batch; a batch that began within the rate is answered whole."""
        if self._limiter and pictures > 0:
            self._limiter.charge(request.state.who, pictures)

    def _who(self, request: Request) -> str:
        if self._keys is None:
            return network(request.client.host if request.client else "")
        offered = _offered_key(request)
        if not offered:
            raise raised("unauthorized", "The request carries no API key.")
        who = self._keys.match(offered)
        if who is None:
            raise raised("unauthorized", "The API key is not one of this service's.")
        return who


def _offered_key(request: Request) -> str:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else request.headers.get("x-api-key", "").strip()
