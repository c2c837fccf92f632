"""Predictions as responses' bodies."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from training_scripts.data.arrays import write_npy

from . import content_types
from .errors import UnsupportedFormatError


def _json(array_like: Any) -> str:
    return json.dumps(array_like, default=lambda value: value.tolist())


def _csv(array_like: Any) -> str:
    stream = io.StringIO()
    np.savetxt(stream, array_like, delimiter=",", fmt="%s")
    return stream.getvalue()


_ENCODERS: Mapping[str, Callable[[Any], str | bytes]] = {
    content_types.NPY: write_npy,
    content_types.CSV: _csv,
    content_types.JSON: _json,
}
SUPPORTED_CONTENT_TYPES = set(_ENCODERS)


def encode(array_like: Any, content_type: str) -> str | bytes:
    """An array, or what can be converted to one, as the body of a response.

    Raises:
        UnsupportedFormatError: There is no encoder for the content type.
    """
    if content_type not in _ENCODERS:
        raise UnsupportedFormatError(content_type)
    return _ENCODERS[content_type](array_like)
