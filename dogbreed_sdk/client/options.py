"""The settings of a classifier, checked when they are given, as one immutable value."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from typing import Literal, TypedDict

from dogbreed_sdk import defaults
from dogbreed_sdk.client.argument_checks import check_number, check_variant_name, host_names, shown
from dogbreed_sdk.errors import ConfigurationError
from dogbreed_sdk.labels import LabelMap

Fetch = Literal["client", "endpoint"]


class Options(TypedDict, total=False):
    """The keyword arguments of all functions that create a classifier; `BreedClassifier` explains them."""

    labels: LabelMap | Sequence[str] | None
    fetch: Fetch
    allowed_hosts: Sequence[str] | None
    max_payload_bytes: int
    connect_timeout: float
    read_timeout: float
    deadline: float
    max_attempts: int
    wait_ready: float
    target_variant: str | None


@dataclass(frozen=True)
class ClassifierOptions:
    """The settings of a classifier; `BreedClassifier` explains them.

    Raises:
        ConfigurationError: A value is out of range.
        LabelError: The labels are not a list of distinct names.
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
    target_variant: str | None = None

    def __post_init__(self) -> None:
        if self.labels is not None and not isinstance(self.labels, LabelMap):
            if not isinstance(self.labels, Iterable):
                raise ConfigurationError(f"labels must be a LabelMap or a list of names, got {shown(self.labels)}.")
            object.__setattr__(self, "labels", LabelMap.from_list(self.labels))
        if self.fetch not in ("client", "endpoint"):
            raise ConfigurationError(f'fetch must be "client" or "endpoint", got {shown(self.fetch)}.')
        if self.allowed_hosts is not None:
            object.__setattr__(self, "allowed_hosts", host_names(self.allowed_hosts))
        for name in ("max_payload_bytes", "max_attempts"):
            check_number(name, getattr(self, name), least=1, whole=True)
        for name in ("connect_timeout", "read_timeout", "deadline"):
            check_number(name, getattr(self, name), above=True)
        check_number("wait_ready", self.wait_ready)
        if self.target_variant is not None:
            check_variant_name(self.target_variant)

    @property
    def label_map(self) -> LabelMap | None:
        """The given labels as a LabelMap, or None."""
        assert self.labels is None or isinstance(self.labels, LabelMap)
        return self.labels


def changed(options: ClassifierOptions, changes: Options) -> ClassifierOptions:
    """A copy with some values changed.

    Raises:
        ConfigurationError: An option is unknown, or a value is out of range.
    """
    values = {field.name: getattr(options, field.name) for field in fields(options)}
    unknown = sorted(changes.keys() - values.keys())
    if unknown:
        raise ConfigurationError(
            f"Unknown option{'s' * (len(unknown) > 1)} {', '.join(unknown)}; valid options: {', '.join(values)}."
        )
    return ClassifierOptions(**{**values, **changes})
