"""The limits and options of the service, each default with its reason."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dogbreed_sdk.defaults import INVOKE_CONNECTIONS, REALTIME_PAYLOAD_BYTES
from dogbreed_sdk.errors import ConfigurationError

if TYPE_CHECKING:
    from dogbreed_sdk.service.api_keys import ApiKeys
    from dogbreed_sdk.service.rate_limits import Rate

_MEBIBYTE = 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class ServiceSettings:
    """The limits and options of a service.

    Attributes:
        api_keys: Requests below /v1 must contain one of these keys; None: no key is required.
        cors_origins: Origins of web pages that may call the service from a browser, such as "https://app.example".
        rate: Pictures that a client may send, identified by its key, or without keys by its address; None: no limit.
        max_concurrency: Pictures sent to the endpoint at the same time. 16 keep a model with batches of eight busy; at
            most 64, the number of connections to an endpoint.
        max_waiting: Pictures that may wait for that; more get status 503. 64 wait about a second on two cores.
        max_body_bytes: Largest picture. Default: SageMaker's own limit for a real-time request.
        max_batch_bytes: Largest body of a batch.
        max_batch_pictures: Largest number of pictures in a batch.
        max_buffered_bytes: Bytes of all bodies in memory at the same time; more get status 503.
        max_connections_per_address: Connections that one address, or IPv6 network of 64 bits, may hold open with
            ``dogbreed serve``; other servers have their own limits. 128 are a quarter of all: enough for an office
            behind one address, while three such offices leave room for others.
        deadline_seconds: Time from the end of a request to its response. Default: the 60 s that SageMaker gives a
            container.
        read_seconds: Time limit for the body of a request to arrive.
        ready_seconds: Time for which a result of /readyz is reused.
        allow_urls: Whether clients may send http(s) URLs, which the service then downloads.
        title: The heading of the web page. Default: a question that suits the model's classes.
        examples: A folder with pictures that the web page offers to try, read when the service starts; at most eight
            are used. Default: none.
        local_only: Whether to refuse requests that are addressed to a name other than this machine's, and requests of
            other sites' web pages. For a service on loopback without keys, which any page in a browser could call.

    Raises:
        ConfigurationError: A number is out of range, or an origin is not valid.

    Examples:
        >>> from dogbreed_sdk.service import ApiKeys, Rate, ServiceSettings
        >>> settings = ServiceSettings(api_keys=ApiKeys(["a-key-of-24-characters-X"]), rate=Rate.parse("60/minute"))
        >>> settings.max_body_bytes
        26214400
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
    title: str | None = None
    examples: Path | None = None
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
                raise ConfigurationError(f"{name} must be finite and at least {lowest}, not {getattr(self, name)}.")
        if self.max_concurrency > INVOKE_CONNECTIONS:
            raise ConfigurationError(
                f"max_concurrency must be at most {INVOKE_CONNECTIONS}, the number of connections to the endpoint, not "
                f"{self.max_concurrency}."
            )
        for origin in self.cors_origins:
            scheme, separator, host = origin.partition("://")
            if origin != "*" and (scheme not in ("http", "https") or not separator or not host or "/" in host):
                raise ConfigurationError(
                    f"{origin!r} is not an origin; write scheme and host without a path, such as https://app.example."
                )
