"""Torch's optimizers, without loading the compiler that their first call would import."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import TypeVar, cast

import torch

Chosen = TypeVar("Chosen", bound=torch.optim.Optimizer)


def light(kind: type[Chosen]) -> type[Chosen]:
    """A variant of an optimizer class that never imports `torch._dynamo`.

    Torch wraps an optimizer's methods so that `torch.compile` skips them, and these wrappers load the compiler. That
    takes a third of the start-up time of a process that compiles nothing, and a third of a trial on stored features.

    Args:
        kind: An optimizer class of `torch.optim`.

    Returns:
        A subclass with the methods that torch wrapped; its steps and state dicts are those of `kind`.
    """
    return cast("type[Chosen]", _unwrapped(kind))  # type: ignore[arg-type]  # classes are hashable


@functools.cache
def _unwrapped(kind: type[torch.optim.Optimizer]) -> type:
    methods: dict[str, Callable[..., object]] = {
        name: inspect.unwrap(getattr(kind, name))
        for name in ("add_param_group", "zero_grad", "state_dict", "load_state_dict")
    }
    methods["step"] = torch.no_grad()(inspect.unwrap(kind.step))
    return type(kind.__name__, (kind,), methods)
