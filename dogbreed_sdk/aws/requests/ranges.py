"""Ranges of hyperparameters to search, like those of `sagemaker.core.parameter`, whose import takes 1.6 CPU seconds.

Callers may pass the library's own, which are recognized by the names of their classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import TypeAlias

    from sagemaker.core import parameter as sagemaker_parameter

    ParameterRange: TypeAlias = (
        "ContinuousParameter | IntegerParameter | CategoricalParameter | sagemaker_parameter.ParameterRange"
    )


@dataclass(frozen=True)
class ContinuousParameter:
    """Any number between two bounds; the scale is one of SageMaker's ScalingType."""

    min_value: float
    max_value: float
    scaling_type: str = "Auto"


@dataclass(frozen=True)
class IntegerParameter:
    """Any whole number from one bound to the other; the scale is one of SageMaker's ScalingType."""

    min_value: int
    max_value: int
    scaling_type: str = "Auto"


@dataclass(frozen=True, init=False)
class CategoricalParameter:
    """One of several values, as texts."""

    values: list[str]

    def __init__(self, values: Sequence[object]) -> None:
        object.__setattr__(self, "values", [str(value) for value in values])


def is_a(kind: type, parameter: object) -> bool:
    """Whether a range is one of our kinds, or sagemaker-core's class of the same name.

    >>> is_a(IntegerParameter, IntegerParameter(1, 5)), is_a(IntegerParameter, 5)
    (True, False)
    """
    return any(one.__name__ == kind.__name__ for one in type(parameter).__mro__)
