"""Names of content types."""

from __future__ import annotations

from training_scripts.data.arrays import CSV, NPY
from training_scripts.data.formats import JSON, OCTET_STREAM

NPZ = "application/x-npz"
ANY = "*/*"

__all__ = ["ANY", "CSV", "JSON", "NPY", "NPZ", "OCTET_STREAM"]
