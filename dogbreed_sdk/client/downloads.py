"""Downloads a picture from an untrusted URL, through the URL guard in `training_scripts.data.safe_fetch`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from dogbreed_sdk.errors import ConfigurationError, ImageDownloadError
from training_scripts._util.safe_text import redacted
from training_scripts.data.limits import MAX_DOWNLOAD_BYTES

# A 10 MB photograph over a slow line of 4 Mbit/s takes 20 s.
DEADLINE_SECONDS: Final = 30.0


def download(
    url: str,
    *,
    allowed_hosts: Sequence[str] | None = None,
    deadline: float = DEADLINE_SECONDS,
    max_bytes: int = MAX_DOWNLOAD_BYTES,
) -> bytes:
    """Downloads the content of an http(s) URL, whatever its content type.

    Only public addresses are connected to: not private, loopback or link-local ones, nor a cloud's metadata service.
    ``DOGBREED_FETCH_NETWORKS`` allows private networks, too, such as "10.0.0.0/8".
    The address of each connection is checked, including redirects. Proxies in the environment are not used, because
    the address behind a proxy cannot be checked: if the network requires one, download the picture yourself and pass
    its bytes.

    Args:
        url: A URL without user name and password; its query never appears in a message.
        allowed_hosts: The only hosts that may be contacted, including redirects: "images.example.com", or
            "*.example.com" for all subdomains. Default: those in the environment variable ``DOGBREED_FETCH_HOSTS``,
            else all hosts.
        deadline: Seconds for the entire download, from resolving the host name to the last byte.
        max_bytes: Maximum size of the content, also after decompression.

    Raises:
        ImageDownloadError: The URL is refused, or the download failed, was too large or took too long.
        ConfigurationError: A network in the environment is not in CIDR notation, or a limit is not positive.
    """
    from training_scripts.data import safe_fetch  # noqa: PLC0415 - most pictures are not downloaded

    if deadline <= 0 or max_bytes <= 0:
        raise ConfigurationError(f"deadline and max_bytes must be positive, got {deadline} and {max_bytes}")
    if isinstance(allowed_hosts, str):
        raise ConfigurationError(f"allowed_hosts must be a list of hosts, not the string {allowed_hosts!r}")
    try:
        default = safe_fetch.FetchPolicy.from_environment()
    except safe_fetch.FetchError as error:
        raise ConfigurationError(f"invalid network in DOGBREED_FETCH_NETWORKS: {error}") from error
    hosts = default.hosts if allowed_hosts is None else tuple(allowed_hosts)
    try:
        content: bytes = safe_fetch.fetch(
            url, safe_fetch.FetchPolicy(True, default.networks, max_bytes, deadline, hosts)
        )
    except safe_fetch.FetchError as error:
        raise ImageDownloadError(f"cannot download {redacted(url)}: {error}") from None
    return content
