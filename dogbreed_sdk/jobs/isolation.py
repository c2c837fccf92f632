"""Jobs without a network: what they cannot install or download, and what the packed source takes along instead."""

from __future__ import annotations

from dogbreed_sdk import defaults
from dogbreed_sdk.errors import ConfigurationError
from training_scripts.models import backbones
from training_scripts.models.efficientnet_lite import packages as packages_of


def packages(model: str, *, weights: str, given: bool) -> tuple[str, ...]:
    """The installed Python packages that an isolated job needs beside the scripts.

    Args:
        model: Canonical name of the backbone.
        weights: The trainer's weights.
        given: Whether they are a file, which jobs receive as a channel.

    Raises:
        ConfigurationError: The job would have to download its weights.
    """
    if not model.startswith("efficientnet_lite"):
        if weights == "pretrained":
            raise ConfigurationError(
                f"network_isolation: a job without a network cannot download the pretrained weights of {model}. Pass "
                f"their file with weights=…, which is uploaded, or use {defaults.BACKBONE}, whose weights are packed."
            )
        return ()
    return packages_of(backbones.spec(model).name, with_weights=weights == "pretrained" and not given)
