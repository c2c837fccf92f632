"""What is sent for a picture: its bytes, or its URL where the endpoint is to fetch it."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

from dogbreed_sdk.client.images import Payload, is_url, to_payload
from training_scripts._util.safe_text import redacted

if TYPE_CHECKING:
    from dogbreed_sdk.client.options import ClassifierOptions

# One white pixel: what is sent to learn a model's labels when there is no picture yet.
LABEL_QUESTION = Payload(
    base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR42mP4DwABAQEAHLCMmQAAAABJRU5ErkJggg=="),
    "image/png",
    "a white pixel",
)


def payload_of(picture: Any, options: ClassifierOptions) -> Payload:
    """The body to send for a picture.

    Raises:
        ImageError: The picture cannot be used.
    """
    if options.fetch == "endpoint" and is_url(picture):
        return Payload(json.dumps({"url": picture}).encode(), "application/json", redacted(picture))
    return to_payload(picture, max_bytes=options.max_payload_bytes, allowed_hosts=options.allowed_hosts)
