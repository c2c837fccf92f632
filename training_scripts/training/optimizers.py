"""Torch's optimisers, without the compiler that their first call loads."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

import torch


@functools.cache
def light(kind: type[torch.optim.Optimizer]) -> type[torch.optim.Optimizer]:
    """The same optimiser, which never imports `torch._dynamo`.

    Torch wraps an optimiser's methods so that `torch.compile` keeps out of them, and the wrappers load the compiler
    to do so: a third of the start-up of a process that compiles nothing, and of a whole trial on stored features.

    Args:
        kind: An optimiser class of `torch.optim`.

    Returns:
        A subclass with the methods that torch wrapped; its steps and state dicts are those of `kind`.
    """
    methods: dict[str, Callable[..., Any]] = {
        name: inspect.unwrap(getattr(kind, name))
        for name in ("add_param_group", "zero_grad", "state_dict", "load_state_dict")
    }
    methods["step"] = torch.no_grad()(inspect.unwrap(kind.step))
    return type(kind.__name__, (kind,), methods)
