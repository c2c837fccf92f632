"""Refuses arguments of a wrong type or range where they are given, and names them: later they would blame the model."""

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

# A name, or an IP address; in front of a name, "*." means everything below it.
_HOST = re.compile(r"(?:\*\.)?(?:[\w-]+\.)*[\w-]+\.?|\[?[0-9a-f:.]*:[0-9a-f:.]*\]?", re.ASCII | re.IGNORECASE)
_SHOWN = reprlib.Repr()
_SHOWN.maxstring = _SHOWN.maxother = 120


def shown(value: object) -> str:
    """A wrong value as a message shows it: short, and without secrets that a URL carries."""
    return _SHOWN.repr(redacted(value) if isinstance(value, str) else value)


def check_number(name: str, value: object, *, least: int = 0, whole: bool = False, above: bool = False) -> None:
    """Refuses what is no finite number within its bound.

    Args:
        name: What the argument is called.
        value: What was given.
        least: The least value that is right.
        whole: Whether it must be a whole number.
        above: Whether it must be above ``least``.

    Raises:
        ConfigurationError: It is not right.

    >>> check_number("max_attempts", 0, least=1, whole=True)
    Traceback (most recent call last):
        ...
    dogbreed_sdk.errors.ConfigurationError: max_attempts must be a whole number from 1, got 0.
    """
    if (
        isinstance(value, Integral if whole else Real)
        and not isinstance(value, bool)
        and (value > least if above else value >= least)  # type: ignore[operator]
        and (whole or math.isfinite(value))
    ):
        return
    kind = "whole" if whole else "finite"
    raise ConfigurationError(
        f"{name} must be a {kind} number {'above' if above else 'from'} {least}, got {shown(value)}."
    )


def check_top_k(top_k: object) -> None:
    """Refuses what is no number of classes, at no cost to calls that are right.

    Raises:
        ConfigurationError: It is no whole number from 1.
    """
    if type(top_k) is not int or top_k < 1:
        check_number("top_k", top_k, least=1, whole=True)


def check_endpoint_name(name: object) -> None:
    """Refuses what can be no endpoint's name.

    Raises:
        ConfigurationError: No endpoint can have it.
    """
    if not isinstance(name, str) or len(name) > names.MAX_NAME_LENGTH or not names.NAME.fullmatch(name):
        raise ConfigurationError(
            f"endpoint_name must be up to {names.MAX_NAME_LENGTH} letters, digits and single hyphens, "
            f"got {shown(name)}: a URL goes to BreedClassifier.from_server, a bundle to BreedClassifier.from_bundle."
        )


def check_path(path: object) -> None:
    """Refuses what can be no bundle's path.

    Raises:
        ConfigurationError: It is no path.
    """
    if not isinstance(path, (str, os.PathLike)) or not os.fspath(path):
        raise ConfigurationError(f"path must be a bundle's folder or its model.tar.gz, got {shown(path)}.")


def check_pictures(pictures: object, *, asynchronous: bool = False) -> None:
    """Refuses one picture where many are expected: its characters, bytes or lines are no pictures.

    Raises:
        ConfigurationError: It is one picture, or nothing that can be iterated.
    """
    if isinstance(pictures, (str, bytes, bytearray, memoryview, os.PathLike)) or hasattr(pictures, "read"):
        raise ConfigurationError(
            f"classify_many was given one picture, {shown(pictures)}: pass a list, or use classify."
        )
    if not isinstance(pictures, Iterable) and not (asynchronous and hasattr(pictures, "__aiter__")):
        raise ConfigurationError(f"pictures must be a list or an iterator of pictures, got {shown(pictures)}.")


def host_names(hosts: object) -> tuple[str, ...]:
    """The host names in a list. Refuses what is no list of host names: a URL, or a name with a port, would never match.

    Raises:
        ConfigurationError: It is none.
    """
    if isinstance(hosts, (str, bytes)) or not isinstance(hosts, Iterable):
        raise ConfigurationError(
            f'allowed_hosts must be a list of host names, such as ["images.example.com"], got {shown(hosts)}.'
        )
    listed = tuple(hosts)
    for host in listed:
        if not isinstance(host, str) or not _HOST.fullmatch(host.strip()):
            raise ConfigurationError(
                f'allowed_hosts: {shown(host)} is no host name; give one such as "images.example.com" or '
                '"*.example.com", without scheme, port or path.'
            )
    return listed
