"""The input and the outcome of an asynchronous invocation: read from, and written to, S3 or this machine."""

from __future__ import annotations

import base64
import json
from contextlib import closing
from pathlib import Path
from typing import cast

from dogbreed_sdk.container import uri_to_path
from dogbreed_sdk.errors import ConfigurationError
from dogbreed_sdk.local.folders import EndpointFolder
from dogbreed_sdk.local.hosting.async_queue import QueuedRequest
from dogbreed_sdk.local.hosting.objects import write_object
from dogbreed_sdk.local.s3.transfer import Explained, client_for, split_uri
from dogbreed_sdk.local.states import Outcome
from dogbreed_sdk.local.store import Record
from training_scripts.data.formats import OCTET_STREAM

# Quotas page of the developer guide: payloads of asynchronous inference.
MAX_PAYLOAD_BYTES = 1 << 30
# The type of an object for which its client named none.
_S3_DEFAULT = "binary/octet-stream"


def read_input(request: QueuedRequest) -> tuple[bytes, str | None]:
    """The body of a request, and the content type with which it was stored on S3, if it has one.

    Raises:
        ConfigurationError: It is missing, can't be read, or is larger than 1 GB.
    """
    if request["body"] is not None:
        return base64.b64decode(request["body"]), None
    uri = cast(str, request["input"])
    if not uri.startswith("s3://"):
        return _read_file(uri), None
    bucket, key = split_uri(uri)
    with Explained(uri):
        found = client_for(uri).get_object(Bucket=bucket, Key=key)
        with closing(found["Body"]) as content:
            if found["ContentLength"] > MAX_PAYLOAD_BYTES:
                raise _too_large(uri)
            stored = found.get("ContentType", "")
            return content.read(), None if stored in ("", OCTET_STREAM, _S3_DEFAULT) else stored


def _read_file(uri: str) -> bytes:
    try:
        path = uri_to_path(uri)
        if path.stat().st_size > MAX_PAYLOAD_BYTES:
            raise _too_large(uri)
        return path.read_bytes()
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"The input {uri} can't be read: {error}") from error


def _too_large(uri: str) -> ConfigurationError:
    return ConfigurationError(f"The input {uri} is larger than 1 GB, the limit of an asynchronous invocation.")


def failure_content(message: str, status: int | None, original: str | None) -> bytes:
    """What the object at the failure location contains: JSON, which every deserializer of the SDKs can read."""
    described = {"message": message, "originalStatusCode": status, "originalMessage": original}
    return json.dumps({name: value for name, value in described.items() if value is not None}).encode()


def spool(folder: EndpointFolder, record: Record) -> Path:
    """The file that holds the content of an outcome until it is delivered."""
    return folder.path / f"outcome-{record.name}"


def deliver(file: Path, uri: str, outcome: Outcome) -> None:
    """Copy the content of an outcome to where its client expects it.

    Args:
        file: The file with the content; see `spool`.
        uri: An s3:// or file:// URI.
        outcome: Its content type and attributes.

    Raises:
        ConfigurationError: It can't be written there.
    """
    attributes = outcome["custom_attributes"]
    metadata = {"custom-attributes": attributes} if attributes else {}
    write_object(uri, file.read_bytes(), content_type=outcome["content_type"], metadata=metadata)
