"""Requests' bodies as NumPy arrays."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from training_scripts.data.arrays import read_npy

from . import content_types
from .errors import UnsupportedFormatError


def _json(content: str | bytes) -> npt.NDArray[Any]:
    return np.array(json.loads(content))


def _csv(content: str | bytes) -> npt.NDArray[Any]:
    return np.genfromtxt(io.StringIO(content if isinstance(content, str) else content.decode("utf-8")), delimiter=",")


def _npz(content: bytes) -> Any:
    from scipy import sparse  # type: ignore[import-untyped]  # noqa: PLC0415

    return sparse.load_npz(io.BytesIO(content))


_DECODERS: Mapping[str, Callable[[Any], Any]] = {
    content_types.NPY: read_npy,
    content_types.CSV: _csv,
    content_types.JSON: _json,
    content_types.NPZ: _npz,
}


def decode(obj: str | bytes, content_type: str) -> Any:
    """A request's body as an array; application/x-npz as a sparse matrix of SciPy.

    Raises:
        UnsupportedFormatError: There is no decoder for the content type.
    """
    if content_type not in _DECODERS:
        raise UnsupportedFormatError(content_type)
    return _DECODERS[content_type](obj)
