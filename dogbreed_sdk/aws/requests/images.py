"""AWS's container images for training and serving, from the tables of `sagemaker.core`, without a network."""

from __future__ import annotations

from typing import Any

from sagemaker.core import image_uris

from dogbreed_sdk import defaults
from dogbreed_sdk.aws.requests import instances
from dogbreed_sdk.errors import ConfigurationError

# One for which sagemaker.core knows that it is ARM.
_ARM_INSTANCE_TYPE = "ml.c7g.large"


def pytorch_image_uri(scope: str, *, region: str, instance_type: str, framework_version: str | None = None) -> str:
    """AWS's PyTorch image for a region, an instance type and a version of PyTorch.

    Args:
        scope: ``training`` or ``inference``.
        region: For example ``us-east-1``.
        instance_type: Decides whether it is the CPU or the GPU image.
        framework_version: Version of PyTorch, such as ``"2.6"`` or ``"2.6.0"``. Default: 2.6, the newest for which AWS
            has images of both scopes.

    Raises:
        ConfigurationError: AWS does not offer this image; the message lists the versions that it does offer.
    """
    version = framework_version or defaults.FRAMEWORK_VERSION
    offered = framework_versions(scope, region=region)
    if version not in offered and version not in offered.values():
        raise ConfigurationError(
            f"AWS has no PyTorch {version} {scope} image in {region} that these scripts can use. Use "
            f"framework_version={' or '.join(repr(each) for each in offered)}, or your own image with image_uri=…"
            if offered
            else f"AWS has no PyTorch {scope} image in {region} that these scripts can use: choose another region, or "
            "pass your own image with image_uri=…"
        )
    try:
        return str(
            image_uris.retrieve(
                framework="pytorch",
                region=region,
                version=version,
                py_version=_versions(scope)[offered.get(version, version)]["py_versions"][-1],
                # sagemaker.core 2.27 gives the newest Graviton families (m8g, c8g, r8g) an image for x86.
                instance_type=_ARM_INSTANCE_TYPE if instances.is_arm(instance_type) else instance_type,
                image_scope=scope,
            )
        )
    except ValueError as error:
        raise ConfigurationError(
            f"AWS has no PyTorch {version} {scope} image for {instance_type} in {region}: {error} Pass your own image "
            "with image_uri=…"
        ) from error


def framework_versions(scope: str, *, region: str) -> dict[str, str]:
    """The versions of PyTorch for which AWS has an image that the scripts can use, oldest first.

    Args:
        scope: ``training`` or ``inference``.
        region: For example ``us-east-1``.

    Returns:
        Version as people write it -> full version: ``{"2.6": "2.6.0"}``. Versions below 2.6 are left out: their
        `torch.load` runs code of an untrusted file (CVE-2025-32434).
    """
    table = _versions(scope)
    short = {full: name for name, full in _configuration()[scope].get("version_aliases", {}).items()}
    return {
        short.get(full, full): full
        for full in sorted(table, key=_number)
        if _number(full) >= _number(defaults.OLDEST_FRAMEWORK_VERSION) and region in table[full]["registries"]
    }


def _configuration() -> dict[str, Any]:
    found: dict[str, Any] = image_uris.config_for_framework("pytorch")
    return found


def _versions(scope: str) -> dict[str, Any]:
    found: dict[str, Any] = _configuration()[scope]["versions"]
    return found


def _number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))
