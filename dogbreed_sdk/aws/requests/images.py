"""AWS's container images for training and serving."""

from __future__ import annotations

from sagemaker.core import image_uris

from dogbreed_sdk import defaults
from dogbreed_sdk.errors import ConfigurationError


def pytorch_image_uri(scope: str, *, region: str, instance_type: str) -> str:
    """AWS's PyTorch image for a region and instance type; looked up offline.

    Args:
        scope: ``training`` or ``inference``.
        region: For example ``us-east-1``.
        instance_type: Decides whether it is the CPU or the GPU image.

    Raises:
        ConfigurationError: AWS does not offer this image.
    """
    try:
        return str(
            image_uris.retrieve(
                framework="pytorch",
                region=region,
                version=defaults.FRAMEWORK_VERSION,
                py_version=defaults.PYTHON_VERSION,
                instance_type=instance_type,
                image_scope=scope,
            )
        )
    except ValueError as error:
        raise ConfigurationError(
            f"AWS has no PyTorch {defaults.FRAMEWORK_VERSION} {scope} image for {instance_type} in {region}: "
            f"{error} Pass your own image with image_uri=…"
        ) from error
