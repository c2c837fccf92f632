"""Manifest files, which name the objects of a channel or of a transform job: [{"prefix": "s3://bucket/"}, "a.jpg"]."""

from __future__ import annotations

import json


def read_manifest(content: bytes) -> tuple[str, list[str]]:
    """The prefix and the keys below it.

    Raises:
        ValueError: It is not a manifest; the message says what one is.

    >>> read_manifest(b'[{"prefix": "s3://bucket/dogs/"}, "a.jpg", "cats/b.jpg"]')
    ('s3://bucket/dogs/', ['a.jpg', 'cats/b.jpg'])
    """
    try:
        head, *keys = json.loads(content)
        prefix = head["prefix"]
        if not all(isinstance(text, str) for text in (prefix, *keys)):
            raise TypeError("a key is not a text")
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f'it is not a manifest ({error!r}): a manifest is a JSON list that begins with {{"prefix": "s3://..."}} '
            "and names the objects below it"
        ) from error
    return prefix, keys
