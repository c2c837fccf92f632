"""A plugin of botocore: requests for AWS's own hosts go to the local server instead.

Environment variables point most clients there. They do not reach clients that name AWS's address themselves, as
sagemaker 2 does for STS. botocore, from 1.40 on, loads this module for each client if $BOTOCORE_EXPERIMENTAL__PLUGINS
names it. It runs in the user's Python, of whatever version, so it needs nothing but botocore.
"""

from __future__ import annotations

import os
import re
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit, urlunsplit

URL_VARIABLE = "AWS_ENDPOINT_URL"
_AWS = re.compile(r"\.(amazonaws\.com(\.cn)?|api\.aws|amazonwebservices\.com\.cn|(c2s|sc2s|csp)\.ic\.gov)$")
# Virtual-hosted style: the bucket is the first part of S3's host name.
_BUCKET = re.compile(r"^(?P<bucket>.+)\.s3([.-].*)?$")


def initialize_client_plugin(client: Any) -> None:
    """Called by botocore with every client that it makes."""
    client.meta.events.register_first("before-send", redirect)


def redirect(request: Any, **_: object) -> Any:
    """Send a request that is about to be sent to AWS to the local server; None for any other request."""
    url = local_url(request.url, os.environ.get(URL_VARIABLE, ""))
    if url == request.url:
        return None
    request.url = url
    return _session().send(request)


@lru_cache(maxsize=1)
def _session() -> Any:
    """Connections without the proxy, if any, that the client would use for AWS."""
    from botocore.httpsession import URLLib3Session  # noqa: PLC0415 - present, as it loaded this module

    return URLLib3Session(proxies={})


def local_url(url: str, server: str) -> str:
    """The URL at the local server that stands for one at AWS; any other URL as it is.

    >>> local_url("https://sts.eu-west-1.amazonaws.com/", "http://127.0.0.1:8765")
    'http://127.0.0.1:8765/'
    >>> local_url("https://dogs.s3.us-east-1.amazonaws.com/a/b?acl", "http://127.0.0.1:8765")
    'http://127.0.0.1:8765/dogs/a/b?acl'
    """
    asked, local = urlsplit(url), urlsplit(server)
    host = asked.hostname or ""
    if not local.netloc or not _AWS.search(host):
        return url
    found = _BUCKET.match(_AWS.sub("", host))
    path = f"/{found.group('bucket')}{asked.path}" if found else asked.path
    return urlunsplit((local.scheme, local.netloc, path, asked.query, asked.fragment))
