"""ServiceSettings: every limit and option of the service, each default with its reason."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dogbreed_sdk.defaults import INVOKE_CONNECTIONS, REALTIME_PAYLOAD_BYTES
from dogbreed_sdk.errors import ConfigurationError

if TYPE_CHECKING:
    from dogbreed_sdk.service.api_keys import ApiKeys
    from dogbreed_sdk.service.rate_limits import Rate

_MEBIBYTE = 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class ServiceSettings:
    """What a service allows.

    Attributes:
        api_keys: Keys of which requests below /v1 must bring one; None: open to everybody who reaches it.
        cors_origins: Origins of web pages that may call it from a browser, such as "https://app.example".
        rate: Pictures a key may send, or a client's address where there are no keys; None: as many as it likes.
        max_concurrency: Pictures sent to the endpoint at a time. 16 keep a model that answers eight at once busy;
            64 are the most, as many as there are connections to an endpoint.
        max_waiting: Pictures that wait for one of these places; more are answered 503. 64 wait about a second on
            two cores.
        max_body_bytes: The longest picture; SageMaker's own limit of a real-time request.
        max_batch_bytes: The longest body of a batch.
        max_batch_pictures: The most pictures of a batch.
        max_buffered_bytes: Bytes of all bodies held at a time, whoever sends them; more are answered 503.
        max_connections_per_address: Connections that one address, or IPv6 network of 64 bits, may hold open with
            ``dogbreed serve``; another server has limits of its own. 128 are a quarter of all: an office behind one
            address has room, and four of them do not keep everybody else out.
        deadline_seconds: From having read a request to its answer; 60 s are what SageMaker gives a container.
        read_seconds: The longest that the body of a request may take to arrive.
        ready_seconds: How long an answer of /readyz stays good.
        allow_urls: Whether pictures may be given as http(s) URLs, which the service then fetches.
        local_only: Whether requests under another name than this machine's own, and those of web pages from elsewhere,
            are refused. For a service on loopback, which has no other guard against pages that its user visits.

    Raises:
        ConfigurationError: A number is out of range, or an origin is none.
    """

    api_keys: ApiKeys | None = None
    cors_origins: tuple[str, ...] = ()
    rate: Rate | None = None
    max_concurrency: int = 16
    max_waiting: int = 64
    max_body_bytes: int = REALTIME_PAYLOAD_BYTES
    max_batch_bytes: int = 100 * _MEBIBYTE
    max_batch_pictures: int = 32
    max_buffered_bytes: int = 512 * _MEBIBYTE
    max_connections_per_address: int = 128
    deadline_seconds: float = 60.0
    read_seconds: float = 30.0
    ready_seconds: float = 1.0
    allow_urls: bool = True
    local_only: bool = False

    def __post_init__(self) -> None:
        least = {
            "max_concurrency": 1,
            "max_waiting": 0,
            "max_body_bytes": 1,
            "max_batch_bytes": 1,
            "max_batch_pictures": 1,
            "max_buffered_bytes": 1,
            "max_connections_per_address": 1,
            "deadline_seconds": 0.001,
            "read_seconds": 0.001,
            "ready_seconds": 0,
        }
        for name, lowest in least.items():
            if not lowest <= getattr(self, name) < math.inf:  # so that NaN is refused too
                raise ConfigurationError(f"{name} must be at least {lowest}, and finite, not {getattr(self, name)}.")
        if self.max_concurrency > INVOKE_CONNECTIONS:
            raise ConfigurationError(
                f"max_concurrency must be at most {INVOKE_CONNECTIONS}, as many as there are connections to the "
                f"endpoint, not {self.max_concurrency}."
            )
        for origin in self.cors_origins:
            scheme, separator, host = origin.partition("://")
            if origin != "*" and (scheme not in ("http", "https") or not separator or not host or "/" in host):
                raise ConfigurationError(
                    f"{origin!r} is no origin; write scheme and host without a path, as https://app.example"
                )
