"""Sees the outputs, labels and loss of a step where a framework hides them: in the call of the loss function."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any, NamedTuple

FUNCTIONS = (
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "cross_entropy",
    "huber_loss",
    "l1_loss",
    "mse_loss",
    "nll_loss",
    "smooth_l1_loss",
)


class LossCall(NamedTuple):
    """A call of a loss function of `torch.nn.functional`.

    Attributes:
        outputs: Its first argument.
        labels: Its second argument.
        loss: Its result.
    """

    outputs: Any
    labels: Any
    loss: Any


class LossCalls:
    """Notes calls of torch's loss functions while its context is entered.

    Attributes:
        latest: The latest call; None if there was none. Emptied by `take`.
    """

    def __init__(self) -> None:
        self.latest: LossCall | None = None
        self._mode: AbstractContextManager[Any] | None = None

    def start(self) -> None:
        """Begins to note calls, until `stop`."""
        self.stop()
        self.latest = None
        self._mode = _mode(self)
        self._mode.__enter__()

    def stop(self) -> None:
        """Ends noting calls. Later calls do nothing."""
        mode, self._mode = self._mode, None
        if mode is not None:
            mode.__exit__(None, None, None)

    def take(self) -> LossCall | None:
        """The latest call, without the graph that its tensors are part of."""
        self.stop()
        found, self.latest = self.latest, None
        return None if found is None else LossCall(*(_detached(value) for value in found))


def _mode(calls: LossCalls) -> AbstractContextManager[Any]:
    from torch.nn import functional  # noqa: PLC0415 - torch is the caller's
    from torch.overrides import TorchFunctionMode  # noqa: PLC0415

    watched = {getattr(functional, name) for name in FUNCTIONS}

    class Mode(TorchFunctionMode):
        def __torch_function__(self, function: Any, types: Any, arguments: Any = (), named: Any = None) -> Any:
            named = named or {}
            result = function(*arguments, **named)
            if function in watched:
                given = dict(zip(("input", "target"), arguments, strict=False)) | named
                calls.latest = LossCall(given.get("input"), given.get("target"), result)
            return result

    mode: AbstractContextManager[Any] = Mode()
    return mode


def _detached(value: Any) -> Any:
    return value.detach() if hasattr(value, "detach") else value
