"""Access control: API keys, and the rate of requests."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from fastapi import Request  # FastAPI reads the annotation when the application is created

from dogbreed_sdk._util.http_connections import network
from dogbreed_sdk.service.problems import problem_error
from dogbreed_sdk.service.rate_limits import RateLimiter, in_words
from training_scripts._util.number_text import counted

if TYPE_CHECKING:
    from dogbreed_sdk.service.settings import ServiceSettings


class Guard:
    """Admits a request below /v1, or refuses it with status 401 or 429.

    Args:
        settings: The keys and the rate, if any.
    """

    def __init__(self, settings: ServiceSettings) -> None:
        self._keys = settings.api_keys
        self._rate = settings.rate
        self._limiter = RateLimiter(settings.rate) if settings.rate else None

    async def __call__(self, request: Request) -> None:
        """Checks one request, as a dependency of its route.

        Raises:
            ProblemError: The key is missing or not valid, or the client has exceeded its rate.
        """
        client = self._client(request)
        request.state.client_id = client
        if self._limiter is None or request.method != "POST":  # the rate counts pictures, not requests for the labels
            return
        wait = self._limiter.take(client)
        if wait > 0:
            assert self._rate is not None
            seconds = math.ceil(wait)
            limit = in_words(self._rate, "picture")
            detail = f"The limit of {limit} is used up; try again in {counted(seconds, 'second')}."
            raise problem_error("rate-limit", detail, retry_after=seconds)

    def charge(self, request: Request, pictures: int) -> None:
        """Counts the other pictures of a batch; a batch that starts within the rate is processed completely."""
        if self._limiter and pictures > 0:
            self._limiter.charge(request.state.client_id, pictures)

    def _client(self, request: Request) -> str:
        """Identifies the client by its key, or without keys by its network address."""
        if self._keys is None:
            return network(request.client.host if request.client else "")
        key = _key_of(request)
        if not key:
            raise problem_error("unauthorized", "The request does not contain an API key.")
        owner = self._keys.match(key)
        if owner is None:
            raise problem_error("unauthorized", "The API key is not valid for this service.")
        return owner


def _key_of(request: Request) -> str:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else request.headers.get("x-api-key", "").strip()
