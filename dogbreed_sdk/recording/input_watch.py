"""Reads the inputs of a model with a hook that does nothing in copies of the model.

A hook of torch's own, for all modules, would make each call of each module take longer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn
    from torch.utils.hooks import RemovableHandle


class InputWatch:
    """Reads the first tensor that is given to a model, each time that it is called.

    Attributes:
        in_training_mode: Whether the model was in training mode at its latest call.
    """

    def __init__(
        self, model: nn.Module, inputs: Callable[[object], object], *, failed: Callable[[Exception], object]
    ) -> None:
        """Adds the hook.

        Args:
            model: The model inside DistributedDataParallel and torch.compile.
            inputs: Called with the first tensor.
            failed: Called with an error in the hook, which is not raised.
        """
        self.in_training_mode = False
        self._model = model
        self._inputs = inputs
        self._failed = failed
        self._handle: RemovableHandle | None = model.register_forward_pre_hook(_Hook(self._begins))

    def _begins(self, passed: nn.Module, given: tuple[Any, ...]) -> None:
        if passed is not self._model:
            return
        try:
            self.in_training_mode = passed.training
            self._inputs(_first_tensor(given))
        except Exception as error:  # noqa: BLE001 - raising here would end the loop
            self._failed(error)

    def remove(self) -> None:
        """Removes the hook."""
        if self._handle is not None:
            self._handle.remove()
            self._handle = None


class _Hook:
    """A hook of a model; a copied or pickled model gets one that returns its second argument, the inputs."""

    def __init__(self, call: Callable[[nn.Module, tuple[Any, ...]], object]) -> None:
        self._call = call

    def __call__(self, passed: nn.Module, given: tuple[Any, ...]) -> None:
        self._call(passed, given)

    def __reduce__(self) -> tuple[Any, ...]:
        return getattr, ({}, "get")  # can be unpickled wherever there is a Python


def _first_tensor(given: Any) -> object:
    """The first tensor in nested tuples, lists and mappings; None if there is none."""
    if isinstance(given, Mapping):
        given = tuple(given.values())
    if isinstance(given, (tuple, list)):
        return next((found for found in map(_first_tensor, given) if found is not None), None)
    return given if hasattr(given, "is_floating_point") else None
