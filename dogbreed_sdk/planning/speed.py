"""How fast pictures go through a backbone: from a table, or measured on this machine with the data set's pictures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from dogbreed_sdk.errors import ConfigurationError

# Multiplications and additions of one forward pass, in 10^9: torchvision's documentation of its weights ("GIGA-MACS"
# in `_ops`), and the README of EfficientNet-Lite.
GIGA_MACS: Final[Mapping[str, float]] = {
    "efficientnet_lite0": 0.407,
    "efficientnet_lite1": 0.631,
    "efficientnet_lite2": 0.899,
    "resnet18": 1.814,
    "resnet50": 4.089,
    "densenet161": 7.728,
    "mobilenet_v3_large": 0.217,
    "efficientnet_b0": 0.386,
    "convnext_tiny": 4.456,
}
# One core of a server computes 27.5 * 10^9 of them per second for efficientnet_lite0 (14.8 ms a picture, measured).
_CORE_GIGA_MACS_PER_SECOND = 27.5
# A photograph of 500 x 375 pixels is decoded, resized and cropped in 3.7 ms by one core (measured).
_DECODE_SECONDS = 0.0037
# What networks of small convolutions reach of a GPU's peak; large ones reach more.
_GPU_EFFICIENCY = 0.1
_FLOP_PER_MAC = 2
# Another picture size, processor or library changes a time from the table by up to this factor either way.
_TABLE_UNCERTAINTY = 2.0


@dataclass(frozen=True, kw_only=True)
class BackboneSpeed:
    """The time that a backbone takes per picture.

    Attributes:
        backbone: Its name.
        decode_seconds: One core decodes a picture in this time.
        forward_seconds: One core computes the features of one view of a picture in this time.
        gpu_giga_flop: Work of one view for a GPU, at the efficiency that is expected, in 10^9 operations of its peak.
        uncertainty: The true time is expected between this factor below and above.
        source: Where the numbers are from, as the end of "the speed is from …".
    """

    backbone: str
    decode_seconds: float
    forward_seconds: float
    gpu_giga_flop: float
    uncertainty: float
    source: str

    @classmethod
    def from_table(cls, backbone: str) -> BackboneSpeed:
        """The speed of a registered backbone, without measuring.

        Raises:
            ConfigurationError: The table does not have it.
        """
        macs = GIGA_MACS.get(backbone)
        if macs is None:
            raise ConfigurationError(
                f"How fast {backbone} is, is not in the table, which has {', '.join(GIGA_MACS)}. Measure it with "
                "measure=True, or --measure on the command line; that needs the pictures."
            )
        return cls(
            backbone=backbone,
            decode_seconds=_DECODE_SECONDS,
            forward_seconds=macs / _CORE_GIGA_MACS_PER_SECOND,
            gpu_giga_flop=gpu_work(macs),
            uncertainty=_TABLE_UNCERTAINTY,
            source=f"a table ({macs:g} billion multiply-adds per picture), not measured",
        )


def gpu_work(giga_macs: float) -> float:
    """Work for a GPU, in 10^9 operations of its peak."""
    return giga_macs * _FLOP_PER_MAC / _GPU_EFFICIENCY


def macs_of(seconds_per_view: float) -> float:
    """The multiply-adds, in 10^9, of a backbone that takes a core this long."""
    return seconds_per_view * _CORE_GIGA_MACS_PER_SECOND
