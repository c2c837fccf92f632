"""Writes what endpoints produce, apart from responses, to S3 or to this machine."""

from __future__ import annotations

import io
from collections.abc import Mapping

from dogbreed_sdk.container import uri_to_path
from dogbreed_sdk.errors import ConfigurationError
from dogbreed_sdk.local.s3.transfer import Explained, client_for, split_uri
from training_scripts._util.atomic import write_atomically


def joined(base: str, *parts: str | None) -> str:
    """The URI below another one; parts that are None or empty are left out.

    >>> joined("s3://bucket/out/", None, "/run/", "1.out")
    's3://bucket/out/run/1.out'
    """
    return "/".join([base.rstrip("/"), *(part.strip("/") for part in parts if part)])


def write_object(
    uri: str,
    content: bytes,
    *,
    content_type: str,
    metadata: Mapping[str, str] | None = None,
    durable: bool = True,
) -> None:
    """Write an s3:// object, or a file in a folder that is created if it is missing.

    Args:
        uri: An s3:// or file:// URI.
        content: The content, which appears at once.
        content_type: The object's content type; a file has none.
        metadata: The object's metadata; a file has none.
        durable: Wait until a file's content is on the disk, which takes long while others write much to it.

    Raises:
        ConfigurationError: It can't be written.
    """
    if uri.startswith("s3://"):
        bucket, key = split_uri(uri)
        options = {"ContentType": content_type, "Metadata": dict(metadata or {})}
        with Explained(uri):
            client_for(uri).upload_fileobj(io.BytesIO(content), bucket, key, ExtraArgs=options)
        return
    try:
        path = uri_to_path(uri)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, content, durable=durable)
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{uri} can't be written: {error}") from error
