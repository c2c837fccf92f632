"""Types of arguments for argparse: each reads a text, and its error says what was expected."""

from __future__ import annotations

import argparse
import ipaddress
import re
from collections.abc import Callable, Iterable
from pathlib import Path

from dogbreed_sdk._util.durations import duration_seconds
from dogbreed_sdk.errors import ConfigurationError
from training_scripts._util.suggestions import did_you_mean, either, known_as

# What SageMaker allows (API reference, the members Environment of CreateTrainingJob and ContainerDefinition).
_VARIABLE = re.compile("[A-Za-z_][A-Za-z0-9_]*")


def data_place(text: str) -> Path | str:
    """A data set's folder: a path, or an s3:// or file:// URI, whose slashes a path would not keep."""
    return text if text.startswith(("s3:", "file:")) else Path(text)


def at_least_one(text: str) -> int:
    """A count from 1 on."""
    value = _whole(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is below 1")
    return value


def percentage(text: str) -> int:
    """A whole percentage from 1 to 100."""
    value = at_least_one(text)
    if value > 100:
        raise argparse.ArgumentTypeError(f"{text} is above 100")
    return value


def non_negative(text: str) -> int:
    """A count from 0 on."""
    value = _whole(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"{text} is below 0")
    return value


def duration(text: str) -> int:
    """A duration in seconds.

    >>> duration("90min")
    5400
    """
    try:
        return duration_seconds(text, name="the time")
    except ConfigurationError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a time with a unit; write 90s, 10min, 2h or 1d") from None


def port(text: str) -> int:
    """A TCP port; with 0 the system picks a free one."""
    value = _whole(text)
    if not 0 <= value <= 65535:
        raise argparse.ArgumentTypeError(f"{text} is not a port (0 to 65535)")
    return value


def _whole(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        # argparse's own message would name the function: "invalid at_least_one value".
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number") from None


def network(text: str) -> str:
    """An IP address, or a network such as 10.0.0.0/8."""
    try:
        ipaddress.ip_network(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"pass an IP address, or a network such as 10.0.0.0/8: {error}") from None
    return text


def one_of(choices: Iterable[str]) -> Callable[[str], str]:
    """One of the choices; case, dashes and underscores make no difference.

    >>> one_of(["stored", "in-job"])("In_Job")
    'in-job'
    """
    known = tuple(choices)

    def read(text: str) -> str:
        choice = known_as(text, known)
        if choice is None:
            hint = did_you_mean(text, known) or ";"
            raise argparse.ArgumentTypeError(f"{text!r} is not a valid choice{hint} choose {either(known)}")
        return choice

    return read


def tag(text: str) -> tuple[str, str]:
    """A tag and its value.

    >>> tag("cost center=42")
    ('cost center', '42')
    """
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise argparse.ArgumentTypeError(f"write KEY=VALUE, not {text!r}")
    return key, value


def assignment(text: str) -> tuple[str, str]:
    """An environment variable and its value.

    >>> assignment("DOGBREED_FETCH_URLS=1")
    ('DOGBREED_FETCH_URLS', '1')
    """
    name, equals, value = text.partition("=")
    if not equals or not _VARIABLE.fullmatch(name):
        raise argparse.ArgumentTypeError(f"write KEY=VALUE, where KEY is the name of a variable, not {name!r}")
    return name, value
