"""Checks the type and range of arguments where they are given: later, the error would seem to be the model's."""

from __future__ import annotations

import math
import os
import re
import reprlib
from collections.abc import Iterable
from numbers import Integral, Real

from dogbreed_sdk.aws.requests import names
from dogbreed_sdk.errors import ConfigurationError
from training_scripts._util.safe_text import redacted

# A name or an IP address; "*." in front of a name means all of its subdomains.
_HOST = re.compile(r"(?:\*\.)?(?:[\w-]+\.)*[\w-]+\.?|\[?[0-9a-f:.]*:[0-9a-f:.]*\]?", re.ASCII | re.IGNORECASE)
_SHOWN = reprlib.Repr()
_SHOWN.maxstring = _SHOWN.maxother = 120


def shown(value: object) -> str:
    """An invalid value as messages show it: shortened, and without the secrets of a URL."""
    return _SHOWN.repr(redacted(value) if isinstance(value, str) else value)


def check_number(name: str, value: object, *, least: int = 0, whole: bool = False, above: bool = False) -> None:
    """Checks that an argument is a finite number within its bound.

    Args:
        name: Name of the argument.
        value: The value that was passed.
        least: The least valid value.
        whole: Whether it must be an integer.
        above: Whether it must be greater than ``least``.

    Raises:
        ConfigurationError: It is not.

    >>> check_number("max_attempts", 0, least=1, whole=True)
    Traceback (most recent call last):
        ...
    dogbreed_sdk.errors.ConfigurationError: max_attempts must be a whole number of 1 or more, got 0.
    """
    if (
        isinstance(value, Integral if whole else Real)
        and not isinstance(value, bool)
        and (value > least if above else value >= least)  # type: ignore[operator]
        and (whole or math.isfinite(value))
    ):
        return
    kind = "a whole number" if whole else "a finite number"
    bound = f"greater than {least}" if above else f"of {least} or more"
    raise ConfigurationError(f"{name} must be {kind} {bound}, got {shown(value)}.")


def check_top_k(top_k: object) -> None:
    """Checks a number of classes, at almost no cost if it is valid.

    Raises:
        ConfigurationError: It is not a positive integer.
    """
    if type(top_k) is not int or top_k < 1:
        check_number("top_k", top_k, least=1, whole=True)


def check_endpoint_name(name: object) -> None:
    """Checks that an endpoint can have this name.

    Raises:
        ConfigurationError: No endpoint can.
    """
    if not _is_name(name):
        raise ConfigurationError(
            f"endpoint_name must be up to {names.MAX_NAME_LENGTH} letters, digits and single hyphens, "
            f"got {shown(name)}. Pass a URL to BreedClassifier.from_server, a bundle to BreedClassifier.from_bundle."
        )


def check_variant_name(name: object) -> None:
    """Checks that a production variant can have this name.

    Raises:
        ConfigurationError: No variant can.
    """
    if not _is_name(name):
        raise ConfigurationError(
            f"The name of a production variant has up to {names.MAX_NAME_LENGTH} letters, digits and single hyphens, "
            f"got {shown(name)}."
        )


def _is_name(name: object) -> bool:
    """Whether SageMaker accepts a name for an endpoint or a production variant."""
    return isinstance(name, str) and len(name) <= names.MAX_NAME_LENGTH and bool(names.NAME.fullmatch(name))


def check_path(path: object) -> None:
    """Checks that an argument can be the path of a bundle.

    Raises:
        ConfigurationError: It is not a path.
    """
    if not isinstance(path, (str, os.PathLike)) or not os.fspath(path):
        raise ConfigurationError(f"path must be a bundle's folder or its model.tar.gz, got {shown(path)}.")


def check_pictures(pictures: object, *, asynchronous: bool = False) -> None:
    """Refuses a single picture where many are expected: its characters, bytes or lines are not pictures.

    Raises:
        ConfigurationError: It is a single picture, or not iterable.
    """
    if isinstance(pictures, (str, bytes, bytearray, memoryview, os.PathLike)) or hasattr(pictures, "read"):
        raise ConfigurationError(
            f"classify_many was given a single picture, {shown(pictures)}: pass a list, or call classify."
        )
    if not isinstance(pictures, Iterable) and not (asynchronous and hasattr(pictures, "__aiter__")):
        raise ConfigurationError(f"pictures must be a list or an iterator of pictures, got {shown(pictures)}.")


def host_names(hosts: object) -> tuple[str, ...]:
    """Checks a list of host names: a URL, or a name with a port, would never match.

    Raises:
        ConfigurationError: It is not a list of host names.
    """
    if isinstance(hosts, (str, bytes)) or not isinstance(hosts, Iterable):
        raise ConfigurationError(
            f'allowed_hosts must be a list of host names, such as ["images.example.com"], got {shown(hosts)}.'
        )
    listed = tuple(hosts)
    for host in listed:
        if not isinstance(host, str) or not _HOST.fullmatch(host.strip()):
            raise ConfigurationError(
                f'allowed_hosts: {shown(host)} is not a host name; pass one such as "images.example.com" or '
                '"*.example.com", without scheme, port or path.'
            )
    return listed
