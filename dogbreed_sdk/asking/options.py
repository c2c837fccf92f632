"""How a classifier asks: its settings, checked when they are given, as one immutable value."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Literal, TypedDict

from dogbreed_sdk import defaults
from dogbreed_sdk.errors import ConfigurationError
from dogbreed_sdk.labels import LabelMap

Fetch = Literal["client", "endpoint"]


class Options(TypedDict, total=False):
    """The keyword arguments that every way of making a classifier takes; see `BreedClassifier` for what they mean."""

    labels: LabelMap | Sequence[str] | None
    fetch: Fetch
    allowed_hosts: Sequence[str] | None
    max_payload_bytes: int
    connect_timeout: float
    read_timeout: float
    deadline: float
    max_attempts: int
    wait_ready: float


@dataclass(frozen=True)
class ClassifierOptions:
    """The settings of a classifier; see `BreedClassifier` for what they mean.

    Raises:
        ConfigurationError: A value is out of range.
        LabelError: The labels are no list of different names.
    """

    labels: LabelMap | Sequence[str] | None = None
    fetch: Fetch = "client"
    allowed_hosts: Sequence[str] | None = None
    max_payload_bytes: int = defaults.REALTIME_PAYLOAD_BYTES
    connect_timeout: float = defaults.INVOKE_CONNECT_TIMEOUT_SECONDS
    read_timeout: float = defaults.INVOKE_READ_TIMEOUT_SECONDS
    deadline: float = defaults.INVOKE_DEADLINE_SECONDS
    max_attempts: int = defaults.INVOKE_MAX_ATTEMPTS
    wait_ready: float = 0.0

    def __post_init__(self) -> None:
        if self.labels is not None and not isinstance(self.labels, LabelMap):
            object.__setattr__(self, "labels", LabelMap.from_list(self.labels))
        if self.fetch not in ("client", "endpoint"):
            raise ConfigurationError(f'fetch must be "client" or "endpoint", got {self.fetch!r}.')
        if isinstance(self.allowed_hosts, str):
            raise ConfigurationError(f"allowed_hosts must be a list of host names, got the one {self.allowed_hosts!r}.")
        for name in ("max_payload_bytes", "connect_timeout", "read_timeout", "deadline", "max_attempts"):
            value = getattr(self, name)
            if not (value > 0 and math.isfinite(value)):
                raise ConfigurationError(f"{name} must be a number above 0, got {value!r}.")
        if not (self.wait_ready >= 0 and math.isfinite(self.wait_ready)):
            raise ConfigurationError(f"wait_ready must be a number of seconds from 0, got {self.wait_ready!r}.")

    @property
    def label_map(self) -> LabelMap | None:
        """The labels that were given, as a LabelMap."""
        assert self.labels is None or isinstance(self.labels, LabelMap)
        return self.labels


def changed(options: ClassifierOptions, changes: Options) -> ClassifierOptions:
    """A copy with some values changed.

    Raises:
        ConfigurationError: There is no such option, or a value is out of range.
    """
    values = {field.name: getattr(options, field.name) for field in fields(options)}
    unknown = ", ".join(sorted(changes.keys() - values.keys()))
    if unknown:
        raise ConfigurationError(f"There is no option {unknown}; there are {', '.join(values)}.")
    return ClassifierOptions(**{**values, **changes})
